//! Picks a stretch of a command's lines out of its events.
//!
//! Owns which text belongs to which line of an answer and how much of it is given; the place to begin comes from the
//! index, the events from whoever asks. Read next: `lines.rs`.

use super::{
    count::{Count, Part},
    hear::{Heard, hear},
    index::Place,
    style::Styled,
};
use crate::{
    api::output::{Channel, Running},
    store::Event,
};
use shared::{Num, Timestamp};

/// Characters of a line that are given.
pub const LINE: usize = 20_000;
/// What stands in place of the rest.
pub const CUT: &str = " … the rest of this line is in the raw log";
/// Bytes of text after which no further line is begun.
pub const ANSWER: usize = 4 * 1024 * 1024;

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its stream.
    pub channel: Channel,
    /// What it says, escape sequences and all.
    pub text: String,
    /// When it began.
    pub at: Timestamp,
}

/// Lines as they come together.
#[derive(Debug)]
pub struct Pick {
    num: Num,
    from: u64,
    wanted: u64,
    count: Count,
    styled: [Styled; 2],
    running: Running,
    lines: Vec<Line>,
    /// What is in force where the first line of each stream begins.
    styles: [Option<Styled>; 2],
    /// How many characters more the line has room for that is still open on each stream.
    room: [Option<usize>; 2],
    bytes: usize,
}

impl Pick {
    /// At most `count` lines of command `num` from line `from` on, which is no line before `place`.
    #[must_use]
    pub fn new(num: Num, from: u64, count: u64, place: Place) -> Self {
        Self {
            num,
            from,
            wanted: count.min((place.total + 1).saturating_sub(from)),
            count: place.count,
            styled: place.styled,
            running: place.running,
            lines: Vec::new(),
            styles: [None, None],
            room: [None; 2],
            bytes: 0,
        }
    }

    /// Nothing more is wanted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lines.len() as u64 >= self.wanted && self.room == [None; 2]
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        match hear(&event.line) {
            Heard::Start(num) => self.running.start(num),
            Heard::Done(num) => self.running.done(num),
            Heard::Text { num, channel, text } if num.or(self.running.latest()).unwrap_or(Num(0)) == self.num => {
                let mut count = self.count;
                count.parts(channel, &text, |part| self.part(channel, &part, event.at));
                self.count = count;
            }
            _ => {}
        }
    }

    fn part(&mut self, channel: Channel, part: &Part<'_>, at: Timestamp) {
        let stream = channel as usize;
        // Lines begin in order, so the next one that is wanted follows on those that are here.
        if part.begins && part.line >= self.from && (self.lines.len() as u64) < self.wanted {
            self.styles[stream].get_or_insert_with(|| self.styled[stream].clone());
            self.lines.push(Line {
                channel,
                text: String::new(),
                at,
            });
            self.room[stream] = Some(LINE);
        }
        if let Some(room) = self.room[stream]
            && let Some(index) = part.line.checked_sub(self.from)
            && let Some(line) = usize::try_from(index).ok().and_then(|index| self.lines.get_mut(index))
        {
            let before = line.text.len();
            match part.text.char_indices().nth(room) {
                None => {
                    line.text.push_str(part.text);
                    self.room[stream] = Some(room - part.text.chars().count());
                }
                Some((end, _)) => {
                    line.text.push_str(&part.text[..end]);
                    line.text.push_str(CUT);
                    self.room[stream] = None;
                }
            }
            self.bytes += line.text.len() - before;
            if self.bytes >= ANSWER {
                self.wanted = self.wanted.min(self.lines.len() as u64);
            }
        }
        self.styled[stream].take(part.text);
        if part.ends {
            self.styled[stream].take("\n");
            self.room[stream] = None;
        }
    }

    /// The lines, and the escape sequences in force where the first line of each stream begins.
    #[must_use]
    pub fn into_lines(self) -> (Vec<Line>, [Option<String>; 2]) {
        let styles = self
            .styles
            .map(|styled| styled.and_then(|styled| styled.style.sequence()));
        (self.lines, styles)
    }
}
