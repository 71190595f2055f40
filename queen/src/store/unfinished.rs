//! What a queen finds at its start: everything unfinished, with secrets. The databases see to it that it is one moment.

use super::{
    Restored, RestoredDrone, RestoredJob, StoreError,
    rows::{self, file_columns, last_seq},
    seal::Sealer,
    sql::Sql,
    value::{Cells, get_json},
};
use shared::{JobData, JobId};
use std::collections::HashMap;

macro_rules! is_unfinished {
    () => {
        " jobs.state IN ('queued', 'running') "
    };
}

/// See [`Store::restore`](super::Store::restore). Asks more than once: in a transaction that sees one moment.
pub async fn all(sql: &mut impl Sql, sealer: &Sealer) -> Result<Restored, StoreError> {
    Ok(Restored {
        jobs: jobs(sql, sealer).await?,
        drones: drones(sql).await?,
    })
}

async fn jobs(sql: &mut impl Sql, sealer: &Sealer) -> Result<Vec<RestoredJob>, StoreError> {
    let whole = concat!(
        "SELECT key, id, standing, spec, data, sealed, ",
        last_seq!(),
        " FROM jobs JOIN job_data ON job_data.job = jobs.key JOIN streams ON streams.job = jobs.key WHERE",
        is_unfinished!(),
        "ORDER BY submitted, id"
    );
    let rows = sql.rows(whole, &[]).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    let mut at = HashMap::with_capacity(rows.len());
    for row in &rows {
        at.insert(row.int("key")?, jobs.len());
        jobs.push(rows::unfinished(row, sealer)?);
    }

    let files = concat!(
        "SELECT files.job, ",
        file_columns!(),
        " FROM jobs JOIN files ON files.job = jobs.key WHERE",
        is_unfinished!(),
        "ORDER BY files.job, idx"
    );
    for row in &sql.rows(files, &[]).await? {
        let job: &mut RestoredJob = &mut jobs[at[&row.int("job")?]];
        job.files.push(rows::file(row, &job.spec.id)?);
    }

    let leases = concat!(
        "SELECT job, leases.standing FROM jobs JOIN leases ON leases.job = jobs.key WHERE leases.state != 'ended' AND",
        is_unfinished!(),
        "ORDER BY job, token"
    );
    for row in &sql.rows(leases, &[]).await? {
        jobs[at[&row.int("job")?]].leases.push(get_json(row, "standing")?);
    }
    Ok(jobs)
}

async fn drones(sql: &mut impl Sql) -> Result<Vec<RestoredDrone>, StoreError> {
    let drones = "SELECT id, draining, learned, incarnation, coalesce(applied, 0) AS applied
         FROM drones LEFT JOIN drone_lives ON drone_lives.key = (SELECT max(key) FROM drone_lives WHERE drone = id)
         ORDER BY id";
    sql.rows(drones, &[]).await?.iter().map(rows::drone).collect()
}

/// See [`Store::job_data`](super::Store::job_data).
pub async fn job_data(sql: &mut impl Sql, sealer: &Sealer, id: &JobId) -> Result<Option<JobData>, StoreError> {
    let data = "SELECT data, sealed FROM job_data WHERE job = (SELECT key FROM jobs WHERE id = $1)";
    let row = sql.row(data, &[id.as_str().into()]).await?;
    row.map(|row| rows::data_of(&row, id, sealer)).transpose()
}
