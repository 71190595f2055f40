//! Event streams: appending in commits, reading in windows. The form of the text is `chunk`'s.
//!
//! PostgreSQL writes a changed row anew, so no row grows here: each commit is a row of its own until its stream has
//! enough of them for a chunk.

use super::{
    session::{Session, Writer},
    write::{Write, ended},
};
use crate::store::{
    Event, StoreError,
    chunk::{self, BURST, CHUNK, Piece, Window},
    value::{Cells, get_uint, get_word, int},
};
use scheduler::Record;
use shared::{JobId, Seq, Timestamp};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
};

/// The most bytes of text that one statement of a window is asked for.
const PART: usize = 4 * 1024 * 1024;

/// How the stream of a job stands; the columns of its row.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// The job's key.
    pub job: i64,
    last_seq: u64,
    epoch: Timestamp,
    open_first: u64,
    open_bytes: usize,
}

impl Stream {
    /// The stream of a job that is new.
    pub fn new(job: i64) -> Self {
        Self {
            job,
            last_seq: 0,
            epoch: Timestamp(0),
            open_first: 0,
            open_bytes: 0,
        }
    }

    /// Takes events in; answers with the first one's number and the lines.
    fn take(&mut self, id: &JobId, events: &[&Event]) -> Result<(u64, String), StoreError> {
        let first = self.last_seq + 1;
        let text = chunk::follow(id, self.last_seq, &mut self.epoch, events)?;
        self.last_seq += events.len() as u64;
        Ok((first, text))
    }
}

/// Rows that are to be written: the columns of `events` and of `streams`.
#[derive(Default)]
struct Rows {
    job: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
    bytes: Vec<i64>,
    packed: Vec<bool>,
    body: Vec<Vec<u8>>,
    streams: Vec<Stream>,
}

impl Rows {
    fn push(&mut self, job: i64, piece: &Piece, text: &str, packed: bool) -> Result<(), StoreError> {
        let text = &text.as_bytes()[piece.range.clone()];
        self.job.push(job);
        self.first.push(int(piece.first)?);
        self.last.push(int(piece.last)?);
        self.bytes.push(int(text.len())?);
        self.packed.push(packed);
        self.body.push(match packed {
            true => chunk::pack(text)?,
            false => text.to_vec(),
        });
        Ok(())
    }

    /// Adds the lines of events `first..=stream.last_seq`. `open` are the stream's open lines, if they are to be joined
    /// and packed with these; `whole`: all of them, else all but what does not fill a chunk.
    fn add(
        &mut self,
        stream: &mut Stream,
        first: u64,
        text: String,
        open: Option<String>,
        whole: bool,
    ) -> Result<(), StoreError> {
        match open {
            None => {
                let piece = Piece {
                    first,
                    last: stream.last_seq,
                    range: 0..text.len(),
                };
                if stream.open_first == 0 {
                    stream.open_first = first;
                }
                stream.open_bytes += text.len();
                self.push(stream.job, &piece, &text, false)?;
            }
            Some(mut joined) => {
                let start = if stream.open_first == 0 {
                    first
                } else {
                    stream.open_first
                };
                joined.push_str(&text);
                (stream.open_first, stream.open_bytes) = (0, 0);
                let (mut pieces, rest) = chunk::cut(&joined, start);
                match rest {
                    Some(rest) if whole => pieces.push(rest),
                    Some(rest) => {
                        (stream.open_first, stream.open_bytes) = (rest.first, rest.range.len());
                        self.push(stream.job, &rest, &joined, false)?;
                    }
                    None => {}
                }
                for piece in pieces {
                    self.push(stream.job, &piece, &joined, true)?;
                }
            }
        }
        self.streams.push(*stream);
        Ok(())
    }

