//! What a client knows of a job from its events alone: a pure reducer, without terminal, network or clock.
//!
//! [`Progress::on_event`] takes one recorded event and answers what a person should now be told. Events may come
//! again after a reconnect: what is at or below the last number counts for nothing. Read next: `report.rs`, which
//! puts it into words.

use shared::{
    Attempt, Num, Seq, Timestamp,
    outcome::{CaseCounts, FileOutcome, FileResult},
    protocol::{
        JobEvent, Message,
        event::{Edge, JobError, Phase, Retry, Warning},
        live::Recorded,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of a command's output that are kept while it runs.
const TAIL_LIMIT: usize = 8 * 1024;

/// A file or command that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Path of the file.
    pub path: String,
    /// Where it runs.
    pub drone: Option<String>,
    /// Which try.
    pub attempt: Attempt,
    /// Since when, by the queen's clock.
    pub since: Timestamp,
}

/// How a file ended, in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// How.
    pub outcome: FileOutcome,
    /// Counts of its cases.
    pub cases: CaseCounts,
    /// Milliseconds of its last attempt.
    pub duration: f64,
}

/// A file that counts against the job.
#[derive(Debug, Clone, PartialEq)]
pub struct Bad {
    /// Path.
    pub path: String,
    /// Its command.
    pub num: Num,
    /// Which try.
    pub attempt: Attempt,
    /// Where it ran.
    pub drone: Option<String>,
    /// Everything that is known of it.
    pub result: FileResult,
    /// The end of its output.
    pub tail: String,
}

/// A command of a phase that ended non-zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCommand {
    /// The phase that it belongs to.
    pub phase: Option<Phase>,
    /// What was run, as it may be shown.
    pub command: String,
    /// Its exit code.
    pub code: i32,
    /// The end of its output.
    pub tail: String,
}

/// Something that a person should be told now.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A drone has begun the job.
    Started,
    /// The test files are known.
    Listed,
    /// A file counts against the job.
    Bad(Box<Bad>),
    /// A file was bad and is tried again.
    Again(Box<Bad>),
    /// A file passed after it had been bad.
    Flaky(String),
    /// A command of a phase ended non-zero.
    Command(BadCommand),
    /// A person should know.
    Warned(Warning),
    /// The whole job is tried again.
    Retried(Retry),
    /// The tests are over.
    Tested(i32),
    /// The deploy is over.
    Deployed(i32),
    /// The system could not do its work.
    Errored(JobError),
    /// It was stopped.
    Cancelled,
    /// Nothing of the job goes on any more.
    Done,
}

#[derive(Debug, Clone, Default)]
struct Command {
    screen: String,
    phase: Option<Phase>,
    tail: String,
}

/// Everything that is known of a job so far.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The last event that was counted.
    pub last: Seq,
    /// When the first event was received by the queen.
    pub first_at: Option<Timestamp>,
    /// When the last event was received by the queen.
    pub last_at: Option<Timestamp>,
    /// When a drone began it.
    pub started: Option<Timestamp>,
    /// The phase that goes on.
    pub phase: Option<Phase>,
    /// Files listed so far; `complete` says if that is all.
    pub total: usize,
    /// The list of files is whole.
    pub complete: bool,
    /// The runner that was chosen or detected.
    pub runner: String,
    /// Files that run, by command.
    pub running: BTreeMap<Num, Running>,
    /// Files that are accounted for, by path.
    pub ended: BTreeMap<String, Ended>,
    /// Drones that have worked on it.
    pub drones: BTreeSet<String>,
    /// How the tests ended.
    pub test_code: Option<i32>,
    /// How the deploy ended.
    pub deploy_code: Option<i32>,
    /// Why it errored.
    pub error: Option<JobError>,
    /// It was stopped on request.
    pub cancelled: bool,
    /// Nothing of it goes on any more.
    pub done: bool,
    retries: u32,
    /// How many of `ended` are bad: asked for at each event.
    bad: usize,
    bad_tries: BTreeMap<String, u32>,
    commands: BTreeMap<Num, Command>,
}

