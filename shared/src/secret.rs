//! Values that no `Debug`, log line or JSON shows.
//!
//! A [`Secret`] serializes as [`REDACTED`]. The two places that must pass the real value on (the drone link and
//! the sealed column of the store) ask for it by name: [`JobData::exposed`](crate::JobData::exposed).

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// What stands in place of a secret.
pub const REDACTED: &str = "[secret]";

/// Log directives that both programs add to whatever the operator asks for. At their finest level these libraries write
/// whole frames, and a frame to a drone holds a job's secrets; what matters of them comes back as errors anyway.
pub const QUIET: [&str; 2] = ["tungstenite=off", "tokio_tungstenite=off"];

/// A password, key or token.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the value in.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Never pass it to a log, an error or a response.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True for a secret without a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_json_shows_it() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), REDACTED);
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[secret]\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}
