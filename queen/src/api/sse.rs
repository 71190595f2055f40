//! A job's events over plain HTTP: as server-sent events that go on while the job does, or as the lines stored so far.
//!
//! A reader that is slow is waited for; one that lost its place on the bus goes on from the store. Read next: `follow.rs`.

use super::{
    error::{Answer, ApiError},
    extract::{InJob, Query},
    follow::{Follow, Piece, WINDOW},
    jobs,
    view::ErrorView,
};
use crate::{app::Context, store::Event};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use shared::{JobId, Seq, protocol::live::ToClient};
use std::{fmt::Write, time::Duration};
use tokio_util::task::task_tracker::TaskTrackerToken;
use utoipa_axum::{router::OpenApiRouter, routes};

/// A comment is sent after this much silence, so that proxies and peers know that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(events))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// The first event wanted; 1 if absent. A `Last-Event-ID` header wins over it.
    from: Option<u64>,
    /// `false`: only what is stored so far, one JSON object a line.
    follow: Option<bool>,
}

/// A job's events from any number on: `id` is the number, `event` the type, `data` the event. Ends after the job's last event.
#[utoipa::path(get, path = "/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), EventsQuery,
        ("last-event-id" = Option<u64>, Header, description = "The last event that the client has")),
    responses((status = 200, content((String = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = 204, description = "The client has the job's last event"),
        (status = 400, body = ErrorView), (status = 404, body = ErrorView)))]
async fn events(
    State(context): State<Context>,
    InJob(id): InJob,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let resumed = last_event_id(&headers)?;
    let from = resumed
        .map_or(query.from.unwrap_or(1), |last| last.saturating_add(1))
        .max(1);
    let job = jobs::find(&context, &id).await?;
    if query.follow == Some(false) {
        return Ok(stored(context, id, Seq(from), job.last_seq));
    }
    if resumed.is_some() && job.row.state.is_final() && from > job.last_seq.0 {
        // A browser that is answered so does not come again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follow = Follow::open(&context, &id, from).await?;
    let reader = Reader {
        _counted: context.connections.token(),
        last: Seq(from - 1),
        reopened: None,
        context,
        id,
        follow,
    };
    let body = Body::from_stream(stream::try_unfold(reader, Reader::next));
    Ok((
        [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response())
}

fn last_event_id(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        ApiError::bad_query(format!(
            "Last-Event-ID is {text:?}: give the number of the last event received"
        ))
    })
}

/// One client's stream.
struct Reader {
    context: Context,
    id: JobId,
    follow: Follow,
    /// The last event that was given.
    last: Seq,
    /// Where the place on the bus was last lost.
    reopened: Option<Seq>,
    /// Stopping the queen waits for the stream.
    _counted: TaskTrackerToken,
}

impl Reader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        loop {
            let piece = tokio::select! {
                () = self.context.shutdown.cancelled() => return Ok(None),
                piece = tokio::time::timeout(KEEP_ALIVE, self.follow.next()) => piece,
            };
            let text = match piece {
                Err(_silence) => ": the stream lives\n\n".into(),
                Ok(piece) => match piece? {
                    None => return Ok(None),
                    Some(Piece::Events(events)) => {
                        self.last = events.last().map_or(self.last, |event| event.seq);
                        frames(&events)
                    }
                    Some(Piece::Live(seq)) => live(&self.id, seq),
                    Some(Piece::Lagged(_)) => {
                        // Twice at the same place: the queen is rebuilding; the client comes back by itself.
                        if self.reopened.replace(self.last) == Some(self.last) {
                            return Ok(None);
                        }
                        self.follow = Follow::open(&self.context, &self.id, self.last.0 + 1).await?;
                        continue;
                    }
                },
            };
            return Ok(Some((text.into(), self)));
        }
    }
}

fn frames(events: &[Event]) -> String {
    let mut text = String::with_capacity(events.iter().map(|event| event.line.len() + 64).sum());
    for event in events {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "id: {}\nevent: {}\ndata: {}\n\n",
            event.seq,
            kind(&event.line),
            event.line
        );
    }
    text
}

fn live(id: &JobId, seq: Seq) -> String {
    let said = ToClient::Live { job: id.clone(), seq };
    let data = serde_json::to_string(&said).unwrap_or_default();
    format!("event: {}\ndata: {data}\n\n", said.kind())
}

/// The type word of a recorded line.
fn kind(line: &str) -> String {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_str::<Kind>(line).map_or_else(|_| "message".into(), |line| line.kind)
}

/// What is stored of `from..=until`, a line an event.
fn stored(context: Context, id: JobId, from: Seq, until: Seq) -> Response {
    let lines = stream::try_unfold(from, move |from| {
        let (context, id) = (context.clone(), id.clone());
        async move {
            if from > until {
                return Ok(None);
            }
            let events = context.store.events(&id, from, until, WINDOW).await?;
            let Some(last) = events.last().map(|event| event.seq) else {
                return Ok(None);
            };
            let mut text = String::with_capacity(events.iter().map(|event| event.line.len() + 1).sum());
            for event in &events {
                text.push_str(&event.line);
                text.push('\n');
            }
            Ok::<_, ApiError>(Some((Bytes::from(text), last.next())))
        }
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}
