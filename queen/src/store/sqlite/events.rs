//! Event streams: appending in commits, reading in windows. The form of the text is `chunk`'s.

use super::{
    value::{get, get_uint, int},
    write::Write,
};
use crate::store::{
    Event, StoreError,
    chunk::{self, BURST, CHUNK, PAGE, Piece, Window},
    rows::no_job,
};
use futures_util::TryStreamExt;
use scheduler::Record;
use shared::{JobId, Seq, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use std::collections::{BTreeMap, BTreeSet};

/// How the stream of a job stands; the columns of its row.
struct Stream {
    job: i64,
    last_seq: u64,
    epoch: Timestamp,
    open_first: u64,
    open_bytes: usize,
    page_first: u64,
    page_bytes: usize,
}

/// Appends events; a number that does not follow on the last one refuses the batch.
pub async fn append(write: &mut Write<'_>, events: &[Event]) -> Result<(), StoreError> {
    let mut by_job: BTreeMap<&JobId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_job.entry(&event.job).or_default().push(event);
    }
    for (id, events) in by_job {
        let mut stream = load(write.sql, id).await?;
        write.know(id, stream.job);
        let first = stream.last_seq + 1;
        let text = chunk::follow(id, stream.last_seq, &mut stream.epoch, &events)?;
        stream.last_seq += events.len() as u64;
        stream.add(write, first, text).await?;
        stream.save(write).await?;
    }
    Ok(())
}

/// Appends a little output of one job, which is most of what is ever written: asked for at once, the transaction costs one
/// way to the thread of the database and back instead of five. False if there is more to do than that.
///
/// After an error the connection may be within a transaction and is to be closed.
pub async fn at_once(sql: &mut SqliteConnection, events: &[Event]) -> Result<bool, StoreError> {
    let Some(id) = events.first().map(|event| &event.job) else {
        return Ok(false);
    };
    if events.iter().any(|event| event.job != *id) {
        return Ok(false);
    }
    let mut stream = load(sql, id).await?;
    let events: Vec<&Event> = events.iter().collect();
    let first = stream.last_seq + 1;
    let text = chunk::follow(id, stream.last_seq, &mut stream.epoch, &events)?;
    let fits = stream.page_first != 0 && stream.page_bytes + text.len() <= PAGE;
    if !fits || stream.open_bytes + text.len() >= CHUNK {
        return Ok(false);
    }
    stream.last_seq = first + events.len() as u64 - 1;
    stream.open_bytes += text.len();
    stream.page_bytes += text.len();
    sqlx::query(
        "BEGIN IMMEDIATE;
         UPDATE events SET last = ?, bytes = ?, body = body || ? WHERE job = ? AND first = ?;
         UPDATE streams SET last_seq = ?, epoch = ?, open_bytes = ?, page_bytes = ? WHERE job = ?;
         COMMIT",
    )
    .bind(int(stream.last_seq)?)
    .bind(int(stream.page_bytes)?)
    .bind(text)
    .bind(stream.job)
    .bind(int(stream.page_first)?)
    .bind(int(stream.last_seq)?)
    .bind(stream.epoch.0)
    .bind(int(stream.open_bytes)?)
    .bind(int(stream.page_bytes)?)
    .bind(stream.job)
    .execute(sql)
    .await?;
    Ok(true)
}

/// Packs what is open of the jobs that `records` say have ended.
pub async fn close_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    let ended: BTreeSet<&JobId> = records
        .iter()
        .filter_map(|record| match record {
            Record::Job(row) if row.state.is_final() => Some(&row.id),
            _ => None,
        })
        .collect();
    for id in ended {
        let mut stream = load(write.sql, id).await?;
        write.know(id, stream.job);
        if stream.open_bytes > 0 {
            let end = stream.last_seq + 1;
            stream.pack(write, end, "", true).await?;
            stream.save(write).await?;
        }
    }
    Ok(())
}

async fn load(sql: &mut SqliteConnection, id: &JobId) -> Result<Stream, StoreError> {
    let row = sqlx::query(
        "SELECT job, last_seq, epoch, open_first, open_bytes, page_first, page_bytes
         FROM jobs JOIN streams ON streams.job = jobs.key WHERE id = ?",
    )
    .bind(id.as_str())
    .fetch_optional(sql)
    .await?
    .ok_or_else(|| no_job(id))?;
    Ok(Stream {
        job: get(&row, "job")?,
        last_seq: get_uint(&row, "last_seq")?,
        epoch: Timestamp(get(&row, "epoch")?),
        open_first: get_uint(&row, "open_first")?,
        open_bytes: get_uint(&row, "open_bytes")?,
        page_first: get_uint(&row, "page_first")?,
        page_bytes: get_uint(&row, "page_bytes")?,
    })
}

