//! Projects: what is known of their test files, how their jobs went, their badge.
//!
//! A project's name has slashes, so it is the rest of the address. `…/history`, `…/trend`, `…/quarantine` and `…/badge.svg`
//! belong to the address unless a project has that very name; `…/history` only with a `path` in the query, and
//! `…/quarantine` always where something is changed.

use super::{
    badge,
    error::{Answer, ApiError},
    extract::Query,
    quarantine,
    view::{ErrorView, PastRunView, ProjectView, TrendJobView, TrendView},
};
use crate::{
    app::Context,
    store::{JobFilter, StoredProject},
};
use axum::{
    Json,
    extract::{Path, State},
    http::header::{self, HeaderName},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use shared::{JobState, Project};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Jobs of a trend, if the client does not say.
const TREND: u32 = 200;
/// The most jobs of a trend.
const TREND_LIMIT: u32 = 500;

pub(super) fn router() -> OpenApiRouter<Context> {
    // The pattern of the rest of an address is no OpenAPI path: these are documented apart from their route.
    OpenApiRouter::with_openapi(Documented::openapi())
        .merge(OpenApiRouter::with_openapi(quarantine::Documented::openapi()))
        .routes(routes!(list))
        .route(
            "/projects/{*project}",
            get(below).put(quarantine::put).delete(quarantine::lift),
        )
}

#[derive(OpenApi)]
#[openapi(
    paths(read, history, trend, picture),
    components(schemas(ProjectView, PastRunView, TrendView, ErrorView))
)]
struct Documented;

/// All projects by name.
#[utoipa::path(get, path = "/projects", tag = "projects", responses((status = 200, body = Vec<ProjectView>)))]
async fn list(State(context): State<Context>) -> Answer<Json<Vec<ProjectView>>> {
    let projects = context.store.projects().await?;
    Ok(Json(projects.into_iter().map(ProjectView::of).collect()))
}

/// Everything that an address below a project takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BelowQuery {
    path: Option<String>,
    branch: Option<String>,
    limit: Option<u32>,
    files: Option<bool>,
}

impl BelowQuery {
    /// Refuses what `what` does not take.
    fn only(&self, what: &str, taken: &[&str]) -> Answer<()> {
        let given = [
            ("path", self.path.is_some()),
            ("branch", self.branch.is_some()),
            ("limit", self.limit.is_some()),
            ("files", self.files.is_some()),
        ];
        let mut strange = given.iter().filter(|(name, given)| *given && !taken.contains(name));
        let Some((name, _)) = strange.next() else { return Ok(()) };
        Err(ApiError::bad_query(format!(
            "{what} takes no {name}: …/history takes path, …/trend branch and limit, …/badge.svg branch, \
             and a project itself files"
        )))
    }
}

async fn below(
    State(context): State<Context>,
    Path(rest): Path<String>,
    Query(query): Query<BelowQuery>,
) -> Answer<Response> {
    let projects = context.store.projects().await?;
    let named = |name: &str| named(&projects, name);
    if let (Some(name), Some(path)) = (rest.strip_suffix("/history"), &query.path) {
        query.only("a file's history", &["path"])?;
        return Ok(history(&context, &named(name)?.project, path).await?.into_response());
    }
    if !projects.iter().any(|project| project.project.as_str() == rest) {
        // A suffix after what can be no project is a part of the name.
        let below = |suffix: &str| rest.strip_suffix(suffix).filter(|name| Project::new(*name).is_ok());
        if let Some(name) = below("/trend") {
            query.only("a trend", &["branch", "limit"])?;
            return Ok(trend(&context, &named(name)?.project, query).await?.into_response());
        }
        if let Some(name) = below("/quarantine") {
            query.only("a quarantine", &[])?;
            return Ok(quarantine::list(&context, &named(name)?.project).await?.into_response());
        }
        if let Some(name) = below("/badge.svg") {
            query.only("a badge", &["branch"])?;
            return Ok(picture(&context, &named(name)?.project, query.branch)
                .await?
                .into_response());
        }
    }
    query.only("a project", &["files"])?;
    Ok(read(&context, named(&rest)?, query.files).await?.into_response())
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents a part of what BelowQuery takes")]
struct ReadQuery {
    /// `false` leaves `files` out.
    files: Option<bool>,
}

/// One project with what is known of its test files.
#[utoipa::path(get, path = "/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), ReadQuery),
    responses((status = 200, body = ProjectView), (status = 400, body = ErrorView), (status = 404, body = ErrorView)))]
