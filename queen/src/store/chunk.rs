//! How a job's events lie on the disk.
//!
//! An event is one line of text: the milliseconds since the job's first event, a space, the event's JSON, a line break.
//! A row holds the lines of events without a gap, so the row's first number and the line's place give the event's number.
//! Two sizes keep a write small and a read cheap:
//!
//! - each write is an *open* row of its own, which changes no other; together they stay below [`CHUNK`];
//! - a *chunk*: then they are joined, compressed and never touched again. A job that ends packs what is left, and a
//!   write of at least [`BURST`] is packed at once with what was open.
//!
//! Every byte is therefore written about twice at most, the second time compressed, and a window reads only the rows
//! that it touches. This file owns the text and the sizes; the rows are the databases' own.

use super::{Event, StoreError};
use shared::{JobId, Seq, Timestamp};
use std::{fmt::Write, ops::Range, sync::Arc};

/// Open rows with at least this many bytes of text together are packed.
pub const CHUNK: usize = 128 * 1024;
/// A single write of at least this many bytes is large enough to compress well by itself.
pub const BURST: usize = 32 * 1024;
const LEVEL: i32 = 3;

/// Events `first..=last` of a job as they go into one row.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first event.
    pub first: u64,
    /// The last event.
    pub last: u64,
    /// Where its lines are in the text that was cut.
    pub range: Range<usize>,
}

/// Puts `events` at the end of `text`, their times counted from `epoch`.
fn write<'a>(text: &mut String, epoch: Timestamp, events: impl IntoIterator<Item = &'a Event>) {
    for event in events {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} ", event.at.0.wrapping_sub(epoch.0));
        text.push_str(&event.line);
        text.push('\n');
    }
}

/// The lines of `events` of job `id` that follow event `last`, their times counted from `epoch`; a number that does not
/// follow, or a line break, is refused.
pub fn follow(id: &JobId, last: u64, epoch: Timestamp, events: &[&Event]) -> Result<String, StoreError> {
    for (expected, event) in (last + 1..).zip(events) {
        if event.seq.0 != expected {
            return Err(StoreError::Refused(format!(
                "job {id} has events up to {last}: {} cannot follow, it must be {expected}",
                event.seq
            )));
        }
        if event.line.contains('\n') {
            return Err(StoreError::Refused(format!(
                "event {} of job {id} has a line break",
                event.seq
            )));
        }
    }
    let mut text = String::new();
    write(&mut text, epoch, events.iter().copied());
    Ok(text)
}

/// Cuts whole lines, the first of them event `first`, into pieces of at least [`CHUNK`] bytes, as small as they can be.
/// What is left, below [`CHUNK`], comes second.
pub fn cut(text: &str, first: u64) -> (Vec<Piece>, Option<Piece>) {
    let mut pieces = Vec::new();
    let piece_from = |first, at| Piece {
        first,
        last: first,
        range: at..at,
    };
    let mut piece = piece_from(first, 0);
    for (seq, line) in (first..).zip(text.split_inclusive('\n')) {
        piece.last = seq;
        piece.range.end += line.len();
        if piece.range.len() >= CHUNK {
            let next = piece_from(seq + 1, piece.range.end);
            pieces.push(std::mem::replace(&mut piece, next));
        }
    }
    let rest = (!piece.range.is_empty()).then_some(piece);
    (pieces, rest)
}

/// Compresses text.
pub fn pack(text: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(text, LEVEL).map_err(|error| StoreError::Refused(format!("text could not be packed: {error}")))
}

/// Reads what [`pack`] made of `bytes` bytes.
pub fn unpack(packed: &[u8], bytes: usize) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::decompress(packed, bytes).map_err(|error| corrupt(error.to_string()))
}

fn corrupt(why: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        what: "events",
        why: why.into(),
    }
}

/// A window of a job's events that fills row by row.
#[derive(Debug)]
pub struct Window {
    job: JobId,
    epoch: Timestamp,
    range: std::ops::RangeInclusive<u64>,
    room: usize,
    events: Vec<Event>,
}

impl Window {
    /// Events `from..=to` of `job`, at most about `limit` bytes of them but at least one.
    pub fn new(job: JobId, epoch: Timestamp, from: Seq, to: Seq, limit: usize) -> Self {
        Self {
            job,
            epoch,
            range: from.0..=to.0,
            room: limit,
            events: Vec::new(),
        }
    }

    /// Bytes that it still has room for.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Takes the lines of the next row, which begins with event `first`; what it has already it does not take again.
    /// False once the window wants no more.
    pub fn take(&mut self, first: u64, text: &[u8]) -> Result<bool, StoreError> {
        let text = std::str::from_utf8(text).map_err(|error| corrupt(error.to_string()))?;
        for (seq, line) in (first..).zip(text.split_terminator('\n')) {
            if seq < *self.range.start() {
                continue;
            }
            if seq > *self.range.end() || (line.len() > self.room && !self.events.is_empty()) {
                return Ok(false);
            }
            let (after, json) = line.split_once(' ').ok_or_else(|| corrupt("a line has no time"))?;
            let after: i64 = after
                .parse()
                .map_err(|error| corrupt(format!("a line's time {after:?}: {error}")))?;
            self.room = self.room.saturating_sub(line.len());
            self.range = seq.saturating_add(1)..=*self.range.end();
            self.events.push(Event {
                job: self.job.clone(),
                seq: Seq(seq),
                at: Timestamp(self.epoch.0.wrapping_add(after)),
                line: Arc::from(json),
            });
        }
        Ok(self.room > 0 || self.events.is_empty())
    }

