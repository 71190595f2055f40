//! What happened, for a person who looks for the reason: the last steps, or all of them.
//!
//! It keeps what it is given and puts it into words only when somebody reads it.

use super::seed::{Move, Spec};
use scheduler::{Action, Input};
use shared::{DroneId, Timestamp};
use std::{collections::VecDeque, fmt, rc::Rc};

/// Entries that are kept.
const LAST: usize = 60;

#[derive(Debug)]
enum Entry {
    Made(Box<Spec>),
    Happens(Move, DroneId, Timestamp),
    Step(Rc<Input>, Option<Rc<Vec<Action>>>),
    Says(&'static str),
}

/// The last entries.
#[derive(Debug)]
pub struct Trace {
    entries: VecDeque<Entry>,
    /// Keep everything.
    whole: bool,
    left_out: usize,
}

impl Trace {
    pub fn new(whole: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            whole,
            left_out: 0,
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() >= LAST && !self.whole {
            self.entries.pop_front();
            self.left_out += 1;
        }
        self.entries.push_back(entry);
    }

    pub fn made(&mut self, spec: &Spec) {
        if self.whole {
            self.push(Entry::Made(Box::new(spec.clone())));
        }
    }

    pub fn happens(&mut self, what: Move, drone: &DroneId, at: Timestamp) {
        self.push(Entry::Happens(what, drone.clone(), at));
    }

    pub fn step(&mut self, input: Rc<Input>, actions: Option<Rc<Vec<Action>>>) {
        self.push(Entry::Step(input, actions));
    }

    pub fn says(&mut self, what: &'static str) {
        self.push(Entry::Says(what));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_out > 0 {
            writeln!(
                f,
                "... {} earlier entries; run the world alone to see them",
                self.left_out
            )?;
        }
        for entry in &self.entries {
            match entry {
                Entry::Made(spec) => {
                    for drone in &spec.drones {
                        writeln!(f, "drone {drone:?}")?;
                    }
                    for (job, suite) in &spec.jobs {
                        writeln!(f, "job {job:?}\n    {} files, {:?}", suite.files.len(), suite.plan)?;
                    }
                }
                Entry::Happens(what, drone, at) => writeln!(f, "{at} {what:?} {drone}")?,
                Entry::Step(input, actions) => {
                    writeln!(f, "    in   {input:?}")?;
                    for action in actions.iter().flat_map(|actions| actions.iter()) {
                        writeln!(f, "    out  {action:?}")?;
                    }
                    if actions.is_none() {
                        writeln!(f, "    here the scheduler broke down")?;
                    }
                }
                Entry::Says(what) => writeln!(f, "{what}")?,
            }
        }
        Ok(())
    }
}
