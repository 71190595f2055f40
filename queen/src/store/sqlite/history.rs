//! Results, cases and what is learned from them: per attempt, per file of a project, per project. What both databases are
//! asked alike is in the store's own `past`.

use super::{
    value::{Cells, get_uint, int, json},
    write::Write,
};
use crate::store::{
    AttemptResult, CasePart, FileCases, StoreError, StoredProject, chunk, pulse,
    rows::{self, FILE_CASES},
};
use futures_util::TryStreamExt;
use scheduler::Expect;
use shared::{JobId, Project};
use sqlx::{QueryBuilder, Sqlite, sqlite::SqlitePool};

/// See [`all`](crate::store::quarantine::all).
pub const NEWEST_RUNS: &str = "SELECT quarantine.path AS file, jobs.id, outcome, duration, at FROM quarantine
     JOIN results ON results.key IN (
         SELECT key FROM results AS newest WHERE newest.project = quarantine.project AND newest.path = quarantine.path
         ORDER BY at DESC, key DESC LIMIT $2)
     JOIN jobs ON jobs.key = results.job
     WHERE quarantine.project = (SELECT key FROM projects WHERE name = $1) ORDER BY at DESC, results.key DESC";

/// Writes results and learns from them. A second result of one attempt refuses the batch.
pub async fn results(write: &mut Write<'_>, results: &[AttemptResult]) -> Result<(), StoreError> {
    for place in pulse::counted(results) {
        sqlx::query(
            "INSERT INTO throughput (place, minute, files) VALUES (?, ?, ?)
             ON CONFLICT (place) DO UPDATE SET
                 files = excluded.files + CASE WHEN minute = excluded.minute THEN files ELSE 0 END,
                 minute = excluded.minute",
        )
        .bind(place.place)
        .bind(place.minute)
        .bind(place.files)
        .execute(&mut *write.sql)
        .await?;
    }
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
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => rows::result_twice(&one.job, one.attempt, &one.path),
            _ => error.into(),
        })?;
        learn(write, project, one).await?;
    }
    Ok(())
}

async fn learn(write: &mut Write<'_>, project: i64, one: &AttemptResult) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT mean, timed, runs, bad, flaky, failed, failed_at FROM durations WHERE project = ? AND path = ?",
    )
    .bind(project)
    .bind(&one.path)
    .fetch_optional(&mut *write.sql)
    .await?;
    let mut learned = row.as_ref().map(rows::learned).transpose()?.unwrap_or_default();
    if !learned.add(&one.result, one.normal_duration, one.at) {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO durations (project, path, mean, timed, runs, bad, flaky, failed, failed_at, last)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (project, path) DO UPDATE SET
             mean = excluded.mean, timed = excluded.timed, runs = excluded.runs, bad = excluded.bad,
             flaky = excluded.flaky, failed = excluded.failed, failed_at = excluded.failed_at, last = excluded.last",
    )
    .bind(project)
    .bind(&one.path)
    .bind(learned.mean)
    .bind(int(learned.timed)?)
    .bind(int(learned.runs)?)
    .bind(int(learned.bad)?)
    .bind(int(learned.flaky)?)
    .bind(learned.failed)
    .bind(learned.failed_at.map(|at| at.0))
    .bind(one.at.0)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
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

/// See [`Store::cases_by_file`](crate::store::Store::cases_by_file).
pub async fn cases_by_file(
    readers: &SqlitePool,
    id: &JobId,
    path: Option<&str>,
    from: u32,
    limit_bytes: usize,
) -> Result<Vec<FileCases>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(FILE_CASES);
    query.push("(SELECT key FROM jobs WHERE id = ").push_bind(id.as_str());
    query.push(") AND files.idx >= ").push_bind(from);
    if let Some(path) = path {
        query.push(" AND files.path = ").push_bind(path);
    }
    query.push(" ORDER BY files.idx, cases.key");
    let mut rows = query.build().fetch(readers);
    let (mut files, mut bytes): (Vec<FileCases>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let index: u32 = get_uint(&row, "idx")?;
        if bytes >= limit_bytes && files.last().is_some_and(|file| file.index != index) {
            break;
        }
        bytes += row.bytes("body")?.len();
        rows::add_cases(&mut files, &row)?;
    }
    Ok(files)
}

/// See [`Store::expectations`](crate::store::Store::expectations).
pub async fn expectations(
    readers: &SqlitePool,
    project: &Project,
    paths: &[String],
) -> Result<Vec<Option<Expect>>, StoreError> {
    let rows = sqlx::query(
        "SELECT path, mean, timed, runs, bad, flaky, failed, failed_at FROM durations
         WHERE project = (SELECT key FROM projects WHERE name = ?) AND path IN (SELECT value FROM json_each(?))",
    )
    .bind(project.as_str())
    .bind(json(&paths)?)
    .fetch_all(readers)
    .await?;
    rows::expects(&rows, paths)
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
    rows.iter().map(rows::project).collect()
}

/// See [`Store::flaky`](crate::store::Store::flaky).
pub async fn flaky(readers: &SqlitePool, jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, count(DISTINCT path) AS count FROM jobs
         CROSS JOIN results INDEXED BY results_flaky ON results.job = jobs.key AND outcome = 'flaky'
         WHERE id IN (SELECT value FROM json_each(?)) GROUP BY id",
    )
    .bind(json(&jobs)?)
    .fetch_all(readers)
    .await?;
    rows::counts_of(&rows, jobs)
}