    /// What was taken.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn event(seq: u64, at: i64, line: &str) -> Event {
        Event {
            job: JobId::new("j").unwrap(),
            seq: Seq(seq),
            at: Timestamp(at),
            line: line.into(),
        }
    }

    fn window(text: &str, from: u64, to: u64, limit: usize) -> Vec<(u64, i64, String)> {
        let mut window = Window::new(JobId::new("j").unwrap(), Timestamp(1_000), Seq(from), Seq(to), limit);
        window.take(1, text.as_bytes()).unwrap();
        let events = window.into_events().into_iter();
        events.map(|e| (e.seq.0, e.at.0, e.line.to_string())).collect()
    }

    #[test]
    fn lines_keep_number_time_and_text() {
        let mut text = String::new();
        let events = [
            event(1, 1_000, "{\"a b\": 1}"),
            event(2, 900, "{}"),
            event(3, i64::MAX, "{ }"),
        ];
        write(&mut text, Timestamp(1_000), &events);
        assert_eq!(
            window(&text, 1, u64::MAX, usize::MAX),
            [
                (1, 1_000, "{\"a b\": 1}".into()),
                (2, 900, "{}".into()),
                (3, i64::MAX, "{ }".into())
            ]
        );
        assert_eq!(window(&text, 2, 2, usize::MAX).len(), 1);
        assert_eq!(window(&text, 4, 9, usize::MAX).len(), 0);
        assert_eq!(window(&text, 2, 9, 0), [(2, 900, "{}".into())], "at least one");
        assert_eq!(
            unpack(&pack(text.as_bytes()).unwrap(), text.len()).unwrap(),
            text.as_bytes()
        );
    }

    #[test]
    fn pieces_are_whole_lines_of_at_least_a_chunk() {
        let line = format!("0 {}\n", "x".repeat(CHUNK / 4));
        let text = line.repeat(9);
        let (pieces, rest) = cut(&text, 5);
        let rest = rest.unwrap();
        let numbers: Vec<_> = pieces.iter().map(|piece| (piece.first, piece.last)).collect();
        assert_eq!((numbers, rest.first, rest.last), (vec![(5, 8), (9, 12)], 13, 13));
        let joined: String = pieces
            .iter()
            .chain([&rest])
            .map(|piece| &text[piece.range.clone()])
            .collect();
        assert_eq!(joined, text);
        assert_eq!(cut("", 1), (vec![], None));
    }

    #[test]
    fn damaged_rows_are_errors() {
        let mut window = Window::new(JobId::new("j").unwrap(), Timestamp(0), Seq(1), Seq(9), 99);
        for bad in [&b"nonsense\n"[..], b"x {}\n", b"\xff\n"] {
            assert!(window.take(1, bad).unwrap_err().to_string().contains("events"));
        }
        assert!(unpack(b"nonsense", 9).is_err());
    }

    proptest! {
        #[test]
        fn any_window_over_any_rows_has_its_events(
            events in vec((any::<i64>(), "[^\n]{0,40}", 1..3000_usize), 0..30),
            epoch in any::<i64>(),
            first in 1..1_000_000_u64,
            from in 0..40_u64,
            length in 0..40_u64,
            limit in prop_oneof![Just(0), 0..200_000_usize, Just(usize::MAX)],
        ) {
            let events: Vec<Event> = (first..)
                .zip(events)
                .map(|(seq, (at, line, times))| event(seq, at, &line.repeat(times)))
                .collect();
            let mut text = String::new();
            write(&mut text, Timestamp(epoch), &events);
            let (pieces, rest) = cut(&text, first);
            prop_assert!(pieces.iter().all(|piece| piece.range.len() >= CHUNK));
            prop_assert!(rest.as_ref().is_none_or(|rest| rest.range.len() < CHUNK));
            let (from, to) = (first + from, first + from + length);
            let mut window = Window::new(JobId::new("j").unwrap(), Timestamp(epoch), Seq(from), Seq(to), limit);
            for piece in pieces.iter().chain(&rest) {
                let row = &text.as_bytes()[piece.range.clone()];
                let row = unpack(&pack(row).unwrap(), row.len()).unwrap();
                if !window.take(piece.first, &row).unwrap() {
                    break;
                }
            }
            let got = window.into_events();
            let wanted: Vec<_> = events.iter().filter(|event| (from..=to).contains(&event.seq.0)).collect();
            prop_assert!(got.len() <= wanted.len());
            for (got, wanted) in got.iter().zip(&wanted) {
                prop_assert_eq!((got.seq, got.at, &got.line), (wanted.seq, wanted.at, &wanted.line));
            }
            prop_assert!(!got.is_empty() || wanted.is_empty(), "at least one");
            prop_assert!(got.len() == wanted.len() || limit < usize::MAX);
        }

        #[test]
        fn any_row_is_read_or_refused(text in prop_oneof![
            vec(any::<u8>(), 0..200),
            "[-+0-9 {}\n]{0,60}".prop_map(String::into_bytes),
        ]) {
            let mut window = Window::new(JobId::new("j").unwrap(), Timestamp(i64::MIN), Seq(1), Seq(9), 99);
            if let Err(error) = window.take(1, &text) {
                prop_assert!(error.to_string().contains("events that cannot be read"));
            }
            let _ = unpack(&text, 1000);
        }
    }
}
