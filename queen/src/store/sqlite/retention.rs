//! What finished jobs hold, weighed when they end, and its removal in short transactions, so that the queue of writes moves
//! on in between; and the file, made smaller. Read next: the store's own `retention`, which does the steps.

use super::{session::Writer, write::Write};
use crate::store::{
    Holdings, Oldest, Removed, StoreError,
    retention::{self, HOLDINGS, Words},
    rows::ended,
};
use scheduler::Record;
use shared::Timestamp;
use sqlx::{Row, sqlite::SqliteConnection, sqlite::SqlitePool};

/// Free pages that stay in the database for what comes next; giving them back would only make it grow again.
const SPARE_PAGES: i64 = 500;
/// Pages that are given back at once: each may have to be moved first.
const COMPACT_PAGES: i64 = 500;

const WORDS: Words = Words {
    begun: "SELECT job, log, rest FROM endings WHERE going = 1 LIMIT 1",
    text: "DELETE FROM job_text WHERE rowid = $1",
};

/// Notes what the jobs hold that `records` say have ended.
pub async fn weigh_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    for id in ended(records) {
        let key = write.job(id).await?;
        sqlx::query(
            "INSERT INTO endings (job, at, log, rest)
             SELECT key, coalesce(standing ->> 'finished', submitted),
                    coalesce((SELECT sum(octet_length(body) + 64) FROM events WHERE job = jobs.key), 0)
                        + coalesce((SELECT sum(octet_length(body) + 64) FROM cases WHERE job = jobs.key), 0),
                    4096
                        + coalesce((SELECT sum(octet_length(result) + 3 * octet_length(path) + 128)
                                    FROM results WHERE job = jobs.key), 0)
                        + coalesce((SELECT sum(2 * octet_length(path) + 64) FROM files WHERE job = jobs.key), 0)
             FROM jobs WHERE key = ?
             ON CONFLICT (job) DO UPDATE SET at = excluded.at, log = excluded.log, rest = excluded.rest",
        )
        .bind(key)
        .execute(&mut *write.sql)
        .await?;
    }
    Ok(())
}

/// See [`Store::holdings`](crate::store::Store::holdings).
pub async fn holdings(readers: &SqlitePool) -> Result<Holdings, StoreError> {
    retention::holdings(&sqlx::query(HOLDINGS).fetch_one(readers).await?)
}

/// See [`Store::remove_logs`](crate::store::Store::remove_logs).
pub async fn remove_logs(writer: &Writer, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
    writer
        .transact(async |sql| retention::remove_logs(sql, which, now).await)
        .await
}

/// See [`Store::remove_jobs`](crate::store::Store::remove_jobs).
pub async fn remove_jobs(writer: &Writer, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
    writer
        .transact(async |sql| retention::remove_jobs(sql, &WORDS, which, now).await)
        .await
}

/// See [`Store::forget`](crate::store::Store::forget).
pub async fn forget(writer: &Writer, before: Timestamp) -> Result<u64, StoreError> {
    writer.transact(async |sql| retention::forget(sql, before).await).await
}

/// See [`Store::compact`](crate::store::Store::compact). Does nothing in a database that was made before there was
/// something to give back: there free pages are taken for what is new, and a restored backup is as small as can be.
pub async fn compact(writer: &Writer) -> Result<u64, StoreError> {
    writer
        .run(async |session| {
            let sql = &mut session.sql;
            let free = free_pages(sql).await?;
            let pages = (free - SPARE_PAGES).min(COMPACT_PAGES);
            if pages <= 0 {
                return Ok(0);
            }
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})")))
                .execute(&mut *sql)
                .await?;
            let given = free - free_pages(sql).await?;
            let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(sql).await?;
            Ok(u64::try_from(given * size).unwrap_or(0))
        })
        .await
}

async fn free_pages(sql: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query("PRAGMA freelist_count").fetch_one(sql).await?.try_get(0)?)
}
