//! What finished jobs hold, and its removal, oldest first: one step at a time, in a transaction that the caller owns.
//!
//! Owns the sizes of steps, and what belongs to a job; a log or a job that was begun is marked in the first step and is ended
//! even if the queen was killed before. Which limits there are is the business of whoever calls.

use super::{
    Holdings, Oldest, Removed, StoreError,
    sql::Sql,
    value::{Cells, get_uint, int},
};
use shared::Timestamp;

/// Rows that one step removes, about: some milliseconds of work.
const STEP: u64 = 1_000;
/// Lives of one drone that are remembered: an earlier one that still spoke would have been away for as many restarts.
const LIVES: i64 = 100;

/// What a database says in its own words.
#[derive(Debug)]
pub struct Words {
    /// A job that has begun to be removed.
    pub begun: &'static str,
    /// Removes what a job is found by with a text.
    pub text: &'static str,
}

const HOLDINGS: &str = "SELECT count(*) AS jobs, CAST(coalesce(sum(log), 0) AS BIGINT) AS log,
        CAST(coalesce(sum(rest), 0) AS BIGINT) AS rest, min(at) AS oldest_job,
        (SELECT min(at) FROM endings WHERE log > 0) AS oldest_log, (SELECT min(last) FROM durations) AS oldest_learned
     FROM endings";

/// See [`Store::holdings`](super::Store::holdings).
pub async fn holdings(sql: &mut impl Sql) -> Result<Holdings, StoreError> {
    // A sum over no row is a row as well.
    let Some(row) = sql.row(HOLDINGS, &[]).await? else {
        return Ok(Holdings::default());
    };
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

/// Notes what a job holds that has ended at `finished`.
pub async fn weigh(sql: &mut impl Sql, job: i64, finished: Option<Timestamp>) -> Result<(), StoreError> {
    let weigh = "INSERT INTO endings (job, at, log, rest)
         SELECT key, coalesce($2, submitted),
                coalesce((SELECT sum(octet_length(body) + 64) FROM events WHERE job = jobs.key), 0)
                    + coalesce((SELECT sum(octet_length(body) + 64) FROM cases WHERE job = jobs.key), 0),
                4096
                    + coalesce((SELECT sum(octet_length(result) + 3 * octet_length(path) + 128)
                                FROM results WHERE job = jobs.key), 0)
                    + coalesce((SELECT sum(2 * octet_length(path) + 64) FROM files WHERE job = jobs.key), 0)
         FROM jobs WHERE key = $1
         ON CONFLICT (job) DO UPDATE SET at = excluded.at, log = excluded.log, rest = excluded.rest";
    sql.run(weigh, &[job.into(), finished.map(|at| at.0).into()]).await?;
    Ok(())
}

/// A finished job that is to lose something.
struct Due {
    job: i64,
    log: u64,
    rest: u64,
}

/// See [`Store::remove_logs`](super::Store::remove_logs).
pub async fn remove_logs(sql: &mut impl Sql, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
    let mut step = Step { sql, rows: 0 };
    let mut removed = Removed::default();
    while step.has_room() {
        let due = step.next_due(
            "SELECT job, log, rest FROM endings WHERE log > 0 AND log_removed IS NOT NULL LIMIT 1",
            "SELECT job, log, rest, at FROM endings WHERE log > 0 ORDER BY at, job LIMIT 1",
            which,
            removed.bytes,
        );
        let Some(due) = due.await? else {
            return Ok(removed);
        };
        let begin = "UPDATE endings SET log_removed = coalesce(log_removed, $1) WHERE job = $2";
        step.sql.run(begin, &[now.0.into(), due.job.into()]).await?;
        if step.clear_log(due.job).await? {
            let end = "UPDATE endings SET log = 0 WHERE job = $1";
            step.sql.run(end, &[due.job.into()]).await?;
            removed.jobs += 1;
            removed.bytes += due.log;
        }
    }
    removed.more = true;
    Ok(removed)
}

/// See [`Store::remove_jobs`](super::Store::remove_jobs).
pub async fn remove_jobs(
    sql: &mut impl Sql,
    words: &Words,
    which: Oldest,
    now: Timestamp,
) -> Result<Removed, StoreError> {
    let mut step = Step { sql, rows: 0 };
    let mut removed = Removed::default();
    while step.has_room() {
        let oldest = "SELECT job, log, rest, at FROM endings ORDER BY at, job LIMIT 1";
        let Some(due) = step.next_due(words.begun, oldest, which, removed.bytes).await? else {
            return Ok(removed);
        };
        let begin = "UPDATE endings SET going = true, log_removed = coalesce(log_removed, $1) WHERE job = $2";
        step.sql.run(begin, &[now.0.into(), due.job.into()]).await?;
        if step.clear_log(due.job).await? && step.clear_rest(words, due.job).await? {
            removed.jobs += 1;
            removed.bytes += due.log + due.rest;
        }
    }
    removed.more = true;
    Ok(removed)
}

/// What one transaction has done so far.
struct Step<'a, S> {
    sql: &'a mut S,
    rows: u64,
}

