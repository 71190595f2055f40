//! Words for people: failures, the summary, exit codes. Pure: from what is known to text.
//!
//! Knows no terminal; colours are on or off. What programs print passes through here without its escape sequences, so
//! that no test can move the cursor. Read next: `screen.rs`, which shows it.

use super::{
    exit,
    progress::{Bad, BadCommand, Progress},
};
use comfy_table::{Cell, Color};
use owo_colors::OwoColorize;
use queen::api::view::JobView;
use shared::{
    JobState,
    outcome::{CaseCounts, CaseOutcome, CaseResult, FileOutcome},
    protocol::event::JobError,
};
use std::fmt::Write;

/// Lines of a case's message that are shown.
const MESSAGE_LINES: usize = 40;
/// Lines of a command's output that are shown.
const TAIL_LINES: usize = 20;
/// Cases of one file that are shown whole.
const CASES_SHOWN: usize = 10;

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// Something went wrong.
    pub fn red(self, text: &str) -> String {
        if self.0 { text.red().to_string() } else { text.into() }
    }
    /// Something is as it should be.
    pub fn green(self, text: &str) -> String {
        if self.0 { text.green().to_string() } else { text.into() }
    }
    /// Something to look at.
    pub fn yellow(self, text: &str) -> String {
        if self.0 { text.yellow().to_string() } else { text.into() }
    }
    /// Beside the point.
    pub fn dim(self, text: &str) -> String {
        if self.0 { text.dimmed().to_string() } else { text.into() }
    }
    /// The point.
    pub fn bold(self, text: &str) -> String {
        if self.0 { text.bold().to_string() } else { text.into() }
    }
    /// A job's state in its colour.
    pub fn state(self, state: JobState) -> String {
        match state {
            JobState::Passed => self.green(state.as_str()),
            JobState::Failed | JobState::Errored => self.red(state.as_str()),
            JobState::Cancelled | JobState::Running => self.yellow(state.as_str()),
            JobState::Queued => self.dim(state.as_str()),
        }
    }
}

/// A job's state for a table.
#[must_use]
pub fn state_cell(state: JobState) -> Cell {
    let cell = Cell::new(state);
    match state {
        JobState::Passed => cell.fg(Color::Green),
        JobState::Failed | JobState::Errored => cell.fg(Color::Red),
        JobState::Cancelled | JobState::Running => cell.fg(Color::Yellow),
        JobState::Queued => cell,
    }
}

/// The exit code that says how a job ended, as the contract has it.
#[must_use]
pub fn exit_code(state: JobState, error: Option<&JobError>) -> u8 {
    match (state, error.map(|error| error.kind.as_str())) {
        (JobState::Passed, _) => exit::OK,
        (JobState::Failed, _) => exit::FAILED,
        (JobState::Cancelled, _) => exit::CANCELLED,
        (_, Some("source")) => exit::SOURCE,
        (_, Some("settings" | "no-tests" | "plugin" | "runner")) => exit::NOTHING,
        _ => exit::LOST,
    }
}

