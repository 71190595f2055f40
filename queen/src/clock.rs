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

/// A time that never runs backwards and never stands still, whatever is done to the machine's clock: set back, it goes
/// on at the pace of time; set forward, it follows.
#[derive(Debug)]
pub struct Steady {
    now: Timestamp,
    read: tokio::time::Instant,
}

impl Steady {
    /// Begins with what the machine's clock says.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn start() -> Self {
        Self {
            now: now(),
            read: tokio::time::Instant::now(),
        }
    }

    /// Now.
    pub fn now(&mut self) -> Timestamp {
        let passed = u64::try_from(self.read.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Only whole milliseconds are taken off, so that many short times are not lost.
        self.read += Duration::from_millis(passed);
        self.now = self.now.plus(passed).max(now());
        self.now
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

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static WALL: Cell<i64> = const { Cell::new(1_000_000) };
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_clock_goes_on_when_the_other_is_set_back_and_follows_it_forward() {
        let _wall = stand_in(|| Timestamp(WALL.get()));
        let mut steady = Steady::start();
        assert_eq!(steady.now(), Timestamp(1_000_000));
        WALL.set(400_000);
        assert_eq!(steady.now(), Timestamp(1_000_000), "never backwards");
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(steady.now(), Timestamp(1_000_250), "never still");
        WALL.set(5_000_000);
        assert_eq!(steady.now(), Timestamp(5_000_000));
    }
}
