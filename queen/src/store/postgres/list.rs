//! Jobs as lists and pages show them: one, a page of many, its files.
//!
//! A page is answered from an index in the page's order, so that it costs the same in a store of a hundred jobs and of
//! a hundred thousand. Two filters need more: several states are asked for one by one and merged, and a text is looked for
//! as `texts` says, to which this answers. The pool's connections plan for that: see `open`.

use super::{
    search::{self, Wanted},
    write::indexed,
};
use crate::store::{
    Cursor, JobFilter, Page, StoreError, StoredFile, StoredJob,
    newest::Place,
    rows::{AHEAD, JOB, KEYS, SUBMITTED, files_of, page_limit, stored, stored_file},
    texts::{self, BLOCK, Candidates, Texts},
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
pub async fn page(pool: &PgPool, filter: &JobFilter) -> Result<Page, StoreError> {
    let mut query = QueryBuilder::new("");
    let Some(text) = filter.text.as_deref() else {
        page_query(&mut query, filter);
        let rows = query.build().fetch_all(pool).await?;
        let jobs = rows.iter().map(stored).collect::<Result<_, _>>()?;
        return Ok(Page::of(jobs, page_limit(filter.limit) as usize));
    };
    let mut sql = pool.acquire().await?;
    let mut asked = Asked {
        sql: &mut sql,
        filter: filter.clone(),
        wanted: Wanted::of(text),
    };
    let (keys, next) = texts::page(&mut asked, filter).await?;
    query.push(JOB).push(" WHERE jobs.key = ANY(").push_bind(keys);
    query.push(") ORDER BY jobs.submitted + 0 DESC, jobs.id DESC");
    let rows = query.build().fetch_all(&mut *sql).await?;
    let jobs = rows.iter().map(stored).collect::<Result<_, _>>()?;
    Ok(Page { jobs, next })
}

/// What a page of jobs with a text is asked of.
struct Asked<'a> {
    sql: &'a mut PgConnection,
    /// Its cursor moves on.
    filter: JobFilter,
    wanted: Wanted,
}

impl Asked<'_> {
    async fn places(&mut self, mut query: QueryBuilder<Postgres>) -> Result<Vec<Place>, StoreError> {
        let rows = query.build().fetch_all(&mut *self.sql).await?;
        rows.iter().map(Place::of).collect()
    }
}

impl Texts for Asked<'_> {
    const WIDTH: i64 = 1 << BLOCK;

    async fn first(&mut self, before: Option<&Cursor>, count: u32) -> Result<Vec<Place>, StoreError> {
        self.filter.before = before.cloned();
        let mut query = QueryBuilder::new("");
        first(&mut query, &self.filter, count);
        self.places(query).await
    }

    async fn look(&mut self, before: Option<&Cursor>, keys: &[i64]) -> Result<Vec<Place>, StoreError> {
        self.filter.before = before.cloned();
        let mut query = QueryBuilder::new("");
        look_query(&mut query, &self.filter, &self.wanted, keys);
        self.places(query).await
    }

    async fn index(&mut self) -> Result<Candidates, StoreError> {
        Ok(match self.wanted.grams.is_empty() {
            true => Candidates::All,
            false => Candidates::Some,
        })
    }

    async fn candidates(&mut self, keys: Range<i64>, most: u32) -> Result<Vec<i64>, StoreError> {
        let mut query = QueryBuilder::new("");
        candidates_query(&mut query, &self.wanted, &keys, most);
        Ok(query.build_query_scalar().fetch_all(&mut *self.sql).await?)
    }

    async fn ahead(&mut self, before: Option<&Cursor>, count: u32) -> Result<Vec<Place>, StoreError> {
        let rows = sqlx::query(AHEAD)
            .bind(before.map_or(i64::MAX, |before| before.submitted.0))
            .bind(before.map_or("", |before| before.id.as_str()).to_owned())
            .bind(i64::from(count));
        let rows = rows.fetch_all(&mut *self.sql).await?;
        rows.iter().map(Place::of).collect()
    }

    async fn keys(&mut self, latest: i64) -> Result<Range<i64>, StoreError> {
        let (start, end) = sqlx::query_as(KEYS).bind(latest).fetch_one(&mut *self.sql).await?;
        Ok(start..end)
    }

    async fn submitted(&mut self, key: i64) -> Result<Option<i64>, StoreError> {
        let found = sqlx::query_scalar(SUBMITTED).bind(key);
        Ok(found.fetch_optional(&mut *self.sql).await?)
    }
}

/// The statement for a page without a text.
fn page_query(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    query.push("WITH page AS MATERIALIZED (");
    first(query, filter, page_limit(filter.limit));
    // In the page's own order: by that of the jobs, an index over all of them would be walked for it.
    query.push(") ").push(JOB);
    query.push(" JOIN page ON page.key = jobs.key ORDER BY page.submitted DESC, page.id DESC");
}

/// The statement for the candidates of a range.
fn candidates_query(query: &mut QueryBuilder<Postgres>, wanted: &Wanted, keys: &Range<i64>, most: u32) {
    query.push("SELECT job FROM job_text WHERE grams @> ");
    query.push_bind(wanted.grams.clone());
    query.push(" AND grams && ").push_bind(search::marks(keys));
    // The keys themselves are no condition for an index, nor is their order: another one would be walked for them.
    query.push(" AND job + 0 >= ").push_bind(keys.start);
    query.push(" AND job + 0 < ").push_bind(keys.end);
    query.push(" ORDER BY job + 0 DESC LIMIT ").push_bind(i64::from(most));
}

/// The statement for those of the jobs with these keys that have a text, and what else is asked for.
fn look_query(query: &mut QueryBuilder<Postgres>, filter: &JobFilter, wanted: &Wanted, keys: &[i64]) {
    query.push(
        "SELECT jobs.key, jobs.submitted, jobs.id FROM job_text AS t JOIN jobs ON jobs.key = t.job WHERE t.job = ANY(",
    );
    query.push_bind(keys.to_vec()).push(")");
    has(query, wanted);
    if let Some(author) = &filter.author {
        // Not EXISTS: it could be begun with, from the index of the author's jobs.
        query.push(" AND (SELECT true FROM job_authors AS a WHERE a.author = ");
        query.push_bind(indexed(author));
        query.push(" AND a.submitted = jobs.submitted AND a.id = jobs.id)");
    }
    conditions(query, filter, &filter.states, None);
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

/// See [`Store::files`](crate::store::Store::files).
pub async fn files(pool: &PgPool, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
    let files = sqlx::query(files_of!("files.name"))
        .bind(id.as_str())
        .fetch_all(pool)
        .await?;
    files.iter().map(|row| stored_file(row, id)).collect()
}

#[cfg(test)]
#[path = "list_plan.rs"]
mod plan;
