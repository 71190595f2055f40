//! Where the lines of a job's commands are among its events.
//!
//! Owns what a scan of the events leaves behind: of each command how many lines it has, and every few hundred lines a
//! mark from which reading can begin. It grows with the job and is forgotten at will; the events are the truth. It never
//! reads the store. Read next: `cache.rs`, which feeds it, `lines.rs` and `live/outline.rs`, which ask it.

use super::{
    count::Count,
    hear::{Heard, hear},
    style::{Style, Styled},
};
use crate::{api::output::Running, store::Event};
use shared::{Num, Seq};
use std::collections::BTreeMap;

/// A mark comes after this many lines of its command,
const LINES: u64 = 256;
/// or this many bytes of its output,
const BYTES: u64 = 64 * 1024;
/// or this many bytes of the job's events since the one before, whatever they are of.
const DISTANCE: u64 = 256 * 1024;
/// So many marks beside the first of each command make it thin them out.
const MARKS: usize = 64 * 1024;

/// The lines of a job.
#[derive(Debug)]
pub struct LineIndex {
    /// The last event that is in it.
    seq: Seq,
    /// Bytes of the events so far.
    offset: u64,
    commands: BTreeMap<Num, Command>,
    running: Running,
    /// Where each command began (`true`) and ended.
    edges: Vec<(Seq, Num, bool)>,
    /// Marks beside the first of each command.
    marks: usize,
    /// How much farther apart the marks are than at first.
    apart: u64,
    most: usize,
}

#[derive(Debug, Default)]
struct Command {
    count: Count,
    styled: [Styled; 2],
    ended: bool,
    marks: Vec<Mark>,
    /// Bytes of output since the last mark.
    bytes: u64,
    /// Where in the job's events the last mark is.
    offset: u64,
}

/// A place to begin to read at, and how the command stands before it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// An event with output of the command.
    seq: Seq,
    /// The last event with output of the command before the next mark.
    last: Seq,
    count: Count,
    styles: [Style; 2],
}

/// A command to be read from some place on.
#[derive(Debug, Clone)]
pub struct Place {
    /// Lines that the command has.
    pub total: u64,
    /// It has ended.
    pub ended: bool,
    /// The event to begin with; what follows holds before it.
    pub next: Seq,
    /// The last event with output of the command.
    pub last: Seq,
    /// How far its output goes.
    pub count: Count,
    /// What is in force on each of its streams.
    pub styled: [Styled; 2],
    /// The commands that run.
    pub running: Running,
}

/// How a job stood before an event, as far as the index knows without reading.
#[derive(Debug)]
pub struct Before {
    /// The event to read on from.
    pub next: Seq,
    /// Commands that have output from the event on: how each stood before an event of its own, which is not before
    /// `next`.
    pub commands: Vec<(Num, Count, Seq)>,
    /// The commands that ran before `next`.
    pub running: Running,
}

impl Default for LineIndex {
    fn default() -> Self {
        Self {
            seq: Seq(0),
            offset: 0,
            commands: BTreeMap::new(),
            running: Running::default(),
            edges: Vec::new(),
            marks: 0,
            apart: 1,
            most: MARKS,
        }
    }
}

