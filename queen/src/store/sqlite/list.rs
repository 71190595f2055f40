//! Jobs as lists and pages show them: one, a page of many, its files.
//!
//! A page is answered from an index in the page's order, so that it costs the same in a store of a hundred jobs and of
//! a hundred thousand. Two filters need more: several states are asked for one by one and merged, and a text that is
//! rare is looked up first (`search`; a common one is found soon by walking).

use super::search::{self, Candidates};
use crate::store::{
    JobFilter, StoreError, StoredFile, StoredJob,
    rows::{FILE, page_limit, stored, stored_file},
};
use shared::{JobId, JobState};
use sqlx::{QueryBuilder, Sqlite, sqlite::SqlitePool};

const JOB: &str = "SELECT jobs.submitted, jobs.standing, digest, data, last_seq, log_removed
    FROM jobs JOIN job_data ON job_data.job = jobs.key JOIN streams ON streams.job = jobs.key
    LEFT JOIN endings ON endings.job = jobs.key";
const NEWEST_FIRST: &str = " ORDER BY jobs.submitted DESC, jobs.id DESC";

/// See [`Store::job`](crate::store::Store::job).
pub async fn job(readers: &SqlitePool, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(JOB);
    query.push(" WHERE jobs.id = ").push_bind(id.as_str());
    let row = query.build().fetch_optional(readers).await?;
    row.as_ref().map(stored).transpose()
}

/// See [`Store::jobs`](crate::store::Store::jobs).
pub async fn page(readers: &SqlitePool, filter: &JobFilter) -> Result<Vec<StoredJob>, StoreError> {
    let candidates = match &filter.text {
        Some(text) => search::candidates(readers, text).await?,
        None => Candidates::TooMany,
    };
    let candidates = match &candidates {
        Candidates::None => return Ok(Vec::new()),
        Candidates::Few(matching) => Some(matching.as_str()),
        Candidates::TooMany => None,
    };
    let mut query = page_query(filter, candidates);
    query.build().fetch_all(readers).await?.iter().map(stored).collect()
}

/// The statement for a page; `candidates` is what to ask the index of trigrams first.
pub fn page_query(filter: &JobFilter, candidates: Option<&str>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(JOB);
    query.push(" WHERE jobs.key IN (");
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    if states.len() > 1 && filter.author.is_none() && candidates.is_none() {
        query.push("SELECT key FROM (");
        for (at, state) in states.iter().enumerate() {
            if at > 0 {
                query.push(" UNION ALL ");
            }
            query.push("SELECT * FROM (");
            select(&mut query, filter, std::slice::from_ref(state), None);
            query.push(")");
        }
        query.push(") AS jobs").push(NEWEST_FIRST);
        query.push(" LIMIT ").push_bind(page_limit(filter.limit));
    } else {
        query.push("SELECT key FROM (");
        select(&mut query, filter, &states, candidates);
        query.push(")");
    }
    query.push(")").push(NEWEST_FIRST);
    query
}

/// One walk in the page's order.
fn select(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter, states: &[JobState], candidates: Option<&str>) {
    query.push("SELECT jobs.key, jobs.submitted, jobs.id FROM ");
    // CROSS JOIN: SQLite is to begin with the narrow table, whatever it thinks of sizes.
    let mut order = NEWEST_FIRST;
    match (candidates, &filter.author) {
        (Some(matching), author) => {
            query.push("job_text CROSS JOIN jobs ON jobs.key = job_text.rowid WHERE job_text MATCH ");
            query.push_bind(matching);
            if let Some(author) = author {
                query.push(" AND EXISTS (SELECT 1 FROM job_authors AS a WHERE a.author = ");
                query.push_bind(author);
                query.push(" AND a.submitted = jobs.submitted AND a.id = jobs.id)");
            }
        }
        (None, Some(author)) => {
            query.push("job_authors AS a CROSS JOIN jobs ON jobs.key = a.job WHERE a.author = ");
            query.push_bind(author);
            order = " ORDER BY a.submitted DESC, a.id DESC";
        }
        (None, None) => {
            query.push("jobs WHERE true");
        }
    }
    // Unfinished jobs are few, whatever else is asked of them: a plus keeps SQLite from walking another index.
    let few = !states.is_empty() && !states.iter().any(|state| state.is_final());
    let and = if few { " AND +jobs." } else { " AND jobs." };
    if let Some(project) = &filter.project {
        query
            .push(and)
            .push("project = (SELECT key FROM projects WHERE name = ");
        query.push_bind(project.as_str()).push(")");
    }
    if let Some(branch) = &filter.branch {
        query.push(and).push("branch = ").push_bind(branch);
    }
    if let Some(kind) = &filter.trigger {
        query.push(and).push("kind = ").push_bind(kind);
    }
    if !states.is_empty() {
        query.push(" AND jobs.state IN (");
        let mut list = query.separated(", ");
        for state in states {
            list.push_bind(state.as_str());
        }
        query.push(")");
    }
    if let Some(before) = &filter.before {
        let of = if order == NEWEST_FIRST { "jobs" } else { "a" };
        query.push(format!(" AND ({of}.submitted, {of}.id) < ("));
        query.push_bind(before.submitted.0).push(", ");
        query.push_bind(before.id.as_str()).push(")");
    }
    if let Some(text) = &filter.text {
        let pattern = search::pattern(text);
        for (at, what) in [
            "jobs.id",
            "jobs.branch",
            "(SELECT name FROM projects WHERE key = jobs.project)",
            "(SELECT message FROM job_data WHERE job = jobs.key)",
        ]
        .into_iter()
        .enumerate()
        {
            query.push(if at == 0 { " AND (" } else { " OR " });
            query.push(what).push(" LIKE ").push_bind(&pattern).push(" ESCAPE '\\'");
        }
        query.push(")");
    }
    query.push(order).push(" LIMIT ").push_bind(page_limit(filter.limit));
}

/// See [`Store::files`](crate::store::Store::files). What an earlier try of the whole job left under the same attempt
/// has another command and does not count.
pub async fn files(readers: &SqlitePool, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    query.push(FILE);
    query.push(
        ", results.at, results.result FROM jobs JOIN files ON files.job = jobs.key
         LEFT JOIN results ON results.key =
             (SELECT max(key) FROM results WHERE job = files.job AND path = files.path AND (attempt < files.attempt
                  OR attempt = files.attempt AND num = coalesce(files.num, num)))
         WHERE jobs.id = ",
    );
    query.push_bind(id.as_str()).push(" ORDER BY files.idx");
    let rows = query.build().fetch_all(readers).await?;
    rows.iter().map(|row| stored_file(row, id)).collect()
}

#[cfg(test)]
#[path = "list_plan.rs"]
mod plan;
