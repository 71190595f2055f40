//! A job's output as text: command after command, each under a header, however they ran side by side.
//!
//! One pass finds where each command begins and ends; then each is read from its own stretch of events. Nothing but
//! that index is held in memory. Works on a running job with what is stored so far. One command alone is `range.rs`'s.
//! Read next: `output.rs`; for its lines `log/index.rs`, where they are, `lines.rs` and `search.rs`, what is asked of them.

mod cache;
mod count;
mod find;
mod hear;
mod index;
pub mod lines;
#[cfg(test)]
mod naive_tests;
mod pick;
mod range;
mod scan;
pub mod search;
mod style;

pub use cache::{LineCache, Lines};
pub use count::Count;
pub use hear::{Heard, hear};

use super::{
    error::{Answer, ApiError},
    extract::{InJob, Query},
    follow::WINDOW,
    jobs,
    output::{self, Channel, Running},
    view::ErrorView,
};
use crate::{app::Context, store::StoredJob};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use range::{Range, Wanted};
use serde::Deserialize;
use shared::{JobId, Num, Seq, protocol::JobEvent};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(log))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    /// Only this command, without a header. Output that came while no command ran is command 0's.
    num: Option<u32>,
    /// Of this command the lines from this one (from 1) on, in their order.
    from: Option<u64>,
    /// Of this command the lines up to this one.
    to: Option<u64>,
    /// Only `stdout` or only `stderr`.
    stream: Option<String>,
}

/// A command's place in the job.
#[derive(Debug)]
struct Section {
    /// Absent for output that came while no command ran.
    num: Option<Num>,
    header: String,
    footer: String,
    first: Seq,
    last: Seq,
}

/// A job's output: all commands in order, or one, or some of its lines.
#[utoipa::path(get, path = "/jobs/{id}/log", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), LogQuery),
    responses((status = 200, content_type = "text/plain", body = String), (status = 400, body = ErrorView), (status = 404, body = ErrorView),
        (status = 410, description = "The log is kept no longer", body = ErrorView)))]
async fn log(State(context): State<Context>, InJob(id): InJob, Query(query): Query<LogQuery>) -> Answer<Response> {
    let channel = match query.stream.as_deref() {
        None => None,
        Some("stdout") => Some(Channel::Out),
        Some("stderr") => Some(Channel::Err),
        Some(other) => {
            return Err(ApiError::bad_query(format!(
                "stream is {other:?}: use stdout or stderr, or leave it out for both"
            )));
        }
    };
    let lines = lines_asked(&query)?;
    if let Some(num) = query.num.map(Num) {
        let (_, index) = indexed(&context, &id).await?;
        let wanted = Wanted { num, channel, lines };
        let name = format!("{id}-{num}.log");
        let range = Range::new(context, id.clone(), index, wanted).ok_or_else(|| {
            ApiError::not_found(format!(
                "job {id} has no command {num} (yet): GET /api/v1/jobs/{id}/log without num has all of them"
            ))
        })?;
        return Ok(text(&name, Body::from_stream(stream::try_unfold(range, Range::next))));
    }
    let job = readable(&context, &id).await?;
    let name = format!("{id}.log");
    let writer = Writer {
        sections: sections(&context, &id, job.last_seq).await?,
        context,
        id,
        channel,
        current: None,
    };
    Ok(text(&name, Body::from_stream(stream::try_unfold(writer, Writer::next))))
}

/// The lines that are asked for, if not all is.
fn lines_asked(query: &LogQuery) -> Answer<Option<RangeInclusive<u64>>> {
    let (from, to) = (query.from.unwrap_or(1), query.to.unwrap_or(u64::MAX));
    if query.from.or(query.to).is_none() {
        return Ok(None);
    }
    if query.num.is_none() {
        return Err(ApiError::bad_query(
            "from and to count the lines of one command: say which with num",
        ));
    }
    if from == 0 || from > to {
        return Err(ApiError::bad_query(format!(
            "from is {from} and to is {to}: lines count from 1, and the last is not before the first"
        )));
    }
    Ok(Some(from..=to))
}

fn text(name: &str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}\"")),
    ];
    (headers, body).into_response()
}

