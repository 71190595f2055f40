//! A drone that obeys the protocol: it prepares, lists, runs, returns, cleans up, and can be lost at any point.
//!
//! What it has to say waits in its outbox, as on a real one, and survives a lost connection but not a restart.

use scheduler::{Expect, JobInput, ListedFile};
use shared::{
    JobId, LeaseToken, Num,
    outcome::FileOutcome,
    protocol::{
        Lease, ToDrone,
        event::{Edge, JobError, Phase, Plan},
        to_drone::{Role, RunFile},
        to_queen::{Info, Resume, ResumeJob},
    },
};
use std::collections::{BTreeMap, VecDeque};

/// What a fake job is made of, the same on every drone.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    pub files: Vec<(String, Option<u64>)>,
    pub plan: Plan,
    pub tests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preparing,
    Ready,
    /// Told to deploy; true once it has a slot for that.
    Deploying(Num, bool),
    Cleaning(Num),
    Cancelling,
}

#[derive(Debug)]
struct Held {
    token: LeaseToken,
    role: Role,
    stage: Stage,
    queue: VecDeque<RunFile>,
    running: Vec<RunFile>,
}

/// What the queen says.
#[derive(Debug, Clone)]
pub enum Word {
    Start(JobId, Lease),
    Message(ToDrone),
}

#[derive(Debug)]
pub struct Fake {
    pub info: Info,
    pub life: u32,
    pub connected: bool,
    pub inbox: VecDeque<Word>,
    pub outbox: VecDeque<(JobId, LeaseToken, JobInput)>,
    leases: BTreeMap<JobId, Held>,
    /// Deploys that it has begun, by job.
    pub deploys: Vec<(JobId, LeaseToken)>,
}

impl Fake {
    pub fn new(info: Info) -> Self {
        Self {
            info,
            life: 1,
            connected: false,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            leases: BTreeMap::new(),
            deploys: Vec::new(),
        }
    }

    /// The process dies and another one starts.
    pub fn restart(&mut self) {
        self.life += 1;
        self.disconnect();
        self.outbox.clear();
        self.leases.clear();
    }

    pub fn disconnect(&mut self) {
        self.connected = false;
        self.inbox.clear();
    }

    pub fn resume(&self) -> Resume {
        let jobs = self.leases.iter().map(|(job, held)| ResumeJob {
            id: job.clone(),
            lease: held.token,
            running: held.queue.iter().chain(&held.running).map(|file| file.num).collect(),
        });
        Resume { jobs: jobs.collect() }
    }

    /// Slots that work really has now.
    pub fn busy(&self) -> usize {
        let of = |held: &Held| {
            usize::from(matches!(held.stage, Stage::Preparing | Stage::Deploying(_, true))) + held.running.len()
        };
        self.leases.values().map(of).sum()
    }

    fn say(&mut self, job: &JobId, what: JobInput) {
        if let Some(held) = self.leases.get(job) {
            self.outbox.push_back((job.clone(), held.token, what));
        }
    }

    fn phase(&mut self, job: &JobId, phase: Phase, edge: Edge, code: Option<i32>) {
        self.say(job, JobInput::Phase { phase, edge, code });
    }

    /// Takes one message of the queen.
    pub fn receive(&mut self) -> bool {
        let Some(word) = self.inbox.pop_front() else {
            return false;
        };
        match word {
            Word::Start(job, lease) => self.start(job, lease),
            Word::Message(message) => self.obey(message),
        }
        true
    }

    fn start(&mut self, job: JobId, lease: Lease) {
        if self.leases.get(&job).is_some_and(|held| held.token == lease.token) {
            return;
        }
        let held = Held {
            token: lease.token,
            role: lease.role,
            stage: Stage::Preparing,
            queue: VecDeque::new(),
            running: Vec::new(),
        };
        self.leases.insert(job.clone(), held);
        // A deploy may come on top: it is given at once to the drone that has the job, and waits there for its slot.
        let deploys = self
            .leases
            .values()
            .filter(|held| matches!(held.stage, Stage::Deploying(_, true)))
            .count();
        let (busy, capacity) = (self.busy() - deploys, self.info.capacity as usize);
        assert!(
            busy <= capacity,
            "{busy} slots in use of {capacity} when {job} is to be prepared"
        );
        self.say(&job, JobInput::Receipt);
        if lease.role == Role::Home {
            self.say(&job, JobInput::Started);
        }
        self.phase(&job, Phase::Prepare, Edge::Start, None);
        self.say(&job, JobInput::CmdStart { num: lease.num });
    }