/// Milliseconds as people say them: `340 ms`, `2.4 s`, `3 min 05 s`, `2 h 07 min`.
#[must_use]
pub fn duration(ms: f64) -> String {
    let seconds = (ms / 1000.0).max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and for show"
    )]
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 0.9995 => format!("{ms:.0} ms"),
        0..60 => format!("{seconds:.2} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// `text` without escape sequences and other control characters but tab and line break.
#[must_use]
pub fn plain(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| if c == '\r' { '\n' } else { c })
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

fn word(outcome: FileOutcome) -> &'static str {
    match outcome {
        FileOutcome::TimedOut => "timed out",
        FileOutcome::NotRun => "not run",
        other => other.as_str(),
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How a file ended, in one line: `failed tests/test_a.py (exit 1, 0.21 s, on d1): 2 of 14 cases`.
#[must_use]
pub fn bad_line(bad: &Bad, many_drones: bool, paint: Paint) -> String {
    let result = &bad.result;
    let mut details = Vec::new();
    match result.exit {
        Some(code) if code > 128 => details.push(format!("ended by signal {}", code - 128)),
        Some(code) => details.push(format!("exit {code}")),
        None => {}
    }
    details.push(duration(result.duration));
    // Where there is but one, its name tells nothing.
    details.extend(
        bad.drone
            .as_ref()
            .filter(|_| many_drones)
            .map(|drone| format!("on {drone}")),
    );
    if bad.attempt.0 > 1 {
        details.push(format!("attempt {}", bad.attempt));
    }
    let cases = result.cases.failed + result.cases.errored;
    let cases = match cases {
        0 => String::new(),
        count => format!(": {count} of {}", plural(result.cases.total() as usize, "case")),
    };
    format!(
        "{} {} {}{cases}",
        paint.red(word(result.outcome)),
        paint.bold(&plain(&bad.path)),
        paint.dim(&format!("({})", details.join(", ")))
    )
}

/// A bad file with its cases, their messages, or the end of its output.
#[must_use]
pub fn bad_block(bad: &Bad, many_drones: bool, paint: Paint) -> String {
    let mut text = bad_line(bad, many_drones, paint);
    let cases: Vec<_> = bad
        .result
        .failures
        .iter()
        .filter(|case| case.outcome.is_bad())
        .collect();
    for case in cases.iter().take(CASES_SHOWN) {
        case_block(&mut text, case, paint);
    }
    let named = bad.result.cases.failed + bad.result.cases.errored;
    let rest = (named as usize)
        .max(cases.len())
        .saturating_sub(cases.len().min(CASES_SHOWN));
    if rest > 0 && !cases.is_empty() {
        let _ = write!(text, "\n  {}", paint.dim(&format!("… and {rest} more; see the log")));
    }
    if cases.is_empty() {
        let tail = if bad.tail.trim().is_empty() {
            &bad.result.stderr_tail
        } else {
            &bad.tail
        };
        tail_block(&mut text, tail);
    }
    text
}

fn case_block(text: &mut String, case: &CaseResult, paint: Paint) {
    let place = match (&case.file, case.line) {
        (Some(file), Some(line)) => format!("  {file}:{line}"),
        (Some(file), None) => format!("  {file}"),
        _ => String::new(),
    };
    let mark = if case.outcome == CaseOutcome::Errored {
        "error"
    } else {
        "fail"
    };
    let _ = write!(
        text,
        "\n  {} {}{}",
        paint.red(mark),
        plain(&case.name),
        paint.dim(&plain(&place))
    );
    let message = plain(case.message.as_deref().unwrap_or_default());
    let lines: Vec<_> = message.trim_end().lines().collect();
    // What happened stands at the end of a backtrace.
    let skipped = lines.len().saturating_sub(MESSAGE_LINES);
    if skipped > 0 {
        let _ = write!(text, "\n    {}", paint.dim(&format!("… {skipped} lines before")));
    }
    for line in &lines[skipped..] {
        let _ = write!(text, "\n    {line}");
    }
}

fn tail_block(text: &mut String, tail: &str) {
    let tail = plain(tail);
    let lines: Vec<_> = tail.trim_end().lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        let _ = write!(text, "\n  │ {line}");
    }
}

/// A command of a phase that failed, with the end of its output.
#[must_use]
pub fn command_block(bad: &BadCommand, paint: Paint) -> String {
    let phase = bad.phase.map_or("command", |phase| phase.as_str());
    let how = if bad.code > 128 {
        format!("(ended by signal {})", bad.code - 128)
    } else {
        format!("(exit {})", bad.code)
    };
    let mut text = format!(
        "{} {phase}: {} {}",
        paint.red("failed"),
        paint.bold(&plain(&bad.command)),
        paint.dim(&how)
    );
    tail_block(&mut text, &bad.tail);
    text
}

/// Counts of cases, bad ones first: `2 failed · 120 passed · 3 skipped`; empty without cases.
#[must_use]
pub fn cases_line(cases: &CaseCounts, paint: Paint) -> String {
    let parts = [
        (cases.failed, "failed", Paint::red as fn(Paint, &str) -> String),
        (cases.errored, "errored", Paint::red),
        (cases.passed, "passed", Paint::green),
        (cases.skipped, "skipped", Paint::yellow),
        (cases.xfailed, "xfailed", Paint::yellow),
        (cases.xpassed, "xpassed", Paint::yellow),
    ];
    join(parts.map(|(count, word, colour)| (count as usize, word, colour)), paint)
}

/// Counts of files, bad ones first.
#[must_use]
pub fn files_line(progress: &Progress, paint: Paint) -> String {
    let parts = [
        (
            progress.count(FileOutcome::Failed),
            "failed",
            Paint::red as fn(Paint, &str) -> String,
        ),
        (progress.count(FileOutcome::TimedOut), "timed out", Paint::red),
        (progress.count(FileOutcome::Crashed), "crashed", Paint::red),
        (progress.count(FileOutcome::Flaky), "flaky", Paint::yellow),
        (progress.count(FileOutcome::Passed), "passed", Paint::green),
        (progress.count(FileOutcome::Empty), "empty", Paint::dim),
        (progress.not_run(), "not run", Paint::yellow),
    ];
    join(parts, paint)
}

type Colour = fn(Paint, &str) -> String;

fn join<const N: usize>(parts: [(usize, &str, Colour); N], paint: Paint) -> String {
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, word, colour)| colour(paint, &format!("{count} {word}")))
        .collect();
    parts.join(" · ")
}

/// Where to look further.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// The job's page, as long as the queen runs.
    pub live: String,
    /// The command that shows the log.
    pub log: String,
}

/// The end of a run: state, files, cases, time, where to look further.
#[must_use]
pub fn summary(job: &JobView, progress: &Progress, links: &Links, paint: Paint) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds, for show")]
    let wall = progress.wall() as f64;
    let mut text = format!("{} in {}", paint.bold(&paint.state(job.state)), duration(wall));
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(text, "\n{} {value}", paint.dim(&format!("{name:>7}")));
        }
    };
    if let Some(error) = &job.error {
        line("why", format!("{} ({})", plain(&error.message), plain(&error.kind)));
    }
    if let (JobState::Cancelled, Some(reason)) = (job.state, &job.cancel_reason) {
        line("why", plain(reason));
    }
    if progress.total > 0 {
        let total = plural(progress.total, "file");
        line("files", format!("{total}: {}", files_line(progress, paint)));
        let cases = progress.cases();
        if cases.total() > 0 {
            let total = plural(cases.total() as usize, "case");
            line("cases", format!("{total}: {}", cases_line(&cases, paint)));
        }
        let sum = progress.sum();
        if wall >= 1.0 && sum > 0.0 {
            let mut text = format!("{} wall, {} in files", duration(wall), duration(sum));
            // Below one it would only say that the suite is small.
            if sum > wall {
                let _ = write!(text, ": {:.1} at once", sum / wall);
            }
            line("time", text);
        }
    }
    if job.job_type.deploys() {
        let deployed = match job.deploy_code {
            Some(0) => "done".into(),
            Some(code) => format!("ended with {code}"),
            None => "not begun".to_owned(),
        };
        line("deploy", deployed);
    }
    line("live", links.live.clone());
    line("log", links.log.clone());
    text
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