impl Progress {
    /// Takes one recorded event; one that was counted before, or that this program does not know, changes nothing.
    pub fn on_event(&mut self, recorded: &Recorded<'_>) -> Option<News> {
        if recorded.seq <= self.last {
            return None;
        }
        self.last = recorded.seq;
        self.first_at.get_or_insert(recorded.at);
        self.last_at = Some(recorded.at);
        let message = Message {
            kind: recorded.kind.clone(),
            args: recorded.args.clone(),
            n: None,
            lease: None,
        };
        // An event that this version cannot read is skipped, like one of an unknown type.
        let event = JobEvent::read(&message).ok().flatten()?;
        self.apply(event, recorded.at)
    }

    fn apply(&mut self, event: JobEvent, at: Timestamp) -> Option<News> {
        match event {
            JobEvent::Started { drone, .. } => {
                self.started.get_or_insert(at);
                self.saw(drone.map(Into::into));
                Some(News::Started)
            }
            JobEvent::Phase { phase, edge, drone, .. } => {
                self.saw(drone.map(Into::into));
                self.phase = (edge == Edge::Start).then_some(phase).or(self.phase);
                None
            }
            JobEvent::Files { paths, more, plan, .. } => {
                self.total += paths.len();
                if let Some(plan) = plan {
                    self.retries = plan.retries;
                    self.runner = plan.runner;
                }
                self.complete = more != Some(true);
                self.complete.then_some(News::Listed)
            }
            JobEvent::Split { parts, .. } => {
                self.total = (self.total + parts.len()).saturating_sub(1);
                None
            }
            JobEvent::FileStart {
                num,
                path,
                attempt,
                drone,
                ..
            } => {
                let drone: Option<String> = drone.map(Into::into);
                self.saw(drone.clone());
                self.forget(&path);
                // An attempt whose drone was lost is never reported as done: the next one takes its place.
                self.running.retain(|_, file| file.path != path);
                let running = Running {
                    path,
                    drone,
                    attempt,
                    since: at,
                };
                self.running.insert(num, running);
                None
            }
            JobEvent::FileDone {
                num,
                path,
                attempt,
                result,
                drone,
                ..
            } => self.on_file_done(Bad {
                path,
                num,
                attempt,
                drone: drone.map(Into::into),
                result,
                tail: String::new(),
            }),
            JobEvent::CmdStart {
                num,
                command,
                screencmd,
                detail,
                ..
            } => {
                let command = Command {
                    screen: screencmd.unwrap_or(command),
                    phase: detail.and_then(|detail| detail.phase),
                    tail: String::new(),
                };
                self.commands.insert(num, command);
                None
            }
            JobEvent::CmdStdout { num, text, .. } | JobEvent::CmdStderr { num, text, .. } => {
                if let Some(command) = self.commands.get_mut(&num) {
                    keep_end(&mut command.tail, &text);
                }
                None
            }
            JobEvent::CmdDone { num, exit_code, .. } => self.on_command_done(num, exit_code),
            JobEvent::Tested { code, .. } => {
                self.test_code = Some(code);
                Some(News::Tested(code))
            }
            JobEvent::Deployed { code, .. } => {
                self.deploy_code = Some(code);
                Some(News::Deployed(code))
            }
            JobEvent::Errored { error, .. } => {
                self.error = Some(error.clone());
                Some(News::Errored(error))
            }
            JobEvent::Cancelled { .. } => {
                self.cancelled = true;
                Some(News::Cancelled)
            }
            JobEvent::Warned { warning, .. } => Some(News::Warned(warning)),
            JobEvent::Retried { retry, .. } => {
                self.begin_again();
                Some(News::Retried(retry))
            }
            JobEvent::Done { .. } => {
                self.done = true;
                self.running.clear();
                self.commands.clear();
                self.phase = None;
                Some(News::Done)
            }
            _ => None,
        }
    }

