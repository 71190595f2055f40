//! Jobs, files, leases and drones: what the scheduler says of them, written.
//!
//! Reading is in `list` (pages, one job, files) and `restore` (everything unfinished).

use super::{
    value::{int, json},
    write::Write,
};
use crate::store::{
    Applied, Batch, StoreError, Submitted,
    rows::{authors, file_state, job_twice, last_rows, lease_state, no_row, note_ahead, sealed},
    stream::Stream,
};
use scheduler::{FileRow, JobRow, LeaseRow, Record};
use serde_json::{Value, json};

/// Writes jobs that are new, each with its row from the same batch.
pub async fn submit(write: &mut Write<'_>, batch: &Batch) -> Result<(), StoreError> {
    if batch.submitted.is_empty() {
        return Ok(());
    }
    let rows = last_rows(&batch.records);
    for job in &batch.submitted {
        let id = &job.spec.id;
        let row = rows.get(id).ok_or_else(|| no_row(id))?;
        let key = insert(write, job, row).await?;
        write.know(id, Stream::new(key, job.spec.submitted));
        for author in authors(&job.data) {
            sqlx::query("INSERT INTO job_authors (author, submitted, id, job) VALUES (?, ?, ?, ?)")
                .bind(author)
                .bind(job.spec.submitted.0)
                .bind(id.as_str())
                .bind(key)
                .execute(&mut *write.sql)
                .await?;
        }
    }
    Ok(())
}

async fn insert(write: &mut Write<'_>, job: &Submitted, row: &JobRow) -> Result<i64, StoreError> {
    let (id, data) = (&job.spec.id, &job.data);
    let branch = data.branch();
    let shown = data.shown();
    let message = shown["trigger"]["message"].as_str().unwrap_or_default();
    let sealed = sealed(job, write.sealer)?;
    let project = write.project(&job.spec.project).await?;
    let key: i64 = sqlx::query_scalar(
        "INSERT INTO jobs (id, project, branch, kind, submitted, state, standing) VALUES (?, ?, ?, ?, ?, ?, ?)
         RETURNING key",
    )
    .bind(id.as_str())
    .bind(project)
    .bind(branch)
    .bind(&data.trigger.kind)
    .bind(job.spec.submitted.0)
    .bind(row.state.as_str())
    .bind(json(row)?)
    .fetch_one(&mut *write.sql)
    .await
    .map_err(|error| match error.as_database_error() {
        Some(database) if database.is_unique_violation() => job_twice(id),
        _ => error.into(),
    })?;
    sqlx::query(concat!(
        "UPDATE projects SET jobs = jobs + 1 WHERE key = $1; ",
        note_ahead!("$2", "$3")
    ))
    .bind(project)
    .bind(job.spec.submitted.0)
    .bind(key)
    .execute(&mut *write.sql)
    .await?;
    sqlx::query("INSERT INTO job_data (job, digest, message, spec, data, sealed) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(key)
        .bind(&job.digest[..])
        .bind(message)
        .bind(json(&job.spec)?)
        .bind(shown.to_string())
        .bind(sealed)
        .execute(&mut *write.sql)
        .await?;
    sqlx::query("INSERT INTO streams (job, epoch) VALUES (?, ?)")
        .bind(key)
        .bind(job.spec.submitted.0)
        .execute(&mut *write.sql)
        .await?;
    sqlx::query("INSERT INTO job_text (rowid, body) VALUES (?, ?)")
        .bind(key)
        .bind(searchable(job))
        .execute(&mut *write.sql)
        .await?;
    Ok(key)
}

/// What the index of trigrams is made of: the line breaks at the end let the last two characters begin one too, and the
/// index would end at a zero.
fn searchable(job: &Submitted) -> String {
    let (spec, data) = (&job.spec, &job.data);
    let branch = data.branch().unwrap_or_default();
    format!("{}\n{}\n{branch}\n{}\n\n", spec.id, spec.project, data.trigger.message).replace('\0', " ")
}

/// Writes the scheduler's rows; of several for one thing the last one counts.
pub async fn record(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    let (mut jobs, mut files, mut leases) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Job(row) => jobs.push(row),
            Record::File(row) => files.push(file(write.job(&row.job).await?, row)?),
            Record::NoFiles(id) => {
                let key = write.job(id).await?;
                files.retain(|file: &Value| file[0] != key);
                sqlx::query("DELETE FROM files WHERE job = ?")
                    .bind(key)
                    .execute(&mut *write.sql)
                    .await?;
            }
            Record::Lease(row) => leases.push(lease(write.job(&row.job).await?, row)?),
            Record::Drain { drone, on } => {
                sqlx::query(
                    "INSERT INTO drones (id, draining) VALUES (?, ?)
                     ON CONFLICT (id) DO UPDATE SET draining = excluded.draining",
                )
                .bind(drone.as_str())
                .bind(on)
                .execute(&mut *write.sql)
                .await?;
            }
            Record::Learned { drone, factor } => {
                sqlx::query(
                    "INSERT INTO drones (id, learned) VALUES (?, ?)
                     ON CONFLICT (id) DO UPDATE SET learned = excluded.learned",
                )
                .bind(drone.as_str())
                .bind(factor)
                .execute(&mut *write.sql)
                .await?;
            }
        }
    }
    let last = last_rows(records);
    for row in jobs.into_iter().filter(|row| std::ptr::eq(last[&row.id], *row)) {
        let key = write.job(&row.id).await?;
        sqlx::query("UPDATE jobs SET state = ?, standing = ? WHERE key = ?")
            .bind(row.state.as_str())
            .bind(json(row)?)
            .bind(key)
            .execute(&mut *write.sql)
            .await?;
    }
    // A job lists thousands of files at once: they go in as one value, which costs one statement.
    if !files.is_empty() {
        sqlx::query(
            "INSERT INTO files (job, idx, path, state, attempt, num, token, drone, outcome, bad, lost, expect, failed_before,
                 quarantined, part)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                    value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13,
                    value ->> 14
             FROM json_each(?) WHERE true
             ON CONFLICT (job, idx) DO UPDATE SET
                 path = excluded.path, state = excluded.state, attempt = excluded.attempt, num = excluded.num,
                 token = excluded.token, drone = excluded.drone, outcome = excluded.outcome, bad = excluded.bad,
                 lost = excluded.lost, expect = excluded.expect, failed_before = excluded.failed_before,
                 quarantined = excluded.quarantined, part = excluded.part",
        )
        .bind(Value::Array(files).to_string())
        .execute(&mut *write.sql)
        .await?;
    }
    if !leases.is_empty() {
        sqlx::query(
            "INSERT INTO leases (job, token, state, standing)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true
             ON CONFLICT (job, token) DO UPDATE SET state = excluded.state, standing = excluded.standing",
        )
        .bind(Value::Array(leases).to_string())
        .execute(&mut *write.sql)
        .await?;
    }
    Ok(())
}