async fn read(context: &Context, project: StoredProject, files: Option<bool>) -> Answer<Json<ProjectView>> {
    let history = context.store.history(&project.project).await?;
    Ok(Json(ProjectView::of(project).with_files(history, files != Some(false))))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents a part of what BelowQuery takes")]
struct HistoryQuery {
    /// The test file's path.
    path: String,
}

/// Past runs of one test file, newest first.
#[utoipa::path(get, path = "/projects/{project}/history", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), HistoryQuery),
    responses((status = 200, body = Vec<PastRunView>), (status = 404, body = ErrorView)))]
async fn history(context: &Context, name: &Project, path: &str) -> Answer<Json<Vec<PastRunView>>> {
    let runs = context.store.past_runs(name, path).await?;
    Ok(Json(runs.into_iter().map(PastRunView::of).collect()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents a part of what BelowQuery takes")]
struct TrendQuery {
    /// Only of this branch.
    branch: Option<String>,
    /// At most this many, 1 to 500; 200 if absent.
    limit: Option<u32>,
}

/// The newest jobs of a project that have ended, oldest first.
#[utoipa::path(get, path = "/projects/{project}/trend", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), TrendQuery),
    responses((status = 200, body = TrendView), (status = 400, body = ErrorView), (status = 404, body = ErrorView)))]
async fn trend(context: &Context, name: &Project, query: BelowQuery) -> Answer<Json<TrendView>> {
    let limit = query.limit.unwrap_or(TREND);
    if !(1..=TREND_LIMIT).contains(&limit) {
        return Err(ApiError::bad_query(format!(
            "limit is {limit}: choose 1 to {TREND_LIMIT}"
        )));
    }
    let states = [
        JobState::Passed,
        JobState::Failed,
        JobState::Errored,
        JobState::Cancelled,
    ];
    let mut jobs = context
        .store
        .jobs(&ended(name, query.branch, &states, limit))
        .await?
        .jobs;
    jobs.reverse();
    let ids: Vec<_> = jobs.iter().map(|job| job.row.id.clone()).collect();
    let flaky = context.store.flaky(&ids).await?;
    let jobs = jobs.iter().zip(flaky).map(|(job, flaky)| TrendJobView::of(job, flaky));
    Ok(Json(TrendView { jobs: jobs.collect() }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents a part of what BelowQuery takes")]
struct BadgeQuery {
    /// Only of this branch.
    branch: Option<String>,
}

/// A picture of how the newest job of a project, or of a branch of it, has ended; one that was cancelled does not count.
#[utoipa::path(get, path = "/projects/{project}/badge.svg", tag = "projects",
    params(("project" = String, Path, description = "`owner/name`, slashes as they are or encoded"), BadgeQuery),
    responses((status = 200, content_type = "image/svg+xml", body = String), (status = 404, body = ErrorView)))]
async fn picture(context: &Context, name: &Project, branch: Option<String>) -> Answer<impl IntoResponse> {
    let branch = branch.filter(|branch| !branch.is_empty());
    let of = branch
        .as_deref()
        .map_or_else(|| name.to_string(), |branch| format!("{name} {branch}"));
    let states = [JobState::Passed, JobState::Failed, JobState::Errored];
    let newest = context.store.jobs(&ended(name, branch, &states, 1)).await?.jobs;
    let svg = badge::svg(newest.first().map(|job| job.row.state), &of);
    Ok((
        [
            (header::CONTENT_TYPE, "image/svg+xml"),
            // Whoever shows it asks each time.
            (header::CACHE_CONTROL, "no-cache"),
            // It is made for pages elsewhere.
            (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        ],
        svg,
    ))
}

/// The newest jobs of these states.
fn ended(name: &Project, branch: Option<String>, states: &[JobState], limit: u32) -> JobFilter {
    JobFilter {
        project: Some(name.clone()),
        branch: branch.filter(|branch| !branch.is_empty()),
        states: states.to_vec(),
        limit,
        ..JobFilter::default()
    }
}

/// The one of `projects` that is called so.
pub(super) fn named(projects: &[StoredProject], name: &str) -> Answer<StoredProject> {
    let name = Project::new(name).map_err(|error| ApiError::bad_query(error.to_string()))?;
    let known = projects.iter().find(|project| project.project == name);
    known.cloned().ok_or_else(|| no_project(&name))
}

fn no_project(name: &Project) -> ApiError {
    ApiError::not_found(format!(
        "there is no project {name}: it appears with its first job; GET /api/v1/projects lists those that there are"
    ))
}
