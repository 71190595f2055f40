//! Jobs: submit, list, read, cancel.
//!
//! Owns the addresses below `/jobs` that answer JSON at once; streams are in `sse.rs`, `log.rs` and `junit.rs`, a
//! second run in `rerun.rs`. It decides nothing about jobs: the engine does.

use super::{
    error::{Answer, ApiError},
    extract::{InCommand, InJob, Json, Query, Text, syntax},
    view::{ErrorView, FileView, JobPage, JobView, NowView, Submitted},
};
use crate::{
    app::Context,
    engine::{CancelOutcome, Submission},
    store::{Cursor, JobFilter, Page, StoredJob},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use shared::{Attempt, JobData, JobId, JobState, Project, Timestamp, outcome::CaseResult};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Jobs on a page, if the client does not say.
const PAGE: u32 = 50;
/// The most jobs on a page.
const PAGE_LIMIT: u32 = 200;

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(read))
        .routes(routes!(files))
        .routes(routes!(cases))
        .routes(routes!(cancel))
}

/// The job, or 404.
pub(super) async fn find(context: &Context, id: &JobId) -> Answer<StoredJob> {
    context
        .store
        .job(id)
        .await?
        .ok_or_else(|| ApiError::no_job(id.as_str()))
}

/// The job as pages show it, with what is known only while it goes on.
pub(super) async fn view(context: &Context, job: &StoredJob) -> JobView {
    let mut view = JobView::of(job);
    if !job.row.state.is_final() {
        // What is stored can be read while the engine cannot be asked.
        let explain = context.engine.explain(job.row.id.clone()).await.ok().flatten();
        view.now = explain.map(NowView::of);
    }
    view
}

/// Submits a job. The same data under the same `job_id` again answers the same job.
#[utoipa::path(post, path = "/jobs", tag = "jobs",
    request_body(content = Object, description = "Job data: `project` and `trigger` at least"),
    responses((status = 201, body = Submitted), (status = 200, description = "It was there already", body = Submitted),
        (status = 400, body = ErrorView), (status = 409, body = ErrorView), (status = 413, body = ErrorView),
        (status = 422, body = ErrorView), (status = 503, body = ErrorView)))]
async fn submit(State(context): State<Context>, Text(text): Text) -> Answer<impl IntoResponse> {
    syntax(&text)?;
    let submission = context.engine.submit(JobData::parse(&text)?).await?;
    Ok(submitted(&context, &submission))
}

pub(super) fn submitted(context: &Context, submission: &Submission) -> impl IntoResponse + use<> {
    let id = submission.job.as_str();
    let status = if submission.repeated {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let body = Submitted {
        id: id.into(),
        repeated: submission.repeated,
        url: format!("{}/jobs/{id}", context.url),
    };
    (
        status,
        [(header::LOCATION, format!("/api/v1/jobs/{id}"))],
        axum::Json(body),
    )
}

/// Which jobs to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only this project.
    project: Option<String>,
    /// Only this branch.
    branch: Option<String>,
    /// Only these states, separated by commas.
    state: Option<String>,
    /// Only by this author: name, user name or mail address.
    author: Option<String>,
    /// Only of this trigger type.
    trigger: Option<String>,
    /// Only with this text in id, project, branch or message.
    text: Option<String>,
    /// The `next` of the page before.
    before: Option<String>,
    /// At most this many, 1 to 200; 50 if absent.
    limit: Option<u32>,
}

impl ListQuery {
    fn filter(self) -> Answer<JobFilter> {
        let project = self
            .project
            .filter(|name| !name.is_empty())
            .map(Project::new)
            .transpose();
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_LIMIT).contains(&limit) {
            return Err(ApiError::bad_query(format!(
                "limit is {limit}: choose 1 to {PAGE_LIMIT}"
            )));
        }
        Ok(JobFilter {
            project: project.map_err(|error| ApiError::bad_query(error.to_string()))?,
            branch: self.branch,
            states: self.state.as_deref().map(states).transpose()?.unwrap_or_default(),
            author: self.author,
            trigger: self.trigger,
            text: self.text.filter(|text| !text.is_empty()),
            before: self.before.as_deref().map(cursor).transpose()?,
            limit,
        })
    }
}

fn states(words: &str) -> Answer<Vec<JobState>> {
    let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            JobState::parse(word).ok_or_else(|| {
                ApiError::bad_query(format!(
                    "{word:?} is no state: use queued, running, passed, failed, errored or cancelled, separated by commas"
                ))
            })
        })
        .collect()
}

fn cursor(text: &str) -> Answer<Cursor> {
    let read = |text: &str| {
        let (ms, id) = text.split_once('~')?;
        Some(Cursor {
            submitted: Timestamp(ms.parse().ok()?),
            id: JobId::new(id).ok()?,
        })
    };
    read(text).ok_or_else(|| {
        ApiError::bad_query(format!(
            "before is {text:?}, which is no cursor: give the \"next\" of the page before"
        ))
    })
}

