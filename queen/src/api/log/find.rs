//! Finds the lines of a job's output that have a text in them, as a reader sees them.
//!
//! Owns what is seen of a line: no escape sequence and no control character, and after a carriage return in mid-line only
//! what comes behind it; upper and lower case are alike. A line may come in any number of pieces and is never held. Most
//! text is plain and is searched many lines at a time. Read next: `search.rs`.

use super::{
    count::{Count, Part},
    hear::{Heard, hear},
};
use crate::{api::output::Running, store::Event};
use memchr::{memchr, memchr_iter, memmem::Finder, memrchr};
use shared::Num;
use std::collections::{BTreeSet, HashMap};

/// A search under way.
#[derive(Debug)]
pub struct Find {
    needle: Finder<'static>,
    /// Only this command.
    only: Option<Num>,
    running: Running,
    commands: HashMap<Num, Command>,
    hits: Hits,
    /// Text in lower case, for the while of one piece.
    lower: Vec<u8>,
}

/// The lines that were found.
#[derive(Debug)]
pub struct Hits {
    /// All of them, also those that are not kept.
    pub total: u64,
    /// The first ones by command and number.
    pub first: BTreeSet<(Num, u64)>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Command {
    count: Count,
    /// The open line of each stream as far as it was seen.
    open: [Seen; 2],
}

/// A line as its text comes in.
#[derive(Debug, Default)]
struct Seen {
    within: Within,
    /// A carriage return was the last character.
    returned: bool,
    /// What may be the beginning of a hit, folded.
    tail: Vec<u8>,
    hit: bool,
}

/// Where a line's text so far ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Text,
    Escape,
    /// After an intermediate character of a short sequence.
    Short,
    Params,
    /// A title or the like.
    Title,
    TitleEscape,
}

/// A text to look for, in the form in which it is compared; `None` if nothing of it can be seen.
#[must_use]
pub fn needle(text: &str) -> Option<Vec<u8>> {
    let mut seen = Seen::default();
    seen.take(text);
    Some(seen.tail).filter(|needle| !needle.is_empty())
}

/// Appends a character in the form in which texts are compared.
fn fold(c: char, to: &mut Vec<u8>) {
    if c.is_ascii() {
        to.push(c.to_ascii_lowercase() as u8);
        return;
    }
    for c in c.to_lowercase() {
        // The small sigma has a second form at the end of a word.
        let c = if c == 'ς' { 'σ' } else { c };
        to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// True if all of the text is seen as it is, its lines ending with or without a carriage return.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Without an early end it is many bytes at a time.
    let odd = bytes.iter().fold(false, |odd, byte| {
        odd | !matches!(byte, b' '..0x7f | b'\n' | b'\r' | b'\t')
    });
    !odd && memchr_iter(b'\r', bytes).all(|at| bytes.get(at + 1) == Some(&b'\n'))
}

impl Hits {
    fn add(&mut self, num: Num, line: u64) {
        self.total += 1;
        if self.first.len() < self.limit {
            self.first.insert((num, line));
        } else if self.first.last().is_some_and(|last| (num, line) < *last) {
            self.first.insert((num, line));
            self.first.pop_last();
        }
    }
}

impl Find {
    /// Looks for a [`needle`] in the output from the first event on; `limit` hits are kept.
    #[must_use]
    pub fn new(needle: &[u8], limit: usize) -> Self {
        Self {
            needle: Finder::new(needle).into_owned(),
            only: None,
            running: Running::default(),
            commands: HashMap::new(),
            hits: Hits {
                total: 0,
                first: BTreeSet::new(),
                limit,
            },
            lower: Vec::new(),
        }
    }

    /// Looks at one command only, from its first output on; `running` ran before that.
    #[must_use]
    pub fn only(mut self, num: Num, running: Running) -> Self {
        (self.only, self.running) = (Some(num), running);
        self
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        match hear(&event.line) {
            Heard::Start(num) => self.running.start(num),
            Heard::Done(num) => self.running.done(num),
            Heard::Text { num, channel, text } => {
                let num = num.or(self.running.latest()).unwrap_or(Num(0));
                if self.only.is_some_and(|only| only != num) {
                    return;
                }
                let command = self.commands.entry(num).or_default();
                let stream = channel as usize;
                // Whole lines of plain text are looked through together; what is left of it, or odd, line by line.
                let bytes = text.as_bytes();
                let start = match command.count.open(channel) {
                    0 => 0,
                    _ => memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1),
                };
                let end = memrchr(b'\n', bytes).map_or(start, |at| at + 1).max(start);
                let (head, body, tail) = (&text[..start], &text[start..end], &text[end..]);
                let plain = is_plain(body);
                for (text, together) in [(head, false), (body, plain), (tail, false)] {
                    if together {
                        let first = command.count.lines + 1;
                        command.count.take(channel, text);
                        whole(&self.needle, text, &mut self.lower, |line| {
                            self.hits.add(num, first + line)
                        });
                        continue;
                    }
                    let Command { count, open } = command;
                    count.parts(channel, text, |part| {
                        if open[stream].part(&part, &self.needle) {
                            self.hits.add(num, part.line);
                        }
                    });
                }
            }
            Heard::Cases | Heard::Other => {}
        }
    }

    /// What was found, also in lines that are still open.
    #[must_use]
    pub fn into_hits(mut self) -> Hits {
        for (num, command) in self.commands {
            for (seen, line) in command.open.iter().zip(command.count.all_open()) {
                if line > 0 && seen.hit {
                    self.hits.add(num, line);
                }
            }
        }
        self.hits
    }
}

