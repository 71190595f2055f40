//! A job once more: whole, or only chosen files of it, or only what failed, down to the cases.
//!
//! Owns what a second run takes over from the first. Whether a framework can run some cases alone is the drone's
//! business: what cannot be chosen runs whole. Read next: `jobs.rs`.

use super::{
    error::{Answer, ApiError},
    extract::{InJob, Json},
    jobs,
    view::{ErrorView, Submitted},
};
use crate::{app::Context, store::StoredFile};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};
use shared::{
    JobData, JobId,
    outcome::FileOutcome,
    trigger::{Source, Trigger},
};
use std::collections::{BTreeMap, BTreeSet};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most bytes of names of one file: they stand in one command line.
const FILE_LIMIT: usize = 32 * 1024;
/// The most bytes of names of all files: they stand in the job's data.
const NAMES_LIMIT: usize = 256 * 1024;

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(rerun))
}

/// What of a job to run again.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RerunRequest {
    /// Only what counts against the job: of its test files the failed cases, where the framework can run them alone,
    /// else the whole file.
    pub failed: bool,
    /// Only these of its test files; with `failed`, those of them that failed.
    pub only: Option<Vec<String>>,
}

/// Runs a job again as a new one, whole or only some of its files.
#[utoipa::path(post, path = "/jobs/{id}/rerun", tag = "jobs", request_body = RerunRequest,
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 201, body = Submitted), (status = 404, body = ErrorView), (status = 409, body = ErrorView),
        (status = 422, body = ErrorView), (status = 503, body = ErrorView)))]
async fn rerun(
    State(context): State<Context>,
    InJob(id): InJob,
    Json(request): Json<RerunRequest>,
) -> Answer<impl IntoResponse> {
    let mut data = context
        .store
        .job_data(&id)
        .await?
        .ok_or_else(|| ApiError::no_job(id.as_str()))?;
    if request.failed || request.only.is_some() {
        let files = chosen(&context, &id, &request).await?;
        if request.failed {
            data.cases = failed_cases(&context, &id, &files).await?;
        } else {
            data.cases
                .retain(|path, _| files.iter().any(|file| own_path(file) == path));
        }
        let mut only: Vec<String> = files.into_iter().map(|file| own_path(&file).to_owned()).collect();
        only.dedup();
        data.only = Some(only);
    }
    let source = Source::API { app: "skep".into() };
    data.trigger = Trigger {
        message: data.trigger.message,
        ..Trigger::manual(crate::clock::now(), source)
    };
    data.job_id = None;
    data.delay_until = None;
    // Held until the new job is durable: from then on its work tree is needed.
    let _held = context.repositories.hold(&data.project).await;
    still_there(&context, &data, &id).await?;
    data.rerun_of = Some(id);
    let submission = context.engine.submit(data).await?;
    Ok(jobs::submitted(&context, &submission))
}

/// 409 if the job ran on a work tree that was handed over to this queen and is kept no longer.
async fn still_there(context: &Context, data: &JobData, id: &JobId) -> Answer<()> {
    let (Some(repo), Some(commit)) = (&data.repo, data.commit()) else {
        return Ok(());
    };
    let project = &data.project;
    // Under whatever name the queen is reached; another server may well have the same path.
    let ours = url::Url::parse(&repo.url).is_ok_and(|url| url.path() == format!("/git/{project}.git"))
        && (repo.url.starts_with(&*context.url) || context.repositories.exists(project));
    if !ours {
        return Ok(());
    }
    let (repositories, project, commit) = (context.repositories.clone(), project.clone(), commit.to_owned());
    let found = tokio::task::spawn_blocking(move || repositories.has(&project, &commit)).await;
    // What cannot be read now may be there: the drone that fetches it says what is wrong.
    if !matches!(found, Ok(Ok(false))) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "snapshot-removed",
        format!(
            "the work tree that job {id} ran on is kept no longer: start `queen run` in its folder again; \
             the queen's --keep-snapshots-days says how long work trees are kept"
        ),
    ))
}

/// The files to run again, in the order of the job.
async fn chosen(context: &Context, id: &JobId, request: &RerunRequest) -> Answer<Vec<StoredFile>> {
    let mut files = context.store.files(id).await?;
    if let Some(only) = &request.only {
        let mut wanted: BTreeSet<&str> = only.iter().map(String::as_str).collect();
        let mut found = BTreeSet::new();
        if wanted.is_empty() {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad-body",
                "only is an empty list: name test files of the job, or leave it out for all",
            ));
        }
        // A file that was run in parts is named by itself, or by some of its parts.
        files.retain(|file| {
            let named = [own_path(file), &file.row.path].map(|path| wanted.get(path).copied());
            found.extend(named.into_iter().flatten());
            named != [None, None]
        });
        wanted.retain(|path| !found.contains(path));
        if let Some(path) = wanted.first() {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown-file",
                format!(
                    "job {id} has no test file {path:?}: GET /api/v1/jobs/{id}/files has the paths of those it has"
                ),
            ));
        }
    }
    if request.failed {
        files.retain(|file| file.row.outcome.is_some_and(FileOutcome::is_bad));
        if files.is_empty() {
            let (which, instead) = match request.only {
                Some(_) => ("of the chosen ones", "leave failed out to run them all the same"),
                None => ("of it", "rerun the whole job instead"),
            };
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "nothing-failed",
                format!("job {id}: no test file {which} failed, so there is nothing to run again: {instead}"),
            ));
        }
    }
    Ok(files)
}

/// The failed cases of those files of which they tell everything.
async fn failed_cases(context: &Context, id: &JobId, files: &[StoredFile]) -> Answer<BTreeMap<String, Vec<String>>> {
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    let mut left = NAMES_LIMIT;
    for file in files {
        let path = own_path(file);
        // One that was cut short may hold more that fails; it is run whole, and so is one with such a part.
        let (Some(FileOutcome::Failed), Some(num)) = (file.row.outcome, file.row.num) else {
            whole.insert(path);
            continue;
        };
        let found = context.store.cases(id, num, file.row.attempt).await?;
        let bad: Vec<String> = found
            .into_iter()
            .filter(|case| case.outcome.is_bad())
            .map(|case| case.name)
            .collect();
        // A drone's own word for what is no case: `(loading the file)`.
        let is_whole = bad.iter().any(|name| name.starts_with('('));
        let size: usize = bad.iter().map(|name| name.len() + 4).sum();
        if bad.is_empty() || is_whole || size > FILE_LIMIT || size > left {
            whole.insert(path);
            continue;
        }
        left -= size;
        cases.entry(path.to_owned()).or_default().extend(bad);
    }
    cases.retain(|path, _| !whole.contains(path.as_str()));
    Ok(cases)
}

/// The file's own path, also of a part of it.
fn own_path(file: &StoredFile) -> &str {
    file.row.part.as_ref().map_or(&file.row.path, |part| &part.part.file)
}
