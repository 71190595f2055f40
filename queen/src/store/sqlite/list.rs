//! Jobs as lists and pages show them: one, a page of many, its files.
//!
//! A page is answered from an index in the page's order, so that it costs the same in a store of a hundred jobs and of
//! a hundred thousand. Two filters need more: several states are asked for one by one and merged, and a text is looked for
//! in the newest jobs first, which have one that is common, and then in the order in which the index of texts finds it,
//! which is nearly that of the page (`newest`).

use super::{
    search::{self, Candidates},
    value::{Cells, get_uint, json},
};
use crate::store::{
    JobFilter, StoreError, StoredFile, StoredJob,
    newest::{Newest, WALKS, after},
    rows::{FILE, JOB, page_limit, stored, stored_file},
};
use futures_util::TryStreamExt;
use shared::{JobId, JobState};
use sqlx::{QueryBuilder, Sqlite, sqlite::SqlitePool};

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
    let mut query = match &filter.text {
        None => page_query(filter),
        Some(text) => {
            let keys = with_text(readers, filter, text).await?;
            let mut query = QueryBuilder::new(JOB);
            query.push(" WHERE jobs.key IN (SELECT value FROM json_each(");
            query.push_bind(json(&keys)?).push("))").push(NEWEST_FIRST);
            query
        }
    };
    query.build().fetch_all(readers).await?.iter().map(stored).collect()
}

/// The keys of a page's jobs that have a text.
async fn with_text(readers: &SqlitePool, filter: &JobFilter, text: &str) -> Result<Vec<i64>, StoreError> {
    let late: i64 = sqlx::query_scalar("SELECT late FROM arrivals")
        .fetch_one(readers)
        .await?;
    for count in WALKS {
        let (page, all) = walk(readers, filter, text, count, late).await?;
        if page.is_full() || all {
            return Ok(page.keys());
        }
        if page.is_sparse() {
            break;
        }
    }
    let matching = match search::candidates(readers, text).await? {
        Candidates::None => return Ok(Vec::new()),
        Candidates::All => return Ok(walk(readers, filter, text, u32::MAX, late).await?.0.keys()),
        Candidates::Some(matching) => matching,
    };
    let mut page = Newest::new(page_limit(filter.limit), late);
    let mut query = found_query(filter, text, &matching, after(filter.before.as_ref(), late));
    let mut rows = query.build().fetch(readers);
    while let Some(row) = rows.try_next().await? {
        if page.is_done(row.int("submitted")?) {
            break;
        }
        page.add(&row)?;
    }
    Ok(page.keys())
}

/// Looks for a text in the first `count` jobs of the list; answers also whether those are surely all.
async fn walk(
    readers: &SqlitePool,
    filter: &JobFilter,
    text: &str,
    count: u32,
    late: i64,
) -> Result<(Newest, bool), StoreError> {
    let mut page = Newest::new(page_limit(filter.limit), late);
    let mut seen = count;
    for row in &walk_query(filter, text, count).build().fetch_all(readers).await? {
        seen = get_uint(row, "seen")?;
        page.add(row)?;
    }
    Ok((page, seen < count))
}

/// The statement for a page without a text.
fn page_query(filter: &JobFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(JOB);
    query.push(" WHERE jobs.key IN (SELECT key FROM (");
    first(&mut query, filter, page_limit(filter.limit));
    query.push("))").push(NEWEST_FIRST);
    query
}

/// The statement for those of the first `count` jobs that have a text.
fn walk_query(filter: &JobFilter, text: &str, count: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("WITH seen AS MATERIALIZED (");
    first(&mut query, filter, count);
    query.push(
        ") SELECT jobs.key, jobs.submitted, jobs.id, (SELECT count(*) FROM seen) AS seen
         FROM seen CROSS JOIN jobs ON jobs.key = seen.key WHERE true",
    );
    has(&mut query, text);
    query.push(" ORDER BY seen.submitted DESC, seen.id DESC LIMIT ");
    query.push_bind(page_limit(filter.limit));
    query
}

/// The statement for the jobs that have a text, in the order of the index, which was asked for what is `matching`, without
/// those that came after one of time `after`.
fn found_query(filter: &JobFilter, text: &str, matching: &str, after: i64) -> QueryBuilder<Sqlite> {
    // CROSS JOIN: SQLite is to begin with the index, whatever it thinks of sizes.
    let mut query = QueryBuilder::new(
        "SELECT jobs.key, jobs.submitted, jobs.id FROM job_text CROSS JOIN jobs ON jobs.key = job_text.rowid
         WHERE job_text MATCH ",
    );
    query.push_bind(matching.to_owned());
    query.push(" AND job_text.rowid < coalesce((SELECT key FROM jobs WHERE submitted > ");
    query.push_bind(after).push(" ORDER BY submitted, id LIMIT 1), ");
    query.push_bind(i64::MAX).push(")");
    if let Some(author) = &filter.author {
        query.push(" AND EXISTS (SELECT 1 FROM job_authors AS a WHERE a.author = ");
        query.push_bind(author);
        query.push(" AND a.submitted = jobs.submitted AND a.id = jobs.id)");
    }
    conditions(&mut query, filter, &filter.states, "jobs");
    has(&mut query, text);
    query.push(" ORDER BY job_text.rowid DESC");
    query
}

/// The first `count` jobs of the list, whatever their texts.
fn first(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter, count: u32) {
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    if states.len() > 1 && filter.author.is_none() {
        query.push("SELECT * FROM (");
        for (at, state) in states.iter().enumerate() {
            if at > 0 {
                query.push(" UNION ALL ");
            }
            query.push("SELECT * FROM (");
            select(query, filter, std::slice::from_ref(state), count);
            query.push(")");
        }
        query.push(") AS jobs").push(NEWEST_FIRST);
        query.push(" LIMIT ").push_bind(count);
    } else {
        select(query, filter, &states, count);
    }
}

/// One walk in the page's order.
fn select(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter, states: &[JobState], count: u32) {
    query.push("SELECT jobs.key, jobs.submitted, jobs.id FROM ");
    let (of, order) = match &filter.author {
        Some(author) => {
            query.push("job_authors AS a CROSS JOIN jobs ON jobs.key = a.job WHERE a.author = ");
            query.push_bind(author);
            ("a", " ORDER BY a.submitted DESC, a.id DESC")
        }
        None => {
            query.push("jobs WHERE true");
            ("jobs", NEWEST_FIRST)
        }
    };
    conditions(query, filter, states, of);
    query.push(order).push(" LIMIT ").push_bind(count);
}

/// What is asked of a job, but for its author and its text. `of`: the table whose order is walked.
fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter, states: &[JobState], of: &str) {
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
        query.push(format!(" AND ({of}.submitted, {of}.id) < ("));
        query.push_bind(before.submitted.0).push(", ");
        query.push_bind(before.id.as_str()).push(")");
    }
}

/// Looks at the texts of a job.
fn has(query: &mut QueryBuilder<Sqlite>, text: &str) {
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
        query
            .push(what)
            .push(" LIKE ")
            .push_bind(pattern.clone())
            .push(" ESCAPE '\\'");
    }
    query.push(")");
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
