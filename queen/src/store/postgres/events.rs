//! Event streams: appending in commits, reading in windows. The form of the text is `chunk`'s, that of the rows `stream`'s.

use super::{
    jobs::Lives,
    session::{Session, Writer},
    write::Write,
};
use crate::store::{
    Applied, Batch, Event, StoreError,
    chunk::{self, Window},
    rows::ended,
    stream::{Row, STREAM, Stream, by_job, take_open},
    value::{Cells, get_uint, get_word, int},
};
use scheduler::Record;
use shared::{JobId, Seq, Timestamp};
use sqlx::{
    Postgres, QueryBuilder,
    postgres::{PgConnection, PgPool, PgRow},
};
use std::{collections::HashMap, ops::RangeInclusive};

/// The most bytes of text that one statement of a window is asked for.
const PART: usize = 4 * 1024 * 1024;

/// What every write of a single statement begins with.
macro_rules! ours {
    () => {
        "ours AS MATERIALIZED (SELECT 1 FROM owner WHERE name = $1 FOR SHARE)"
    };
}

/// What it ends with: the rows of events, in columns.
macro_rules! added {
    () => {
        " INSERT INTO events (job, first, last, bytes, packed, body)
          SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bytea[])
          WHERE EXISTS (SELECT 1 FROM ours)"
    };
}

/// Rows that are to be written: the columns of `events`, and how far streams are packed by them.
#[derive(Default)]
struct Rows {
    job: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
    bytes: Vec<i64>,
    packed: Vec<bool>,
    body: Vec<Vec<u8>>,
    stream: Vec<i64>,
    packed_to: Vec<i64>,
}

impl Rows {
    fn push(&mut self, row: Row) -> Result<(), StoreError> {
        self.job.push(row.job);
        self.first.push(int(row.first)?);
        self.last.push(int(row.last)?);
        self.bytes.push(int(row.bytes)?);
        self.packed.push(row.packed);
        self.body.push(row.body);
        Ok(())
    }

    /// Rows that take the place of a stream's open ones.
    fn replace(&mut self, stream: &Stream, rows: Vec<Row>) -> Result<(), StoreError> {
        self.stream.push(stream.job);
        self.packed_to.push(int(stream.packed_to)?);
        rows.into_iter().try_for_each(|row| self.push(row))
    }

    /// Writes all rows in one statement, and with them what was applied of lives that are there; it changes nothing unless
    /// the database is `owner`'s. Answers whether it is.
    async fn write(&self, sql: &mut PgConnection, owner: &str, applied: &[Applied]) -> Result<bool, StoreError> {
        // What there is none of is left out: an empty part costs as much as a row.
        let text = match (self.stream.is_empty(), applied.is_empty()) {
            (false, _) => WITH_ALL,
            (true, false) => WITH_LIVES,
            (true, true) => ADD,
        };
        let mut query = sqlx::query(text)
            .bind(owner)
            .bind(&self.job)
            .bind(&self.first)
            .bind(&self.last)
            .bind(&self.bytes)
            .bind(&self.packed)
            .bind(&self.body);
        if text != ADD {
            let lives = Lives::of(applied);
            query = query.bind(lives.drone).bind(lives.incarnation).bind(lives.applied);
        }
        if text == WITH_ALL {
            query = query.bind(&self.stream).bind(&self.packed_to);
        }
        let done = query.execute(sql).await?;
        Ok(done.rows_affected() == self.job.len() as u64)
    }
}

/// How far the messages of drones are applied, of lives that have their rows.
macro_rules! moved {
    () => {
        ", lives AS (
             UPDATE drone_lives AS old SET applied = greatest(old.applied, new.applied)
             FROM unnest($8::text[], $9::text[], $10::bigint[]) AS new (drone, incarnation, applied)
             WHERE old.drone = new.drone AND old.incarnation = new.incarnation AND EXISTS (SELECT 1 FROM ours))"
    };
}

const ADD: &str = concat!("WITH ", ours!(), added!());
const WITH_LIVES: &str = concat!("WITH ", ours!(), moved!(), added!());
const WITH_ALL: &str = concat!(
    "WITH ",
    ours!(),
    moved!(),
    ", packed AS (
         UPDATE streams SET packed_to = new.packed_to FROM unnest($11::bigint[], $12::bigint[]) AS new (job, packed_to)
         WHERE streams.job = new.job AND EXISTS (SELECT 1 FROM ours))",
    added!()
);

/// Writes events by a single statement, if every stream and drone is known and nothing must be read to be packed; false if
/// not.
pub async fn at_once(writer: &Writer, session: &mut Session, batch: &Batch) -> Result<bool, StoreError> {
    if !batch.applied.iter().all(|one| session.memory.has_life(one)) {
        return Ok(false);
    }
    let mut rows = Rows::default();
    let mut streams = Vec::new();
    for (id, events) in by_job(&batch.events) {
        let Some(known) = session.memory.streams.get(id) else {
            return Ok(false);
        };
        let mut stream = *known;
        let lines = stream.take(id, &events)?;
        if !stream.is_full(&lines) {
            rows.push(stream.leave(lines))?;
        } else if stream.is_open() {
            return Ok(false);
        } else {
            let packed = stream.pack(String::new(), &lines)?;
            rows.replace(&stream, packed)?;
        }
        streams.push((id.clone(), stream));
    }
    if !rows.write(&mut session.sql, writer.name(), &batch.applied).await? {
        return Err(writer.lost());
    }
    session.memory.streams.extend(streams);
    Ok(true)
}

/// Appends events; a number that does not follow on the last one refuses the batch.
pub async fn append(write: &mut Write<'_>, events: &[Event]) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for (id, events) in by_job(events) {
        let mut stream = write.stream(id)?;
        let lines = stream.take(id, &events)?;
        if stream.is_full(&lines) {
            let open = take_open(&mut *write.sql, &stream).await?;
            let packed = stream.pack(open, &lines)?;
            rows.replace(&stream, packed)?;
        } else {
            rows.push(stream.leave(lines))?;
        }
        write.know(id, stream);
    }
    write_rows(write, &rows).await
}

/// Packs what is open of the jobs that `records` say have ended.
pub async fn close_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for id in ended(records).into_keys() {
        let mut stream = write.stream(id)?;
        if stream.is_open() {
            let open = take_open(&mut *write.sql, &stream).await?;
            let packed = stream.end(open)?;
            rows.replace(&stream, packed)?;
            write.know(id, stream);
        }
    }
    write_rows(write, &rows).await
}

async fn write_rows(write: &mut Write<'_>, rows: &Rows) -> Result<(), StoreError> {
    if rows.job.is_empty() || rows.write(write.sql, write.owner, &[]).await? {
        return Ok(());
    }
    Err(StoreError::Refused(
        "the database went away while events were written".into(),
    ))
}

/// How the streams of jobs stand, of those that are there.
pub async fn load(sql: &mut PgConnection, ids: &[&JobId]) -> Result<HashMap<JobId, Stream>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let mut query = QueryBuilder::<Postgres>::new(STREAM);
    query.push("id = ANY(").push_bind(names).push(")");
    let rows = query.build().fetch_all(sql).await?;
    let stream = |row| Ok((get_word(row, "id", JobId::new)?, Stream::of(row)?));
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