/// Looks through whole lines of plain text; tells the number of each that has the needle, from 0.
fn whole(needle: &Finder<'_>, text: &str, lower: &mut Vec<u8>, mut found: impl FnMut(u64)) {
    lower.clear();
    lower.extend_from_slice(text.as_bytes());
    lower.make_ascii_lowercase();
    let (mut from, mut line) = (0, 0);
    while let Some(at) = needle.find(&lower[from..]) {
        line += memchr_iter(b'\n', &lower[from..from + at]).count() as u64;
        found(line);
        let Some(end) = memchr(b'\n', &lower[from + at..]) else {
            return;
        };
        from += at + end + 1;
        line += 1;
    }
}

impl Seen {
    /// Takes the next part of a line; true if the line ends with it and has the needle.
    fn part(&mut self, part: &Part<'_>, needle: &Finder<'_>) -> bool {
        if part.begins {
            *self = Self {
                tail: std::mem::take(&mut self.tail),
                ..Self::default()
            };
            self.tail.clear();
        }
        self.take(part.text);
        self.hit |= needle.find(&self.tail).is_some();
        // A hit may begin in this part and end in the next one.
        let keep = needle.needle().len() - 1;
        self.tail.drain(..self.tail.len().saturating_sub(keep));
        part.ends && self.hit
    }

    /// Appends what is seen of `text` to the tail.
    fn take(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if std::mem::take(&mut self.returned) {
                // The line begins anew.
                (self.hit, self.within) = (false, Within::Text);
                self.tail.clear();
            }
            // Most of a line is seen as it is.
            let bytes = rest.as_bytes();
            let plain = match self.within {
                Within::Text => bytes.iter().position(|byte| !matches!(byte, b' '..0x7f | b'\t')),
                _ => Some(0),
            };
            let plain = plain.unwrap_or(bytes.len());
            if plain > 0 {
                let start = self.tail.len();
                self.tail.extend_from_slice(&bytes[..plain]);
                self.tail[start..].make_ascii_lowercase();
                rest = &rest[plain..];
                continue;
            }
            self.step(c);
            rest = &rest[c.len_utf8()..];
        }
    }

    /// Takes one character.
    fn step(&mut self, c: char) {
        self.within = match (self.within, c) {
            (_, '\r') => {
                self.returned = true;
                Within::Text
            }
            (Within::Title, '\x07') | (Within::TitleEscape, '\\') => Within::Text,
            (Within::Title, '\x1b') => Within::TitleEscape,
            (Within::Title, _) => Within::Title,
            (Within::Escape | Within::TitleEscape, '[') => Within::Params,
            (Within::Escape | Within::TitleEscape, ']') => Within::Title,
            (Within::Params, ' '..='?') => Within::Params,
            (Within::Escape | Within::TitleEscape | Within::Short, ' '..='/') => Within::Short,
            (Within::Escape | Within::TitleEscape | Within::Short, '0'..='~') | (Within::Params, '@'..='~') => {
                Within::Text
            }
            (_, '\x1b') => Within::Escape,
            (_, c) => {
                if c == '\t' || !c.is_ascii_control() {
                    fold(c, &mut self.tail);
                }
                Within::Text
            }
        };
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
