//! Test files in slots: each as its own command, its cases and its result.
//!
//! It takes files from the mailbox as slots get free and says what came of them. It does not choose files, and knows
//! nothing of phases. Read next: [`super`].

use super::{Job, Prepared, Voice, cut};
use crate::{
    clock,
    phase::{PIECES, Planned, Stage, millis},
    process::{SpawnError, Stream},
    runner::{self, FileReport, FileRun},
    slots::Slot,
};
use futures_util::FutureExt;
use shared::{
    Num,
    outcome::{CaseResult, FAILURE_LIMIT, FileOutcome, FileResult, MESSAGE_LIMIT},
    protocol::{
        JobEvent, RunFile,
        event::{JobError, Phase},
    },
};
use std::{
    collections::{BTreeMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The most bytes of JSON that one part of a file's cases may have.
const CASES_LIMIT: usize = 200 * 1000;
/// The most bytes of JSON that a file's failures may have in its result; the rest is in its cases.
const FAILURES_LIMIT: usize = 300 * 1000;
/// The most bytes of the names of a file's groups: those of all parts but one stand in one message.
const GROUPS_LIMIT: usize = 64 * 1024;
/// Milliseconds below which nobody splits a file.
const SHORT: f64 = 500.0;
/// Cases that may wait to be said; then the worker that tells them waits.
const CASES: usize = 64;
/// How long a case may wait for others to be said with it.
const CASES_TIME: Duration = Duration::from_millis(200);
/// The most bytes of a case's name.
const NAME_LIMIT: usize = 4096;

/// Begins files as slots get free, in the order in which they came. Never returns: drop it to begin no more.
pub async fn dispatch(job: Arc<Job>, prepared: Arc<Prepared>) {
    loop {
        job.mailbox.file_waits().await;
        let Some(slot) = job.machine.slots.take().await else {
            return std::future::pending().await;
        };
        // It may have been taken back while this waited for the slot.
        let Some((file, stop)) = job.mailbox.begin(&job.stop) else {
            continue;
        };
        let (job, prepared) = (Arc::clone(&job), Arc::clone(&prepared));
        job.tasks.clone().spawn(async move {
            let run = AssertUnwindSafe(one(&job, &prepared, &file, &slot, &stop)).catch_unwind();
            if run.await.is_err() {
                let message = format!("the drone broke down over {}: this is a bug of Skep", file.path);
                job.fail(JobError::new("internal", message));
            }
            job.mailbox.end(file.num);
        });
    }
}

/// Runs one file and says everything of it. `stop` is cancelled if it is not wanted any more, or its job is not.
async fn one(job: &Job, prepared: &Prepared, file: &RunFile, slot: &Slot, stop: &CancellationToken) {
    let voice = &job.voice;
    let id = || voice.job.clone();
    voice
        .say(JobEvent::FileStart {
            job: id(),
            num: file.num,
            path: file.path.clone(),
            worker: slot.number(),
            attempt: file.attempt,
            drone: Some(voice.drone.clone()),
        })
        .await;
    let mut env = prepared.env.clone();
    env.insert("SKEP_WORKER_ID".into(), slot.number().to_string());
    env.insert("SKEP_FILE".into(), own_path(file).to_owned());
    let start = clock::instant();
    let report = if let Some(planned) = prepared.test_command(&file.path) {
        command(job, prepared, &planned, file, &env, stop).await
    } else {
        test_file(job, prepared, file, slot, &env, stop).await
    };
    let Some((mut result, cases)) = report else {
        if !job.stop.is_cancelled() {
            let nums = vec![file.num];
            voice.say(JobEvent::Returned { job: id(), nums }).await;
        }
        return;
    };
    if result.duration == 0.0 {
        result.duration = start.elapsed().as_secs_f64() * 1000.0;
    }
    say_cases(voice, file, cases).await;
    voice
        .say(JobEvent::FileDone {
            job: id(),
            num: file.num,
            path: file.path.clone(),
            attempt: file.attempt,
            result: shorten(result),
            drone: Some(voice.drone.clone()),
        })
        .await;
}

/// What came of a file, and the cases that have not been said yet; nothing if it was stopped.
type Came = Option<(FileResult, Vec<CaseResult>)>;

async fn say_cases(voice: &Voice, file: &RunFile, cases: Vec<CaseResult>) {
    for cases in parts(cases.into_iter().map(trim).collect(), CASES_LIMIT) {
        let (job, num, attempt) = (voice.job.clone(), file.num, file.attempt);
        voice
            .say(JobEvent::Cases {
                job,
                num,
                attempt,
                cases,
            })
            .await;
    }
}

/// Says cases of a long file while it runs; answers with the names of those. What comes within the last moment is left
/// to the report.
async fn say_early(voice: &Voice, file: &RunFile, mut cases: mpsc::Receiver<CaseResult>) -> HashSet<String> {
    let mut said = HashSet::new();
    let mut batch = Vec::new();
    while let Some(first) = cases.recv().await {
        batch.push(first);
        let mut time = std::pin::pin!(tokio::time::sleep(CASES_TIME));
        loop {
            tokio::select! {
                biased;
                () = &mut time => break,
                case = cases.recv() => match case {
                    Some(case) => batch.push(case),
                    None => return said,
                },
            }
        }
        said.extend(batch.iter().map(|case: &CaseResult| case.name.clone()));
        say_cases(voice, file, std::mem::take(&mut batch)).await;
    }
    said
}

/// A plugin's command of the test phase, which counts as a file.
async fn command(
    job: &Job,
    prepared: &Prepared,
    planned: &Planned,
    file: &RunFile,
    env: &BTreeMap<String, String>,
    stop: &CancellationToken,
) -> Came {
    let stage = Stage {
        timeout: time_limit(file, prepared),
        ..job.stage(Phase::Test, prepared.root(), env, stop)
    };
    let start = clock::instant();
    let code = stage.one(planned, file.num).await;
    if stop.is_cancelled() {
        return None;
    }
    let outcome = if code == 0 {
        FileOutcome::Passed
    } else {
        FileOutcome::Failed
    };
    let result = FileResult {
        exit: Some(code),
        duration: start.elapsed().as_secs_f64() * 1000.0,
        ..FileResult::bare(outcome)
    };
    Some((result, Vec::new()))
}

/// A test file, after the slot's `before_start` hooks if it is the slot's first.
async fn test_file(
    job: &Job,
    prepared: &Prepared,
    file: &RunFile,
    slot: &Slot,
    env: &BTreeMap<String, String>,
    stop: &CancellationToken,
) -> Came {
    let voice = &job.voice;
    let root = prepared.root();
    let Some(runner) = &prepared.runner else {
        job.fail(JobError::new(
            "internal",
            format!("{} was handed out without a runner", file.path),
        ));
        return None;
    };
    let mut shown = runner.display(root, env, own_path(file), file.cases.as_deref());
    if let Some(part) = &file.part {
        shown.push_str(&format!("  # {}", runner::describe(part)));
    }
    voice.command(file.num, &shown, None, Phase::Test, runner.name()).await;
    let start = clock::instant();
    let report = match before_start(job, prepared, file.num, slot, env, stop).await {
        Err(result) => Ok(Err(result)),
        Ok(()) => {
            let (sender, pieces) = mpsc::channel(PIECES);
            let (tell, told) = mpsc::channel(CASES);
            let run = async {
                let (sender, tell) = (sender, tell);
                let run = FileRun {
                    root,
                    file: own_path(file),
                    cases: file.cases.as_deref(),
                    part: file.part.as_ref(),
                    groups: prepared.settings.test.splits() && file.cases.is_none(),
                    env,
                    timeout: time_limit(file, prepared),
                    mask: &voice.mask,
                    output: &sender,
                    tell: Some(&tell),
                    cancel: stop,
                    scratch: prepared.scratch(),
                };
                match &prepared.warm {
                    Some(warm) => warm.run_file(run).await,
                    None => runner.run_file(run).await,
                }
            };
            let relay = voice.relay(file.num, pieces, None);
            let (report, (), said) = tokio::join!(run, relay, say_early(voice, file, told));
            let unsaid = |mut report: FileReport| {
                report.cases.retain(|case| !said.contains(&case.name));
                report
            };
            report.map(unsaid).map(Ok)
        }
    };
    let came = match report {
        Ok(Ok(report)) => {
            for warning in &report.warnings {
                voice.warn(runner.name(), warning).await;
            }
            let FileReport {
                result, cases, ended, ..
            } = report;
            (ended.code, (!ended.cancelled).then_some((result, cases)))
        }
        Ok(Err(result)) => (result.exit.unwrap_or(1), Some((result, Vec::new()))),
        Err(error) => {
            let message = voice.mask.sanitize(&error.to_string());
            voice
                .output(file.num, Stream::Stderr, cut(format!("{message}\n"), MESSAGE_LIMIT))
                .await;
            // A framework that this machine does not have is no fault of the file.
            if matches!(error, SpawnError::NotOnPath { .. }) {
                job.fail(JobError::new(
                    "runner",
                    format!("{} cannot be run: {message}", file.path),
                ));
            }
            let result = FileResult {
                exit: Some(127),
                stderr_tail: cut(message, MESSAGE_LIMIT),
                ..FileResult::bare(FileOutcome::Failed)
            };
            (127, Some((result, Vec::new())))
        }
    };
    voice
        .say(JobEvent::CmdDone {
            job: voice.job.clone(),
            num: file.num,
            exit_code: came.0,
            elapsed: Some(millis(start.elapsed())),
        })
        .await;
    came.1.filter(|_| !stop.is_cancelled())
}

/// Runs the slot's hooks before its first file, in the file's own stream of output. One that fails fails the file, and
/// the slot tries again with the next.
async fn before_start(
    job: &Job,
    prepared: &Prepared,
    num: Num,
    slot: &Slot,
    env: &BTreeMap<String, String>,
    stop: &CancellationToken,
) -> Result<(), FileResult> {
    let hooks = &prepared.settings.hooks.before_start;
    if !job.start_slot(slot.number()) || hooks.is_empty() {
        return Ok(());
    }
    let stage = job.stage(Phase::Test, prepared.root(), env, stop);
    for hook in hooks {
        let code = stage.inside(hook, num).await;
        if code != 0 {
            job.unstart_slot(slot.number());
            return Err(FileResult {
                exit: Some(code),
                stderr_tail: job
                    .voice
                    .mask
                    .sanitize(&format!("the hook before_start ended with code {code}: {hook}")),
                ..FileResult::bare(FileOutcome::Failed)
            });
        }
    }
    Ok(())
}

/// The file that is run, wholly or in part.
fn own_path(file: &RunFile) -> &str {
    file.part.as_ref().map_or(&file.path, |part| &part.file)
}

fn time_limit(file: &RunFile, prepared: &Prepared) -> Option<Duration> {
    file.timeout.or(prepared.settings.test.timeout).map(Duration::from_secs)
}

fn trim(mut case: CaseResult) -> CaseResult {
    case.name = cut(case.name, NAME_LIMIT);
    case.message = case.message.map(|message| cut(message, MESSAGE_LIMIT));
    case
}

/// A result that is sure to fit into a frame.
fn shorten(mut result: FileResult) -> FileResult {
    let mut left = FAILURES_LIMIT;
    result.failures.truncate(FAILURE_LIMIT);
    result.failures = std::mem::take(&mut result.failures)
        .into_iter()
        .map(trim)
        .map(|mut case| {
            let size = json_size(&case);
            if size > left {
                case.message = Some("(see the cases of this file)".into());
            }
            left = left.saturating_sub(size);
            case
        })
        .collect();
    result.stderr_tail = cut(result.stderr_tail, MESSAGE_LIMIT);
    let names: usize = result.groups.iter().map(|group| group.name.len() + 4).sum();
    if result.duration < SHORT || names > GROUPS_LIMIT {
        result.groups.clear();
    }
    result
}

fn json_size(value: &impl serde::Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

/// Cuts a list into parts of at most `limit` bytes of JSON; an item that is longer stands alone.
pub fn parts<T: serde::Serialize>(items: Vec<T>, limit: usize) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = Vec::new();
    let mut size = usize::MAX;
    for item in items {
        let more = json_size(&item) + 1;
        size = size.saturating_add(more);
        if size > limit {
            all.push(Vec::new());
            size = more;
        }
        if let Some(part) = all.last_mut() {
            part.push(item);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::outcome::CaseOutcome;

    fn case(message: String) -> CaseResult {
        CaseResult {
            name: "n".repeat(10_000),
            outcome: CaseOutcome::Failed,
            duration: None,
            message: Some(message),
            file: None,
            line: None,
        }
    }

    #[test]
    fn results_fit_into_a_frame_whatever_the_framework_wrote() {
        let mut result = FileResult::bare(FileOutcome::Failed);
        result.failures = (0..50).map(|_| case("\u{1}".repeat(100_000))).collect();
        let short = shorten(result);
        assert_eq!(short.failures.len(), FAILURE_LIMIT);
        assert!(
            short
                .failures
                .iter()
                .all(|case| case.message.as_ref().unwrap().len() <= MESSAGE_LIMIT)
        );
        assert!(json_size(&short) < 600_000, "{}", json_size(&short));
    }

    #[test]
    fn parts_keep_order_and_limit() {
        let items: Vec<String> = (0..100).map(|i| format!("item {i}")).collect();
        let all = parts(items.clone(), 100);
        assert!(all.len() > 1 && all.iter().all(|part| json_size(part) <= 102));
        assert_eq!(all.concat(), items);
        assert!(parts(Vec::<String>::new(), 10).is_empty());
    }
}
