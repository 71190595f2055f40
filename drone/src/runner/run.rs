//! The run of one file: command, output, report, verdict.
//!
//! Owns the rule that makes a result of an exit code and of cases. Must not know how a framework is called
//! (`presets.rs`) or how reports are read (`junit.rs`, `tap.rs`, `json.rs`, `text.rs`).

#[cfg(test)]
mod tests;

use super::{
    FileReport, FileRun, Runner, found,
    found::Found,
    json, junit, nextest, part,
    presets::{Kind, Results},
    select,
    tap::Tap,
    text::Lines,
};
use crate::process::{self, Command, Ended, Mask, Output, SpawnError, Stream};
use shared::{
    outcome::{CaseCounts, CaseOutcome, CaseResult, FAILURE_LIMIT, FileOutcome, FileResult},
    protocol::to_drone::Part,
};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};
use tokio::sync::mpsc;

/// The most bytes of a report that are read.
const REPORT_LIMIT: u64 = 128 * 1024 * 1024;
/// The most bytes of a line of output that a reader looks at.
const LINE_LIMIT: usize = 64 * 1024;
/// The most bytes of a message in a [`FileResult`]; whole ones are in the cases.
const SUMMARY_LIMIT: usize = 4 * 1024;

impl Runner {
    /// Runs one file, or only some of its cases where the framework can choose, and reads its results. If one of the
    /// cases cannot be found by its name, the whole file runs after all. An error: the process could not be started.
    pub async fn run_file(&self, run: FileRun<'_>) -> Result<FileReport, SpawnError> {
        let is_able = self.script.is_none() && self.kind.can_select();
        let Some(asked) = run.cases.filter(|asked| is_able && !asked.is_empty()) else {
            return self.attempt(&run, None).await;
        };
        let mut report = self.attempt(&run, Some(asked)).await?;
        let missing = self.kind.missing(asked, &report.cases);
        let is_cut = report.ended.timed_out || report.ended.cancelled || report.ended.signal.is_some();
        if missing.is_empty() || is_cut {
            report.cases.retain(|case| !select::is_left_out(case, asked));
            report.result.cases = CaseCounts::of(&report.cases);
            return Ok(report);
        }
        let first = run.mask.sanitize(missing[0]);
        let text = match missing.len() {
            1 => format!("the case {first:?} could not be run by its name: the whole file runs\n"),
            n => format!("{n} cases, the first {first:?}, could not be run by their names: the whole file runs\n"),
        };
        // Nobody listens any more: the file runs all the same.
        let _ = run
            .output
            .send(Output {
                stream: Stream::Stderr,
                text,
            })
            .await;
        self.attempt(&run, None).await
    }

    async fn attempt(&self, run: &FileRun<'_>, cases: Option<&[String]>) -> Result<FileReport, SpawnError> {
        let report = run.scratch.join(format!("report-{}", uuid::Uuid::new_v4().simple()));
        let mut command = self.command(run.root, run.env, run.file, cases, &report);
        command.timeout = run.timeout;
        if let Some(part) = run.part
            && let Err(error) = self.choose(&mut command, part, run.scratch)
        {
            // Its cases could be in another part too.
            return Ok(unrun(
                self.kind,
                run,
                &format!("a part of {} cannot be run: {error}", run.file),
            ));
        }
        let results = self.results();
        if results == Results::NextestFile
            && let Err(error) = nextest::configure(run.root, &report)
        {
            return Ok(unrun(
                self.kind,
                run,
                &format!("the settings of nextest cannot be written: {error}"),
            ));
        }
        let (ended, found) = match results {
            Results::Tap | Results::Text(_) => {
                let (sender, receiver) = mpsc::channel(1);
                let running = async {
                    let ended = process::run(command, run.mask, &sender, run.cancel).await;
                    drop(sender);
                    ended
                };
                let (ended, found) =
                    tokio::join!(running, follow(Follower::new(results, self.kind), receiver, run.output));
                (ended?, found)
            }
            _ => {
                let ended = process::run(command, run.mask, run.output, run.cancel).await?;
                let (path, file) = (report.clone(), run.file.to_owned());
                let is_good = ended.code == 0;
                let read = tokio::task::spawn_blocking(move || read_report(results, &path, &file, is_good));
                let found = read
                    .await
                    .unwrap_or_else(|error| Found::unreadable(format!("the report: {error}")));
                (ended, found)
            }
        };
        for path in [&report, &nextest::settings_of(&report)] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "a report is left in the workspace");
            }
        }
        let mut report = conclude(self.kind, run.file, ended, found, run.mask);
        for case in report.cases.iter_mut().chain(&mut report.result.failures) {
            case.file = case.file.take().map(|file| inside(run.root, file));
        }
        Ok(report)
    }

    fn choose(&self, command: &mut Command, part: &Part, scratch: &Path) -> io::Result<()> {
        if !self.splits() {
            return Err(io::Error::other(format!("{} runs whole files", self.name())));
        }
        part::choose(command, part, scratch)
    }

    /// What [`Self::run_file`] would answer about a process that wrote `output` and `report` and ended like this: for
    /// tests that have many reports and no processes.
    #[doc(hidden)]
    #[must_use]
    pub fn judge(&self, file: &str, output: &[Output], report: &[u8], ended: Ended, mask: &Mask) -> FileReport {
        let results = self.results();
        let found = match results {
            Results::Tap | Results::Text(_) => {
                let mut follower = Follower::new(results, self.kind);
                output.iter().for_each(|piece| follower.push(piece));
                follower.finish()
            }
            _ => read_bytes(results, report, file),
        };
        conclude(self.kind, file, ended, found, mask)
    }
}

