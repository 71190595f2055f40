//! `GET /jobs/ID/log/search`: the lines of a job, or of one command, that have a text in them.
//!
//! Owns the address and what may be asked. Every search goes over the events anew, so nothing is kept for it. Read next:
//! `find.rs`.

use super::{
    find::{Find, needle},
    indexed, readable,
    scan::Scan,
};
use crate::{
    api::{
        error::{Answer, ApiError},
        extract::{InJob, Query},
        view::ErrorView,
    },
    app::Context,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use shared::{JobId, Num, Seq};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Matches of one answer.
const MOST: usize = 100_000;
const USUAL: usize = 10_000;
/// Characters of the text.
const TEXT: usize = 1_000;

pub(in crate::api) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(search))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SearchQuery {
    /// What to look for. Upper and lower case are alike; escape sequences are not seen.
    text: String,
    /// Only this command.
    num: Option<u32>,
    /// The most matches of the answer, 1 to 100000; 10000 if absent.
    limit: Option<usize>,
}

/// Lines that have a text in them.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
struct SearchView {
    /// How many there are.
    total: u64,
    /// There are more than the answer has.
    capped: bool,
    /// The first of them, `[number of the command, number of the line]`, in that order.
    #[schema(value_type = Vec<[u64; 2]>)]
    matches: Vec<(Num, u64)>,
}

/// The lines of a job's output that have a text in them.
#[utoipa::path(get, path = "/jobs/{id}/log/search", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), SearchQuery),
    responses((status = 200, body = SearchView), (status = 400, body = ErrorView),
        (status = 404, description = "There is no such job; or it has ended without such a command", body = ErrorView),
        (status = 410, description = "The log is kept no longer", body = ErrorView)))]
async fn search(
    State(context): State<Context>,
    InJob(id): InJob,
    Query(query): Query<SearchQuery>,
) -> Answer<Json<SearchView>> {
    let limit = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::bad_query(format!("limit is {limit}: use 1 to {MOST}")));
    }
    let find = Find::new(&asked(&query.text)?, limit);
    let Some((mut find, from, until)) = (match query.num {
        None => Some((find, Seq(1), readable(&context, &id).await?.last_seq)),
        Some(num) => in_command(&context, &id, Num(num), find).await?,
    }) else {
        return Ok(Json(SearchView::default()));
    };
    let mut scan = Scan::new(&context.store, &id, from, until);
    while let Some(events) = scan.next().await? {
        events.iter().for_each(|event| find.take(event));
    }
    let hits = find.into_hits();
    Ok(Json(SearchView {
        total: hits.total,
        capped: hits.total > hits.first.len() as u64,
        matches: hits.first.into_iter().collect(),
    }))
}

/// What to look for, in the form in which it is compared.
fn asked(text: &str) -> Answer<Vec<u8>> {
    if text.contains('\n') {
        return Err(ApiError::bad_query(
            "text has a line break: it is looked for within single lines, so ask for one line of it",
        ));
    }
    if text.chars().count() > TEXT {
        return Err(ApiError::bad_query(format!(
            "text has more than {TEXT} characters: a part of it finds the line as well"
        )));
    }
    needle(text).ok_or_else(|| ApiError::bad_query("text is empty: say what to look for"))
}

/// The events that one command's output is in; `None` if there is none so far.
async fn in_command(context: &Context, id: &JobId, num: Num, find: Find) -> Answer<Option<(Find, Seq, Seq)>> {
    let (job, index) = indexed(context, id).await?;
    match index.look(|index| index.place(num, 1)) {
        Some(place) => Ok(Some((find.only(num, place.running), place.next, place.last))),
        None if job.row.state.is_final() => Err(ApiError::no_command(id, num)),
        None => Ok(None),
    }
}
