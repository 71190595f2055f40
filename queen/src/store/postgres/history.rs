//! Results, cases and what is learned from them: per attempt, per file of a project, per project. What both databases are
//! asked alike is in the store's own `past`.

use super::write::{Write, indexed};
use crate::store::{
    AttemptResult, CasePart, FileCases, StoreError, StoredProject, chunk,
    estimate::{self, File},
    pulse::{self, Place},
    rows::{self, FILE_CASES},
    value::{int, json},
};
use scheduler::Expect;
use shared::{JobId, Project};
use sqlx::{Postgres, QueryBuilder, postgres::PgPool};
use std::collections::{BTreeSet, HashSet};

/// See [`all`](crate::store::quarantine::all).
pub const NEWEST_RUNS: &str = "SELECT quarantine.path AS file, jobs.id, outcome, duration, at FROM quarantine
     CROSS JOIN LATERAL (
         SELECT key, job, outcome, duration, at FROM results
         WHERE results.project = quarantine.project AND results.path = quarantine.path
         ORDER BY at DESC, key DESC LIMIT $2) AS newest
     JOIN jobs ON jobs.key = newest.job
     WHERE quarantine.project = (SELECT key FROM projects WHERE name = $1) ORDER BY at DESC, newest.key DESC";

/// Writes results and learns from them. A second result of one attempt refuses the batch.
pub async fn results(write: &mut Write<'_>, results: &[AttemptResult]) -> Result<(), StoreError> {
    if results.is_empty() {
        return Ok(());
    }
    let projects = write
        .projects(results.iter().map(|one| &one.project).collect())
        .await?
        .clone();
    let (mut job, mut project, mut path, mut attempt, mut num) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut drone, mut at, mut outcome, mut duration, mut result) = (vec![], vec![], vec![], vec![], vec![]);
    for one in results {
        job.push(write.job(&one.job)?);
        project.push(projects[&one.project]);
        path.push(indexed(&one.path));
        attempt.push(i64::from(one.attempt.0));
        num.push(i64::from(one.num.0));
        drone.push(one.drone.as_ref().map(|drone| drone.as_str()));
        at.push(one.at.0);
        outcome.push(one.result.outcome.as_str());
        duration.push(one.result.duration);
        result.push(json(&one.result)?);
    }
    let places = pulse::counted(results);
    let place = |of: fn(&Place) -> i64| places.iter().map(of).collect::<Vec<i64>>();
    let written: Vec<(i64, String, i64, i64)> = sqlx::query_as(
        "WITH counted AS (
             INSERT INTO throughput SELECT * FROM unnest($11::bigint[], $12::bigint[], $13::bigint[])
             ON CONFLICT (place) DO UPDATE SET
                 files = excluded.files
                     + CASE WHEN throughput.minute = excluded.minute THEN throughput.files ELSE 0 END,
                 minute = excluded.minute)
         INSERT INTO results (job, project, path, attempt, num, drone, at, outcome, duration, result)
         SELECT job, project, path, attempt, num, drone, at, outcome, duration, result
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],
                 $8::text[], $9::float8[], $10::text[])
             WITH ORDINALITY AS new (job, project, path, attempt, num, drone, at, outcome, duration, result, place)
         ORDER BY place
         ON CONFLICT (job, path, attempt, num) DO NOTHING RETURNING job, path, attempt, num",
    )
    .bind(&job)
    .bind(&project)
    .bind(&path)
    .bind(&attempt)
    .bind(&num)
    .bind(drone)
    .bind(at)
    .bind(outcome)
    .bind(duration)
    .bind(result)
    .bind(place(|one| one.place))
    .bind(place(|one| one.minute))
    .bind(place(|one| one.files))
    .fetch_all(&mut *write.sql)
    .await?;
    if written.len() < results.len() {
        let mut written: HashSet<_> = written.into_iter().collect();
        for (place, one) in results.iter().enumerate() {
            if !written.remove(&(job[place], path[place].clone(), attempt[place], num[place])) {
                return Err(rows::result_twice(&one.job, one.attempt, &one.path));
            }
        }
    }
    learn(write, results, project.into_iter().zip(path).collect()).await
}

/// `files`: that of each result.
async fn learn(write: &mut Write<'_>, results: &[AttemptResult], files: Vec<File>) -> Result<(), StoreError> {
    let asked: BTreeSet<&File> = files.iter().collect();
    let (project, path): (Vec<i64>, Vec<&str>) = asked.iter().map(|(project, path)| (*project, path.as_str())).unzip();
    let rows = sqlx::query(
        "SELECT project, path, mean, timed, runs, bad, flaky, failed, failed_at FROM durations
         WHERE (project, path) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))",
    )
    .bind(project)
    .bind(path)
    .fetch_all(&mut *write.sql)
    .await?;
    let known = rows.iter().map(rows::learned_of).collect::<Result<_, _>>()?;
    let changed = estimate::changed(&known, results.iter().zip(&files));
    if changed.is_empty() {
        return Ok(());
    }
    let (mut project, mut path, mut mean, mut failed, mut last) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut timed, mut runs, mut bad, mut flaky, mut failed_at) = (vec![], vec![], vec![], vec![], vec![]);
    let mut split = vec![];
    for ((of, name), (learned, at, splits)) in changed {
        project.push(*of);
        path.push(name.as_str());
        mean.push(learned.mean);
        timed.push(int(learned.timed)?);
        runs.push(int(learned.runs)?);
        bad.push(int(learned.bad)?);
        flaky.push(int(learned.flaky)?);
        failed.push(learned.failed);
        failed_at.push(learned.failed_at.map(|at| at.0));
        last.push(at.0);
        split.push(splits.map(json).transpose()?);
    }
    sqlx::query(
        "INSERT INTO durations (project, path, mean, timed, runs, bad, flaky, failed, failed_at, last, splits)
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::bigint[], $5::bigint[], $6::bigint[],
             $7::bigint[], $8::bool[], $9::bigint[], $10::bigint[], $11::text[])
         ON CONFLICT (project, path) DO UPDATE SET
             mean = excluded.mean, timed = excluded.timed, runs = excluded.runs, bad = excluded.bad,
             flaky = excluded.flaky, failed = excluded.failed, failed_at = excluded.failed_at, last = excluded.last,
             splits = coalesce(excluded.splits, durations.splits)",
    )
    .bind(project)
    .bind(path)
    .bind(mean)
    .bind(timed)
    .bind(runs)
    .bind(bad)
    .bind(flaky)
    .bind(failed)
    .bind(failed_at)
    .bind(last)
    .bind(split)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}