impl LineIndex {
    /// The last event that is in it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.commands.len() * size_of::<Command>()
            + (self.commands.len() + self.marks) * size_of::<Mark>()
            + size_of_val(&*self.edges)
    }

    /// Takes in those of `events` that follow on the last one in it.
    pub fn take(&mut self, events: &[Event]) {
        let known = events.partition_point(|event| event.seq <= self.seq);
        for event in &events[known..] {
            if event.seq != self.seq.next() {
                return;
            }
            self.seq = event.seq;
            self.hear(event);
            self.offset += event.line.len() as u64;
        }
    }

    fn hear(&mut self, event: &Event) {
        match hear(&event.line) {
            Heard::Start(num) => {
                self.running.start(num);
                self.edges.push((event.seq, num, true));
                self.commands.entry(num).or_default().ended = false;
            }
            Heard::Done(num) => {
                self.running.done(num);
                self.edges.push((event.seq, num, false));
                let command = self.commands.entry(num).or_default();
                command.ended = true;
                command.marks.shrink_to_fit();
            }
            Heard::Text { num, channel, text } => {
                let num = num.or(self.running.latest()).unwrap_or(Num(0));
                let command = self.commands.entry(num).or_default();
                if text.is_empty() {
                    return;
                }
                let marked = command.mark(event.seq, self.offset, self.apart);
                self.marks += usize::from(marked && command.marks.len() > 1);
                command.count.take(channel, &text);
                command.styled[channel as usize].take(&text);
                command.bytes += text.len() as u64;
                if self.marks > self.most {
                    self.thin();
                }
            }
            Heard::Cases | Heard::Other => {}
        }
    }

    /// Leaves out every second mark.
    fn thin(&mut self) {
        self.apart *= 2;
        self.marks = 0;
        for command in self.commands.values_mut() {
            let mut thinned: Vec<Mark> = Vec::with_capacity(command.marks.len().div_ceil(2));
            for pair in command.marks.chunks(2) {
                let last = pair[pair.len() - 1].last;
                thinned.push(Mark { last, ..pair[0] });
            }
            self.marks += thinned.len().saturating_sub(1);
            command.marks = thinned;
        }
    }

    /// Where to begin to read in order to see line `line` (from 1) of a command begin; `None`: no such command is known.
    #[must_use]
    pub fn place(&self, num: Num, line: u64) -> Option<Place> {
        let command = self.commands.get(&num)?;
        let after = command.marks.partition_point(|mark| mark.count.lines < line);
        let mark = after.checked_sub(1).map(|at| command.marks[at]);
        Some(Place {
            total: command.count.lines,
            ended: command.ended,
            next: mark.map_or(self.seq.next(), |mark| mark.seq),
            last: command.marks.last().map_or(Seq(0), |mark| mark.last),
            count: mark.map_or_else(Count::default, |mark| mark.count),
            styled: mark.map_or_else(Default::default, |mark| mark.styles.map(Styled::with)),
            running: mark.map_or_else(Running::default, |mark| self.running(mark.seq)),
        })
    }

    /// How the job stood before event `from`.
    #[must_use]
    pub fn before(&self, from: Seq) -> Before {
        let mut commands = Vec::new();
        for (num, command) in &self.commands {
            if command.marks.last().is_none_or(|mark| mark.last < from) {
                continue;
            }
            let after = command.marks.partition_point(|mark| mark.seq < from);
            // What a mark's stretch says before `from` is read again, unless that is all of it.
            match after.checked_sub(1).map(|at| command.marks[at]) {
                Some(mark) if mark.last >= from => commands.push((*num, mark.count, mark.seq)),
                _ => commands.push((*num, command.marks[after].count, from)),
            }
        }
        let next = commands.iter().map(|(_, _, seq)| *seq).min().unwrap_or(from).min(from);
        Before {
            next,
            commands,
            running: self.running(next),
        }
    }

    /// The commands that ran before event `seq`.
    fn running(&self, seq: Seq) -> Running {
        let mut running = Running::default();
        for (_, num, begins) in self.edges.iter().take_while(|(at, ..)| *at < seq) {
            match begins {
                true => running.start(*num),
                false => running.done(*num),
            }
        }
        running
    }
}

impl Command {
    /// Output of the event `seq` follows, which is at `offset`; answers if there is a new mark.
    fn mark(&mut self, seq: Seq, offset: u64, apart: u64) -> bool {
        // A place within an escape sequence is none to begin at.
        let within = self.styled.iter().any(Styled::is_within);
        let due = self.marks.last().is_none_or(|mark| {
            self.count.lines - mark.count.lines >= LINES * apart
                || self.bytes >= BYTES * apart
                || offset - self.offset >= DISTANCE * apart
        });
        match self.marks.last_mut() {
            Some(mark) if within || !due => {
                mark.last = seq;
                false
            }
            _ => {
                if self.marks.is_empty() {
                    // Most commands have no second one.
                    self.marks.reserve_exact(1);
                }
                self.marks.push(Mark {
                    seq,
                    last: seq,
                    count: self.count,
                    styles: self.styled.each_ref().map(|styled| styled.style),
                });
                (self.bytes, self.offset) = (0, offset);
                true
            }
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
