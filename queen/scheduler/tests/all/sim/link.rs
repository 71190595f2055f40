//! A drone's link: numbers on what it says, kept until acknowledged; connections on which messages are late and lost.
//!
//! It knows nothing of what the messages mean. The other end is in [`queen`](super::queen).

use super::seed::DroneSpec;
use crate::fake::{Fake, Word};
use scheduler::DroneInput;
use shared::{DroneId, Incarnation};
use std::collections::VecDeque;

/// On its way to the queen.
#[derive(Debug, Clone)]
pub enum Up {
    Hello {
        life: Incarnation,
        first: u64,
    },
    Said(u64, DroneInput),
    /// It leaves, and does not come back as the one that it is.
    Goodbye,
}

/// On its way to a drone.
#[derive(Debug, Clone)]
pub enum Down {
    Ack(u64),
    Word(Word),
}

/// What a connection is to the queen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its hello is on the way.
    Fresh,
    Session,
    Closed,
}

/// One connection. What is under way in it arrives in order or not at all.
#[derive(Debug)]
pub struct Wire {
    pub id: u64,
    pub up: VecDeque<Up>,
    pub down: VecDeque<Down>,
    pub queen: End,
    /// The drone's end is open.
    pub open: bool,
}

/// A drone, with what it keeps and how it is connected.
#[derive(Debug)]
pub struct Drone {
    pub id: DroneId,
    pub fake: Fake,
    kept: VecDeque<(u64, DroneInput)>,
    next: u64,
    /// This process was connected before.
    again: bool,
    /// Something of this life is missing for ever, and that is known.
    pub gap: bool,
    /// It does not come back.
    pub left: bool,
    /// Oldest first; only the last may be open at the drone's end.
    pub wires: Vec<Wire>,
}

impl Drone {
    pub fn new(id: DroneId, spec: &DroneSpec) -> Self {
        let mut fake = Fake::new(spec.info.clone());
        (fake.pace, fake.slots) = (spec.pace, spec.slots);
        Self {
            id,
            fake,
            kept: VecDeque::new(),
            next: 1,
            again: false,
            gap: false,
            left: false,
            wires: Vec::new(),
        }
    }

    pub fn life(&self) -> Incarnation {
        Incarnation::new(format!("{}.{}", self.id, self.fake.life)).unwrap()
    }

    pub fn connected(&self) -> bool {
        self.wires.last().is_some_and(|wire| wire.open)
    }

    /// Whatever it had to say is numbered, kept, and sent if it can be.
    pub fn send(&mut self) {
        while let Some(said) = self.fake.outbox.pop_front() {
            let n = self.next;
            self.next += 1;
            self.kept.push_back((n, said.clone()));
            if let Some(wire) = self.wires.last_mut().filter(|wire| wire.open) {
                wire.up.push_back(Up::Said(n, said));
            }
        }
    }

    /// A new connection: hello, then everything that was not acknowledged.
    pub fn connect(&mut self, id: u64) {
        if self.connected() || self.left {
            return;
        }
        let life = self.life();
        let first = self.kept.front().map_or(self.next, |(n, _)| *n);
        let mut up = VecDeque::from([Up::Hello { life, first }]);
        up.extend(self.kept.iter().map(|(n, said)| Up::Said(*n, said.clone())));
        self.wires.push(Wire {
            id,
            up,
            down: VecDeque::new(),
            queen: End::Fresh,
            open: true,
        });
        self.fake.inbox.push_back(Word::Connected(self.again));
        self.again = true;
    }

    /// Its end of the connection breaks: what was on the way to it is lost.
    pub fn lose(&mut self) {
        if let Some(wire) = self.wires.last_mut() {
            wire.open = false;
            wire.down.clear();
        }
    }

    /// One message of the queen arrives.
    pub fn arrive(&mut self) -> bool {
        let Some(wire) = self.wires.last_mut().filter(|wire| wire.open) else {
            return false;
        };
        match wire.down.pop_front() {
            None => return false,
            Some(Down::Ack(n)) => {
                assert!(
                    n < self.next,
                    "broken: only what was said is acknowledged: {n} to {}",
                    self.id
                );
                while self.kept.front().is_some_and(|(first, _)| *first <= n) {
                    self.kept.pop_front();
                }
            }
            Some(Down::Word(word)) => self.fake.inbox.push_back(word),
        }
        true
    }

    /// The process is killed, another one starts.
    pub fn restart(&mut self) {
        self.lose();
        self.fake.restart();
        self.kept.clear();
        (self.next, self.again, self.gap) = (1, false, false);
    }

    /// The process leaves, what it held included, and another one starts.
    pub fn leave(&mut self) {
        self.send();
        if let Some(wire) = self.wires.last_mut().filter(|wire| wire.open) {
            wire.up.push_back(Up::Goodbye);
        }
        self.restart();
    }

    /// Some of what it kept is gone; it is not connected at that moment.
    pub fn forget(&mut self, count: usize) {
        self.lose();
        for _ in 0..count {
            self.gap |= self.kept.pop_front().is_some();
        }
    }

    /// Forgets connections that neither end knows.
    pub fn prune(&mut self) {
        let last = self.wires.last().map(|wire| wire.id);
        self.wires.retain(|wire| {
            let known = match wire.queen {
                End::Fresh => !wire.up.is_empty(),
                End::Session => true,
                End::Closed => false,
            };
            (wire.open && Some(wire.id) == last) || known
        });
    }
}