fn file(job: i64, row: &FileRow) -> Result<Value, StoreError> {
    Ok(json!([
        job,
        row.index,
        row.path,
        file_state(row.state),
        row.attempt,
        row.num,
        row.token,
        row.drone,
        row.outcome.map(|outcome| outcome.as_str()),
        row.bad,
        row.lost,
        row.expect.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
        i64::from(row.failed_before),
        i64::from(row.quarantined),
        row.part.as_ref().map(json).transpose()?,
    ]))
}

fn lease(job: i64, row: &LeaseRow) -> Result<Value, StoreError> {
    Ok(json!([job, int(row.token.0)?, lease_state(row.state), json(row)?]))
}

/// Writes how far each drone's messages are applied. A life never seen before becomes the drone's last one; what comes
/// late for an earlier life only moves that one on.
pub async fn applied(write: &mut Write<'_>, applied: &[Applied]) -> Result<(), StoreError> {
    for Applied { drone, incarnation, n } in applied {
        sqlx::query(
            "INSERT INTO drones (id) VALUES (?) ON CONFLICT (id) DO NOTHING;
             INSERT INTO drone_lives (drone, incarnation, applied) VALUES (?, ?, ?)
             ON CONFLICT (drone, incarnation) DO UPDATE SET applied = max(applied, excluded.applied)",
        )
        .bind(drone.as_str())
        .bind(drone.as_str())
        .bind(incarnation.as_str())
        .bind(i64::try_from(*n).unwrap_or(i64::MAX))
        .execute(&mut *write.sql)
        .await?;
    }
    Ok(())
}
