//! Results, cases and what is learned from them: per attempt, per file of a project, per project. What both databases are
//! asked alike is in the store's own `past`.

use super::{
    value::{Cells, get_uint, int, json},
    write::Write,
};
use crate::store::{
    AttemptResult, CasePart, FileCases, StoreError, StoredProject, chunk,
    estimate::{self, File, Lesson},
    pulse,
    rows::{self, FILE_CASES},
};
use futures_util::TryStreamExt;
use scheduler::Expect;
use serde_json::{Value, json};
use shared::{JobId, Project};
use sqlx::{QueryBuilder, Sqlite, error::DatabaseError, sqlite::SqlitePool};
use std::sync::LazyLock;

/// See [`all`](crate::store::quarantine::all).
pub const NEWEST_RUNS: &str = "SELECT quarantine.path AS file, jobs.id, outcome, duration, at FROM quarantine
     JOIN results ON results.key IN (
         SELECT key FROM results AS newest WHERE newest.project = quarantine.project AND newest.path = quarantine.path
         ORDER BY at DESC, key DESC LIMIT $2)
     JOIN jobs ON jobs.key = results.job
     WHERE quarantine.project = (SELECT key FROM projects WHERE name = $1) ORDER BY at DESC, results.key DESC";

const RESULTS: &str = "INSERT INTO results (job, project, path, attempt, num, drone, at, outcome, duration, result)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
            value ->> 8, value ->> 9
     FROM json_each(?)";
const THROUGHPUT: &str = "INSERT INTO throughput (place, minute, files)
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
     ON CONFLICT (place) DO UPDATE SET
         files = excluded.files + CASE WHEN minute = excluded.minute THEN files ELSE 0 END,
         minute = excluded.minute";
const DURATIONS: &str = "INSERT INTO durations
         (project, path, mean, timed, runs, bad, flaky, failed, failed_at, last, splits)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
            value ->> 8, value ->> 9, value ->> 10
     FROM json_each(?) WHERE true
     ON CONFLICT (project, path) DO UPDATE SET
         mean = excluded.mean, timed = excluded.timed, runs = excluded.runs, bad = excluded.bad,
         flaky = excluded.flaky, failed = excluded.failed, failed_at = excluded.failed_at, last = excluded.last,
         splits = coalesce(excluded.splits, splits)";

/// Writes results and learns from them: two calls, however many there are. A second result of one attempt refuses the batch.
pub async fn results(write: &mut Write<'_>, results: &[AttemptResult]) -> Result<(), StoreError> {
    static ALL: LazyLock<String> = LazyLock::new(|| format!("{RESULTS}; {THROUGHPUT}; {DURATIONS}"));
    if results.is_empty() {
        return Ok(());
    }
    let (mut files, mut rows) = (Vec::with_capacity(results.len()), Vec::with_capacity(results.len()));
    for one in results {
        let job = write.job(&one.job).await?;
        let project = write.project(&one.project).await?;
        files.push((project, one.path.clone()));
        rows.push(json!([
            job,
            project,
            one.path,
            one.attempt,
            one.num,
            one.drone,
            one.at,
            one.result.outcome.as_str(),
            one.result.duration,
            json(&one.result)?,
        ]));
    }
    let places = pulse::counted(results);
    let places = places.iter().map(|one| json!([one.place, one.minute, one.files]));
    let learned = learn(write, results, &files).await?;
    let written = sqlx::query(ALL.as_str())
        .bind(json(&rows)?)
        .bind(json(&places.collect::<Vec<_>>())?)
        .bind(json(&learned)?)
        .execute(&mut *write.sql)
        .await;
    match written {
        Err(error) if is_twice(&error) => Err(twice(write, results, &rows).await?.unwrap_or(error.into())),
        written => written.map(drop).map_err(StoreError::from),
    }
}

/// The rows of what is learned. `files`: that of each result.
async fn learn(write: &mut Write<'_>, results: &[AttemptResult], files: &[File]) -> Result<Vec<Value>, StoreError> {
    let found = sqlx::query(
        "SELECT project, durations.path, mean, timed, runs, bad, flaky, failed, failed_at
         FROM json_each(?) AS file JOIN durations ON project = file.value ->> 0 AND durations.path = file.value ->> 1",
    )
    .bind(json(&files)?)
    .fetch_all(&mut *write.sql)
    .await?;
    let known = found.iter().map(rows::learned_of).collect::<Result<_, _>>()?;
    let changed = estimate::changed(&known, results.iter().zip(files)).into_iter();
    let row = |((project, path), (learned, at, splits)): (&File, Lesson<'_>)| {
        Ok(json!([
            project,
            path,
            learned.mean,
            int(learned.timed)?,
            int(learned.runs)?,
            int(learned.bad)?,
            int(learned.flaky)?,
            i64::from(learned.failed),
            learned.failed_at,
            at,
            splits.map(json).transpose()?,
        ]))
    };
    changed.map(row).collect()
}

fn is_twice(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}

/// Which of `rows`, those of `results`, is there already: the statement that failed has left none of them.
async fn twice(
    write: &mut Write<'_>,
    results: &[AttemptResult],
    rows: &[Value],
) -> Result<Option<StoreError>, StoreError> {
    for (one, row) in results.iter().zip(rows) {
        let written = sqlx::query(RESULTS).bind(json(&[row])?).execute(&mut *write.sql).await;
        match written {
            Err(error) if is_twice(&error) => return Ok(Some(rows::result_twice(&one.job, one.attempt, &one.path))),
            written => written?,
        };
    }
    Ok(None)
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
        "SELECT path, mean, timed, runs, bad, flaky, failed, failed_at, splits FROM durations
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
