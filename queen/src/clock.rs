//! The one place of the queen that reads a clock or makes an id out of one.

use shared::{JobId, Timestamp};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

thread_local! {
    /// Read in place of the machine's clock. Nothing, unless a simulation runs on this very thread.
    static STAND_IN: Cell<Option<fn() -> Timestamp>> = const { Cell::new(None) };
}

/// Now, as Unix milliseconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Timestamp {
    if let Some(read) = STAND_IN.get() {
        return read();
    }
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Lets [`now`] read `clock` instead of the machine's, on this thread and until the guard is dropped: for simulations,
/// which have a time of their own. Whatever runs on other threads is not touched.
#[must_use]
pub fn stand_in(clock: fn() -> Timestamp) -> StandIn {
    STAND_IN.set(Some(clock));
    StandIn(std::marker::PhantomData)
}

/// See [`stand_in`]. It stays on its thread.
#[derive(Debug)]
pub struct StandIn(std::marker::PhantomData<*const ()>);

impl Drop for StandIn {
    fn drop(&mut self) {
        STAND_IN.set(None);
    }
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