impl<S: Sql> Step<'_, S> {
    fn has_room(&self) -> bool {
        self.rows < STEP
    }

    /// What was begun before, else the oldest if it is due.
    async fn next_due(
        &mut self,
        begun: &'static str,
        oldest: &'static str,
        which: Oldest,
        freed: u64,
    ) -> Result<Option<Due>, StoreError> {
        let mut row = self.sql.row(begun, &[]).await?;
        if row.is_none()
            && let Some(found) = self.sql.row(oldest, &[]).await?
            && (freed < which.bytes || found.int("at")? < which.before.0)
        {
            row = Some(found);
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

    /// Removes events and cases of a job as far as the step has room; true if none are left.
    async fn clear_log(&mut self, job: i64) -> Result<bool, StoreError> {
        self.clear(
            job,
            &[
                "DELETE FROM events WHERE job = $1 AND first IN (SELECT first FROM events WHERE job = $1 LIMIT $2)",
                "DELETE FROM cases WHERE key IN (SELECT key FROM cases WHERE job = $1 LIMIT $2)",
            ],
        )
        .await
    }

    /// Removes everything else of a job whose log is gone; true if nothing is left of it.
    async fn clear_rest(&mut self, words: &Words, job: i64) -> Result<bool, StoreError> {
        let many = [
            "DELETE FROM results WHERE key IN (SELECT key FROM results WHERE job = $1 LIMIT $2)",
            "DELETE FROM files WHERE job = $1 AND idx IN (SELECT idx FROM files WHERE job = $1 LIMIT $2)",
        ];
        if !self.clear(job, &many).await? {
            return Ok(false);
        }
        for rest in [
            "DELETE FROM leases WHERE job = $1",
            "DELETE FROM ahead WHERE job = $1",
            "DELETE FROM job_authors WHERE job = $1",
            words.text,
            "DELETE FROM job_data WHERE job = $1",
            "DELETE FROM streams WHERE job = $1",
            "DELETE FROM endings WHERE job = $1",
            "DELETE FROM jobs WHERE key = $1",
        ] {
            self.rows += self.sql.run(rest, &[job.into()]).await?;
        }
        Ok(true)
    }

    /// Runs statements that take a job and how many rows; true if none had more to do.
    async fn clear(&mut self, job: i64, statements: &[&'static str]) -> Result<bool, StoreError> {
        for statement in statements {
            let room = STEP.saturating_sub(self.rows);
            let done = self.sql.run(statement, &[job.into(), int(room)?.into()]).await?;
            self.rows += done;
            if done >= room {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// See [`Store::forget`](super::Store::forget).
pub async fn forget(sql: &mut impl Sql, before: Timestamp) -> Result<u64, StoreError> {
    let lives = "DELETE FROM drone_lives WHERE key IN (
         SELECT key FROM (
             SELECT key, row_number() OVER (PARTITION BY drone ORDER BY key DESC) AS place FROM drone_lives) AS lives
         WHERE place > $1 LIMIT $2)";
    sql.run(lives, &[LIVES.into(), int(STEP)?.into()]).await?;
    let learned = "DELETE FROM durations WHERE (project, path) IN (
         SELECT project, path FROM durations WHERE last < $1 ORDER BY last LIMIT $2)";
    sql.run(learned, &[before.0.into(), int(STEP)?.into()]).await
}
