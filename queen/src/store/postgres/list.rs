//! Jobs as lists and pages show them: one, a page of many, its files.
//!
//! A page is answered from an index in the page's order, so that it costs the same in a store of a hundred jobs and of
//! a hundred thousand. Two filters need more: several states are asked for one by one and merged, and a text is looked for
//! in the newest jobs first, which have one that is common, and then by the index of texts, block by block, in an order
//! that is nearly that of the page (`newest`). The pool's connections plan for that: see `open`.

use super::{
    search::{self, Wanted},
    write::indexed,
};
use crate::store::{
    JobFilter, StoreError, StoredFile, StoredJob,
    newest::{Newest, WALKS, after},
    rows::{FILE, JOB, page_limit, stored, stored_file},
    value::Cells,
};
use shared::{JobId, JobState};
use sqlx::{
    Postgres, QueryBuilder,
    postgres::{PgConnection, PgPool},
};
use std::ops::Range;

const NEWEST_FIRST: &str = " ORDER BY jobs.submitted DESC, jobs.id DESC";

/// See [`Store::job`](crate::store::Store::job).
pub async fn job(pool: &PgPool, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
    let mut query = QueryBuilder::<Postgres>::new(JOB);
    query.push(" WHERE jobs.id = ").push_bind(id.as_str());
    let row = query.build().fetch_optional(pool).await?;
    row.as_ref().map(stored).transpose()
}

/// See [`Store::jobs`](crate::store::Store::jobs).
pub async fn page(pool: &PgPool, filter: &JobFilter) -> Result<Vec<StoredJob>, StoreError> {
    let mut query = QueryBuilder::new("");
    match filter.text.as_deref().map(Wanted::of) {
        None => page_query(&mut query, filter),
        Some(wanted) => {
            let keys = with_text(&mut *pool.acquire().await?, filter, &wanted).await?;
            query.push(JOB).push(" WHERE jobs.key = ANY(").push_bind(keys);
            query.push(") ORDER BY jobs.submitted + 0 DESC, jobs.id DESC");
        }
    }
    query.build().fetch_all(pool).await?.iter().map(stored).collect()
}

/// The keys of a page's jobs that have a text.
async fn with_text(sql: &mut PgConnection, filter: &JobFilter, wanted: &Wanted) -> Result<Vec<i64>, StoreError> {
    let late: i64 = sqlx::query_scalar("SELECT late FROM arrivals")
        .fetch_one(&mut *sql)
        .await?;
    for count in WALKS {
        let mut page = Newest::new(page_limit(filter.limit), late);
        let mut query = QueryBuilder::new("");
        walk_query(&mut query, filter, wanted, count);
        let mut seen = i64::from(count);
        for row in &query.build().fetch_all(&mut *sql).await? {
            seen = row.int("seen")?;
            page.add(row)?;
        }
        if page.is_full() || seen < i64::from(count) {
            return Ok(page.keys());
        }
        if page.is_sparse() {
            break;
        }
    }
    let mut page = Newest::new(page_limit(filter.limit), late);
    let (oldest, mut end): (i64, i64) = sqlx::query_as(
        "SELECT coalesce((SELECT min(key) FROM jobs), 0), coalesce(
             (SELECT key FROM jobs WHERE submitted > $1 ORDER BY submitted, id LIMIT 1), (SELECT max(key) + 1 FROM jobs), 0)",
    )
    .bind(after(filter.before.as_ref(), late))
    .fetch_one(&mut *sql)
    .await?;
    // One more than fits: the page is done unless that is of the same time.
    let some = page_limit(filter.limit) + 1;
    while end > oldest {
        let block = search::block(end - 1);
        let mut query = QueryBuilder::new("");
        found_query(&mut query, filter, wanted, block.start..end, some);
        let rows = query.build().fetch_all(&mut *sql).await?;
        for row in &rows {
            page.add(row)?;
        }
        end = match rows.last() {
            Some(last) if rows.len() == some as usize => last.int("key")?,
            _ => block.start,
        };
        if page.is_full() {
            let next: Option<i64> =
                sqlx::query_scalar("SELECT submitted FROM jobs WHERE key >= $1 ORDER BY key LIMIT 1")
                    .bind(end)
                    .fetch_optional(&mut *sql)
                    .await?;
            if next.is_none_or(|submitted| page.is_done(submitted)) {
                break;
            }
        }
    }
    Ok(page.keys())
}

/// The statement for a page without a text.
fn page_query(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    query.push("WITH page AS MATERIALIZED (");
    first(query, filter, page_limit(filter.limit));
    // In the page's own order: by that of the jobs, an index over all of them would be walked for it.
    query.push(") ").push(JOB);
    query.push(" JOIN page ON page.key = jobs.key ORDER BY page.submitted DESC, page.id DESC");
}

/// The statement for those of the first `count` jobs of the list that have a text.
fn walk_query(query: &mut QueryBuilder<Postgres>, filter: &JobFilter, wanted: &Wanted, count: u32) {
    query.push("WITH seen AS MATERIALIZED (");
    first(query, filter, count);
    query.push(
        ") SELECT seen.key, seen.submitted, seen.id, (SELECT count(*) FROM seen) AS seen
         FROM seen JOIN job_text AS t ON t.job = seen.key WHERE true",
    );
    has(query, wanted);
    query.push(" ORDER BY seen.submitted DESC, seen.id DESC LIMIT ");
    query.push_bind(i64::from(page_limit(filter.limit)));
}

