//! What was: attempts and cases of a job's files, runs and durations of a project's, minutes of the fleet.
//!
//! The statements are the same for both databases; paths are as the database keeps them in results. Where the two are asked
//! otherwise, and how all of it is written, is in their own `history`.

use super::{
    FileHistory, Minute, PastAttempt, PastRun, StoreError, chunk, pulse,
    rows::{self, CASES_LIMIT},
    sql::Sql,
    value::{Cells, from_json},
};
use shared::{Attempt, JobId, Num, Project, Timestamp, outcome::CaseResult};

/// The most past runs that are told of one file.
const PAST_RUNS: i64 = 100;

/// See [`Store::attempts`](super::Store::attempts).
pub async fn attempts(sql: &mut impl Sql, id: &JobId, path: &str) -> Result<Vec<PastAttempt>, StoreError> {
    let rows = sql
        .rows(
            "SELECT num, attempt, result FROM results WHERE job = (SELECT key FROM jobs WHERE id = $1) AND path = $2
             ORDER BY key",
            &[id.as_str().into(), path.into()],
        )
        .await?;
    rows.iter().map(rows::past_attempt).collect()
}

/// See [`Store::cases`](super::Store::cases).
pub async fn cases(sql: &mut impl Sql, id: &JobId, num: Num, attempt: Attempt) -> Result<Vec<CaseResult>, StoreError> {
    let parts = sql
        .rows(
            "SELECT body FROM cases WHERE job = (SELECT key FROM jobs WHERE id = $1) AND num = $2 AND attempt = $3
             ORDER BY key",
            &[id.as_str().into(), i64::from(num.0).into(), i64::from(attempt.0).into()],
        )
        .await?;
    let mut cases = Vec::new();
    for part in &parts {
        let text = chunk::unpack(part.bytes("body")?, CASES_LIMIT)?;
        cases.extend(from_json::<Vec<CaseResult>>("cases", &text)?);
    }
    Ok(cases)
}

/// See [`Store::history`](super::Store::history).
pub async fn history(sql: &mut impl Sql, project: &Project) -> Result<Vec<FileHistory>, StoreError> {
    let rows = sql
        .rows(
            "SELECT path, mean, timed, runs, bad, flaky, failed, failed_at, last FROM durations
             WHERE project = (SELECT key FROM projects WHERE name = $1) ORDER BY mean DESC, path",
            &[project.as_str().into()],
        )
        .await?;
    rows.iter().map(rows::file_history).collect()
}

/// See [`Store::past_runs`](super::Store::past_runs).
pub async fn runs(sql: &mut impl Sql, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError> {
    let rows = sql
        .rows(
            "SELECT jobs.id, outcome, duration, at FROM results JOIN jobs ON jobs.key = results.job
             WHERE results.project = (SELECT key FROM projects WHERE name = $1) AND path = $2
             ORDER BY at DESC, results.key DESC LIMIT $3",
            &[project.as_str().into(), path.into(), PAST_RUNS.into()],
        )
        .await?;
    rows.iter().map(rows::past_run).collect()
}

/// See [`Store::throughput`](super::Store::throughput).
pub async fn throughput(sql: &mut impl Sql, from: Timestamp) -> Result<Vec<Minute>, StoreError> {
    let rows = sql
        .rows(
            "SELECT minute, files FROM throughput WHERE minute >= $1 ORDER BY minute",
            &[pulse::minute(from).into()],
        )
        .await?;
    rows.iter().map(pulse::read).collect()
}
