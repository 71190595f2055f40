//! What finished jobs hold, and its removal, oldest first.
//!
//! Owns the table `endings` and the sizes of steps. Each step is one short transaction, so that the queue of writes moves
//! on in between; a log or a job that was begun is marked in the first step and is ended even if the queen was killed
//! before. Which limits there are is the business of whoever calls.

use super::{
    session::Writer,
    value::{get, get_uint, int},
    write::Write,
};
use crate::store::{Holdings, Oldest, Removed, StoreError, rows::ended};
use scheduler::Record;
use shared::Timestamp;
use sqlx::{Row, sqlite::SqliteConnection, sqlite::SqlitePool};

/// Rows that one step removes, about: some milliseconds of work.
const STEP: u64 = 1_000;
/// Free pages that stay in the database for what comes next; giving them back would only make it grow again.
const SPARE_PAGES: i64 = 500;
/// Pages that are given back at once: each may have to be moved first.
const COMPACT_PAGES: i64 = 500;
/// Lives of one drone that are remembered: an earlier one that still spoke would have been away for as many restarts.
const LIVES: i64 = 100;

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
    let row = sqlx::query(
        "SELECT count(*) AS jobs, coalesce(sum(log), 0) AS log, coalesce(sum(rest), 0) AS rest, min(at) AS oldest_job,
                (SELECT min(at) FROM endings WHERE log > 0) AS oldest_log,
                (SELECT min(last) FROM durations) AS oldest_learned
         FROM endings",
    )
    .fetch_one(readers)
    .await?;
    let time = |column| Ok::<_, StoreError>(get::<Option<i64>>(&row, column)?.map(Timestamp));
    Ok(Holdings {
        jobs: get_uint(&row, "jobs")?,
        log_bytes: get_uint(&row, "log")?,
        rest_bytes: get_uint(&row, "rest")?,
        oldest_log: time("oldest_log")?,
        oldest_job: time("oldest_job")?,
        oldest_learned: time("oldest_learned")?,
    })
}

/// A finished job that is to lose something.
struct Due {
    job: i64,
    log: u64,
    rest: u64,
}

/// See [`Store::remove_logs`](crate::store::Store::remove_logs).
pub async fn remove_logs(writer: &Writer, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
    writer
        .transact(async |sql| {
            let mut step = Step::default();
            while step.has_room() {
                let due = next_due(
                    sql,
                    "SELECT job, log, rest FROM endings WHERE log > 0 AND log_removed IS NOT NULL LIMIT 1",
                    "SELECT job, log, rest, at FROM endings WHERE log > 0 ORDER BY at, job LIMIT 1",
                    which,
                    step.removed.bytes,
                );
                let Some(due) = due.await? else {
                    return Ok(step.removed);
                };
                sqlx::query("UPDATE endings SET log_removed = coalesce(log_removed, ?) WHERE job = ?")
                    .bind(now.0)
                    .bind(due.job)
                    .execute(&mut *sql)
                    .await?;
                if step.clear_log(sql, due.job).await? {
                    sqlx::query("UPDATE endings SET log = 0 WHERE job = ?")
                        .bind(due.job)
                        .execute(&mut *sql)
                        .await?;
                    step.removed.jobs += 1;
                    step.removed.bytes += due.log;
                }
            }
            step.removed.more = true;
            Ok(step.removed)
        })
        .await
}

/// See [`Store::remove_jobs`](crate::store::Store::remove_jobs).
pub async fn remove_jobs(writer: &Writer, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
    writer
        .transact(async |sql| {
            let mut step = Step::default();
            while step.has_room() {
                let due = next_due(
                    sql,
                    "SELECT job, log, rest FROM endings WHERE going = 1 LIMIT 1",
                    "SELECT job, log, rest, at FROM endings ORDER BY at, job LIMIT 1",
                    which,
                    step.removed.bytes,
                );
                let Some(due) = due.await? else {
                    return Ok(step.removed);
                };
                sqlx::query("UPDATE endings SET going = 1, log_removed = coalesce(log_removed, ?) WHERE job = ?")
                    .bind(now.0)
                    .bind(due.job)
                    .execute(&mut *sql)
                    .await?;
                if step.clear_log(sql, due.job).await? && step.clear_rest(sql, due.job).await? {
                    step.removed.jobs += 1;
                    step.removed.bytes += due.log + due.rest;
                }
            }
            step.removed.more = true;
            Ok(step.removed)
        })
        .await
}