/// The statement for those jobs that have a text which came last, at most `count`, of those with these keys, which are in one
/// block.
fn found_query(query: &mut QueryBuilder<Postgres>, filter: &JobFilter, wanted: &Wanted, keys: Range<i64>, count: u32) {
    // OFFSET 0: what is found comes first. The keys are no condition for an index: it would be walked for them.
    query.push(
        "SELECT jobs.key, jobs.submitted, jobs.id FROM (
             SELECT job, job + 0 AS place FROM job_text AS t WHERE t.grams @> ",
    );
    query.push_bind(wanted.grams(keys.start));
    query.push(" AND t.job + 0 >= ").push_bind(keys.start);
    query.push(" AND t.job + 0 < ").push_bind(keys.end);
    has(query, wanted);
    query.push(" ORDER BY place DESC OFFSET 0) AS found JOIN jobs ON jobs.key = found.job WHERE true");
    if let Some(author) = &filter.author {
        query.push(" AND EXISTS (SELECT 1 FROM job_authors AS a WHERE a.author = ");
        query.push_bind(indexed(author));
        query.push(" AND a.submitted = jobs.submitted AND a.id = jobs.id)");
    }
    conditions(query, filter, &filter.states, None);
    query
        .push(" ORDER BY found.job DESC LIMIT ")
        .push_bind(i64::from(count));
}

/// The first `count` jobs of the list, whatever their texts.
fn first(query: &mut QueryBuilder<Postgres>, filter: &JobFilter, count: u32) {
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    if states.len() > 1 && filter.author.is_none() {
        query.push("SELECT * FROM (");
        for (at, state) in states.iter().enumerate() {
            if at > 0 {
                query.push(" UNION ALL ");
            }
            query.push("(");
            select(query, filter, std::slice::from_ref(state), count);
            query.push(")");
        }
        query.push(") AS jobs").push(NEWEST_FIRST);
        query.push(" LIMIT ").push_bind(i64::from(count));
    } else {
        select(query, filter, &states, count);
    }
}

/// One walk in the page's order.
fn select(query: &mut QueryBuilder<Postgres>, filter: &JobFilter, states: &[JobState], count: u32) {
    query.push("SELECT jobs.key, jobs.submitted, jobs.id FROM ");
    let (of, order) = match &filter.author {
        Some(author) => {
            query.push("job_authors AS a JOIN jobs ON jobs.key = a.job WHERE a.author = ");
            query.push_bind(indexed(author));
            ("a", " ORDER BY a.submitted DESC, a.id DESC")
        }
        None => {
            query.push("jobs WHERE true");
            ("jobs", NEWEST_FIRST)
        }
    };
    conditions(query, filter, states, Some(of));
    query.push(order).push(" LIMIT ").push_bind(i64::from(count));
}

/// What is asked of a job, but for its author and its text. `walked`: the table whose order is walked, if one is.
fn conditions(query: &mut QueryBuilder<Postgres>, filter: &JobFilter, states: &[JobState], walked: Option<&str>) {
    // Unfinished jobs are few, and those that were found are found, whatever else is asked of them: an expression keeps
    // PostgreSQL from walking another index.
    let few = !states.is_empty() && !states.iter().any(|state| state.is_final());
    let (number, text) = if few || walked.is_none() {
        (" + 0", " || ''")
    } else {
        ("", "")
    };
    if let Some(project) = &filter.project {
        query.push(" AND jobs.project").push(number);
        query.push(" = (SELECT key FROM projects WHERE name = ");
        query.push_bind(project.as_str().to_owned()).push(")");
    }
    if let Some(branch) = &filter.branch {
        query.push(" AND jobs.branch").push(text);
        query.push(" = ").push_bind(indexed(branch));
    }
    if let Some(kind) = &filter.trigger {
        query.push(" AND jobs.kind").push(text);
        query.push(" = ").push_bind(indexed(kind));
    }
    match states {
        [] => {}
        [state] => {
            query
                .push(" AND jobs.state")
                .push(if walked.is_some() { "" } else { text });
            query.push(" = ").push_bind(state.as_str());
        }
        states => {
            let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            query
                .push(" AND jobs.state")
                .push(if walked.is_some() { "" } else { text });
            query.push(" = ANY(").push_bind(words).push(")");
        }
    }
    if let Some(before) = &filter.before {
        query.push(match walked {
            Some(of) => format!(" AND ({of}.submitted, {of}.id) < ("),
            None => " AND (jobs.submitted + 0, jobs.id || '') < (".to_owned(),
        });
        query.push_bind(before.submitted.0).push(", ");
        query.push_bind(before.id.as_str().to_owned()).push(")");
    }
}

/// Looks at the text itself.
fn has(query: &mut QueryBuilder<Postgres>, wanted: &Wanted) {
    query.push(" AND (t.message LIKE ").push_bind(wanted.pattern.clone());
    if wanted.in_names {
        query.push(" OR t.names LIKE ").push_bind(wanted.pattern.clone());
    }
    query.push(")");
}

/// See [`Store::files`](crate::store::Store::files). What an earlier try of the whole job left under the same attempt
/// has another command and does not count.
pub async fn files(pool: &PgPool, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT ");
    query.push(FILE);
    query.push(
        ", results.at, results.result FROM jobs JOIN files ON files.job = jobs.key
         LEFT JOIN results ON results.key =
             (SELECT max(key) FROM results WHERE job = files.job AND path = files.name AND (attempt < files.attempt
                  OR attempt = files.attempt AND num = coalesce(files.num, num)))
         WHERE jobs.id = ",
    );
    query.push_bind(id.as_str()).push(" ORDER BY files.idx");
    let rows = query.build().fetch_all(pool).await?;
    rows.iter().map(|row| stored_file(row, id)).collect()
}

#[cfg(test)]
#[path = "list_plan.rs"]
mod plan;
