//! Which line of a command a piece of its output belongs to.
//!
//! Owns the numbering: lines count from 1 in the order in which they begin; text of a stream goes on with that stream's
//! open line, else it begins a new one; a line break closes it. Knows nothing of events. Read next: `index.rs`.

use crate::api::output::Channel;
use memchr::{memchr, memchr_iter};

/// How far a command's output goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines that have begun.
    pub lines: u64,
    /// The line that is open on each stream, 0 for none.
    open: [u64; 2],
}

/// A stretch of text within one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'t> {
    /// The line's number, from 1.
    pub line: u64,
    /// The text, without the line break.
    pub text: &'t str,
    /// The line begins with it.
    pub begins: bool,
    /// The line ends after it.
    pub ends: bool,
}

impl Count {
    /// The line that is open on a stream, 0 for none.
    #[must_use]
    pub fn open(&self, channel: Channel) -> u64 {
        self.open[channel as usize]
    }

    /// The lines that are open on stdout and on stderr.
    #[must_use]
    pub fn all_open(&self) -> [u64; 2] {
        self.open
    }

    /// Takes the next text of a stream.
    pub fn take(&mut self, channel: Channel, text: &str) {
        let breaks = memchr_iter(b'\n', text.as_bytes()).count() as u64;
        let rest = !text.is_empty() && !text.ends_with('\n');
        let pieces = breaks + u64::from(rest);
        if pieces == 0 {
            return;
        }
        let open = &mut self.open[channel as usize];
        self.lines += pieces - u64::from(*open > 0);
        *open = match rest {
            true if pieces == 1 && *open > 0 => *open,
            true => self.lines,
            false => 0,
        };
    }

    /// Takes the next text of a stream and tells of each line that it touches.
    pub fn parts<'t>(&mut self, channel: Channel, text: &'t str, mut each: impl FnMut(Part<'t>)) {
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest.as_bytes());
            let (text, after) = end.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
            let open = &mut self.open[channel as usize];
            let begins = *open == 0;
            if begins {
                self.lines += 1;
                *open = self.lines;
            }
            let line = *open;
            if end.is_some() {
                *open = 0;
            }
            each(Part {
                line,
                text,
                begins,
                ends: end.is_some(),
            });
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn lines_count_in_the_order_in_which_they_begin() {
        let mut count = Count::default();
        let mut seen = Vec::new();
        for (channel, text) in [
            (Channel::Out, "a"),
            (Channel::Err, "x\ny"),
            (Channel::Out, "b\n\nc\r\n"),
            (Channel::Err, "\n"),
        ] {
            count.parts(channel, text, |part| {
                seen.push((part.line, part.text, part.begins, part.ends))
            });
        }
        assert_eq!(
            seen,
            [
                (1, "a", true, false),
                (2, "x", true, true),
                (3, "y", true, false),
                (1, "b", false, true),
                (4, "", true, true),
                (5, "c\r", true, true),
                (3, "", false, true),
            ]
        );
        assert_eq!((count.lines, count.open), (5, [0, 0]));
    }

    proptest! {
        #[test]
        fn counting_alone_comes_to_the_same(pieces in vec((any::<bool>(), "[a\n]{0,5}"), 0..20)) {
            let (mut one, mut other) = (Count::default(), Count::default());
            for (out, text) in &pieces {
                let channel = if *out { Channel::Out } else { Channel::Err };
                one.take(channel, text);
                other.parts(channel, text, |_| {});
                prop_assert_eq!(one, other);
            }
        }
    }
}
