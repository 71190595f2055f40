//! Jobs as lists and pages show them: one, a page of many, its files.
//!
//! A page is answered from an index in the page's order, so that it costs the same in a store of a hundred jobs and of
//! a hundred thousand. Two filters need more: several states are asked for one by one and merged, and a text is looked for
//! as `texts` says, to which this answers.

use super::{search, value::json};
use crate::store::{
    Cursor, JobFilter, Page, StoreError, StoredFile, StoredJob,
    newest::Place,
    rows::{AHEAD, JOB, KEYS, SUBMITTED, files_of, page_limit, stored, stored_file},
    texts::{self, Candidates, SPAN, Texts},
};
use shared::{JobId, JobState};
use sqlx::{QueryBuilder, Sqlite, sqlite::SqlitePool};
use std::ops::Range;

const NEWEST_FIRST: &str = " ORDER BY jobs.submitted DESC, jobs.id DESC";

/// See [`Store::job`](crate::store::Store::job).
pub async fn job(readers: &SqlitePool, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(JOB);
    query.push(" WHERE jobs.id = ").push_bind(id.as_str());
    let row = query.build().fetch_optional(readers).await?;
    row.as_ref().map(stored).transpose()
}

/// See [`Store::jobs`](crate::store::Store::jobs).
pub async fn page(readers: &SqlitePool, filter: &JobFilter) -> Result<Page, StoreError> {
    let rows = async |mut query: QueryBuilder<Sqlite>| {
        let rows = query.build().fetch_all(readers).await?;
        rows.iter().map(stored).collect::<Result<Vec<_>, _>>()
    };
    let Some(text) = filter.text.as_deref() else {
        let jobs = rows(page_query(filter)).await?;
        return Ok(Page::of(jobs, page_limit(filter.limit) as usize));
    };
    let mut asked = Asked {
        readers,
        filter: filter.clone(),
        pattern: search::pattern(text),
        question: String::new(),
    };
    let (keys, next) = texts::page(&mut asked, filter).await?;
    let mut query = QueryBuilder::new(JOB);
    query.push(" WHERE jobs.key IN (SELECT value FROM json_each(");
    query.push_bind(json(&keys)?).push("))").push(NEWEST_FIRST);
    let jobs = rows(query).await?;
    Ok(Page { jobs, next })
}

/// What a page of jobs with a text is asked of.
struct Asked<'a> {
    readers: &'a SqlitePool,
    /// Its cursor moves on.
    filter: JobFilter,
    pattern: String,
    /// What the index of texts is asked.
    question: String,
}

impl Asked<'_> {
    async fn places(&self, mut query: QueryBuilder<Sqlite>) -> Result<Vec<Place>, StoreError> {
        let rows = query.build().fetch_all(self.readers).await?;
        rows.iter().map(Place::of).collect()
    }
}

impl Texts for Asked<'_> {
    /// The index answers in order, and ends when there are enough.
    const WIDTH: i64 = SPAN;

    async fn first(&mut self, before: Option<&Cursor>, count: u32) -> Result<Vec<Place>, StoreError> {
        self.filter.before = before.cloned();
        self.places(walk_query(&self.filter, count)).await
    }

    async fn look(&mut self, before: Option<&Cursor>, keys: &[i64]) -> Result<Vec<Place>, StoreError> {
        self.filter.before = before.cloned();
        self.places(look_query(&self.filter, &self.pattern, keys)?).await
    }

    async fn index(&mut self) -> Result<Candidates, StoreError> {
        let text = self.filter.text.as_deref().unwrap_or_default();
        let (candidates, question) = search::question(self.readers, text).await?;
        self.question = question;
        Ok(candidates)
    }

    async fn candidates(&mut self, keys: Range<i64>, most: u32) -> Result<Vec<i64>, StoreError> {
        let found = sqlx::query_scalar(CANDIDATES)
            .bind(&self.question)
            .bind(keys.start)
            .bind(keys.end)
            .bind(most);
        Ok(found.fetch_all(self.readers).await?)
    }

    async fn ahead(&mut self, before: Option<&Cursor>, count: u32) -> Result<Vec<Place>, StoreError> {
        let rows = sqlx::query(AHEAD)
            .bind(before.map_or(i64::MAX, |before| before.submitted.0))
            .bind(before.map_or("", |before| before.id.as_str()).to_owned())
            .bind(i64::from(count));
        let rows = rows.fetch_all(self.readers).await?;
        rows.iter().map(Place::of).collect()
    }

    async fn keys(&mut self, latest: i64) -> Result<Range<i64>, StoreError> {
        let (start, end) = sqlx::query_as(KEYS).bind(latest).fetch_one(self.readers).await?;
        Ok(start..end)
    }

    async fn submitted(&mut self, key: i64) -> Result<Option<i64>, StoreError> {
        let found = sqlx::query_scalar(SUBMITTED).bind(key);
        Ok(found.fetch_optional(self.readers).await?)
    }
}

/// The candidates of a range, in the order of the index.
const CANDIDATES: &str = "SELECT rowid FROM job_text WHERE job_text MATCH ? AND rowid >= ? AND rowid < ?
     ORDER BY rowid DESC LIMIT ?";

/// The statement for a page without a text.
fn page_query(filter: &JobFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(JOB);
    query.push(" WHERE jobs.key IN (SELECT key FROM (");
    first(&mut query, filter, page_limit(filter.limit));
    query.push("))").push(NEWEST_FIRST);
    query
}

/// The statement for the first `count` jobs of the list, whatever their texts.
fn walk_query(filter: &JobFilter, count: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("");
    first(&mut query, filter, count);
    query
}

/// The statement for those of the jobs with these keys that have a text, and what else is asked for.
fn look_query(filter: &JobFilter, pattern: &str, keys: &[i64]) -> Result<QueryBuilder<Sqlite>, StoreError> {
    // CROSS JOIN: SQLite is to begin with the keys, whatever it thinks of sizes.
    let mut query = QueryBuilder::new("SELECT jobs.key, jobs.submitted, jobs.id FROM json_each(");
    query.push_bind(json(&keys)?);
    query.push(") AS keys CROSS JOIN jobs ON jobs.key = keys.value WHERE true");
    if let Some(author) = &filter.author {
        query.push(" AND EXISTS (SELECT 1 FROM job_authors AS a WHERE a.author = ");
        query.push_bind(author.clone());
        query.push(" AND a.submitted = jobs.submitted AND a.id = jobs.id)");
    }
    conditions(&mut query, filter, &filter.states, "jobs");
    has(&mut query, pattern);
    Ok(query)
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
fn has(query: &mut QueryBuilder<Sqlite>, pattern: &str) {
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
            .push_bind(pattern.to_owned())
            .push(" ESCAPE '\\'");
    }
    query.push(")");
}

/// See [`Store::files`](crate::store::Store::files).
pub async fn files(readers: &SqlitePool, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
    let files = sqlx::query(files_of!("files.path"))
        .bind(id.as_str())
        .fetch_all(readers)
        .await?;
    files.iter().map(|row| stored_file(row, id)).collect()
}

#[cfg(test)]
#[path = "list_plan.rs"]
mod plan;
