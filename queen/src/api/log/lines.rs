//! `GET /jobs/ID/log/lines`: some lines of one command, by their numbers, for a page that shows a window of a long log.
//!
//! Owns the address and the reading of the few events that matter. Read next: `pick.rs`.

use super::{indexed, pick::Pick};
use crate::{
    api::{
        error::{Answer, ApiError},
        extract::{InJob, Query},
        follow::WINDOW,
        output::Channel,
        view::ErrorView,
    },
    app::Context,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use shared::{Num, Seq, Timestamp};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Lines of one answer.
const MOST: u64 = 2_000;
const USUAL: u64 = 500;

pub(in crate::api) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(lines))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LinesQuery {
    /// The command. Output that came while no command ran is command 0's.
    num: u32,
    /// The first line wanted, from 1; 1 if absent.
    from: Option<u64>,
    /// How many, 1 to 2000; 500 if absent.
    count: Option<u64>,
}

/// Lines of a command. They count from 1 in the order in which they began, on whichever stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LinesView {
    /// The command.
    num: u32,
    /// Lines that it has so far.
    total: u64,
    /// It has ended, or its job has.
    done: bool,
    /// The last event that is in these lines. What the command says in a later one comes after them, or goes on with one of them.
    #[schema(value_type = u64)]
    seq: Seq,
    /// From the first that was wanted on. Fewer than were wanted where there are no more, or where these have 4 MiB.
    lines: Vec<LineView>,
    /// The escape sequences in force where the first of these lines begins on each stream; absent where none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<StyleView>,
}

/// A line.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LineView {
    /// `stdout` or `stderr`.
    stream: &'static str,
    /// What it says, with its escape sequences and without the line break; after 20,000 characters there is a note instead.
    text: String,
    /// When it began, in Unix milliseconds.
    #[schema(value_type = i64)]
    at: Timestamp,
}

/// What sets the style again that was in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct StyleView {
    /// On stdout.
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
    /// On stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<String>,
}

/// Lines of one command from any on, and how many it has.
#[utoipa::path(get, path = "/jobs/{id}/log/lines", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), LinesQuery),
    responses((status = 200, body = LinesView), (status = 400, body = ErrorView),
        (status = 404, description = "There is no such job; or it has ended without such a command", body = ErrorView),
        (status = 410, description = "The log is kept no longer", body = ErrorView)))]
async fn lines(
    State(context): State<Context>,
    InJob(id): InJob,
    Query(query): Query<LinesQuery>,
) -> Answer<Json<LinesView>> {
    let from = query.from.unwrap_or(1);
    if from == 0 {
        return Err(ApiError::bad_query("from is 0: lines count from 1"));
    }
    let count = query.count.unwrap_or(USUAL);
    if !(1..=MOST).contains(&count) {
        return Err(ApiError::bad_query(format!(
            "count is {count}: use 1 to {MOST}, and ask for more with from"
        )));
    }
    let num = Num(query.num);
    let (job, index) = indexed(&context, &id).await?;
    let ended = job.row.state.is_final();
    let Some(place) = index.look(|index| index.place(num, from)) else {
        if ended {
            return Err(ApiError::no_command(&id, num));
        }
        return Ok(Json(LinesView {
            num: query.num,
            total: 0,
            done: false,
            seq: Seq(0),
            lines: Vec::new(),
            style: None,
        }));
    };
    let (total, done) = (place.total, place.ended || ended);
    let (mut next, last) = (place.next, place.last);
    let mut pick = Pick::new(num, from, count, place);
    while !pick.is_done() && next <= last {
        let events = context.store.events(&id, next, last, WINDOW).await?;
        next = events.last().map_or(last, |event| event.seq).next();
        for event in &events {
            pick.take(event);
            if pick.is_done() {
                break;
            }
        }
    }
    let (lines, [out, err]) = pick.into_lines();
    Ok(Json(LinesView {
        num: query.num,
        total,
        done,
        seq: last,
        lines: lines
            .into_iter()
            .map(|line| LineView {
                stream: match line.channel {
                    Channel::Out => "stdout",
                    Channel::Err => "stderr",
                },
                text: line.text,
                at: line.at,
            })
            .collect(),
        style: (out.is_some() || err.is_some()).then_some(StyleView { out, err }),
    }))
}