impl Stream {
    /// Adds the lines of events `first..=self.last_seq`.
    async fn add(&mut self, write: &mut Write<'_>, first: u64, text: String) -> Result<(), StoreError> {
        let burst = text.len() >= BURST;
        if burst || self.open_bytes + text.len() >= CHUNK {
            return self.pack(write, first, &text, burst).await;
        }
        self.open_bytes += text.len();
        if self.page_first == 0 || self.page_bytes + text.len() > PAGE {
            return self.new_page(write, first, text).await;
        }
        self.page_bytes += text.len();
        sqlx::query("UPDATE events SET last = ?, bytes = ?, body = body || ? WHERE job = ? AND first = ?")
            .bind(int(self.last_seq)?)
            .bind(int(self.page_bytes)?)
            .bind(text)
            .bind(self.job)
            .bind(int(self.page_first)?)
            .execute(&mut *write.sql)
            .await?;
        Ok(())
    }

    async fn new_page(&mut self, write: &mut Write<'_>, first: u64, text: String) -> Result<(), StoreError> {
        if self.open_first == 0 {
            self.open_first = first;
        }
        self.page_first = first;
        self.page_bytes = text.len();
        sqlx::query("INSERT INTO events (job, first, last, bytes, packed, body) VALUES (?, ?, ?, ?, 0, ?)")
            .bind(self.job)
            .bind(int(first)?)
            .bind(int(self.last_seq)?)
            .bind(int(text.len())?)
            .bind(text)
            .execute(&mut *write.sql)
            .await?;
        Ok(())
    }

    /// Joins the open rows with `more`, the lines of the events from `first` on, and packs them: all of them, or all
    /// but what does not fill a chunk.
    async fn pack(&mut self, write: &mut Write<'_>, first: u64, more: &str, whole: bool) -> Result<(), StoreError> {
        let mut text = String::with_capacity(self.open_bytes + more.len());
        let mut start = first;
        if self.open_first != 0 {
            start = self.open_first;
            let rows = sqlx::query("DELETE FROM events WHERE job = ? AND first >= ? RETURNING first, body")
                .bind(self.job)
                .bind(int(start)?)
                .fetch_all(&mut *write.sql)
                .await?;
            let mut open: Vec<(i64, &str)> = Vec::with_capacity(rows.len());
            for row in &rows {
                open.push((get(row, "first")?, get(row, "body")?));
            }
            // RETURNING promises no order.
            open.sort_unstable_by_key(|(first, _)| *first);
            text.extend(open.into_iter().map(|(_, body)| body));
        }
        text.push_str(more);
        (self.open_first, self.open_bytes) = (0, 0);
        (self.page_first, self.page_bytes) = (0, 0);
        let (mut pieces, rest) = chunk::cut(&text, start);
        match rest {
            Some(rest) if whole => pieces.push(rest),
            Some(rest) => {
                self.open_bytes = rest.range.len();
                self.new_page(write, rest.first, text[rest.range].to_owned()).await?;
            }
            None => {}
        }
        for Piece { first, last, range } in pieces {
            sqlx::query("INSERT INTO events (job, first, last, bytes, packed, body) VALUES (?, ?, ?, ?, 1, ?)")
                .bind(self.job)
                .bind(int(first)?)
                .bind(int(last)?)
                .bind(int(range.len())?)
                .bind(chunk::pack(&text.as_bytes()[range])?)
                .execute(&mut *write.sql)
                .await?;
        }
        Ok(())
    }

    async fn save(&self, write: &mut Write<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE streams SET last_seq = ?, epoch = ?, open_first = ?, open_bytes = ?, page_first = ?, page_bytes = ?
             WHERE job = ?",
        )
        .bind(int(self.last_seq)?)
        .bind(self.epoch.0)
        .bind(int(self.open_first)?)
        .bind(int(self.open_bytes)?)
        .bind(int(self.page_first)?)
        .bind(int(self.page_bytes)?)
        .bind(self.job)
        .execute(&mut *write.sql)
        .await?;
        Ok(())
    }
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
