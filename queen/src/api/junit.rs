//! A job's results as JUnit XML: a suite per test file, a case per case.
//!
//! Files that ended badly without a case that says so get a case of their own, so that no reader of the report takes a
//! broken file for a passed one.

#[cfg(test)]
mod tests;

use super::{
    error::{Answer, ApiError},
    extract::InJob,
    jobs,
    view::ErrorView,
};
use crate::{app::Context, store::StoredFile};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use shared::outcome::{CaseOutcome, CaseResult, FileOutcome, FileResult};
use std::time::Duration;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(junit))
}

/// A job's results as JUnit XML. Works on a running job with what is known so far.
#[utoipa::path(get, path = "/jobs/{id}/junit.xml", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, content_type = "application/xml", body = String), (status = 404, body = ErrorView)))]
async fn junit(State(context): State<Context>, InJob(id): InJob) -> Answer<Response> {
    let job = jobs::find(&context, &id).await?;
    ApiError::if_log_removed(&job)?;
    let mut report = Report::new(job.data.project.as_str());
    if let (Some(from), Some(to)) = (job.row.started, job.row.finished) {
        report.set_time(Duration::from_millis(to.since(from)));
    }
    for file in context.store.files(&id).await? {
        let cases = match file.row.num {
            Some(num) => context.store.cases(&id, num, file.row.attempt).await?,
            None => Vec::new(),
        };
        report.add_test_suite(suite(&file, &cases));
    }
    let xml = report.to_string().map_err(|error| {
        tracing::error!(job = %id, %error, "a JUnit report could not be written");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the report could not be written: the queen's log says why",
        )
    })?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/xml; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, format!("inline; filename=\"{id}.xml\"")),
        ],
        xml,
    )
        .into_response())
}

fn suite(file: &StoredFile, cases: &[CaseResult]) -> TestSuite {
    let path = file.row.path.as_str();
    let mut suite = TestSuite::new(path);
    if let Some(result) = &file.result {
        suite.set_time(millis(result.duration));
        if !result.stderr_tail.is_empty() {
            suite.set_system_err(result.stderr_tail.as_str());
        }
    }
    if let Some(at) = file.at.and_then(|at| jiff::Timestamp::from_millisecond(at.0).ok()) {
        suite.add_property(Property::new("received", at.to_string()));
    }
    if let Some(drone) = &file.row.drone {
        suite.add_property(Property::new("drone", drone.as_str()));
    }
    if file.row.attempt.0 > 1 {
        suite.add_property(Property::new("attempts", file.row.attempt.to_string()));
    }
    for case in cases {
        suite.add_test_case(test_case(path, case));
    }
    if let Some(status) = own_case(file, cases) {
        let mut case = TestCase::new(path, status);
        case.set_classname(path);
        if let Some(result) = &file.result {
            case.set_time(millis(result.duration));
        }
        suite.add_test_case(case);
    }
    suite
}

fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

fn test_case(path: &str, case: &CaseResult) -> TestCase {
    let message = case.message.as_deref().unwrap_or_default();
    let bad = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message.lines().next().unwrap_or_default());
        if !message.is_empty() {
            status.set_description(message);
        }
        status
    };
    let skipped = |kind: &str| {
        let mut status = TestCaseStatus::skipped();
        status.set_type(kind);
        status.set_message(message);
        status
    };
    let status = match case.outcome {
        CaseOutcome::Passed | CaseOutcome::XPassed => TestCaseStatus::success(),
        CaseOutcome::Failed => bad(NonSuccessKind::Failure),
        CaseOutcome::Errored => bad(NonSuccessKind::Error),
        CaseOutcome::Skipped => skipped("skip"),
        CaseOutcome::XFailed => skipped("xfail"),
    };
    let mut out = TestCase::new(case.name.as_str(), status);
    out.set_classname(path);
    if let Some(duration) = case.duration {
        out.set_time(millis(duration));
    }
    if case.outcome == CaseOutcome::XPassed {
        out.add_property(Property::new("outcome", "xpassed"));
    }
    let extra = &mut out.extra;
    if let Some(file) = &case.file {
        extra.insert("file".into(), file.as_str().into());
    }
    if let Some(line) = case.line {
        extra.insert("line".into(), line.to_string().into());
    }
    out
}

/// The case that stands for the file itself, where no other says how it ended.
fn own_case(file: &StoredFile, cases: &[CaseResult]) -> Option<TestCaseStatus> {
    let error = |message: &str| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(message);
        status
    };
    let exit = file.result.as_ref().and_then(|result| result.exit);
    let said = file
        .result
        .as_ref()
        .map_or("", |result: &FileResult| result.stderr_tail.as_str());
    match file.row.outcome {
        None => Some(error("this file has not ended yet")),
        Some(FileOutcome::NotRun) => Some(error("this file was not run: the job ended first")),
        Some(FileOutcome::Crashed) => Some(error("this file's process died, or its drone was lost, too often")),
        Some(FileOutcome::TimedOut) => Some(error("this file was stopped at its time limit")),
        Some(FileOutcome::Failed) if !cases.iter().any(|case| case.outcome.is_bad()) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(exit.map_or_else(|| "it failed".into(), |exit| format!("exit code {exit}")));
            if !said.is_empty() {
                status.set_description(said);
            }
            Some(status)
        }
        Some(FileOutcome::Passed | FileOutcome::Flaky) if cases.is_empty() => Some(TestCaseStatus::success()),
        Some(FileOutcome::Empty | FileOutcome::Failed | FileOutcome::Passed | FileOutcome::Flaky) => None,
    }
}
