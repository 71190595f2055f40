//! Chance that is decided by a seed: for the simulation's own choices, and for everything that asks the system for
//! randomness on a simulated thread (the order of hash maps, of `select!`, jitter, keys).
//!
//! The second part replaces the C library's `getrandom` in this test program. A thread that was given no seed gets what the
//! kernel says.

use std::{cell::Cell, ops::Range};

/// A small generator (SplitMix64): the same seed, the same numbers, on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x5DEE_CE66_D1CE_4E5B)
    }

    /// One for a purpose of its own, so that other purposes do not change what it says.
    pub fn of(seed: u64, purpose: &str) -> Self {
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::new(seed.rotate_left(17) ^ hash)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// True `part` times of `whole`.
    pub fn odds(&mut self, part: u64, whole: u64) -> bool {
        self.below(whole) < part
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From here on this thread's randomness comes from `seed`. For a thread that has asked for none before.
pub fn seed_thread(seed: u64) {
    SEED.set(Some(seed));
}

#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    let Some(seed) = SEED.get() else {
        // SAFETY: these are the caller's own arguments for this very call.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    };
    let mut dice = Dice::new(seed);
    for at in 0..length {
        // SAFETY: the caller gives `length` bytes to write.
        unsafe { buffer.add(at).write(dice.next() as u8) };
    }
    SEED.set(Some(dice.next()));
    length as isize
}
