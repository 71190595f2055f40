//! Jobs, files, leases and drones: what the scheduler says of them, written.
//!
//! Reading is in `list` (pages, one job, files) and `restore` (everything unfinished).

use super::{
    search,
    write::{Write, indexed, plain},
};
use crate::store::{
    Applied, Batch, StoreError, Submitted,
    rows::{authors, file_state, job_twice, last_rows, lease_state, no_row, note_ahead, sealed},
    stream::Stream,
    value::{int, json},
};
use scheduler::{FileRow, LeaseRow, Record};
use shared::JobId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Writes jobs that are new, each with its row from the same batch.
pub async fn submit(write: &mut Write<'_>, batch: &Batch) -> Result<(), StoreError> {
    if batch.submitted.is_empty() {
        return Ok(());
    }
    let keys = insert(write, batch).await?;
    let key = |job: &Submitted| keys.get(&job.spec.id).copied().ok_or_else(|| job_twice(&job.spec.id));
    let (mut job, mut digest, mut spec, mut data, mut secret) = (vec![], vec![], vec![], vec![], vec![]);
    let mut submitted = vec![];
    let (mut names, mut message, mut grams) = (vec![], vec![], vec![]);
    let (mut author, mut author_submitted, mut author_id, mut author_job) = (vec![], vec![], vec![], vec![]);
    for new in &batch.submitted {
        job.push(key(new)?);
        digest.push(&new.digest[..]);
        spec.push(json(&new.spec)?);
        data.push(new.data.shown().to_string());
        secret.push(sealed(new, write.sealer)?);
        submitted.push(new.spec.submitted.0);
        let text = search::Text::of(new, key(new)?);
        names.push(text.names);
        message.push(text.message);
        let list: Vec<String> = text.grams.iter().map(i32::to_string).collect();
        grams.push(format!("{{{}}}", list.join(",")));
        for name in authors(&new.data) {
            author.push(indexed(name));
            author_submitted.push(new.spec.submitted.0);
            author_id.push(new.spec.id.as_str());
            author_job.push(key(new)?);
        }
    }
    sqlx::query(
        "WITH streams AS (INSERT INTO streams (job, epoch) SELECT * FROM unnest($1::bigint[], $6::bigint[]))
         INSERT INTO job_data (job, digest, spec, data, sealed)
         SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::bytea[])",
    )
    .bind(&job)
    .bind(digest)
    .bind(spec)
    .bind(data)
    .bind(secret)
    .bind(submitted)
    .execute(&mut *write.sql)
    .await?;
    // Lists within a list would have to have one length: each is a text.
    sqlx::query(
        "INSERT INTO job_text (job, names, message, grams) SELECT job, names, message, grams::integer[]
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS new (job, names, message, grams)",
    )
    .bind(&job)
    .bind(names)
    .bind(message)
    .bind(grams)
    .execute(&mut *write.sql)
    .await?;
    if !author.is_empty() {
        sqlx::query(
            "INSERT INTO job_authors (author, submitted, id, job)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) ON CONFLICT DO NOTHING",
        )
        .bind(author)
        .bind(author_submitted)
        .bind(author_id)
        .bind(author_job)
        .execute(&mut *write.sql)
        .await?;
    }
    for new in &batch.submitted {
        let stream = Stream::new(key(new)?, new.spec.submitted);
        write.know(&new.spec.id, stream);
    }
    Ok(())
}

