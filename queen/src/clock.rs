//! The one place of the queen that reads a clock or makes an id out of one.

use shared::{JobId, Timestamp};
use std::time::{Duration, Instant};

/// Now, as Unix milliseconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A point to measure durations from; it never jumps.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A new job id: a UUIDv7, so that ids sort by time.
#[must_use]
pub fn new_job_id() -> JobId {
    let id = uuid::Uuid::now_v7().to_string();
    // A UUID's text is always a valid job id.
    JobId::new(&id).unwrap_or_else(|_| unreachable!("a UUID is 36 hexadecimal digits and dashes"))
}
