//! The one place of the drone that reads a clock. Durations come from [`instant`], points in time from [`now`].
//!
//! Knows nothing of the drone. Timeouts (`tokio::time::sleep`, `timeout`) need no reading and are used directly.

use shared::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds; 0 if the machine's clock stands before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A monotonic reading, for durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub fn instant() -> Instant {
    Instant::now()
}