    fn on_file_done(&mut self, mut file: Bad) -> Option<News> {
        self.running.remove(&file.num);
        self.saw(file.drone.clone());
        let tail = self.commands.remove(&file.num).map(|command| command.tail);
        file.tail = tail.unwrap_or_default();
        let outcome = file.result.outcome;
        let ended = Ended {
            outcome,
            cases: file.result.cases,
            duration: file.result.duration,
        };
        self.forget(&file.path);
        self.bad += usize::from(outcome.is_bad());
        self.ended.insert(file.path.clone(), ended);
        if outcome == FileOutcome::Flaky {
            return Some(News::Flaky(file.path));
        }
        if !outcome.is_bad() {
            return None;
        }
        let tries = self.bad_tries.entry(file.path.clone()).or_default();
        *tries += 1;
        // A crashed file is not tried again: the queen has counted its attempts already.
        if *tries <= self.retries && outcome != FileOutcome::Crashed {
            self.forget(&file.path);
            return Some(News::Again(Box::new(file)));
        }
        Some(News::Bad(Box::new(file)))
    }

    fn on_command_done(&mut self, num: Num, code: i32) -> Option<News> {
        if self.running.contains_key(&num) {
            // A file's own command: `job:file:done` says the rest, and still wants the output's end.
            return None;
        }
        let command = self.commands.remove(&num)?;
        (code != 0 && command.phase != Some(Phase::Test)).then(|| {
            News::Command(BadCommand {
                phase: command.phase.or(self.phase),
                command: command.screen,
                code,
                tail: command.tail,
            })
        })
    }

    /// A new try of the whole job knows nothing of the files of the last one.
    fn begin_again(&mut self) {
        *self = Self {
            last: self.last,
            first_at: self.first_at,
            last_at: self.last_at,
            started: self.started,
            drones: std::mem::take(&mut self.drones),
            ..Self::default()
        };
    }

    /// The file is not accounted for any more.
    fn forget(&mut self, path: &str) {
        let was = self.ended.remove(path);
        self.bad -= usize::from(was.is_some_and(|file| file.outcome.is_bad()));
    }

    fn saw(&mut self, drone: Option<String>) {
        self.drones.extend(drone);
    }

    /// Files with this outcome.
    #[must_use]
    pub fn count(&self, outcome: FileOutcome) -> usize {
        self.ended.values().filter(|file| file.outcome == outcome).count()
    }

    /// Files that count against the job.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.bad
    }

    /// Files listed that nothing was heard of.
    #[must_use]
    pub fn not_run(&self) -> usize {
        self.total.saturating_sub(self.ended.len()) + self.count(FileOutcome::NotRun)
    }

    /// Counts of all cases.
    #[must_use]
    pub fn cases(&self) -> CaseCounts {
        let mut sum = CaseCounts::default();
        for file in self.ended.values() {
            sum.add(&file.cases);
        }
        sum
    }

    /// Milliseconds of all files together.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.ended.values().map(|file| file.duration).sum()
    }

    /// Milliseconds from the first event to the last.
    #[must_use]
    pub fn wall(&self) -> u64 {
        match (self.first_at, self.last_at) {
            (Some(first), Some(last)) => last.since(first),
            _ => 0,
        }
    }

    /// Files that run, longest first.
    #[must_use]
    pub fn running_oldest_first(&self) -> Vec<&Running> {
        let mut running: Vec<_> = self.running.values().collect();
        running.sort_by_key(|file| file.since);
        running
    }
}

/// Appends `text` and keeps at most [`TAIL_LIMIT`] bytes of the end, cut at a character.
fn keep_end(tail: &mut String, text: &str) {
    let mut skip = text.len().saturating_sub(TAIL_LIMIT);
    while !text.is_char_boundary(skip) {
        skip += 1;
    }
    tail.push_str(&text[skip..]);
    // Cut seldom, not at each piece.
    if tail.len() > 2 * TAIL_LIMIT {
        let mut cut = tail.len() - TAIL_LIMIT;
        while !tail.is_char_boundary(cut) {
            cut += 1;
        }
        tail.drain(..cut);
    }
}

/// Reads one line of an event stream. `None`: it is no recorded event.
#[must_use]
pub fn read_line(line: &str) -> Option<Recorded<'_>> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
