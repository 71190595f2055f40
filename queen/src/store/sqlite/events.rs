//! Event streams: appending in commits, reading in windows. The form of the text is `chunk`'s, that of the rows `stream`'s.

use super::{
    session::Session,
    value::{get, get_uint, int},
    write::Write,
};
use crate::store::{
    Applied, Batch, Event, StoreError,
    chunk::{self, Window},
    rows::ended,
    stream::{Row, STREAM, Stream, by_job, take_open},
};
use futures_util::TryStreamExt;
use scheduler::Record;
use shared::{JobId, Seq, Timestamp};
use sqlx::{
    QueryBuilder, Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnection, SqlitePool},
};

macro_rules! add {
    () => {
        "INSERT INTO events (job, first, last, bytes, packed, body) VALUES (?, ?, ?, ?, ?, ?)"
    };
}

const ADD: &str = add!();
const ADD_AND_MOVE: &str = concat!(
    "BEGIN IMMEDIATE; ",
    add!(),
    "; UPDATE drone_lives SET applied = max(applied, ?) WHERE drone = ? AND incarnation = ?; COMMIT"
);

/// Appends events; a number that does not follow on the last one refuses the batch.
pub async fn append(write: &mut Write<'_>, events: &[Event]) -> Result<(), StoreError> {
    for (id, events) in by_job(events) {
        let mut stream = write.stream(id).await?;
        let lines = stream.take(id, &events)?;
        if stream.is_full(&lines) {
            let open = take_open(&mut *write.sql, &stream).await?;
            let rows = stream.pack(open, &lines)?;
            replace(write, &stream, rows).await?;
        } else {
            let row = stream.leave(lines);
            bind(sqlx::query(ADD), row)?.execute(&mut *write.sql).await?;
        }
        write.know(id, stream);
    }
    Ok(())
}

/// Appends a little output of one job that one drone has sent, which is most of what is ever written: a single call. False
/// if there is more to do than that.
///
/// After an error the connection may be within a transaction and is to be closed.
pub async fn at_once(session: &mut Session, batch: &Batch) -> Result<bool, StoreError> {
    let (Some(id), [] | [_]) = (batch.events.first().map(|event| &event.job), &batch.applied[..]) else {
        return Ok(false);
    };
    let Some(known) = session.memory.streams.get(id) else {
        return Ok(false);
    };
    let known_life = batch.applied.iter().all(|one| session.memory.has_life(one));
    if !known_life || batch.events.iter().any(|event| event.job != *id) {
        return Ok(false);
    }
    let mut stream = *known;
    let events: Vec<&Event> = batch.events.iter().collect();
    let lines = stream.take(id, &events)?;
    if stream.is_full(&lines) {
        return Ok(false);
    }
    let row = stream.leave(lines);
    let sql = &mut session.sql;
    match batch.applied.first() {
        None => bind(sqlx::query(ADD), row)?.execute(sql).await?,
        Some(Applied { drone, incarnation, n }) => {
            bind(sqlx::query(ADD_AND_MOVE), row)?
                .bind(i64::try_from(*n).unwrap_or(i64::MAX))
                .bind(drone.as_str())
                .bind(incarnation.as_str())
                .execute(sql)
                .await?
        }
    };
    session.memory.streams.insert(id.clone(), stream);
    Ok(true)
}

/// Packs what is open of the jobs that `records` say have ended.
pub async fn close_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    for id in ended(records).into_keys() {
        let mut stream = write.stream(id).await?;
        if stream.is_open() {
            let open = take_open(&mut *write.sql, &stream).await?;
            let rows = stream.end(open)?;
            replace(write, &stream, rows).await?;
            write.know(id, stream);
        }
    }
    Ok(())
}

/// How the stream of a job stands, if there is one.
pub async fn load(sql: &mut SqliteConnection, id: &JobId) -> Result<Option<Stream>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(STREAM);
    query.push("id = ").push_bind(id.as_str());
    let row = query.build().fetch_optional(sql).await?;
    row.as_ref().map(Stream::of).transpose()
}

/// Writes the rows that take the place of the open ones, and how far the stream is packed now.
async fn replace(write: &mut Write<'_>, stream: &Stream, rows: Vec<Row>) -> Result<(), StoreError> {
    for row in rows {
        bind(sqlx::query(ADD), row)?.execute(&mut *write.sql).await?;
    }
    sqlx::query("UPDATE streams SET packed_to = ? WHERE job = ?")
        .bind(int(stream.packed_to)?)
        .bind(stream.job)
        .execute(&mut *write.sql)
        .await?;
    Ok(())
}

fn bind(query: Query<'_, Sqlite, SqliteArguments>, row: Row) -> Result<Query<'_, Sqlite, SqliteArguments>, StoreError> {
    Ok(query
        .bind(row.job)
        .bind(int(row.first)?)
        .bind(int(row.last)?)
        .bind(int(row.bytes)?)
        .bind(row.packed)
        .bind(row.body))
}

/// See [`Store::events`](crate::store::Store::events). One statement, so that rows packed meanwhile are seen once.
pub async fn window(
    readers: &SqlitePool,
    id: &JobId,
    from: Seq,
    to: Seq,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let bound = |seq: Seq| i64::try_from(seq.0).unwrap_or(i64::MAX);
    let mut rows = sqlx::query(
        "SELECT epoch, first, bytes, packed, body
         FROM jobs JOIN streams ON streams.job = jobs.key JOIN events ON events.job = jobs.key
         WHERE id = ?1 AND first <= ?3
           AND first >= coalesce((SELECT max(first) FROM events WHERE job = jobs.key AND first <= ?2), 0)
         ORDER BY first",
    )
    .bind(id.as_str())
    .bind(bound(from))
    .bind(bound(to))
    .fetch(readers);
    let mut window = None;
    while let Some(row) = rows.try_next().await? {
        let window = match &mut window {
            Some(window) => window,
            none => none.insert(Window::new(id.clone(), Timestamp(get(&row, "epoch")?), from, to, limit)),
        };
        let body: &[u8] = get(&row, "body")?;
        let first = get_uint(&row, "first")?;
        let more = match get::<bool>(&row, "packed")? {
            true => window.take(first, &chunk::unpack(body, get_uint(&row, "bytes")?)?)?,
            false => window.take(first, body)?,
        };
        if !more {
            break;
        }
    }
    Ok(window.map(Window::into_events).unwrap_or_default())
}