    /// Writes all rows in one statement, which changes nothing unless the database is `owner`'s. Answers whether it is.
    async fn write(&self, sql: &mut PgConnection, owner: &str) -> Result<bool, StoreError> {
        let mut columns: [Vec<i64>; 5] = Default::default();
        for stream in &self.streams {
            let row = [
                stream.job,
                int(stream.last_seq)?,
                stream.epoch.0,
                int(stream.open_first)?,
                int(stream.open_bytes)?,
            ];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let [job, last_seq, epoch, open_first, open_bytes] = &columns;
        let done = sqlx::query(
            "WITH ours AS MATERIALIZED (SELECT 1 FROM owner WHERE name = $1 FOR SHARE),
             added AS (
                 INSERT INTO events (job, first, last, bytes, packed, body)
                 SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bytea[])
                 WHERE EXISTS (SELECT 1 FROM ours))
             UPDATE streams SET last_seq = new.last_seq, epoch = new.epoch, open_first = new.open_first,
                 open_bytes = new.open_bytes
             FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
                 AS new (job, last_seq, epoch, open_first, open_bytes)
             WHERE streams.job = new.job AND EXISTS (SELECT 1 FROM ours)",
        )
        .bind(owner)
        .bind(&self.job)
        .bind(&self.first)
        .bind(&self.last)
        .bind(&self.bytes)
        .bind(&self.packed)
        .bind(&self.body)
        .bind(job)
        .bind(last_seq)
        .bind(epoch)
        .bind(open_first)
        .bind(open_bytes)
        .execute(sql)
        .await?;
        Ok(done.rows_affected() == self.streams.len() as u64)
    }
}

fn by_job(events: &[Event]) -> BTreeMap<&JobId, Vec<&Event>> {
    let mut by_job: BTreeMap<&JobId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_job.entry(&event.job).or_default().push(event);
    }
    by_job
}

/// Writes events by a single statement, if every stream is known and none must be read to be packed; false if not.
pub async fn at_once(writer: &Writer, session: &mut Session, events: &[Event]) -> Result<bool, StoreError> {
    let mut rows = Rows::default();
    let mut ids = Vec::new();
    for (id, events) in by_job(events) {
        let Some(known) = session.streams.get(id) else {
            return Ok(false);
        };
        let mut stream = *known;
        let (first, text) = stream.take(id, &events)?;
        let burst = text.len() >= BURST;
        let full = burst || stream.open_bytes + text.len() >= CHUNK;
        if full && stream.open_bytes > 0 {
            return Ok(false);
        }
        rows.add(&mut stream, first, text, full.then(String::new), burst)?;
        ids.push(id);
    }
    if !rows.write(&mut session.sql, writer.name()).await? {
        return Err(writer.lost());
    }
    for (id, stream) in ids.into_iter().zip(rows.streams) {
        session.streams.insert(id.clone(), stream);
    }
    Ok(true)
}

/// Appends events; a number that does not follow on the last one refuses the batch.
pub async fn append(write: &mut Write<'_>, events: &[Event]) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for (id, events) in by_job(events) {
        let mut stream = write.stream(id)?;
        let (first, text) = stream.take(id, &events)?;
        let burst = text.len() >= BURST;
        let open = match burst || stream.open_bytes + text.len() >= CHUNK {
            true => Some(take_open(write, &stream).await?),
            false => None,
        };
        rows.add(&mut stream, first, text, open, burst)?;
        write.know(id, stream);
    }
    write_rows(write, &rows).await
}

/// Packs what is open of the jobs that `records` say have ended.
pub async fn close_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for id in ended(records) {
        let mut stream = write.stream(id)?;
        if stream.open_bytes > 0 {
            let open = take_open(write, &stream).await?;
            let end = stream.last_seq + 1;
            rows.add(&mut stream, end, String::new(), Some(open), true)?;
            write.know(id, stream);
        }
    }
    write_rows(write, &rows).await
}

async fn write_rows(write: &mut Write<'_>, rows: &Rows) -> Result<(), StoreError> {
    if rows.streams.is_empty() || rows.write(write.sql, write.owner).await? {
        return Ok(());
    }
    Err(StoreError::Refused("a job went away while events were written".into()))
}

