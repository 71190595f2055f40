//! A project's quarantine: who put which file there and why, how it did since, and the way out.
//!
//! Owns who may be there and what is answered. What it means for a job is the scheduler's business, and applies to files
//! that are listed from then on. `projects.rs` owns the addresses. Read next: the store's `quarantine`.

use super::{
    error::{Answer, ApiError},
    extract::{Json, Query},
    projects,
    view::{ErrorView, QuarantineView},
};
use crate::{
    app::Context,
    clock,
    store::{AccessToken, Entered, Quarantine},
};
use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use shared::Project;
use utoipa::OpenApi;

/// Files of one project that may be under quarantine at a time: more than a few are a suite that nobody trusts.
pub const LIMIT: usize = 1_000;
/// The most characters of a reason.
const REASON_LIMIT: usize = 500;

#[derive(OpenApi)]
#[openapi(
    paths(list, put, lift),
    components(schemas(QuarantineView, QuarantineRequest, ErrorView))
)]
pub(super) struct Documented;

/// Why a file is to be under quarantine.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRequest {
    /// For people, 1 to 500 characters.
    pub reason: String,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuery {
    /// The test file's path.
    path: String,
}

/// A project's files under quarantine by path, with their newest runs and their last failure: one that has had none for
/// long may be lifted.
#[utoipa::path(get, path = "/projects/{project}/quarantine", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded")),
    responses((status = 200, body = Vec<QuarantineView>), (status = 404, body = ErrorView)))]
pub(super) async fn list(context: &Context, name: &Project) -> Answer<axum::Json<Vec<QuarantineView>>> {
    let files = context.store.quarantine(name).await?;
    Ok(axum::Json(files.into_iter().map(QuarantineView::of).collect()))
}

/// Puts a file under quarantine, or changes why it is there. From the next list on, a failure of it is tried again up to
/// twice in the same job: if it passes then it is flaky and does not count against the job, if it fails each time it does.
#[utoipa::path(put, path = "/projects/{project}/quarantine", tag = "projects", request_body = QuarantineRequest,
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), FileQuery),
    responses((status = 204, description = "It is there"), (status = 403, body = ErrorView), (status = 404, body = ErrorView),
        (status = 409, description = "There is no room", body = ErrorView), (status = 422, body = ErrorView)))]
pub(super) async fn put(
    State(context): State<Context>,
    token: Option<Extension<AccessToken>>,
    Path(rest): Path<String>,
    Query(FileQuery { path }): Query<FileQuery>,
    Json(QuarantineRequest { reason }): Json<QuarantineRequest>,
) -> Answer<StatusCode> {
    let project = project(&context, &rest).await?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_LIMIT {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-body",
            format!(
                "reason must have 1 to {REASON_LIMIT} characters: say why, for those who ask whether it can be lifted"
            ),
        ));
    }
    let known = context
        .store
        .expectations(&project, std::slice::from_ref(&path))
        .await?;
    if known.iter().all(Option::is_none) {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown-file",
            format!("no test file {path:?} of {project} has run: GET /api/v1/projects/{project} lists those that have"),
        ));
    }
    let entry = Quarantine {
        path,
        reason: reason.to_owned(),
        who: token.map(|Extension(token)| token.name),
        since: clock::now(),
    };
    match context.store.put_in_quarantine(&project, &entry, LIMIT).await? {
        Entered::Added | Entered::Changed => {
            let (path, reason, who) = (&entry.path, &entry.reason, entry.who.as_deref());
            tracing::info!(%project, path, reason, who, "a test file is under quarantine");
            Ok(StatusCode::NO_CONTENT)
        }
        Entered::Full => Err(ApiError::new(
            StatusCode::CONFLICT,
            "quarantine-full",
            format!(
                "{project} has {LIMIT} files under quarantine, which is the most: lift some that have had no failure for \
                 long; GET /api/v1/projects/{project}/quarantine lists them"
            ),
        )),
    }
}

/// Takes a file out of quarantine. Jobs that have listed it already go on as they were.
#[utoipa::path(delete, path = "/projects/{project}/quarantine", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), FileQuery),
    responses((status = 204, description = "It is out"), (status = 403, body = ErrorView), (status = 404, body = ErrorView)))]
pub(super) async fn lift(
    State(context): State<Context>,
    Path(rest): Path<String>,
    Query(FileQuery { path }): Query<FileQuery>,
) -> Answer<StatusCode> {
    let project = project(&context, &rest).await?;
    if context.store.lift_quarantine(&project, &path).await? {
        tracing::info!(%project, path, "a test file is no longer under quarantine");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found(format!(
        "{path:?} of {project} is not under quarantine: GET /api/v1/projects/{project}/quarantine lists the files that are"
    )))
}

/// The project of an address whose last part is `/quarantine`, the only one below projects where something is changed.
async fn project(context: &Context, rest: &str) -> Answer<Project> {
    let name = rest.strip_suffix("/quarantine").ok_or_else(|| {
        ApiError::not_found(format!(
            "nothing is changed at /api/v1/projects/{rest}: PUT and DELETE …/quarantine?path=FILE put a test file under \
             quarantine and lift it"
        ))
    })?;
    let all = context.store.projects().await?;
    Ok(projects::named(&all, name)?.project)
}
