//! The disk under the store: how long writes take, when they fail, and at which of them the machine stops.

use super::{
    chance::Dice,
    memory::{Fate, Fates},
};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

struct State {
    dice: Dice,
    commits: u64,
    down: bool,
    /// What the commit after this many more meets.
    armed: Option<(u64, Fate)>,
    /// A commit hangs: the queen is to be killed now.
    stopped: bool,
    lies: bool,
}

impl Disk {
    /// `lies`: it says that something is written before it is.
    pub fn new(dice: Dice, lies: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice,
            commits: 0,
            down: false,
            armed: None,
            stopped: false,
            lies,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    pub fn arm(&self, after: u64, fate: Fate) {
        self.lock().armed = Some((after, fate));
    }

    pub fn heal(&self) {
        let mut state = self.lock();
        (state.down, state.armed) = (false, None);
    }

    /// True once after a commit was made to hang.
    pub fn take_stopped(&self) -> bool {
        std::mem::take(&mut self.lock().stopped)
    }

    pub fn commits(&self) -> u64 {
        self.lock().commits
    }
}

impl Fates for Disk {
    fn commit(&mut self) -> (Duration, Fate) {
        let mut state = self.lock();
        state.commits += 1;
        let slow = state.dice.odds(1, 40);
        let time = Duration::from_millis(state.dice.within(if slow { 200..900 } else { 1..15 }));
        if state.down {
            return (time, Fate::Fails { written: false });
        }
        let fate = match &mut state.armed {
            Some((0, fate)) => {
                let fate = *fate;
                state.armed = None;
                state.stopped = matches!(fate, Fate::Hangs { .. });
                fate
            }
            Some((more, _)) => {
                *more -= 1;
                Fate::Done
            }
            None => Fate::Done,
        };
        match fate {
            Fate::Done if state.lies => (time, Fate::Lies),
            fate => (time, fate),
        }
    }

    fn well(&mut self) -> bool {
        !self.lock().down
    }
}
