//! Files under quarantine: those that somebody has put there, how they did since, and whether there is room for one more.
//!
//! Owns the statements, which are the same for both databases. What a quarantine means for a job is the scheduler's business.
//! Paths and texts are as the database keeps them: whoever calls sees to that.

use super::{
    Entered, PastRun, Quarantine, Quarantined, StoreError, rows,
    sql::Sql,
    value::{Cells, get_uint},
};
use shared::{Project, Timestamp};
use std::collections::{HashMap, HashSet};

/// Runs that are told of each file.
const RUNS: i64 = 10;

/// See [`Store::quarantined`](super::Store::quarantined).
pub async fn of(sql: &mut impl Sql, project: &Project, paths: &[&str]) -> Result<Vec<bool>, StoreError> {
    let rows = sql
        .rows(
            "SELECT path FROM quarantine WHERE project = (SELECT key FROM projects WHERE name = $1)",
            &[project.as_str().into()],
        )
        .await?;
    let known = rows.iter().map(|row| row.text("path"));
    let known = known.collect::<Result<HashSet<&str>, _>>()?;
    Ok(paths.iter().map(|path| known.contains(path)).collect())
}

/// See [`Store::quarantine`](super::Store::quarantine). `newest`: the database's own words for the newest `$2` runs of each
/// file of project `$1`, newest first, with the file's path as `file`.
pub async fn all(sql: &mut impl Sql, newest: &'static str, project: &Project) -> Result<Vec<Quarantined>, StoreError> {
    let mut runs: HashMap<String, Vec<PastRun>> = HashMap::new();
    for row in &sql.rows(newest, &[project.as_str().into(), RUNS.into()]).await? {
        let file = row.text("file")?.to_owned();
        runs.entry(file).or_default().push(rows::past_run(row)?);
    }
    let entries = sql
        .rows(
            "SELECT quarantine.path, reason, who, since, failed_at FROM quarantine
             LEFT JOIN durations ON durations.project = quarantine.project AND durations.path = quarantine.path
             WHERE quarantine.project = (SELECT key FROM projects WHERE name = $1) ORDER BY quarantine.path",
            &[project.as_str().into()],
        )
        .await?;
    let whole = entries.iter().map(|row| {
        let path = row.text("path")?;
        Ok(Quarantined {
            runs: runs.remove(path).unwrap_or_default(),
            failed_at: row.maybe_int("failed_at")?.map(Timestamp),
            entry: Quarantine {
                path: path.to_owned(),
                reason: row.text("reason")?.to_owned(),
                who: row.maybe_text("who")?.map(ToOwned::to_owned),
                since: Timestamp(row.int("since")?),
            },
        })
    });
    whole.collect()
}

/// See [`Store::put_in_quarantine`](super::Store::put_in_quarantine). Asks more than once: in a transaction.
pub async fn put(
    sql: &mut impl Sql,
    project: &Project,
    entry: &Quarantine,
    limit: usize,
) -> Result<Entered, StoreError> {
    let (name, path) = (project.as_str(), entry.path.as_str());
    let (reason, who) = (entry.reason.as_str(), entry.who.as_deref());
    let changed = sql
        .run(
            "UPDATE quarantine SET reason = $3, who = $4
             WHERE project = (SELECT key FROM projects WHERE name = $1) AND path = $2",
            &[name.into(), path.into(), reason.into(), who.into()],
        )
        .await?;
    if changed > 0 {
        return Ok(Entered::Changed);
    }
    let count = sql
        .row(
            "SELECT count(*) AS count FROM quarantine WHERE project = (SELECT key FROM projects WHERE name = $1)",
            &[name.into()],
        )
        .await?;
    let count: usize = count.map_or(Ok(0), |row| get_uint(&row, "count"))?;
    if count >= limit {
        return Ok(Entered::Full);
    }
    let added = sql
        .run(
            "INSERT INTO quarantine (project, path, reason, who, since)
             SELECT key, $2, $3, $4, $5 FROM projects WHERE name = $1",
            &[
                name.into(),
                path.into(),
                reason.into(),
                who.into(),
                entry.since.0.into(),
            ],
        )
        .await?;
    match added {
        0 => Err(StoreError::Refused(format!("there is no project {project}"))),
        _ => Ok(Entered::Added),
    }
}

/// See [`Store::lift_quarantine`](super::Store::lift_quarantine).
pub async fn lift(sql: &mut impl Sql, project: &Project, path: &str) -> Result<bool, StoreError> {
    let lifted = sql
        .run(
            "DELETE FROM quarantine WHERE project = (SELECT key FROM projects WHERE name = $1) AND path = $2",
            &[project.as_str().into(), path.into()],
        )
        .await?;
    Ok(lifted > 0)
}
