//! Newtypes for everything that has an identity, so that no two can be mixed up.
//!
//! Text ids are checked where they are made or read; a value of the type is always valid.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidId {
    /// What the text should have been, "job id" for example.
    pub what: &'static str,
    /// The text, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

fn check(what: &'static str, rule: &'static str, text: &str, ok: bool) -> Result<(), InvalidId> {
    if ok {
        return Ok(());
    }
    Err(InvalidId {
        what,
        text: text.chars().take(80).collect(),
        rule,
    })
}

fn is_plain(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.bytes().any(|b| b != b'.')
}

fn is_project(text: &str) -> bool {
    text.len() <= 200
        && text.split('/').count() >= 2
        && text.split('/').all(|part| {
            !part.is_empty()
                && part.bytes().any(|b| b != b'.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks `text`; the error says the rule.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                check($what, $rule, text, $check(text))?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A job's id: given by the client, or a UUIDv7 made by the queen.
    JobId,
    "job id",
    is_plain,
    "use 1 to 64 letters, digits, '-', '_' or '.'"
);
text_id!(
    /// A drone's id: stable over restarts, kept in the drone's data directory.
    DroneId,
    "drone id",
    is_plain,
    "use 1 to 64 letters, digits, '-', '_' or '.'"
);
text_id!(
    /// One life of a drone process; new at each start.
    Incarnation,
    "incarnation",
    is_plain,
    "use 1 to 64 letters, digits, '-', '_' or '.'"
);
text_id!(
    /// A project's name, `owner/name` (more parts are allowed, as forges with groups have them).
    Project,
    "project",
    is_project,
    "use owner/name of letters, digits, '-', '_' or '.', up to 200 characters"
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// A command's number in its job, from 0, over all the job's drones.
    Num, u32
);
number_id!(
    /// Which try of a file this is, from 1.
    Attempt, u32
);
number_id!(
    /// An event's number in its job, from 1, without gaps.
    Seq, u64
);
number_id!(
    /// A fencing token: within a job, a later lease has a greater one.
    LeaseToken, u64
);
number_id!(
    /// Unix time in milliseconds.
    Timestamp, i64
);

impl Timestamp {
    /// Milliseconds from `earlier` to this time, never negative.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// This time and `ms` milliseconds more.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_takes_what_the_contract_says() {
        for ok in ["a", "A-1_2.3", &"x".repeat(64)] {
            assert_eq!(JobId::new(ok).unwrap().as_str(), ok);
        }
        for bad in ["", "a b", "a/b", "ü", ".", "..", &"x".repeat(65)] {
            let error = JobId::new(bad).unwrap_err().to_string();
            assert!(error.contains("use 1 to 64 letters"), "{error}");
        }
    }

    #[test]
    fn a_project_has_an_owner_and_a_name() {
        assert!(Project::new("owner/name").is_ok());
        assert!(Project::new("group/sub/name").is_ok());
        for bad in ["name", "/name", "owner/", "owner/../name", "a b/c"] {
            assert!(Project::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_never_runs_backwards() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), 0);
        assert_eq!(Timestamp(9).since(Timestamp(5)), 4);
    }
}