/// Takes a stream's open rows away and answers with their lines.
async fn take_open(write: &mut Write<'_>, stream: &Stream) -> Result<String, StoreError> {
    if stream.open_first == 0 {
        return Ok(String::new());
    }
    let rows = sqlx::query("DELETE FROM events WHERE job = $1 AND first >= $2 RETURNING first, body")
        .bind(stream.job)
        .bind(int(stream.open_first)?)
        .fetch_all(&mut *write.sql)
        .await?;
    let mut open: Vec<(i64, &[u8])> = Vec::with_capacity(rows.len());
    for row in &rows {
        open.push((row.int("first")?, row.bytes("body")?));
    }
    // RETURNING promises no order.
    open.sort_unstable_by_key(|(first, _)| *first);
    let bytes: Vec<&[u8]> = open.into_iter().map(|(_, body)| body).collect();
    String::from_utf8(bytes.concat()).map_err(|error| crate::store::value::corrupt("events", error))
}

/// How the streams of jobs stand, of those that are there.
pub async fn load(sql: &mut PgConnection, ids: &[&JobId]) -> Result<HashMap<JobId, Stream>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let rows = sqlx::query(
        "SELECT id, job, last_seq, epoch, open_first, open_bytes
         FROM jobs JOIN streams ON streams.job = jobs.key WHERE id = ANY($1)",
    )
    .bind(names)
    .fetch_all(sql)
    .await?;
    let stream = |row| {
        let stream = Stream {
            job: Cells::int(row, "job")?,
            last_seq: get_uint(row, "last_seq")?,
            epoch: Timestamp(Cells::int(row, "epoch")?),
            open_first: get_uint(row, "open_first")?,
            open_bytes: get_uint(row, "open_bytes")?,
        };
        Ok((get_word(row, "id", JobId::new)?, stream))
    };
    rows.iter().map(stream).collect()
}

/// See [`Store::events`](crate::store::Store::events).
///
/// PostgreSQL sends all that a statement finds, so each is asked for no more than the window has room for. Rows may be
/// packed between two statements: the second begins with the row that holds the next event, whichever that is then.
pub async fn window(pool: &PgPool, id: &JobId, from: Seq, to: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
    let mut window: Option<Window> = None;
    let (mut next, mut full) = (from.0, false);
    loop {
        let before = next;
        let room = window.as_ref().map_or(limit, Window::room).min(PART);
        for row in &part(pool, id, next..=to.0, room).await? {
            let window = match &mut window {
                Some(window) => window,
                none => none.insert(Window::new(id.clone(), Timestamp(row.int("epoch")?), from, to, limit)),
            };
            let (first, body) = (get_uint(row, "first")?, row.bytes("body")?);
            let more = match row.flag("packed")? {
                true => window.take(first, &chunk::unpack(body, get_uint(row, "bytes")?)?)?,
                false => window.take(first, body)?,
            };
            if !more {
                full = true;
                break;
            }
            next = get_uint::<u64>(row, "last")?.saturating_add(1);
        }
        // Nothing new: that was the end.
        if full || next <= before || next > to.0 {
            return Ok(window.map(Window::into_events).unwrap_or_default());
        }
    }
}

/// Rows with the events of `range`, the first of them whole, about `room` bytes of text of the others.
async fn part(pool: &PgPool, id: &JobId, range: RangeInclusive<u64>, room: usize) -> Result<Vec<PgRow>, StoreError> {
    let bound = |seq: &u64| i64::try_from(*seq).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT epoch, first, last, bytes, packed, body FROM (
             SELECT epoch, first, last, bytes, packed, body,
                 sum(bytes) OVER (ORDER BY first) - bytes AS before, first_value(bytes) OVER (ORDER BY first) AS part
             FROM jobs JOIN streams ON streams.job = jobs.key JOIN events ON events.job = jobs.key
             WHERE id = $1 AND first <= $3 AND first >= coalesce(
                 (SELECT first FROM events WHERE job = jobs.key AND first <= $2 ORDER BY first DESC LIMIT 1), 0)
             ORDER BY first LIMIT 2000) AS rows
         WHERE before <= $4 + part ORDER BY first",
    )
    .bind(id.as_str())
    .bind(bound(range.start()))
    .bind(bound(range.end()))
    .bind(int(room)?)
    .fetch_all(pool)
    .await?;
    Ok(rows)
}
