//! What a queen finds at its start: everything unfinished, with secrets, as one moment of the database.

use super::session::Writer;
use crate::store::{
    Restored, RestoredDrone, RestoredJob, StoreError, rows,
    seal::Sealer,
    value::{Cells, get_json},
};
use shared::{JobData, JobId};
use sqlx::{
    Connection, Postgres, QueryBuilder,
    postgres::{PgConnection, PgPool},
};
use std::collections::HashMap;

const UNFINISHED: &str = "jobs.state IN ('queued', 'running')";

/// See [`Store::restore`](crate::store::Store::restore). Read by the writer: when it has its turn, nothing that was
/// under way before can change what is read.
pub async fn restore(writer: &Writer, sealer: &Sealer) -> Result<Restored, StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session| {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let mut moment = session.sql.begin_with(begin).await?;
        writer.fence(&mut moment).await?;
        let jobs = jobs(&mut moment, sealer).await?;
        let drones = drones(&mut moment).await?;
        moment.rollback().await?;
        Ok(Restored { jobs, drones })
    })
    .await
}

async fn jobs(sql: &mut PgConnection, sealer: &Sealer) -> Result<Vec<RestoredJob>, StoreError> {
    let mut query = QueryBuilder::<Postgres>::new(rows::WHOLE);
    query.push(UNFINISHED).push(" ORDER BY submitted, id");
    let rows = query.build().fetch_all(&mut *sql).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    let mut at = HashMap::with_capacity(rows.len());
    for row in &rows {
        at.insert(row.int("key")?, jobs.len());
        jobs.push(rows::unfinished(row, sealer)?);
    }

    let mut query = QueryBuilder::<Postgres>::new("SELECT files.job, ");
    query
        .push(rows::FILE)
        .push(" FROM jobs JOIN files ON files.job = jobs.key WHERE ");
    query.push(UNFINISHED).push(" ORDER BY files.job, idx");
    for row in &query.build().fetch_all(&mut *sql).await? {
        let job: &mut RestoredJob = &mut jobs[at[&row.int("job")?]];
        job.files.push(rows::file(row, &job.spec.id)?);
    }

    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT job, leases.standing FROM jobs JOIN leases ON leases.job = jobs.key
         WHERE leases.state != 'ended' AND ",
    );
    query.push(UNFINISHED).push(" ORDER BY job, token");
    for row in &query.build().fetch_all(&mut *sql).await? {
        jobs[at[&row.int("job")?]].leases.push(get_json(row, "standing")?);
    }
    Ok(jobs)
}

async fn drones(sql: &mut PgConnection) -> Result<Vec<RestoredDrone>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, draining, learned, incarnation, coalesce(applied, 0) AS applied
         FROM drones LEFT JOIN drone_lives ON drone_lives.key = (SELECT max(key) FROM drone_lives WHERE drone = id)
         ORDER BY id",
    )
    .fetch_all(sql)
    .await?;
    rows.iter().map(rows::drone).collect()
}

/// See [`Store::job_data`](crate::store::Store::job_data).
pub async fn job_data(pool: &PgPool, sealer: &Sealer, id: &JobId) -> Result<Option<JobData>, StoreError> {
    let row = sqlx::query("SELECT data, sealed FROM job_data WHERE job = (SELECT key FROM jobs WHERE id = $1)")
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|row| rows::data_of(&row, id, sealer)).transpose()
}