/// Writes the rows of new jobs, and that their projects have more; answers with their keys.
async fn insert(write: &mut Write<'_>, batch: &Batch) -> Result<HashMap<JobId, i64>, StoreError> {
    let rows = last_rows(&batch.records);
    let names: BTreeSet<_> = batch.submitted.iter().map(|job| &job.spec.project).collect();
    let projects = write.projects(names).await?.clone();
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut id, mut project, mut branch, mut kind) = (vec![], vec![], vec![], vec![]);
    let (mut submitted, mut state, mut standing) = (vec![], vec![], vec![]);
    let mut new = BTreeSet::new();
    for job in &batch.submitted {
        if !new.insert(&job.spec.id) {
            return Err(job_twice(&job.spec.id));
        }
        let row = rows.get(&job.spec.id).ok_or_else(|| no_row(&job.spec.id))?;
        let of = projects[&job.spec.project];
        *counts.entry(of).or_default() += 1;
        id.push(job.spec.id.as_str());
        project.push(of);
        branch.push(job.data.branch().map(indexed));
        kind.push(indexed(&job.data.trigger.kind));
        submitted.push(job.spec.submitted.0);
        state.push(row.state.as_str());
        standing.push(json(row)?);
    }
    let told: Vec<(String, i64)> = sqlx::query_as(
        "INSERT INTO jobs (id, project, branch, kind, submitted, state, standing)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
         ON CONFLICT (id) DO NOTHING RETURNING id, key",
    )
    .bind(id)
    .bind(project)
    .bind(branch)
    .bind(kind)
    .bind(submitted)
    .bind(state)
    .bind(standing)
    .fetch_all(&mut *write.sql)
    .await?;
    let told: HashMap<String, i64> = told.into_iter().collect();
    let mut keys = HashMap::new();
    for job in &batch.submitted {
        let id = &job.spec.id;
        // A row that was not written was there already.
        let key = told.get(id.as_str()).ok_or_else(|| job_twice(id))?;
        keys.insert(id.clone(), *key);
    }
    let (keys_of_projects, counts): (Vec<i64>, Vec<i64>) = counts.into_iter().unzip();
    sqlx::query(
        "UPDATE projects SET jobs = jobs + new.count FROM unnest($1::bigint[], $2::bigint[]) AS new (key, count)
         WHERE projects.key = new.key",
    )
    .bind(keys_of_projects)
    .bind(counts)
    .execute(&mut *write.sql)
    .await?;
    let mut times: Vec<(i64, i64)> = batch
        .submitted
        .iter()
        .map(|job| (keys[&job.spec.id], job.spec.submitted.0))
        .collect();
    times.sort_unstable();
    let mut latest = i64::MIN;
    for (at, (key, submitted)) in times.into_iter().enumerate() {
        // What came before this batch is looked at once, beside those of the batch that came too early.
        if at == 0 || submitted < latest {
            sqlx::query(note_ahead!("$1", "$2"))
                .bind(submitted)
                .bind(key)
                .execute(&mut *write.sql)
                .await?;
        }
        latest = submitted;
    }
    Ok(keys)
}

/// Writes the scheduler's rows; of several for one thing the last one counts.
pub async fn record(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    let mut files: BTreeMap<(i64, u32), &FileRow> = BTreeMap::new();
    let mut leases: BTreeMap<(i64, u64), &LeaseRow> = BTreeMap::new();
    let mut drones: BTreeMap<&str, (Option<bool>, Option<f64>)> = BTreeMap::new();
    let mut emptied = Vec::new();
    for record in records {
        match record {
            Record::Job(_) => {}
            Record::File(row) => {
                files.insert((write.job(&row.job)?, row.index), row);
            }
            Record::NoFiles(id) => {
                let key = write.job(id)?;
                files.retain(|(job, _), _| *job != key);
                emptied.push(key);
            }
            Record::Lease(row) => {
                leases.insert((write.job(&row.job)?, row.token.0), row);
            }
            Record::Drain { drone, on } => drones.entry(drone.as_str()).or_default().0 = Some(*on),
            Record::Learned { drone, factor } => drones.entry(drone.as_str()).or_default().1 = Some(*factor),
        }
    }
    write_jobs(write, records).await?;
    if !emptied.is_empty() {
        sqlx::query("DELETE FROM files WHERE job = ANY($1)")
            .bind(emptied)
            .execute(&mut *write.sql)
            .await?;
    }
    if !files.is_empty() {
        write_files(write, &files).await?;
    }
    if !leases.is_empty() {
        write_leases(write, &leases).await?;
    }
    if !drones.is_empty() {
        write_drones(write, &drones).await?;
    }
    Ok(())
}

async fn write_jobs(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    let (mut key, mut state, mut standing) = (vec![], vec![], vec![]);
    for (id, row) in last_rows(records) {
        key.push(write.job(id)?);
        state.push(row.state.as_str());
        standing.push(json(row)?);
    }
    if key.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE jobs SET state = new.state, standing = new.standing
         FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (key, state, standing) WHERE jobs.key = new.key",
    )
    .bind(key)
    .bind(state)
    .bind(standing)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}