/// Appends cases to those of their attempts.
pub async fn cases(write: &mut Write<'_>, parts: &[CasePart]) -> Result<(), StoreError> {
    let (mut job, mut num, mut attempt, mut body) = (vec![], vec![], vec![], vec![]);
    for part in parts.iter().filter(|part| !part.cases.is_empty()) {
        job.push(write.job(&part.job)?);
        num.push(i64::from(part.num.0));
        attempt.push(i64::from(part.attempt.0));
        body.push(chunk::pack(json(&part.cases)?.as_bytes())?);
    }
    if job.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO cases (job, num, attempt, body) SELECT job, num, attempt, body
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])
             WITH ORDINALITY AS new (job, num, attempt, body, place) ORDER BY place",
    )
    .bind(job)
    .bind(num)
    .bind(attempt)
    .bind(body)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}

/// See [`Store::cases_by_file`](crate::store::Store::cases_by_file).
pub async fn cases_by_file(
    pool: &PgPool,
    id: &JobId,
    path: Option<&str>,
    from: u32,
    limit_bytes: usize,
) -> Result<Vec<FileCases>, StoreError> {
    let Some(job) = sqlx::query_scalar::<_, i64>("SELECT key FROM jobs WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?
    else {
        return Ok(Vec::new());
    };
    // A connection reads all rows of its statement: the sizes say before where to stop.
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT max(idx) FROM (
             SELECT files.idx, sum(sum(octet_length(body))) OVER (ORDER BY files.idx) - sum(octet_length(body)) AS before
             FROM files JOIN cases ON cases.job = files.job AND cases.num = files.num AND cases.attempt = files.attempt
             WHERE files.job = $1 AND files.idx >= $2 AND ($3::text IS NULL OR files.name = $3) GROUP BY files.idx
         ) AS sized WHERE before < $4",
    )
    .bind(job)
    .bind(i64::from(from))
    .bind(path.map(indexed))
    .bind(i64::try_from(limit_bytes).unwrap_or(i64::MAX).max(1))
    .fetch_one(pool)
    .await?;
    let Some(last) = last else { return Ok(Vec::new()) };
    let mut query = QueryBuilder::<Postgres>::new(FILE_CASES);
    query
        .push_bind(job)
        .push(" AND files.idx BETWEEN ")
        .push_bind(i64::from(from));
    query.push(" AND ").push_bind(last);
    if let Some(path) = path {
        query.push(" AND files.name = ").push_bind(indexed(path));
    }
    query.push(" ORDER BY files.idx, cases.key");
    let mut files = Vec::new();
    for row in query.build().fetch_all(pool).await? {
        rows::add_cases(&mut files, &row)?;
    }
    Ok(files)
}

/// See [`Store::expectations`](crate::store::Store::expectations).
pub async fn expectations(
    pool: &PgPool,
    project: &Project,
    paths: &[String],
) -> Result<Vec<Option<Expect>>, StoreError> {
    let names: Vec<String> = paths.iter().map(|path| indexed(path)).collect();
    let rows = sqlx::query(
        "SELECT path, mean, timed, runs, bad, flaky, failed, failed_at, splits FROM durations
         WHERE project = (SELECT key FROM projects WHERE name = $1) AND path = ANY($2)",
    )
    .bind(project.as_str())
    .bind(&names)
    .fetch_all(pool)
    .await?;
    rows::expects(&rows, &names)
}

/// See [`Store::projects`](crate::store::Store::projects).
pub async fn projects(pool: &PgPool) -> Result<Vec<StoredProject>, StoreError> {
    let rows = sqlx::query(
        "SELECT name, projects.jobs, last.id, last.state, last.submitted
         FROM projects LEFT JOIN LATERAL
             (SELECT id, state, submitted FROM jobs WHERE project = projects.key
              ORDER BY submitted DESC, id DESC LIMIT 1) AS last ON true
         ORDER BY name",
    )
    .fetch_all(pool)
    .await?;
    rows.iter().map(rows::project).collect()
}

/// See [`Store::flaky`](crate::store::Store::flaky).
pub async fn flaky(pool: &PgPool, jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
    let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
    let rows = sqlx::query(
        "SELECT id, count(DISTINCT path) AS count FROM jobs JOIN results ON results.job = jobs.key
         WHERE id = ANY($1) AND outcome = 'flaky' GROUP BY id",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    rows::counts_of(&rows, jobs)
}
