//! What finished jobs hold, and its removal, oldest first.
//!
//! Owns the table `endings` and the sizes of steps. Each step is one short transaction, so that the queue of writes moves
//! on in between; a log or a job that was begun is marked in the first step and is ended even if the queen was killed
//! before. Which limits there are is the business of whoever calls. The space is PostgreSQL's to use again.

use super::{
    session::{Session, Writer},
    write::Write,
};
use crate::store::{
    Holdings, Oldest, Removed, StoreError,
    rows::last_rows,
    value::{Cells, get_uint, int},
};
use scheduler::Record;
use shared::Timestamp;
use sqlx::{
    Connection,
    postgres::{PgConnection, PgPool},
};

/// Rows that one step removes, about: some milliseconds of work.
const STEP: u64 = 1_000;
/// Lives of one drone that are remembered: an earlier one that still spoke would have been away for as many restarts.
const LIVES: i64 = 100;

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
    let row = sqlx::query(
        "SELECT count(*) AS jobs, coalesce(sum(log), 0)::bigint AS log, coalesce(sum(rest), 0)::bigint AS rest,
                min(at) AS oldest_job, (SELECT min(at) FROM endings WHERE log > 0) AS oldest_log,
                (SELECT min(last) FROM durations) AS oldest_learned
         FROM endings",
    )
    .fetch_one(pool)
    .await?;
    let time = |column| Ok::<_, StoreError>(row.maybe_int(column)?.map(Timestamp));
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
    transact(writer, async |sql| {
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
            sqlx::query("UPDATE endings SET log_removed = coalesce(log_removed, $1) WHERE job = $2")
                .bind(now.0)
                .bind(due.job)
                .execute(&mut *sql)
                .await?;
            if step.clear_log(sql, due.job).await? {
                sqlx::query("UPDATE endings SET log = 0 WHERE job = $1")
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
    transact(writer, async |sql| {
        let mut step = Step::default();
        while step.has_room() {
            let due = next_due(
                sql,
                "SELECT job, log, rest FROM endings WHERE going LIMIT 1",
                "SELECT job, log, rest, at FROM endings ORDER BY at, job LIMIT 1",
                which,
                step.removed.bytes,
            );
            let Some(due) = due.await? else {
                return Ok(step.removed);
            };
            sqlx::query("UPDATE endings SET going = true, log_removed = coalesce(log_removed, $1) WHERE job = $2")
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

/// Does all of `work` in one transaction, or nothing of it.
async fn transact<T>(
    writer: &Writer,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session: &mut Session| {
        // What is known of a job's stream is no longer true once the job is gone.
        session.streams.clear();
        let mut transaction = session.sql.begin().await?;
        writer.fence(&mut transaction).await?;
        let done = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    })
    .await
}

/// What was begun before, else the oldest if it is due.
async fn next_due(
    sql: &mut PgConnection,
    begun: &'static str,
    oldest: &'static str,
    which: Oldest,
    freed: u64,
) -> Result<Option<Due>, StoreError> {
    let mut row = sqlx::query(begun).fetch_optional(&mut *sql).await?;
    if row.is_none() {
        let found = sqlx::query(oldest).fetch_optional(&mut *sql).await?;
        if let Some(found) = found
            && (freed < which.bytes || found.int("at")? < which.before.0)
        {
            row = Some(found);
        }
    }
    row.map(|row| {
        Ok(Due {
            job: row.int("job")?,
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
    async fn clear_log(&mut self, sql: &mut PgConnection, job: i64) -> Result<bool, StoreError> {
        for some in [
            "DELETE FROM events WHERE job = $1 AND first IN (SELECT first FROM events WHERE job = $1 LIMIT $2)",
            "DELETE FROM cases WHERE key IN (SELECT key FROM cases WHERE job = $1 LIMIT $2)",
        ] {
            if !self.clear(sql, some, job).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes everything else of a job whose log is gone; true if nothing is left of it.
    async fn clear_rest(&mut self, sql: &mut PgConnection, job: i64) -> Result<bool, StoreError> {
        for some in [
            "DELETE FROM results WHERE key IN (SELECT key FROM results WHERE job = $1 LIMIT $2)",
            "DELETE FROM files WHERE job = $1 AND idx IN (SELECT idx FROM files WHERE job = $1 LIMIT $2)",
        ] {
            if !self.clear(sql, some, job).await? {
                return Ok(false);
            }
        }
        for rest in [
            "DELETE FROM leases WHERE job = $1",
            "DELETE FROM job_authors WHERE job = $1",
            "DELETE FROM job_text WHERE job = $1",
            "DELETE FROM job_data WHERE job = $1",
            "DELETE FROM streams WHERE job = $1",
            "DELETE FROM endings WHERE job = $1",
            "DELETE FROM jobs WHERE key = $1",
        ] {
            self.rows += sqlx::query(rest).bind(job).execute(&mut *sql).await?.rows_affected();
        }
        Ok(true)
    }

    async fn clear(&mut self, sql: &mut PgConnection, some: &'static str, job: i64) -> Result<bool, StoreError> {
        let room = STEP.saturating_sub(self.rows);
        let done = sqlx::query(some).bind(job).bind(int(room)?).execute(&mut *sql).await?;
        self.rows += done.rows_affected();
        Ok(done.rows_affected() < room)
    }
}

/// See [`Store::forget`](crate::store::Store::forget).
pub async fn forget(writer: &Writer, before: Timestamp) -> Result<u64, StoreError> {
    transact(writer, async |sql| {
        sqlx::query(
            "DELETE FROM drone_lives WHERE key IN (
                 SELECT key FROM (
                     SELECT key, row_number() OVER (PARTITION BY drone ORDER BY key DESC) AS place FROM drone_lives)
                     AS lives
                 WHERE place > $1 LIMIT $2)",
        )
        .bind(LIVES)
        .bind(int(STEP)?)
        .execute(&mut *sql)
        .await?;
        let done = sqlx::query(
            "DELETE FROM durations WHERE (project, path) IN (
                 SELECT project, path FROM durations WHERE last < $1 ORDER BY last LIMIT $2)",
        )
        .bind(before.0)
        .bind(int(STEP)?)
        .execute(&mut *sql)
        .await?;
        Ok(done.rows_affected())
    })
    .await
}
