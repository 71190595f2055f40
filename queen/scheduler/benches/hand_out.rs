//! How many files a second the scheduler hands out: one job of 10,000 files over a fleet of fake drones with four slots
//! each, from its submission to its end. It knows no engine and no store. Read next: `tests/all/fake.rs`, the drones.

#[expect(dead_code, reason = "the simulated worlds use the rest")]
#[path = "../tests/all/fake.rs"]
mod fake;

use divan::{Bencher, counter::ItemsCount};
use fake::{Fake, Suite, Word};
use scheduler::{Action, DroneInput, Input, NewJob, State};
use shared::{
    DroneId, Incarnation, JobId, JobType, Project, Timestamp,
    protocol::{event::Plan, to_queen::Info},
};
use std::collections::{BTreeMap, BTreeSet};

/// Files of the job.
const FILES: usize = 10_000;

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 100, 1_000], sample_count = 10)]
fn hand_out(bencher: Bencher, drones: usize) {
    bencher
        .counter(ItemsCount::new(FILES))
        .with_inputs(|| Fleet::new(drones))
        .bench_local_values(Fleet::run);
}

struct Fleet {
    state: State,
    now: Timestamp,
    fakes: BTreeMap<DroneId, Fake>,
    suites: BTreeMap<JobId, Suite>,
    job: JobId,
}

impl Fleet {
    fn new(drones: usize) -> Self {
        let job = JobId::new("job").expect("a word is an id");
        let suite = Suite {
            files: (0..FILES)
                .map(|at| (format!("tests/file_{at}.py"), Some(100)))
                .collect(),
            quarantine: BTreeSet::new(),
            plan: Plan::default(),
            tests: true,
        };
        let mut fleet = Self {
            state: State::new(),
            now: Timestamp(1_000_000),
            fakes: BTreeMap::new(),
            suites: BTreeMap::from([(job.clone(), suite)]),
            job,
        };
        for at in 0..drones {
            let id = DroneId::new(format!("drone-{at}")).expect("a word is an id");
            let info = Info {
                speed: 100,
                capacity: 4,
                ..Info::default()
            };
            fleet.fakes.insert(id.clone(), Fake::new(info.clone()));
            let connected = DroneInput::Connected {
                incarnation: Incarnation::new("first").expect("a word is a life"),
                name: id.to_string(),
                gap: false,
            };
            for what in [connected, DroneInput::Info(info)] {
                let drone = id.clone();
                fleet.step(Input::Drone { drone, what });
            }
        }
        fleet
    }

    /// Runs the job to its end; answers how many files were handed out.
    fn run(mut self) -> u32 {
        let new = NewJob {
            id: self.job.clone(),
            project: Project::new("a/b").expect("two words are a project"),
            job_type: JobType::Test,
            priority: 0,
            labels: Vec::new(),
            plugins: Vec::new(),
            spread: None,
            retries: 0,
            timeout: None,
            delay_until: None,
            submitted: self.now,
        };
        self.step(Input::Submit(Box::new(new)));
        let drones: Vec<DroneId> = self.fakes.keys().cloned().collect();
        while self.state.job(&self.job).is_some_and(|row| !row.state.is_final()) {
            self.now.0 += 1;
            let mut worked = false;
            for drone in &drones {
                let Some(fake) = self.fakes.get_mut(drone) else {
                    continue;
                };
                while fake.receive() {}
                worked |= fake.work(&self.suites, 0);
                for what in std::mem::take(&mut fake.outbox) {
                    let drone = drone.clone();
                    worked = true;
                    self.step(Input::Drone { drone, what });
                }
            }
            if !worked {
                match self.state.next_wake() {
                    Some(at) => self.now = at,
                    None => break,
                }
                self.step(Input::Wake);
            }
        }
        let done = self.state.job(&self.job).map_or(FILES as u32, |row| row.files_done);
        assert_eq!(done as usize, FILES, "the job has come to its end");
        done
    }

    fn step(&mut self, input: Input) {
        for action in self.state.step(self.now, input) {
            let (drone, word) = match action {
                Action::Start { drone, job, lease } => (drone, Word::Start(job, lease)),
                Action::Send { drone, message } => (drone, Word::Message(message)),
                _ => continue,
            };
            if let Some(fake) = self.fakes.get_mut(&drone) {
                fake.inbox.push_back(word);
            }
        }
    }
}
