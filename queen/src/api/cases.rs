//! The cases of a whole job: searched, filtered and in pages, in the order of its files.
//!
//! They are read from the store file by file, so that a job with very many costs time and no memory. The cases of one
//! run of a file are in `jobs.rs`.

use super::{
    error::{Answer, ApiError},
    extract::{InJob, Query},
    jobs,
    view::{CasePage, CaseView, ErrorView},
};
use crate::{
    app::Context,
    store::{FileCases, Store, StoreError},
};
use axum::extract::State;
use serde::Deserialize;
use shared::{
    JobId,
    outcome::{CaseCounts, CaseOutcome, CaseResult},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Cases on a page, if the client does not say.
const PAGE: usize = 200;
/// The most cases on a page.
const PAGE_LIMIT: usize = 1_000;
/// Bytes of packed cases that are read at once.
const WINDOW: usize = 128 * 1024;

/// The words of outcomes.
const OUTCOMES: [(&str, CaseOutcome); 6] = [
    ("passed", CaseOutcome::Passed),
    ("failed", CaseOutcome::Failed),
    ("errored", CaseOutcome::Errored),
    ("skipped", CaseOutcome::Skipped),
    ("xfailed", CaseOutcome::XFailed),
    ("xpassed", CaseOutcome::XPassed),
];

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only with this text in name, path or message, whatever its case.
    text: Option<String>,
    /// Only these outcomes, separated by commas.
    outcome: Option<String>,
    /// Only of the file at this path.
    path: Option<String>,
    /// At most this many, 1 to 1000; 200 if absent.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Which cases are wanted.
#[derive(Debug)]
struct Wanted {
    /// In lower case; empty: any.
    text: String,
    /// Empty: any.
    outcomes: Vec<CaseOutcome>,
    path: Option<String>,
    limit: usize,
    /// The first file, and how many of its cases were on pages before.
    from: (u32, usize),
    /// Count all: it is the first page.
    count: bool,
}

impl ListQuery {
    fn wanted(self) -> Answer<Wanted> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_LIMIT).contains(&limit) {
            return Err(ApiError::bad_query(format!(
                "limit is {limit}: choose 1 to {PAGE_LIMIT}"
            )));
        }
        let after = self.after.as_deref();
        Ok(Wanted {
            text: self.text.unwrap_or_default().to_lowercase(),
            outcomes: outcomes(self.outcome.as_deref().unwrap_or_default())?,
            path: self.path.filter(|path| !path.is_empty()),
            limit,
            from: after.map(cursor).transpose()?.unwrap_or_default(),
            count: after.is_none(),
        })
    }
}

fn outcomes(words: &str) -> Answer<Vec<CaseOutcome>> {
    let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let known = OUTCOMES.iter().find(|(known, _)| *known == word);
            known.map(|(_, outcome)| *outcome).ok_or_else(|| {
                ApiError::bad_query(format!(
                    "{word:?} is no outcome of a case: use passed, failed, errored, skipped, xfailed or xpassed, \
                     separated by commas"
                ))
            })
        })
        .collect()
}

fn cursor(text: &str) -> Answer<(u32, usize)> {
    let read = text
        .split_once('~')
        .and_then(|(file, case)| Some((file.parse().ok()?, case.parse().ok()?)));
    read.ok_or_else(|| {
        ApiError::bad_query(format!(
            "after is {text:?}, which is no cursor: give the \"next\" of the page before"
        ))
    })
}

impl Wanted {
    fn has_text(&self, path: &str, case: &CaseResult) -> bool {
        let has = |text: &str| contains(text, &self.text);
        self.text.is_empty() || has(&case.name) || has(path) || case.message.as_deref().is_some_and(has)
    }

    fn has_outcome(&self, case: &CaseResult) -> bool {
        self.outcomes.is_empty() || self.outcomes.contains(&case.outcome)
    }
}

/// Looks for `wanted`, which is in lower case, whatever the case of `text`.
fn contains(text: &str, wanted: &str) -> bool {
    if text.is_ascii() {
        // Most texts are, and need no copy.
        let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
        return text.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted));
    }
    text.to_lowercase().contains(wanted)
}

/// A job's cases as its files last ran, in the order of the files: those that have a text, an outcome or a path. The
/// first page counts all that have text and path, whatever their outcome.
#[utoipa::path(get, path = "/jobs/{id}/cases", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), ListQuery),
    responses((status = 200, body = CasePage), (status = 400, body = ErrorView), (status = 404, body = ErrorView),
        (status = 410, description = "The cases are kept no longer", body = ErrorView)))]
async fn list(
    State(context): State<Context>,
    InJob(id): InJob,
    Query(query): Query<ListQuery>,
) -> Answer<axum::Json<CasePage>> {
    let wanted = query.wanted()?;
    ApiError::if_log_removed(&jobs::find(&context, &id).await?)?;
    Ok(axum::Json(page(&*context.store, &id, &wanted).await?))
}

async fn page(store: &dyn Store, id: &JobId, wanted: &Wanted) -> Result<CasePage, StoreError> {
    let mut page = CasePage {
        cases: Vec::new(),
        next: None,
        counts: wanted.count.then(CaseCounts::default),
    };
    let (mut from, mut skip) = wanted.from;
    loop {
        let files = store.cases_by_file(id, wanted.path.as_deref(), from, WINDOW).await?;
        let Some(last) = files.last() else { return Ok(page) };
        let next = last.index.saturating_add(1);
        for file in files {
            let seen = if file.index == from { skip } else { 0 };
            if !add(&mut page, file, seen, wanted) {
                return Ok(page);
            }
        }
        (from, skip) = (next, 0);
    }
}

/// Takes a file's cases in, all but the first `seen`; false if no more are wanted.
fn add(page: &mut CasePage, file: FileCases, seen: usize, wanted: &Wanted) -> bool {
    let FileCases {
        index,
        path,
        num,
        attempt,
        cases,
    } = file;
    for (at, case) in cases.into_iter().enumerate().skip(seen) {
        if !wanted.has_text(&path, &case) {
            continue;
        }
        if let Some(counts) = &mut page.counts {
            counts.add(&CaseCounts::of(std::slice::from_ref(&case)));
        }
        if !wanted.has_outcome(&case) || page.next.is_some() {
            continue;
        }
        if page.cases.len() < wanted.limit {
            page.cases.push(CaseView {
                path: path.clone(),
                num: num.0,
                attempt: attempt.0,
                case,
            });
            continue;
        }
        page.next = Some(format!("{index}~{at}"));
        if page.counts.is_none() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_whatever_their_case() {
        for (text, wanted, found) in [
            ("TestLogin::fails", "login", true),
            ("TestLogin", "logout", false),
            ("Größe", "grö", true),
            ("GRÖSSE", "größe", false),
            ("ÄRGER", "ärger", true),
            ("short", "longer than that", false),
        ] {
            assert_eq!(contains(text, wanted), found, "{text} {wanted}");
        }
    }
}
