//! How long to wait before the next try to reach the queen: exponential, with full jitter.
//!
//! It owns two numbers and no clock: whoever waits does so with what [`Backoff::next`] says.

use rand::RngExt;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// A third of the time that a queen gives drones to come back if nothing else is set: one that has started again must not
/// give work away only because a drone has not looked yet.
const MOST: Duration = Duration::from_secs(10);

/// The state between two tries.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next wait: anything between nothing and 100 ms, 200 ms, 400 ms … 10 s, so that a fleet that lost its queen
    /// at once does not come back at once.
    pub fn next(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(rand::rng().random_range(0.0..=1.0))
    }

    /// The connection was healthy: the next loss starts from the shortest wait.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    fn ceiling(&self) -> Duration {
        FIRST.saturating_mul(1 << self.tries.min(16)).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        for ceiling in [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000] {
            assert_eq!(backoff.ceiling(), Duration::from_millis(ceiling));
            assert!(backoff.next() <= Duration::from_millis(ceiling));
        }
        backoff.reset();
        assert_eq!(backoff.ceiling(), FIRST);
    }
}