    fn obey(&mut self, message: ToDrone) {
        match message {
            ToDrone::JobRun { job, lease, files } => {
                let held = self.leases.get_mut(&job).filter(|held| held.token == lease);
                let held = held.unwrap_or_else(|| panic!("job:run of {job} without its lease"));
                assert_eq!(
                    held.stage,
                    Stage::Ready,
                    "job:run of {job} to a drone that is not prepared"
                );
                for file in files {
                    let known = held
                        .queue
                        .iter()
                        .chain(&held.running)
                        .any(|other| other.num == file.num);
                    if !known {
                        held.queue.push_back(file);
                    }
                }
            }
            ToDrone::TakeBack { job, lease, nums } => {
                let Some(held) = self.leases.get_mut(&job).filter(|held| held.token == lease) else {
                    return;
                };
                let before: Vec<Num> = held.queue.iter().map(|file| file.num).collect();
                held.queue.retain(|file| !nums.contains(&file.num));
                let nums = nums.into_iter().filter(|num| before.contains(num)).collect();
                self.say(&job, JobInput::Returned { nums });
            }
            ToDrone::JobPhase { job, lease, phase, num } => {
                let Some(held) = self.leases.get_mut(&job).filter(|held| held.token == lease) else {
                    return;
                };
                match (phase, held.stage) {
                    // Said twice under one lease, it is heeded once.
                    (Phase::Deploy, Stage::Ready) if !self.deploys.contains(&(job.clone(), lease)) => {
                        self.deploys.push((job, lease));
                        held.stage = Stage::Deploying(num, false);
                    }
                    (Phase::Cleanup, Stage::Cleaning(_) | Stage::Cancelling) => {}
                    (Phase::Cleanup, _) => {
                        assert!(
                            held.queue.is_empty() && held.running.is_empty(),
                            "{job} is cleaned up at work"
                        );
                        held.stage = Stage::Cleaning(num);
                    }
                    _ => {}
                }
            }
            ToDrone::JobCancel { job, lease, .. } => {
                if let Some(held) = self.leases.get_mut(&job).filter(|held| Some(held.token) == lease) {
                    held.stage = Stage::Cancelling;
                    held.queue.clear();
                    held.running.clear();
                }
            }
            ToDrone::Resumed { jobs } => {
                for answer in jobs.into_iter().filter(|answer| !answer.go_on) {
                    if self
                        .leases
                        .get(&answer.id)
                        .is_some_and(|held| held.token == answer.lease)
                    {
                        self.leases.remove(&answer.id);
                    }
                }
            }
            ToDrone::Drain { .. } => {}
            other => panic!("the scheduler says {other:?}"),
        }
    }

    /// Goes on with one thing. `dice` decides how it ends; 0 is always well.
    pub fn work(&mut self, suites: &BTreeMap<JobId, Suite>, dice: u32) -> bool {
        let jobs: Vec<JobId> = self.leases.keys().cloned().collect();
        let turn = dice as usize;
        (0..jobs.len()).any(|at| {
            let job = &jobs[(at + turn) % jobs.len()];
            self.work_on(job, &suites[job], dice >> 8)
        })
    }

    fn work_on(&mut self, job: &JobId, suite: &Suite, dice: u32) -> bool {
        let free = self.busy() < self.info.capacity.max(1) as usize;
        let Some(held) = self.leases.get_mut(job) else {
            return false;
        };
        match held.stage {
            Stage::Preparing => self.prepare(job, suite, dice % 32),
            Stage::Deploying(num, false) if free => held.stage = Stage::Deploying(num, true),
            Stage::Deploying(_, false) => return false,
            Stage::Deploying(num, true) => {
                held.stage = Stage::Ready;
                self.phase(job, Phase::Deploy, Edge::Start, None);
                self.say(job, JobInput::CmdStart { num });
                let code = i32::from(dice % 8 == 7);
                self.phase(job, Phase::Deploy, Edge::Done, Some(code));
                self.say(job, JobInput::Deployed { code });
            }
            Stage::Cleaning(num) => {
                self.phase(job, Phase::Cleanup, Edge::Start, None);
                self.say(job, JobInput::CmdStart { num });
                self.phase(job, Phase::Cleanup, Edge::Done, Some(0));
                self.say(job, JobInput::Done);
                self.leases.remove(job);
            }
            Stage::Cancelling => {
                self.say(job, JobInput::Cancelled);
                self.leases.remove(job);
            }
            Stage::Ready => {
                if free && let Some(file) = held.queue.pop_front() {
                    held.running.push(file.clone());
                    let (num, attempt) = (file.num, file.attempt);
                    self.say(job, JobInput::FileStart { num, attempt });
                    self.say(job, JobInput::CmdStart { num });
                } else if !held.running.is_empty() {
                    let file = held.running.remove(dice as usize % held.running.len());
                    let (outcome, died) = match dice % 16 {
                        11 | 12 => (FileOutcome::Failed, false),
                        13 => (FileOutcome::Empty, false),
                        14 => (FileOutcome::Failed, true),
                        15 => (FileOutcome::TimedOut, false),
                        _ => (FileOutcome::Passed, false),
                    };
                    let (num, attempt, duration) = (file.num, file.attempt, 100 + u64::from(dice % 1000));
                    self.say(
                        job,
                        JobInput::FileDone {
                            num,
                            attempt,
                            outcome,
                            died,
                            duration,
                        },
                    );
                } else {
                    return false;
                }
            }
        }
        true
    }

    fn prepare(&mut self, job: &JobId, suite: &Suite, dice: u32) {
        let Some(held) = self.leases.get_mut(job) else { return };
        held.stage = Stage::Ready;
        let role = held.role;
        match dice {
            30 => return self.phase(job, Phase::Prepare, Edge::Done, Some(2)),
            31 => {
                let error = JobError::new("source", "the fake cannot fetch");
                self.say(job, JobInput::Errored { error });
                self.leases.remove(job);
                return;
            }
            _ => self.phase(job, Phase::Prepare, Edge::Done, Some(0)),
        }
        if role == Role::Home && suite.tests {
            let listed = |(path, expect): &(String, Option<u64>)| ListedFile {
                path: path.clone(),
                expect: expect.map(|duration| Expect {
                    duration,
                    failed: duration % 7 == 0,
                }),
            };
            let files: Vec<ListedFile> = suite.files.iter().map(listed).collect();
            let (one, two) = files.split_at(files.len() / 2);
            self.say(
                job,
                JobInput::Files {
                    files: one.to_vec(),
                    more: true,
                    plan: None,
                },
            );
            let plan = Some(suite.plan.clone());
            self.say(
                job,
                JobInput::Files {
                    files: two.to_vec(),
                    more: false,
                    plan,
                },
            );
        }
    }
}
