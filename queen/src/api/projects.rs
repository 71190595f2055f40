//! Projects and the history of their test files.
//!
//! A project's name has slashes, so it is the rest of the address. `…/history` belongs to the address only with a
//! `path` in the query; else it is the last part of a name.

use super::{
    error::{Answer, ApiError},
    extract::Query,
    view::{ErrorView, PastRunView, ProjectView},
};
use crate::app::Context;
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use shared::Project;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<Context> {
    // The pattern of the rest of an address is no OpenAPI path: these two are documented apart from their route.
    OpenApiRouter::with_openapi(Documented::openapi())
        .routes(routes!(list))
        .route("/projects/{*project}", get(below))
}

#[derive(OpenApi)]
#[openapi(paths(read, history), components(schemas(ProjectView, PastRunView, ErrorView)))]
struct Documented;

/// All projects by name.
#[utoipa::path(get, path = "/projects", tag = "projects", responses((status = 200, body = Vec<ProjectView>)))]
async fn list(State(context): State<Context>) -> Answer<Json<Vec<ProjectView>>> {
    let projects = context.store.projects().await?;
    Ok(Json(
        projects
            .into_iter()
            .map(|project| ProjectView::of(project, None))
            .collect(),
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// The test file's path.
    path: Option<String>,
}

async fn below(
    State(context): State<Context>,
    Path(rest): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Response> {
    let named = |name: &str| Project::new(name).map_err(|error| ApiError::bad_query(error.to_string()));
    match (rest.strip_suffix("/history"), query.path) {
        (Some(name), Some(path)) => Ok(history(&context, &named(name)?, &path).await?.into_response()),
        (None, Some(_)) => Err(ApiError::bad_query(
            "the query has a path, which belongs to …/history: ask /api/v1/projects/OWNER/NAME/history?path=…",
        )),
        (_, None) => Ok(read(&context, &named(&rest)?).await?.into_response()),
    }
}

/// One project with the history of its test files.
#[utoipa::path(get, path = "/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded")),
    responses((status = 200, body = ProjectView), (status = 404, body = ErrorView)))]
async fn read(context: &Context, name: &Project) -> Answer<Json<ProjectView>> {
    let files = context.store.history(name).await?;
    find(context, name)
        .await
        .map(|project| Json(ProjectView::of(project, Some(files))))
}

/// Past runs of one test file, newest first.
#[utoipa::path(get, path = "/projects/{project}/history", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), HistoryQuery),
    responses((status = 200, body = Vec<PastRunView>), (status = 404, body = ErrorView)))]
async fn history(context: &Context, name: &Project, path: &str) -> Answer<Json<Vec<PastRunView>>> {
    find(context, name).await?;
    let runs = context.store.past_runs(name, path).await?;
    Ok(Json(runs.into_iter().map(PastRunView::of).collect()))
}

async fn find(context: &Context, name: &Project) -> Answer<crate::store::StoredProject> {
    let projects = context.store.projects().await?;
    projects.into_iter().find(|project| project.project == *name).ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no project {name}: it appears with its first job; GET /api/v1/projects lists those that there are"
        ))
    })
}