/// What was begun before, else the oldest if it is due.
async fn next_due(
    sql: &mut SqliteConnection,
    begun: &'static str,
    oldest: &'static str,
    which: Oldest,
    freed: u64,
) -> Result<Option<Due>, StoreError> {
    let mut row = sqlx::query(begun).fetch_optional(&mut *sql).await?;
    if row.is_none() {
        let found = sqlx::query(oldest).fetch_optional(&mut *sql).await?;
        if let Some(found) = found
            && (freed < which.bytes || get::<i64>(&found, "at")? < which.before.0)
        {
            row = Some(found);
        }
    }
    row.map(|row| {
        Ok(Due {
            job: get(&row, "job")?,
            log: get_uint(&row, "log")?,
            rest: get_uint(&row, "rest")?,
        })
    })
    .transpose()
}

/// What one transaction has done so far.
#[derive(Default)]
struct Step {
    rows: u64,
    removed: Removed,
}

impl Step {
    fn has_room(&self) -> bool {
        self.rows < STEP
    }

    /// Removes events and cases of a job as far as the step has room; true if none are left.
    async fn clear_log(&mut self, sql: &mut SqliteConnection, job: i64) -> Result<bool, StoreError> {
        for some in [
            "DELETE FROM events WHERE key IN (SELECT key FROM events WHERE job = ? LIMIT ?)",
            "DELETE FROM cases WHERE key IN (SELECT key FROM cases WHERE job = ? LIMIT ?)",
        ] {
            if !self.clear(sql, some, job).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes everything else of a job whose log is gone; true if nothing is left of it.
    async fn clear_rest(&mut self, sql: &mut SqliteConnection, job: i64) -> Result<bool, StoreError> {
        for some in [
            "DELETE FROM results WHERE key IN (SELECT key FROM results WHERE job = ? LIMIT ?)",
            "DELETE FROM files WHERE job = ?1 AND idx IN (SELECT idx FROM files WHERE job = ?1 LIMIT ?2)",
        ] {
            if !self.clear(sql, some, job).await? {
                return Ok(false);
            }
        }
        for rest in [
            "DELETE FROM leases WHERE job = ?",
            "DELETE FROM job_authors WHERE job = ?",
            "DELETE FROM job_text WHERE rowid = ?",
            "DELETE FROM job_data WHERE job = ?",
            "DELETE FROM streams WHERE job = ?",
            "DELETE FROM endings WHERE job = ?",
            "DELETE FROM jobs WHERE key = ?",
        ] {
            self.rows += sqlx::query(rest).bind(job).execute(&mut *sql).await?.rows_affected();
        }
        Ok(true)
    }

    async fn clear(&mut self, sql: &mut SqliteConnection, some: &'static str, job: i64) -> Result<bool, StoreError> {
        let room = STEP.saturating_sub(self.rows);
        let done = sqlx::query(some).bind(job).bind(int(room)?).execute(&mut *sql).await?;
        self.rows += done.rows_affected();
        Ok(done.rows_affected() < room)
    }
}

/// See [`Store::forget`](crate::store::Store::forget).
pub async fn forget(writer: &Writer, before: Timestamp) -> Result<u64, StoreError> {
    writer
        .transact(async |sql| {
            sqlx::query(
                "DELETE FROM drone_lives WHERE key IN (
                 SELECT key FROM (
                     SELECT key, row_number() OVER (PARTITION BY drone ORDER BY key DESC) AS place FROM drone_lives)
                 WHERE place > ? LIMIT ?)",
            )
            .bind(LIVES)
            .bind(int(STEP)?)
            .execute(&mut *sql)
            .await?;
            let done = sqlx::query(
                "DELETE FROM durations WHERE (project, path) IN (
                 SELECT project, path FROM durations WHERE last < ? ORDER BY last LIMIT ?)",
            )
            .bind(before.0)
            .bind(int(STEP)?)
            .execute(&mut *sql)
            .await?;
            Ok(done.rows_affected())
        })
        .await
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