/// A file that could not be run.
fn unrun(kind: Kind, run: &FileRun<'_>, why: &str) -> FileReport {
    let mut found = Found::default();
    found.fault(why.to_owned());
    let ended = Ended {
        code: 1,
        ..Ended::unstarted()
    };
    conclude(kind, run.file, ended, found, run.mask)
}

/// Reads lines from the output as it comes, in pieces of any size.
struct Follower {
    reader: LineReader,
    /// Of standard output and standard error: the line that the next piece goes on with.
    partial: [String; 2],
}

enum LineReader {
    Tap { tap: Tap, trusted: bool },
    Text(Lines),
}

impl Follower {
    fn new(results: Results, kind: Kind) -> Self {
        let reader = match results {
            Results::Text(dialect) => LineReader::Text(Lines::new(dialect)),
            // Any program may print a line that begins with "ok".
            _ => LineReader::Tap {
                tap: Tap::default(),
                trusted: !matches!(kind, Kind::Executable | Kind::Command),
            },
        };
        Self {
            reader,
            partial: Default::default(),
        }
    }

    fn push(&mut self, piece: &Output) {
        let partial = &mut self.partial[usize::from(piece.stream == Stream::Stderr)];
        let join = |text: &str, partial: &mut String| {
            let room = LINE_LIMIT.saturating_sub(partial.len());
            partial.push_str(&text[..text.floor_char_boundary(room)]);
        };
        let mut lines = piece.text.split('\n');
        join(lines.next().unwrap_or_default(), partial);
        for text in lines {
            self.reader.line(piece.stream, partial);
            partial.clear();
            join(text, partial);
        }
    }

    fn finish(mut self) -> Found {
        for (stream, rest) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&self.partial) {
            if !rest.is_empty() {
                self.reader.line(stream, rest);
            }
        }
        match self.reader {
            LineReader::Tap { tap, trusted } if trusted || tap.is_declared() => tap.finish(),
            LineReader::Tap { .. } => Found::default(),
            LineReader::Text(lines) => lines.finish(),
        }
    }
}

impl LineReader {
    fn line(&mut self, stream: Stream, line: &str) {
        match self {
            Self::Tap { tap, .. } if stream == Stream::Stdout => tap.line(line),
            Self::Tap { tap, .. } => tap.diagnostic(line),
            Self::Text(lines) => lines.line(stream, line),
        }
    }
}

/// Passes output on and reads its lines.
async fn follow(mut follower: Follower, mut from: mpsc::Receiver<Output>, to: &mpsc::Sender<Output>) -> Found {
    while let Some(piece) = from.recv().await {
        follower.push(&piece);
        // Nobody listens any more: the command goes on all the same.
        let _ = to.send(piece).await;
    }
    follower.finish()
}

fn read_report(results: Results, path: &Path, file: &str, is_good: bool) -> Found {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|report| report.take(REPORT_LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        // A run that failed early writes none; its code and its output say enough.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_good => return Found::default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Found::unreadable(format!("{file} wrote no report: its cases are not known"));
        }
        Err(error) => return Found::unreadable(format!("the report of {file} cannot be read: {error}")),
    }
    let is_cut = bytes.len() as u64 > REPORT_LIMIT;
    let mut found = read_bytes(results, &bytes, file);
    if is_cut {
        found.warnings.push(format!(
            "the report of {file} is over {REPORT_LIMIT} bytes: the rest was not read"
        ));
    }
    found
}

