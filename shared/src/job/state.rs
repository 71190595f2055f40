//! Where a job stands, and where it may go from there. It knows nothing of what moves it: that is the scheduler.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a job stands. It only ever moves along [`JobState::may_become`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Known and durable, not begun.
    Queued,
    /// A drone has begun it.
    Running,
    /// Everything that it was to do ended with code 0.
    Passed,
    /// A test or deploy ended non-zero.
    Failed,
    /// The system could not do its work.
    Errored,
    /// Somebody stopped it.
    Cancelled,
}

impl JobState {
    /// True for the states that a job never leaves.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The legal transitions. A queued job can be cancelled or errored before any drone has it.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Errored | Self::Cancelled),
            Self::Running => next.is_final(),
            _ => false,
        }
    }

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word of the contract.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Passed,
            Self::Failed,
            Self::Errored,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
