//! Results: how a file ended, how its cases ended, and what they said.

use serde::{Deserialize, Serialize};

/// How the run of one test file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileOutcome {
    /// Its process ended with 0 and no case failed.
    Passed,
    /// Its process ended non-zero, or a case failed.
    Failed,
    /// It holds no tests: neither passed nor failed.
    Empty,
    /// It passed after an earlier attempt on the same source had failed.
    Flaky,
    /// It was stopped at its time limit.
    TimedOut,
    /// Its process died, or its drone was lost, too often.
    Crashed,
    /// It was never run: the job was cancelled, failed fast or errored first.
    NotRun,
}

impl FileOutcome {
    /// True if the file counts against the job.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Crashed)
    }

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Empty => "empty",
            Self::Flaky => "flaky",
            Self::TimedOut => "timedout",
            Self::Crashed => "crashed",
            Self::NotRun => "notrun",
        }
    }

    /// Reads the word of the contract.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Passed,
            Self::Failed,
            Self::Empty,
            Self::Flaky,
            Self::TimedOut,
            Self::Crashed,
            Self::NotRun,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == word)
    }
}

/// How one test case ended, in the terms that the frameworks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseOutcome {
    /// It held.
    Passed,
    /// An assertion did not hold.
    Failed,
    /// It could not be run: set-up, tear-down or collection broke.
    Errored,
    /// It was left out on purpose.
    Skipped,
    /// It failed as it was expected to.
    XFailed,
    /// It passed although it was expected to fail.
    XPassed,
}

impl CaseOutcome {
    /// True if the case counts against its file.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Errored)
    }
}

/// One test case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The framework's own name of the case, unique in its file where the framework makes it so.
    pub name: String,
    /// How it ended.
    pub outcome: CaseOutcome,
    /// Milliseconds, where the framework says them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// Why it failed or was skipped, with the backtrace; cut to [`MESSAGE_LIMIT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Source file, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in the source file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// The most bytes of a case's message; longer ones keep their beginning and end.
pub const MESSAGE_LIMIT: usize = 16 * 1024;
/// The most failures that a [`FileResult`] carries whole; all cases are in `job:cases`.
pub const FAILURE_LIMIT: usize = 20;

/// How many cases of a file ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseCounts {
    /// Cases that held.
    pub passed: u32,
    /// Cases that failed.
    pub failed: u32,
    /// Cases that could not be run.
    pub errored: u32,
    /// Cases left out.
    pub skipped: u32,
    /// Cases that failed as expected.
    pub xfailed: u32,
    /// Cases that passed unexpectedly.
    pub xpassed: u32,
}

impl CaseCounts {
    /// Counts `cases`.
    #[must_use]
    pub fn of(cases: &[CaseResult]) -> Self {
        let mut counts = Self::default();
        for case in cases {
            *counts.slot(case.outcome) += 1;
        }
        counts
    }

    /// All cases. What a drone says of itself is added up as well: too many are as many as can be.
    #[must_use]
    pub fn total(&self) -> u32 {
        let all = [
            self.passed,
            self.failed,
            self.errored,
            self.skipped,
            self.xfailed,
            self.xpassed,
        ];
        all.into_iter().fold(0, u32::saturating_add)
    }

    /// Adds another file's counts.
    pub fn add(&mut self, other: &Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.errored = self.errored.saturating_add(other.errored);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.xfailed = self.xfailed.saturating_add(other.xfailed);
        self.xpassed = self.xpassed.saturating_add(other.xpassed);
    }

    fn slot(&mut self, outcome: CaseOutcome) -> &mut u32 {
        match outcome {
            CaseOutcome::Passed => &mut self.passed,
            CaseOutcome::Failed => &mut self.failed,
            CaseOutcome::Errored => &mut self.errored,
            CaseOutcome::Skipped => &mut self.skipped,
            CaseOutcome::XFailed => &mut self.xfailed,
            CaseOutcome::XPassed => &mut self.xpassed,
        }
    }
}

/// Cases of a file that can be run without its other ones: a class, a test function with all its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The runner's own name of it, unique in its file.
    pub name: String,
    /// Milliseconds that its cases took.
    pub duration: f64,
}

/// What the run of one file came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileResult {
    /// How it ended. A drone never says `flaky` or `notrun`; the queen derives them.
    pub outcome: FileOutcome,
    /// The exit code; 128+n for a process ended by signal n; absent if no process could be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// True if the process died of a signal that Skep did not send.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub died: bool,
    /// Wall time in milliseconds.
    pub duration: f64,
    /// CPU time in milliseconds, children included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Peak resident memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Counts of cases, where the framework tells them; all zero otherwise.
    #[serde(default)]
    pub cases: CaseCounts,
    /// The first [`FAILURE_LIMIT`] cases that count against the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<CaseResult>,
    /// What it can be split into, in its own order; empty if its cases depend on each other, nobody knows that they do not,
    /// or the settings do not ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// The last bytes of stderr, when the file is bad and no case says why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr_tail: String,
}

impl FileResult {
    /// A result of which nothing but its outcome is known.
    #[must_use]
    pub fn bare(outcome: FileOutcome) -> Self {
        Self {
            outcome,
            exit: None,
            died: false,
            duration: 0.0,
            cpu: None,
            peak_memory: None,
            cases: CaseCounts::default(),
            failures: Vec::new(),
            groups: Vec::new(),
            stderr_tail: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for outcome in [
            FileOutcome::Passed,
            FileOutcome::Failed,
            FileOutcome::Empty,
            FileOutcome::Flaky,
            FileOutcome::TimedOut,
            FileOutcome::Crashed,
            FileOutcome::NotRun,
        ] {
            assert_eq!(FileOutcome::parse(outcome.as_str()), Some(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }

    #[test]
    fn counts_add_up() {
        let case = |outcome| CaseResult {
            name: "x".into(),
            outcome,
            duration: None,
            message: None,
            file: None,
            line: None,
        };
        let mut counts = CaseCounts::of(&[case(CaseOutcome::Passed), case(CaseOutcome::XFailed)]);
        counts.add(&CaseCounts::of(&[case(CaseOutcome::Failed)]));
        assert_eq!((counts.total(), counts.failed, counts.xfailed), (3, 1, 1));
        counts.passed = u32::MAX;
        counts.add(&counts.clone());
        assert_eq!(
            (counts.total(), counts.failed),
            (u32::MAX, 2),
            "more than can be counted"
        );
    }
}