async fn write_files(write: &mut Write<'_>, files: &BTreeMap<(i64, u32), &FileRow>) -> Result<(), StoreError> {
    let of = |take: fn(&FileRow) -> i64| -> Vec<i64> { files.values().map(|row| take(row)).collect() };
    let maybe =
        |take: fn(&FileRow) -> Option<i64>| -> Vec<Option<i64>> { files.values().map(|row| take(row)).collect() };
    let path: Vec<String> = files.values().map(|row| plain(&row.path)).collect();
    let name: Vec<String> = files.values().map(|row| indexed(&row.path)).collect();
    let state: Vec<&str> = files.values().map(|row| file_state(row.state)).collect();
    let drone: Vec<Option<&str>> = files
        .values()
        .map(|row| row.drone.as_ref().map(|id| id.as_str()))
        .collect();
    let outcome: Vec<Option<&str>> = files
        .values()
        .map(|row| row.outcome.map(|word| word.as_str()))
        .collect();
    let part = files.values().map(|row| row.part.as_ref().map(json).transpose());
    let part: Vec<Option<String>> = part.collect::<Result<_, _>>()?;
    let failed: Vec<bool> = files.values().map(|row| row.failed_before).collect();
    let quarantined: Vec<bool> = files.values().map(|row| row.quarantined).collect();
    sqlx::query(
        "INSERT INTO files (job, idx, path, name, state, attempt, num, token, drone, outcome, bad, lost, expect,
             failed_before, quarantined, part)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bool[],
             $15::bool[], $16::text[])
         ON CONFLICT (job, idx) DO UPDATE SET
             path = excluded.path, name = excluded.name, state = excluded.state, attempt = excluded.attempt,
             num = excluded.num, token = excluded.token, drone = excluded.drone, outcome = excluded.outcome,
             bad = excluded.bad, lost = excluded.lost, expect = excluded.expect, failed_before = excluded.failed_before,
             quarantined = excluded.quarantined, part = excluded.part",
    )
    .bind(files.keys().map(|(job, _)| *job).collect::<Vec<_>>())
    .bind(of(|row| i64::from(row.index)))
    .bind(path)
    .bind(name)
    .bind(state)
    .bind(of(|row| i64::from(row.attempt.0)))
    .bind(maybe(|row| row.num.map(|num| i64::from(num.0))))
    .bind(maybe(|row| row.token.map(|token| i64::try_from(token.0).unwrap_or(i64::MAX))))
    .bind(drone)
    .bind(outcome)
    .bind(of(|row| i64::from(row.bad)))
    .bind(of(|row| i64::from(row.lost)))
    .bind(maybe(|row| row.expect.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX))))
    .bind(failed)
    .bind(quarantined)
    .bind(part)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}

async fn write_leases(write: &mut Write<'_>, leases: &BTreeMap<(i64, u64), &LeaseRow>) -> Result<(), StoreError> {
    let (mut job, mut token, mut state, mut standing) = (vec![], vec![], vec![], vec![]);
    for ((key, number), row) in leases {
        job.push(*key);
        token.push(int(*number)?);
        state.push(lease_state(row.state));
        standing.push(json(row)?);
    }
    sqlx::query(
        "INSERT INTO leases (job, token, state, standing)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
         ON CONFLICT (job, token) DO UPDATE SET state = excluded.state, standing = excluded.standing",
    )
    .bind(job)
    .bind(token)
    .bind(state)
    .bind(standing)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}

async fn write_drones(
    write: &mut Write<'_>,
    drones: &BTreeMap<&str, (Option<bool>, Option<f64>)>,
) -> Result<(), StoreError> {
    for (id, (draining, learned)) in drones {
        sqlx::query(
            "INSERT INTO drones (id, draining, learned) VALUES ($1, coalesce($2, false), $3)
             ON CONFLICT (id) DO UPDATE SET
                 draining = coalesce($2, drones.draining), learned = coalesce($3, drones.learned)",
        )
        .bind(*id)
        .bind(*draining)
        .bind(*learned)
        .execute(&mut *write.sql)
        .await?;
    }
    Ok(())
}

/// What was applied of the lives of drones, in columns: each once, in the order in which they were first told, for the last
/// life of a drone has the greatest key.
#[derive(Default)]
pub struct Lives<'a> {
    /// Drones.
    pub drone: Vec<&'a str>,
    /// Their incarnations.
    pub incarnation: Vec<&'a str>,
    /// The numbers.
    pub applied: Vec<i64>,
}

impl<'a> Lives<'a> {
    /// Of several numbers of one life the greatest counts.
    pub fn of(applied: &'a [Applied]) -> Self {
        let mut lives = Self::default();
        let mut place = HashMap::new();
        for one in applied {
            let n = i64::try_from(one.n).unwrap_or(i64::MAX);
            let at = *place.entry((&one.drone, &one.incarnation)).or_insert_with(|| {
                lives.drone.push(one.drone.as_str());
                lives.incarnation.push(one.incarnation.as_str());
                lives.applied.push(n);
                lives.applied.len() - 1
            });
            lives.applied[at] = lives.applied[at].max(n);
        }
        lives
    }
}

/// Writes how far each drone's messages are applied. A life never seen before becomes the drone's last one; what comes
/// late for an earlier life only moves that one on.
pub async fn applied(write: &mut Write<'_>, applied: &[Applied]) -> Result<(), StoreError> {
    if applied.is_empty() {
        return Ok(());
    }
    let lives = Lives::of(applied);
    sqlx::query(
        "WITH known AS (INSERT INTO drones (id) SELECT DISTINCT * FROM unnest($1::text[]) ON CONFLICT (id) DO NOTHING)
         INSERT INTO drone_lives (drone, incarnation, applied)
         SELECT drone, incarnation, n FROM unnest($1::text[], $2::text[], $3::bigint[])
             WITH ORDINALITY AS new (drone, incarnation, n, place) ORDER BY place
         ON CONFLICT (drone, incarnation) DO UPDATE SET applied = greatest(drone_lives.applied, excluded.applied)",
    )
    .bind(lives.drone)
    .bind(lives.incarnation)
    .bind(lives.applied)
    .execute(&mut *write.sql)
    .await?;
    Ok(())
}
