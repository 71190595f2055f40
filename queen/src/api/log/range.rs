//! The raw output of one command: all of it in the order in which it came, or some of its lines, each whole.
//!
//! Owns what is written in which order. Lines that began while the one being written is still open wait for it; if that
//! gets too much they are dropped and read again afterwards, so that memory stays small however long a line is. Read
//! next: `index.rs`.

use super::{
    cache::Lines,
    count::{Count, Part},
    hear::{Heard, hear},
    index::Place,
};
use crate::{
    api::{
        follow::WINDOW,
        output::{Channel, Running},
    },
    app::Context,
    store::{Event, StoreError},
};
use axum::body::Bytes;
use shared::{JobId, Num, Seq};
use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc};

/// Bytes of lines that wait for the one being written.
const HELD: usize = 1024 * 1024;

/// What is wanted of a command.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The command.
    pub num: Num,
    /// Only this stream.
    pub channel: Option<Channel>,
    /// These lines; all output as it came if absent.
    pub lines: Option<RangeInclusive<u64>>,
}

/// A command's output under way to a client.
pub struct Range {
    context: Context,
    id: JobId,
    index: Arc<Lines>,
    text: Text,
}

impl Range {
    /// What is wanted of a command that the index knows; `None` if it knows none.
    #[must_use]
    pub fn new(context: Context, id: JobId, index: Arc<Lines>, wanted: Wanted) -> Option<Self> {
        let first = wanted.first();
        let place = index.look(|index| index.place(wanted.num, first))?;
        Some(Self {
            context,
            id,
            index,
            text: Text::new(wanted, place, HELD),
        })
    }

    /// The next piece of text.
    pub async fn next(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        while self.text.ready.len() < WINDOW {
            let Some((next, last)) = self.text.unread() else {
                break;
            };
            let events = match next <= last {
                true => self.context.store.events(&self.id, next, last, WINDOW).await?,
                false => Vec::new(),
            };
            if let Some(line) = self.text.take(&events) {
                let place = self.index.look(|index| index.place(self.text.wanted.num, line));
                place.into_iter().for_each(|place| self.text.go_to(place));
            }
        }
        let text = std::mem::take(&mut self.text.ready);
        Ok((!text.is_empty()).then(|| (text.into(), self)))
    }
}

impl Wanted {
    fn first(&self) -> u64 {
        self.lines.as_ref().map_or(1, |lines| *lines.start())
    }
}

/// What is wanted, as it comes together.
#[derive(Debug)]
struct Text {
    wanted: Wanted,
    /// The event to be read next, and the last one; what has come since is no part of this answer.
    next: Seq,
    last: Seq,
    count: Count,
    running: Running,
    /// Text to be sent.
    ready: String,
    /// The line being written.
    line: u64,
    /// Something of it was written.
    begun: bool,
    /// Lines after it: the text, and whether the line has ended.
    held: VecDeque<(String, bool)>,
    bytes: usize,
    room: usize,
    /// Lines that wait were dropped: once the one being written has ended, the rest is to be read again.
    dropped: bool,
    ended: bool,
}

impl Text {
    fn new(wanted: Wanted, place: Place, room: usize) -> Self {
        Self {
            line: wanted.first(),
            wanted,
            next: place.next,
            last: place.last,
            count: place.count,
            running: place.running,
            ready: String::new(),
            begun: false,
            held: VecDeque::new(),
            bytes: 0,
            room,
            dropped: false,
            ended: false,
        }
    }

    /// Which events are still to be read; `None`: all is written.
    fn unread(&self) -> Option<(Seq, Seq)> {
        let beyond = self.wanted.lines.as_ref().is_some_and(|lines| self.line > *lines.end());
        (!self.ended && !beyond).then_some((self.next, self.last))
    }

    /// Reads on from a place before the line to be written.
    fn go_to(&mut self, place: Place) {
        (self.next, self.count, self.running) = (place.next, place.count, place.running);
        self.dropped = false;
    }

    /// Takes the next events, none at the end. Answers the line that it wants to go to instead of reading on.
    fn take(&mut self, events: &[Event]) -> Option<u64> {
        let Some(last) = events.last() else {
            return self.rest();
        };
        self.next = last.seq.next();
        for event in events {
            self.hear(&event.line);
            if self.dropped && !self.begun {
                return Some(self.line);
            }
        }
        None
    }

    fn hear(&mut self, line: &str) {
        match hear(line) {
            Heard::Start(num) => self.running.start(num),
            Heard::Done(num) => self.running.done(num),
            Heard::Text { num, channel, text }
                if num.or(self.running.latest()).unwrap_or(Num(0)) == self.wanted.num =>
            {
                let wanted = self.wanted.channel.is_none_or(|wanted| wanted == channel);
                let Some(lines) = self.wanted.lines.clone() else {
                    if wanted {
                        self.ready.push_str(&text);
                    }
                    return;
                };
                let mut count = self.count;
                count.parts(channel, &text, |part| {
                    if wanted && lines.contains(&part.line) {
                        self.part(&part);
                    }
                });
                self.count = count;
            }
            _ => {}
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        if self.wanted.channel.is_some() && part.begins {
            // Lines of one stream follow each other by themselves.
            self.line = self.line.max(part.line);
        }
        let behind = self.dropped && !self.begun;
        let Some(after) = part.line.checked_sub(self.line).filter(|_| !behind) else {
            // It was written before, or comes when it is read again.
            return;
        };
        if after == 0 {
            self.ready.push_str(part.text);
            self.begun = true;
            if part.ends {
                self.end();
            }
        } else if !self.dropped {
            self.hold(usize::try_from(after - 1).unwrap_or(usize::MAX), part);
        }
    }

    /// Keeps a part of the line that comes `at` lines after the next one.
    fn hold(&mut self, at: usize, part: &Part<'_>) {
        if at >= self.held.len() {
            self.held.push_back(Default::default());
            self.bytes += size_of::<(String, bool)>();
        }
        if let Some((text, ended)) = self.held.get_mut(at) {
            text.push_str(part.text);
            *ended |= part.ends;
            self.bytes += part.text.len();
        }
        if self.bytes > self.room {
            self.held.clear();
            (self.dropped, self.bytes) = (true, 0);
        }
    }

    /// The line being written has ended; so may have those that waited for it.
    fn end(&mut self) {
        loop {
            self.ready.push('\n');
            self.line += 1;
            self.begun = false;
            let Some((text, ended)) = self.held.pop_front() else {
                return;
            };
            self.bytes -= size_of::<(String, bool)>() + text.len();
            self.ready.push_str(&text);
            self.begun = true;
            if !ended {
                return;
            }
        }
    }

    /// There are no more events: what waits for a line without an end comes after it.
    fn rest(&mut self) -> Option<u64> {
        if self.dropped {
            self.end();
            return Some(self.line);
        }
        self.ended = true;
        while let Some((text, ended)) = self.held.pop_front() {
            self.ready.push('\n');
            self.ready.push_str(&text);
            if ended && self.held.is_empty() {
                self.ready.push('\n');
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
