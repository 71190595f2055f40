//! Results, cases and what is learned from them: per attempt, per file of a project, per project.

use super::{
    value::{corrupt, from_json, get, get_uint, get_word, int, json, refuse_twice},
    write::Write,
};
use crate::store::{
    AttemptResult, CasePart, FileHistory, PastRun, StoreError, StoredProject, chunk, estimate::Learned,
};
use scheduler::Expect;
use shared::{
    Attempt, JobId, JobState, Num, Project, Timestamp,
    outcome::{CaseResult, FileOutcome},
};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use std::collections::HashMap;

/// The most past runs that are told of one file.
const PAST_RUNS: i64 = 100;
/// The most bytes of JSON of one part of the cases: a frame is smaller.
const CASES_LIMIT: usize = 64 * 1024 * 1024;

/// Writes results and learns from them. A second result of one attempt refuses the batch.
pub async fn results(write: &mut Write<'_>, results: &[AttemptResult]) -> Result<(), StoreError> {
    for one in results {
        let job = write.job(&one.job).await?;
        let project = write.project(&one.project).await?;
        sqlx::query(
            "INSERT INTO results (job, project, path, attempt, num, drone, at, outcome, duration, result)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(job)
        .bind(project)
        .bind(&one.path)
        .bind(one.attempt.0)
        .bind(one.num.0)
        .bind(one.drone.as_ref().map(|drone| drone.as_str()))
        .bind(one.at.0)
        .bind(one.result.outcome.as_str())
        .bind(one.result.duration)
        .bind(json(&one.result)?)
        .execute(&mut *write.sql)
        .await
        .map_err(|error| {
            refuse_twice(error, || {
                format!(
                    "job {} has a result of attempt {} of {} already",
                    one.job, one.attempt, one.path
                )
            })
        })?;
        learn(write, project, one).await?;
    }
    Ok(())
}

async fn learn(write: &mut Write<'_>, project: i64, one: &AttemptResult) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT mean, timed, runs, bad, flaky, failed FROM durations WHERE project = ? AND path = ?")
        .bind(project)
        .bind(&one.path)
        .fetch_optional(&mut *write.sql)
        .await?;
    let mut learned = row.as_ref().map(learned).transpose()?.unwrap_or_default();
    if !learned.add(&one.result, one.normal_duration) {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO durations (project, path, mean, timed, runs, bad, flaky, failed, last)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (project, path) DO UPDATE SET
             mean = excluded.mean, timed = excluded.timed, runs = excluded.runs, bad = excluded.bad,
             flaky = excluded.flaky, failed = excluded.failed, last = excluded.last",
    )
    .bind(project)
    .bind(&one.path)
    .bind(learned.mean)
    .bind(int(learned.timed)?)
    .bind(int(learned.runs)?)
    .bind(int(learned.bad)?)
    .bind(int(learned.flaky)?)
    .bind(learned.failed)
    .bind(one.at.0)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}

fn learned(row: &SqliteRow) -> Result<Learned, StoreError> {
    Ok(Learned {
        mean: get(row, "mean")?,
        timed: get_uint(row, "timed")?,
        runs: get_uint(row, "runs")?,
        bad: get_uint(row, "bad")?,
        flaky: get_uint(row, "flaky")?,
        failed: get(row, "failed")?,
    })
}

/// Appends cases to those of their attempts.
pub async fn cases(write: &mut Write<'_>, parts: &[CasePart]) -> Result<(), StoreError> {
    for part in parts.iter().filter(|part| !part.cases.is_empty()) {
        let job = write.job(&part.job).await?;
        sqlx::query("INSERT INTO cases (job, num, attempt, body) VALUES (?, ?, ?, ?)")
            .bind(job)
            .bind(part.num.0)
            .bind(part.attempt.0)
            .bind(chunk::pack(json(&part.cases)?.as_bytes())?)
            .execute(&mut *write.sql)
            .await?;
    }
    Ok(())
}

/// See [`Store::cases`](crate::store::Store::cases).
pub async fn cases_of(
    readers: &SqlitePool,
    id: &JobId,
    num: Num,
    attempt: Attempt,
) -> Result<Vec<CaseResult>, StoreError> {
    let parts: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT body FROM cases WHERE job = (SELECT key FROM jobs WHERE id = ?) AND num = ? AND attempt = ?
         ORDER BY key",
    )
    .bind(id.as_str())
    .bind(num.0)
    .bind(attempt.0)
    .fetch_all(readers)
    .await?;
    let mut cases = Vec::new();
    for part in parts {
        let text = chunk::unpack(&part, CASES_LIMIT)?;
        cases.extend(from_json::<Vec<CaseResult>>("cases", &text)?);
    }
    Ok(cases)
}

