//! What finished jobs hold, weighed when they end, and its removal in short transactions, so that the queue of writes moves
//! on in between. The space is PostgreSQL's to use again. Read next: the store's own `retention`, which does the steps.

use super::{session::Writer, write::Write};
use crate::store::{
    Holdings, Oldest, Removed, StoreError,
    retention::{self, HOLDINGS, Words},
    rows::last_rows,
};
use scheduler::Record;
use shared::Timestamp;
use sqlx::postgres::PgPool;

const WORDS: Words = Words {
    begun: "SELECT job, log, rest FROM endings WHERE going LIMIT 1",
    text: "DELETE FROM job_text WHERE job = $1",
};

/// Notes what the jobs hold that `records` say have ended.
pub async fn weigh_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    for (id, row) in last_rows(records).into_iter().filter(|(_, row)| row.state.is_final()) {
        let key = write.job(id)?;
        sqlx::query(
            "INSERT INTO endings (job, at, log, rest)
             SELECT key, coalesce($2, submitted),
                    coalesce((SELECT sum(octet_length(body) + 64) FROM events WHERE job = jobs.key), 0)
                        + coalesce((SELECT sum(octet_length(body) + 64) FROM cases WHERE job = jobs.key), 0),
                    4096
                        + coalesce((SELECT sum(octet_length(result) + 3 * octet_length(path) + 128)
                                    FROM results WHERE job = jobs.key), 0)
                        + coalesce((SELECT sum(2 * octet_length(path) + 64) FROM files WHERE job = jobs.key), 0)
             FROM jobs WHERE key = $1
             ON CONFLICT (job) DO UPDATE SET at = excluded.at, log = excluded.log, rest = excluded.rest",
        )
        .bind(key)
        .bind(row.finished.map(|at| at.0))
        .execute(&mut *write.sql)
        .await?;
    }
    Ok(())
}

/// See [`Store::holdings`](crate::store::Store::holdings).
pub async fn holdings(pool: &PgPool) -> Result<Holdings, StoreError> {
    retention::holdings(&sqlx::query(HOLDINGS).fetch_one(pool).await?)
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
