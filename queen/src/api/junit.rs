//! A job's results as JUnit XML: a suite per test file, a case per case; earlier attempts as surefire writes them.
//!
//! Files that ended badly without a case that says so get a case of their own, and so does the job, so that no reader of
//! the report takes what is broken for passed. Read next: `jobs.rs`.

#[cfg(test)]
mod tests;

use super::{
    error::{Answer, ApiError},
    extract::InJob,
    jobs,
    view::ErrorView,
};
use crate::{
    app::Context,
    store::{StoredFile, StoredJob},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use shared::{
    JobState,
    outcome::{CaseOutcome, CaseResult, FileOutcome, FileResult},
};
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
        let mut earlier = Vec::new();
        if file.row.attempt.0 > 1 || job.row.attempt > 1 {
            let attempts = context.store.attempts(&id, &file.row.path).await?;
            for past in attempts.into_iter().filter(|past| Some(past.num) != file.row.num) {
                earlier.push(Earlier {
                    cases: context.store.cases(&id, past.num, past.attempt).await?,
                    result: past.result,
                });
            }
        }
        report.add_test_suite(suite(&file, &cases, &earlier));
    }
    report.add_test_suites(whole(&job));
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

/// An attempt before the last one.
struct Earlier {
    result: FileResult,
    cases: Vec<CaseResult>,
}

/// What the job itself has to say, where no file does.
fn whole(job: &StoredJob) -> Option<TestSuite> {
    let row = &job.row;
    let bad = |code: Option<i32>| code.filter(|code| *code != 0);
    let (kind, message) = match row.state {
        JobState::Errored => {
            let error = row.error.as_ref();
            let said = error.map(|error| format!("{}: {}", error.kind, error.message));
            (NonSuccessKind::Error, said.unwrap_or_default())
        }
        JobState::Cancelled => {
            let reason = row.cancel.as_deref().unwrap_or_default();
            (NonSuccessKind::Error, format!("cancelled: {reason}"))
        }
        JobState::Failed if let Some(code) = bad(row.deploy_code) => {
            (NonSuccessKind::Failure, format!("the deploy ended with code {code}"))
        }
        JobState::Failed if row.files_bad == 0 => {
            let code = bad(row.test_code).unwrap_or(1);
            let said = format!("a command before the tests ended with code {code}");
            (NonSuccessKind::Failure, said)
        }
        _ => return None,
    };
    let mut case = TestCase::new(row.state.to_string(), status(kind, &message, row.state.as_str()));
    case.set_classname("job");
    let mut suite = TestSuite::new("job");
    suite.add_test_case(case);
    Some(suite)
}

fn suite(file: &StoredFile, cases: &[CaseResult], earlier: &[Earlier]) -> TestSuite {
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
    let bad = |case: &&CaseResult| case.outcome.is_bad();
    for case in cases {
        let same = earlier.iter().flat_map(|earlier| &earlier.cases).filter(bad);
        suite.add_test_case(test_case(path, case, same.filter(|past| past.name == case.name)));
    }
    // Attempts that were bad, and no case of the last one tells of it.
    let is_told = |past: &CaseResult| cases.iter().any(|case| case.name == past.name);
    let untold = |earlier: &&Earlier| earlier.result.outcome.is_bad() && !earlier.cases.iter().filter(bad).any(is_told);
    let mut untold = earlier.iter().filter(untold).peekable();
    let own = own_case(file, cases);
    if own.is_some() || untold.peek().is_some() {
        let mut status = own.unwrap_or_else(TestCaseStatus::success);
        untold.for_each(|earlier| rerun(&mut status, of_file(&earlier.result)));
        let mut case = TestCase::new(path, status);
        case.set_classname(path);
        if let Some(result) = &file.result {
            case.set_time(millis(result.duration));
        }
        suite.add_test_case(case);
    }
    suite
}

/// Adds an earlier attempt; there is no place for one beside what was left out.
fn rerun(status: &mut TestCaseStatus, run: TestRerun) {
    if !matches!(status, TestCaseStatus::Skipped { .. }) {
        status.add_rerun(run);
    }
}

fn of_file(result: &FileResult) -> TestRerun {
    let kind = match result.outcome {
        FileOutcome::Failed => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut run = TestRerun::new(kind);
    run.set_time(millis(result.duration));
    run.set_type(result.outcome.as_str());
    run.set_message(match (result.outcome, result.exit) {
        (FileOutcome::TimedOut, _) => "stopped at its time limit".to_owned(),
        (_, Some(exit)) => format!("exit code {exit}"),
        _ => "it failed".to_owned(),
    });
    if !result.stderr_tail.is_empty() {
        run.set_stack_trace(result.stderr_tail.as_str());
    }
    run
}

fn of_case(case: &CaseResult) -> TestRerun {
    let message = case.message.as_deref().unwrap_or_default();
    let (kind, word) = match case.outcome {
        CaseOutcome::Errored => (NonSuccessKind::Error, "errored"),
        _ => (NonSuccessKind::Failure, "failed"),
    };
    let mut run = TestRerun::new(kind);
    run.set_type(word);
    run.set_message(message.lines().next().unwrap_or_default());
    if let Some(duration) = case.duration {
        run.set_time(millis(duration));
    }
    if !message.is_empty() {
        run.set_stack_trace(message);
    }
    run
}

fn status(kind: NonSuccessKind, message: &str, word: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word);
    status.set_message(message.lines().next().unwrap_or_default());
    if !message.is_empty() {
        status.set_description(message);
    }
    status
}

fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

fn test_case<'a>(path: &str, case: &CaseResult, earlier: impl Iterator<Item = &'a CaseResult>) -> TestCase {
    let message = case.message.as_deref().unwrap_or_default();
    let skipped = |kind: &str| {
        let mut status = TestCaseStatus::skipped();
        status.set_type(kind);
        status.set_message(message);
        status
    };
    let mut status = match case.outcome {
        CaseOutcome::Passed | CaseOutcome::XPassed => TestCaseStatus::success(),
        CaseOutcome::Failed => status(NonSuccessKind::Failure, message, "failed"),
        CaseOutcome::Errored => status(NonSuccessKind::Error, message, "errored"),
        CaseOutcome::Skipped => skipped("skip"),
        CaseOutcome::XFailed => skipped("xfail"),
    };
    earlier.for_each(|past| rerun(&mut status, of_case(past)));
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
    let error = |message: &str, word: &str| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type(word);
        status.set_message(message);
        status
    };
    let Some(outcome) = file.row.outcome else {
        return Some(error("this file has not ended yet", "running"));
    };
    let word = outcome.as_str();
    match outcome {
        FileOutcome::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(word);
            status.set_message("this file was not run: the job ended first");
            Some(status)
        }
        FileOutcome::Crashed => Some(error(
            "this file's process died, or its drone was lost, too often",
            word,
        )),
        FileOutcome::TimedOut => Some(error("this file was stopped at its time limit", word)),
        FileOutcome::Failed if !cases.iter().any(|case| case.outcome.is_bad()) => {
            let result = file.result.as_ref();
            let exit = result.and_then(|result| result.exit);
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(word);
            status.set_message(exit.map_or_else(|| "it failed".into(), |exit| format!("exit code {exit}")));
            if let Some(result) = result.filter(|result| !result.stderr_tail.is_empty()) {
                status.set_description(result.stderr_tail.as_str());
            }
            Some(status)
        }
        FileOutcome::Passed | FileOutcome::Flaky if cases.is_empty() => Some(TestCaseStatus::success()),
        FileOutcome::Empty | FileOutcome::Failed | FileOutcome::Passed | FileOutcome::Flaky => None,
    }
}