/// See [`Store::expectations`](crate::store::Store::expectations).
pub async fn expectations(
    readers: &SqlitePool,
    project: &Project,
    paths: &[String],
) -> Result<Vec<Option<Expect>>, StoreError> {
    let rows = sqlx::query(
        "SELECT path, mean, timed, runs, bad, flaky, failed FROM durations
         WHERE project = (SELECT key FROM projects WHERE name = ?) AND path IN (SELECT value FROM json_each(?))",
    )
    .bind(project.as_str())
    .bind(json(&paths)?)
    .fetch_all(readers)
    .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let learned = learned(row)?;
        let expect = Expect {
            duration: learned.duration(),
            failed: learned.failed,
        };
        known.insert(get::<&str>(row, "path")?, expect);
    }
    Ok(paths.iter().map(|path| known.get(path.as_str()).copied()).collect())
}

/// See [`Store::projects`](crate::store::Store::projects).
pub async fn projects(readers: &SqlitePool) -> Result<Vec<StoredProject>, StoreError> {
    let rows = sqlx::query(
        "SELECT name, projects.jobs, last.id, last.state, last.submitted
         FROM projects LEFT JOIN jobs AS last ON last.key =
             (SELECT key FROM jobs WHERE project = projects.key ORDER BY submitted DESC, id DESC LIMIT 1)
         ORDER BY name",
    )
    .fetch_all(readers)
    .await?;
    let state = |word: String| JobState::parse(&word).ok_or_else(|| corrupt("state", word));
    rows.iter()
        .map(|row| {
            let id: Option<String> = get(row, "id")?;
            Ok(StoredProject {
                project: get_word(row, "name", Project::new)?,
                jobs: get_uint(row, "jobs")?,
                last_job: id.map(JobId::new).transpose().map_err(|error| corrupt("id", error))?,
                last_state: get::<Option<String>>(row, "state")?.map(state).transpose()?,
                last_submitted: get::<Option<i64>>(row, "submitted")?.map(Timestamp),
            })
        })
        .collect()
}

/// See [`Store::history`](crate::store::Store::history).
pub async fn history(readers: &SqlitePool, project: &Project) -> Result<Vec<FileHistory>, StoreError> {
    let rows = sqlx::query(
        "SELECT path, mean, timed, runs, bad, flaky, failed, last FROM durations
         WHERE project = (SELECT key FROM projects WHERE name = ?) ORDER BY mean DESC, path",
    )
    .bind(project.as_str())
    .fetch_all(readers)
    .await?;
    rows.iter()
        .map(|row| {
            let learned = learned(row)?;
            Ok(FileHistory {
                path: get(row, "path")?,
                duration: learned.duration(),
                runs: learned.runs,
                bad: learned.bad,
                flaky: learned.flaky,
                failed: learned.failed,
                last: Timestamp(get(row, "last")?),
            })
        })
        .collect()
}

/// See [`Store::past_runs`](crate::store::Store::past_runs).
pub async fn past_runs(readers: &SqlitePool, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError> {
    let rows = sqlx::query(
        "SELECT jobs.id, outcome, duration, at FROM results JOIN jobs ON jobs.key = results.job
         WHERE results.project = (SELECT key FROM projects WHERE name = ?) AND path = ?
         ORDER BY at DESC, results.key DESC LIMIT ?",
    )
    .bind(project.as_str())
    .bind(path)
    .bind(PAST_RUNS)
    .fetch_all(readers)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(PastRun {
                job: get_word(row, "id", JobId::new)?,
                outcome: get_word(row, "outcome", |word| FileOutcome::parse(word).ok_or("no such outcome"))?,
                duration: get(row, "duration")?,
                at: Timestamp(get(row, "at")?),
            })
        })
        .collect()
}
