//! How fast this machine is, as one integer: 100 is the reference machine, higher is faster.
//!
//! A short loop of what interpreters do all day: dependent loads, branches that data decides, integer arithmetic. It
//! reads [`clock`](crate::clock) and nothing else. The queen corrects the number from what files really take.

use crate::clock;
use std::{hint::black_box, time::Duration};

/// Rounds of the loop; the median counts, so that one interruption does not.
const ROUNDS: usize = 9;
/// Steps of one round.
const STEPS: u32 = 250_000;
/// What one step takes on the reference machine, in picoseconds; a debug build computes more slowly on the same machine.
const REFERENCE: u128 = if cfg!(debug_assertions) { 40_000 } else { 26_500 };

/// Measures for less than 100 ms on the reference machine. Blocks: call it from a blocking task.
#[must_use]
pub fn measure() -> u32 {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let start = clock::instant();
            black_box(work(black_box(round as u32 + 1)));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    rate(times[ROUNDS / 2])
}

/// The speed of a machine that needs `median` for a round.
fn rate(median: Duration) -> u32 {
    let reference = REFERENCE * u128::from(STEPS) / 1000;
    let speed = 100 * reference / median.as_nanos().max(1);
    u32::try_from(speed).unwrap_or(u32::MAX).clamp(1, 10_000)
}

fn work(seed: u32) -> u32 {
    let mut table = [0u32; 1 << 14];
    let mut state = seed;
    for step in 0..STEPS {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let slot = &mut table[(state >> 18) as usize];
        if *slot & 1 == 0 {
            *slot = slot.wrapping_add(state | 1);
        } else {
            state = state.wrapping_mul(*slot | 1).wrapping_add(step) | 1;
            *slot >>= 1;
        }
    }
    state ^ table[(state >> 18) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_machine_is_100_and_twice_as_fast_is_200() {
        let reference = Duration::from_nanos((REFERENCE * u128::from(STEPS) / 1000) as u64);
        assert_eq!(rate(reference), 100);
        assert_eq!(rate(reference / 2), 200);
        assert_eq!(rate(Duration::from_secs(3600)), 1);
        assert_eq!(rate(Duration::ZERO), 10_000);
    }

    #[test]
    fn this_machine_has_a_speed() {
        let speed = measure();
        assert!((1..=10_000).contains(&speed), "{speed}");
    }
}