/// The job; 410 if its log is kept no longer.
async fn readable(context: &Context, id: &JobId) -> Answer<StoredJob> {
    let job = jobs::find(context, id).await?;
    ApiError::if_log_removed(&job).inspect_err(|_| context.lines.forget(id))?;
    Ok(job)
}

/// The job and its line index, which goes as far as the job does; 410 if the log is kept no longer.
async fn indexed(context: &Context, id: &JobId) -> Answer<(StoredJob, Arc<Lines>)> {
    let job = readable(context, id).await?;
    let lines = context.lines.of(&job);
    lines.reach(&context.store, id, job.last_seq).await?;
    Ok((job, lines))
}

/// Where every command begins and ends, by number; output that belongs to none comes first.
async fn sections(context: &Context, id: &JobId, until: Seq) -> Answer<VecDeque<Section>> {
    let mut sections = BTreeMap::new();
    let mut running = Running::default();
    output::scan(&*context.store, id, Seq(1), until, |seen| {
        let said = running.follow(&seen.event);
        match &seen.event {
            JobEvent::CmdStart {
                num,
                command,
                screencmd,
                ..
            } => {
                let title = output::title(command, screencmd.as_deref());
                sections.entry(Some(*num)).or_insert_with(|| Section {
                    num: Some(*num),
                    header: format!("[{num}] $ {title}\n"),
                    footer: String::new(),
                    first: seen.seq,
                    last: seen.seq,
                });
            }
            JobEvent::CmdDone {
                num,
                exit_code,
                elapsed,
                ..
            } => {
                if let Some(section) = sections.get_mut(&Some(*num)) {
                    let took = elapsed.map(|ms| format!(" after {ms} ms")).unwrap_or_default();
                    section.footer = format!("[{num}] exit {exit_code}{took}\n");
                }
            }
            _ => {}
        }
        if let Some((num, ..)) = said {
            let section = sections.entry(num).or_insert_with(|| Section {
                num,
                header: num.map_or_else(String::new, |num| format!("[{num}] $\n")),
                footer: String::new(),
                // Whose output it is can only be told from the beginning on.
                first: Seq(1),
                last: seen.seq,
            });
            section.last = seen.seq;
        }
    })
    .await?;
    Ok(sections.into_values().collect())
}

/// The response under way.
struct Writer {
    context: Context,
    id: JobId,
    channel: Option<Channel>,
    sections: VecDeque<Section>,
    current: Option<Reading>,
}

/// A section under way.
struct Reading {
    section: Section,
    next: Seq,
    running: Running,
    /// The text so far ends within a line.
    in_line: bool,
}

impl Writer {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        let mut text = String::new();
        while text.len() < WINDOW {
            let Some(mut reading) = self.current.take() else {
                let Some(section) = self.sections.pop_front() else {
                    break;
                };
                text.push_str(&section.header);
                self.current = Some(Reading {
                    next: section.first,
                    section,
                    running: Running::default(),
                    in_line: false,
                });
                continue;
            };
            if reading.next <= reading.section.last {
                self.read(&mut reading, &mut text).await?;
                self.current = Some(reading);
            } else {
                if reading.in_line {
                    text.push('\n');
                }
                text.push_str(&reading.section.footer);
            }
        }
        Ok((!text.is_empty()).then(|| (text.into(), self)))
    }

    /// Adds one window of a section's output.
    async fn read(&self, reading: &mut Reading, text: &mut String) -> Result<(), ApiError> {
        let section = &reading.section;
        let events = self
            .context
            .store
            .events(&self.id, reading.next, section.last, WINDOW)
            .await?;
        reading.next = events.last().map_or(section.last, |event| event.seq).next();
        for event in &events {
            let Some(seen) = output::read(&event.line) else {
                continue;
            };
            let Some((num, channel, said)) = reading.running.follow(&seen.event) else {
                continue;
            };
            if num == section.num && self.channel.is_none_or(|wanted| wanted == channel) && !said.is_empty() {
                text.push_str(said);
                reading.in_line = !said.ends_with('\n');
            }
        }
        Ok(())
    }
}