/// Lists jobs, newest first. What a `text` is looked for in for one page is bounded: a page with `next` may have fewer jobs
/// than `limit`, even none.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, body = JobPage), (status = 400, body = ErrorView)))]
async fn list(State(context): State<Context>, Query(query): Query<ListQuery>) -> Answer<axum::Json<JobPage>> {
    let mut filter = query.filter()?;
    let limit = filter.limit as usize;
    // One more than asked for tells whether there is another page.
    filter.limit += 1;
    let Page { mut jobs, mut next } = context.store.jobs(&filter).await?;
    if jobs.len() > limit {
        jobs.truncate(limit);
        next = jobs.last().map(StoredJob::cursor);
    }
    Ok(axum::Json(JobPage {
        jobs: jobs.iter().map(JobView::of).collect(),
        next: next.map(|next| format!("{}~{}", next.submitted, next.id)),
    }))
}

/// One job; while it goes on with what it waits for and when it is expected to end.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobView), (status = 404, body = ErrorView)))]
async fn read(State(context): State<Context>, InJob(id): InJob) -> Answer<axum::Json<JobView>> {
    let job = find(&context, &id).await?;
    Ok(axum::Json(view(&context, &job).await))
}

/// A job's test files, each with its last result.
#[utoipa::path(get, path = "/jobs/{id}/files", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = Vec<FileView>), (status = 404, body = ErrorView)))]
async fn files(State(context): State<Context>, InJob(id): InJob) -> Answer<axum::Json<Vec<FileView>>> {
    find(&context, &id).await?;
    let files = context.store.files(&id).await?;
    Ok(axum::Json(files.into_iter().map(FileView::of).collect()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CasesQuery {
    /// Which try; absent: the one that the command number belongs to, if it is the file's last.
    attempt: Option<u32>,
}

/// The cases of one run of a file, by the number of its command.
#[utoipa::path(get, path = "/jobs/{id}/files/{num}/cases", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), ("num" = u32, Path, description = "The command's number"), CasesQuery),
    responses((status = 200, body = Vec<Object>), (status = 400, body = ErrorView), (status = 404, body = ErrorView)))]
async fn cases(
    State(context): State<Context>,
    InJob(id): InJob,
    InCommand(num): InCommand,
    Query(query): Query<CasesQuery>,
) -> Answer<axum::Json<Vec<CaseResult>>> {
    ApiError::if_log_removed(&find(&context, &id).await?)?;
    let attempt = match query.attempt {
        Some(attempt) => Attempt(attempt),
        None => {
            let files = context.store.files(&id).await?;
            let file = files.into_iter().find(|file| file.row.num == Some(num));
            file.map(|file| file.row.attempt).ok_or_else(|| {
                ApiError::not_found(format!(
                    "command {num} of job {id} is not the last run of a test file: \
                     GET /api/v1/jobs/{id}/files names the numbers; for an earlier run give ?attempt= too"
                ))
            })?
        }
    };
    Ok(axum::Json(context.store.cases(&id, num, attempt).await?))
}

/// Why a job is to be stopped.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CancelRequest {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Stops a job. It ends a little later, after its cleanup; a job that is cancelled already stays so.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", request_body = CancelRequest,
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 202, body = JobView), (status = 200, description = "It was cancelled already", body = JobView),
        (status = 404, body = ErrorView), (status = 409, body = ErrorView), (status = 503, body = ErrorView)))]
async fn cancel(
    State(context): State<Context>,
    InJob(id): InJob,
    Json(request): Json<CancelRequest>,
) -> Answer<(StatusCode, axum::Json<JobView>)> {
    let (status, job) = stop(&context, &id, request.reason).await?;
    Ok((status, axum::Json(view(&context, &job).await)))
}

/// Stops a job: 202 if it will stop, 200 if it is cancelled already, 409 if it ended otherwise.
pub(super) async fn stop(context: &Context, id: &JobId, reason: Option<String>) -> Answer<(StatusCode, StoredJob)> {
    find(context, id).await?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.unwrap_or_else(|| "cancelled on request".into());
    let outcome = context.engine.cancel(id.clone(), reason).await?;
    let job = find(context, id).await?;
    match (outcome, job.row.state) {
        (CancelOutcome::Stopping, _) => Ok((StatusCode::ACCEPTED, job)),
        (CancelOutcome::NotRunning, JobState::Cancelled) => Ok((StatusCode::OK, job)),
        (CancelOutcome::NotRunning, state) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "ended",
            format!("job {id} has ended already ({state}): there is nothing to cancel"),
        )),
    }
}