fn read_bytes(results: Results, bytes: &[u8], file: &str) -> Found {
    match results {
        Results::JestFile => json::jest(bytes),
        Results::RspecFile => json::rspec(bytes),
        Results::JunitFile => junit::read(bytes, file),
        Results::NextestFile => nextest::read(bytes, file),
        Results::AnyFile if bytes.trim_ascii_start().starts_with(b"<") => junit::read(bytes, file),
        _ => {
            let mut tap = Tap::default();
            String::from_utf8_lossy(bytes).lines().for_each(|line| tap.line(line));
            tap.finish()
        }
    }
}

/// The path from the root: the workspace itself is gone when somebody reads it.
fn inside(root: &Path, file: String) -> String {
    let real = || root.canonicalize().ok();
    let below = |root: &Path| Some(Path::new(&file).strip_prefix(root).ok()?.to_str()?.to_owned());
    let plain = below(root).or_else(|| Path::new(&file).is_absolute().then(real)?.and_then(|root| below(&root)));
    plain.filter(|path| !path.is_empty()).unwrap_or(file)
}

/// A case without secrets.
pub(super) fn masked(mut case: CaseResult, mask: &Mask) -> CaseResult {
    case.name = mask.sanitize(&case.name);
    case.message = case.message.as_deref().map(|message| mask.sanitize(message));
    case.file = case.file.as_deref().map(|file| mask.sanitize(file));
    case
}

/// Makes the result of everything that is known.
pub(super) fn conclude(kind: Kind, file: &str, ended: Ended, mut found: Found, mask: &Mask) -> FileReport {
    if matches!(kind, Kind::Node | Kind::Vitest) {
        without_file_point(&mut found, file);
    }
    for fault in std::mem::take(&mut found.faults) {
        let mut case = found::case("(the file as a whole)", CaseOutcome::Errored);
        case.message = Some(fault);
        found.add(case);
    }
    // Cases of the file as a whole have come to those that the reader found.
    let mut found = found.finish();
    found.cases = found.cases.into_iter().map(|case| masked(case, mask)).collect();
    let outcome = outcome(kind, &ended, &found);
    let bad = found.cases.iter().filter(|case| case.outcome.is_bad());
    for group in &mut found.groups {
        group.name = mask.sanitize(&group.name);
    }
    let failures: Vec<CaseResult> = bad.take(FAILURE_LIMIT).cloned().map(summary).collect();
    let is_explained = failures.iter().any(|case| case.message.is_some());
    let stderr_tail = if outcome.is_bad() && !is_explained {
        ended.stderr_tail.clone()
    } else {
        String::new()
    };
    let result = FileResult {
        outcome,
        exit: Some(ended.code),
        died: ended.signal.is_some() && !ended.timed_out && !ended.cancelled,
        duration: ended.wall.as_secs_f64() * 1000.0,
        cpu: Some(ended.cpu.as_secs_f64() * 1000.0),
        peak_memory: Some(ended.peak_memory),
        cases: CaseCounts::of(&found.cases),
        failures,
        groups: found.groups,
        stderr_tail,
    };
    FileReport {
        result,
        cases: found.cases,
        ended,
        warnings: found.warnings.iter().map(|warning| mask.sanitize(warning)).collect(),
    }
}

fn summary(mut case: CaseResult) -> CaseResult {
    case.message = case.message.map(|message| found::cut(&message, SUMMARY_LIMIT));
    case
}

fn outcome(kind: Kind, ended: &Ended, found: &Found) -> FileOutcome {
    // "No tests ran", of pytest, and of unittest since Python 3.12.
    let no_tests = matches!(kind, Kind::Pytest | Kind::Unittest) && ended.code == 5 && ended.signal.is_none();
    let no_tests = no_tests || kind == Kind::Nextest && ended.code == 4 && ended.signal.is_none();
    let is_bad = found.cases.iter().any(|case| case.outcome.is_bad());
    match ended.code {
        _ if ended.timed_out => FileOutcome::TimedOut,
        _ if no_tests && !is_bad => FileOutcome::Empty,
        0 if is_bad => FileOutcome::Failed,
        0 if found.says_none => FileOutcome::Empty,
        0 => FileOutcome::Passed,
        _ => FileOutcome::Failed,
    }
}

/// node counts a file without tests as a test of its own that passed; node and vitest one that does not load as one that
/// failed.
fn without_file_point(found: &mut Found, file: &str) {
    let suffix = format!("/{file}");
    let is_file = |case: &CaseResult| case.name == file || case.name.ends_with(&suffix);
    found.cases.retain(|case| case.outcome.is_bad() || !is_file(case));
    for case in found.cases.iter_mut().filter(|case| is_file(case)) {
        case.name = "(the file as a whole)".into();
        case.outcome = CaseOutcome::Errored;
    }
    found.says_none |= found.cases.is_empty() && found.warnings.is_empty() && found.faults.is_empty();
}
