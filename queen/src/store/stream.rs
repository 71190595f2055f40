//! How the event stream of a job stands, and the rows that new events make of it.
//!
//! On the disk a stream says only what it counts its times from and how far it is packed; the rows after that say the rest,
//! so that a little output is one new row and changes no other. The databases read and write the rows. Read next:
//! `chunk`, for the text in a row and the sizes.

use super::{
    Event, StoreError,
    chunk::{self, BURST, CHUNK, Piece},
    sql::Sql,
    value::{Cells, corrupt, get_uint, int},
};
use shared::{JobId, Timestamp};
use std::collections::BTreeMap;

/// What [`Stream::of`] reads; a condition of `jobs` is to follow.
pub const STREAM: &str = "SELECT jobs.id, streams.job, epoch, packed_to,
        (SELECT coalesce(max(last), packed_to) FROM events WHERE events.job = streams.job AND first > packed_to) AS last_seq,
        (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM events
             WHERE events.job = streams.job AND first > packed_to) AS open_bytes
    FROM jobs JOIN streams ON streams.job = jobs.key WHERE ";

/// How the stream of a job stands.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// The job's key.
    pub job: i64,
    /// The last event that is packed; rows that begin after it are open.
    pub packed_to: u64,
    epoch: Timestamp,
    last_seq: u64,
    open_bytes: usize,
}

/// Events that come after those of a stream: `first..=last` in lines.
#[derive(Debug)]
pub struct Lines {
    first: u64,
    last: u64,
    text: String,
}

/// A row of `events`.
#[derive(Debug)]
pub struct Row {
    /// The job's key.
    pub job: i64,
    /// Its first event.
    pub first: u64,
    /// Its last event.
    pub last: u64,
    /// Bytes of its lines.
    pub bytes: usize,
    /// The body is compressed.
    pub packed: bool,
    /// The lines.
    pub body: Vec<u8>,
}

impl Stream {
    /// The stream of a job that is new and counts from `epoch`.
    pub fn new(job: i64, epoch: Timestamp) -> Self {
        Self {
            job,
            packed_to: 0,
            epoch,
            last_seq: 0,
            open_bytes: 0,
        }
    }

    /// Reads a row of [`STREAM`].
    pub fn of(row: &impl Cells) -> Result<Self, StoreError> {
        Ok(Self {
            job: row.int("job")?,
            packed_to: get_uint(row, "packed_to")?,
            epoch: Timestamp(row.int("epoch")?),
            last_seq: get_uint(row, "last_seq")?,
            open_bytes: get_uint(row, "open_bytes")?,
        })
    }

    /// True if there are open rows.
    pub fn is_open(&self) -> bool {
        self.open_bytes > 0
    }

    /// Takes the next events of job `id` in; a number that does not follow on the last one is refused.
    pub fn take(&mut self, id: &JobId, events: &[&Event]) -> Result<Lines, StoreError> {
        let text = chunk::follow(id, self.last_seq, self.epoch, events)?;
        let first = self.last_seq + 1;
        self.last_seq += events.len() as u64;
        Ok(Lines {
            first,
            last: self.last_seq,
            text,
        })
    }

    /// True if these lines are to be packed with what is open.
    pub fn is_full(&self, lines: &Lines) -> bool {
        lines.text.len() >= BURST || self.open_bytes + lines.text.len() >= CHUNK
    }

    /// The lines as an open row.
    pub fn leave(&mut self, lines: Lines) -> Row {
        self.open_bytes += lines.text.len();
        Row {
            job: self.job,
            first: lines.first,
            last: lines.last,
            bytes: lines.text.len(),
            packed: false,
            body: lines.text.into_bytes(),
        }
    }

    /// Packs `open`, the lines of all open rows, together with these: all of a burst, else all but what does not fill a
    /// chunk. The rows take the place of the open ones.
    pub fn pack(&mut self, open: String, lines: &Lines) -> Result<Vec<Row>, StoreError> {
        self.join(open + &lines.text, lines.text.len() >= BURST)
    }

    /// Packs `open`, the lines of all open rows, for good.
    pub fn end(&mut self, open: String) -> Result<Vec<Row>, StoreError> {
        self.join(open, true)
    }

    fn join(&mut self, text: String, whole: bool) -> Result<Vec<Row>, StoreError> {
        let (mut pieces, mut rest) = chunk::cut(&text, self.packed_to + 1);
        if whole {
            pieces.extend(rest.take());
        }
        self.packed_to = pieces.last().map_or(self.packed_to, |piece| piece.last);
        self.open_bytes = rest.as_ref().map_or(0, |rest| rest.range.len());
        let mut rows = Vec::with_capacity(pieces.len() + 1);
        for piece in pieces {
            let body = chunk::pack(&text.as_bytes()[piece.range.clone()])?;
            rows.push(self.row(&piece, true, body));
        }
        if let Some(rest) = rest {
            let body = text.as_bytes()[rest.range.clone()].to_vec();
            rows.push(self.row(&rest, false, body));
        }
        Ok(rows)
    }

    fn row(&self, piece: &Piece, packed: bool, body: Vec<u8>) -> Row {
        Row {
            job: self.job,
            first: piece.first,
            last: piece.last,
            bytes: piece.range.len(),
            packed,
            body,
        }
    }
}

/// Takes a stream's open rows away and answers with their lines.
pub async fn take_open(sql: &mut impl Sql, stream: &Stream) -> Result<String, StoreError> {
    if !stream.is_open() {
        return Ok(String::new());
    }
    let take = "DELETE FROM events WHERE job = $1 AND first > $2 RETURNING first, body";
    let rows = sql
        .rows(take, &[stream.job.into(), int(stream.packed_to)?.into()])
        .await?;
    let mut open: Vec<(i64, &[u8])> = Vec::with_capacity(rows.len());
    for row in &rows {
        open.push((row.int("first")?, row.bytes("body")?));
    }
    // RETURNING promises no order.
    open.sort_unstable_by_key(|(first, _)| *first);
    let bytes: Vec<&[u8]> = open.into_iter().map(|(_, body)| body).collect();
    String::from_utf8(bytes.concat()).map_err(|error| corrupt("events", error))
}

/// Events by job, each job's in order.
pub fn by_job(events: &[Event]) -> BTreeMap<&JobId, Vec<&Event>> {
    let mut by_job: BTreeMap<&JobId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_job.entry(&event.job).or_default().push(event);
    }
    by_job
}
