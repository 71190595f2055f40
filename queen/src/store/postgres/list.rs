//! Jobs as lists and pages show them: one, a page of many, its files.
//!
//! A page is answered from an index in the page's order, so that it costs the same in a store of a hundred jobs and of
//! a hundred thousand. Two filters need more: several states are asked for one by one and merged, and a text that is
//! rare is looked up first (`search`; a common one is found soon by walking). The pool's connections plan for that:
//! see `open`.

use super::{
    search::{self, Candidates, Wanted},
    write::indexed,
};
use crate::store::{
    JobFilter, StoreError, StoredFile, StoredJob,
    rows::{FILE, page_limit, stored, stored_file},
};
use shared::{JobId, JobState};
use sqlx::{Postgres, QueryBuilder, postgres::PgPool};

const JOB: &str = "SELECT jobs.submitted, jobs.standing, digest, data, last_seq, log_removed
    FROM jobs JOIN job_data ON job_data.job = jobs.key JOIN streams ON streams.job = jobs.key
    LEFT JOIN endings ON endings.job = jobs.key";
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
    let wanted = filter.text.as_deref().map(Wanted::of);
    let candidates = match &wanted {
        Some(wanted) => search::candidates(pool, wanted).await?,
        None => Candidates::TooMany,
    };
    let candidates = match &candidates {
        Candidates::None => return Ok(Vec::new()),
        Candidates::Few(grams) => Some(grams.as_slice()),
        Candidates::TooMany => None,
    };
    let mut query = QueryBuilder::new("");
    page_query(&mut query, filter, wanted.as_ref(), candidates);
    query.build().fetch_all(pool).await?.iter().map(stored).collect()
}

/// The statement for a page; `candidates` is what to ask the index of groups first.
fn page_query(
    query: &mut QueryBuilder<Postgres>,
    filter: &JobFilter,
    wanted: Option<&Wanted>,
    candidates: Option<&[i32]>,
) {
    query.push("WITH page AS MATERIALIZED (");
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    if states.len() > 1 && filter.author.is_none() && candidates.is_none() {
        query.push("SELECT * FROM (");
        for (at, state) in states.iter().enumerate() {
            if at > 0 {
                query.push(" UNION ALL ");
            }
            query.push("(");
            select(query, filter, std::slice::from_ref(state), wanted, None);
            query.push(")");
        }
        query.push(") AS jobs").push(NEWEST_FIRST);
        query.push(" LIMIT ").push_bind(i64::from(page_limit(filter.limit)));
    } else {
        select(query, filter, &states, wanted, candidates);
    }
    // In the page's own order: by that of the jobs, an index over all of them would be walked for it.
    query.push(") ").push(JOB);
    query.push(" JOIN page ON page.key = jobs.key ORDER BY page.submitted DESC, page.id DESC");
}

/// One walk in the page's order.
fn select(
    query: &mut QueryBuilder<Postgres>,
    filter: &JobFilter,
    states: &[JobState],
    wanted: Option<&Wanted>,
    candidates: Option<&[i32]>,
) {
    query.push("SELECT jobs.key, jobs.submitted, jobs.id FROM ");
    let (mut of, mut order) = ("jobs", NEWEST_FIRST);
    match (candidates, &filter.author) {
        (Some(grams), author) => {
            // OFFSET 0: what is found comes first, and is sorted, for no index has that order.
            query.push("(SELECT job FROM job_text AS t WHERE t.grams @> ");
            query.push_bind(grams.to_vec());
            if let Some(wanted) = wanted {
                has(query, wanted);
            }
            query.push(" OFFSET 0) AS found JOIN jobs ON jobs.key = found.job WHERE true");
            order = " ORDER BY jobs.submitted + 0 DESC, jobs.id DESC";
            if let Some(author) = author {
                query.push(" AND EXISTS (SELECT 1 FROM job_authors AS a WHERE a.author = ");
                query.push_bind(indexed(author));
                query.push(" AND a.submitted = jobs.submitted AND a.id = jobs.id)");
            }
        }
        (None, author) => {
            query.push(match author {
                Some(_) => "job_authors AS a JOIN jobs ON jobs.key = a.job",
                None => "jobs",
            });
            if wanted.is_some() {
                query.push(" JOIN job_text AS t ON t.job = jobs.key");
            }
            query.push(" WHERE true");
            if let Some(author) = author {
                query.push(" AND a.author = ").push_bind(indexed(author));
                (of, order) = ("a", " ORDER BY a.submitted DESC, a.id DESC");
            }
        }
    }
    // Unfinished jobs are few, whatever else is asked of them: an expression keeps PostgreSQL from walking another index.
    let few = !states.is_empty() && !states.iter().any(|state| state.is_final());
    let (number, text) = if few { (" + 0", " || ''") } else { ("", "") };
    if let Some(project) = &filter.project {
        query.push(" AND jobs.project").push(number);
        query.push(" = (SELECT key FROM projects WHERE name = ");
        query.push_bind(project.as_str()).push(")");
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
            query.push(" AND jobs.state = ").push_bind(state.as_str());
        }
        states => {
            let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            query.push(" AND jobs.state = ANY(").push_bind(words).push(")");
        }
    }
    if let Some(before) = &filter.before {
        query.push(format!(" AND ({of}.submitted, {of}.id) < ("));
        query.push_bind(before.submitted.0).push(", ");
        query.push_bind(before.id.as_str().to_owned()).push(")");
    }
    if let (Some(wanted), None) = (wanted, candidates) {
        has(query, wanted);
    }
    query.push(order).push(" LIMIT ");
    query.push_bind(i64::from(page_limit(filter.limit)));
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
