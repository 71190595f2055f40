//! A drone that obeys the protocol: it prepares, lists, runs, returns, deploys, cleans up, and can be lost at any point.
//!
//! What it has to say waits in its outbox, in order, as on a real one. How that reaches the queen is another's matter:
//! at once in [`world`](crate::world), over connections that break in [`sim`](crate::sim).

use scheduler::{DroneInput, Expect, JobInput, ListedFile};
use shared::{
    JobId, LeaseToken, Num,
    outcome::{FileOutcome, Group},
    protocol::{
        Lease, ToDrone,
        event::{Edge, JobError, Phase, Plan},
        to_drone::{Part, Role, RunFile},
        to_queen::{Info, Resume, ResumeJob},
    },
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a fake job is made of, the same on every drone.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    pub files: Vec<(String, Option<u64>)>,
    pub quarantine: BTreeSet<String>,
    pub plan: Plan,
    pub tests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It waits for a slot.
    Waiting,
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
    /// The next command that it numbers itself.
    next: Num,
    /// It has begun the test phase and not been told to go on.
    testing: bool,
    queue: VecDeque<RunFile>,
    running: Vec<RunFile>,
    /// Commands that it was given and has not given back: said again, they are echoes.
    seen: BTreeSet<Num>,
}

/// What the queen says.
#[derive(Debug, Clone)]
pub enum Word {
    /// A connection of this process; true if it had one before.
    Connected(bool),
    Start(JobId, Lease),
    Message(ToDrone),
}

#[derive(Debug)]
pub struct Fake {
    pub info: Info,
    /// What a duration of 100 takes on it; what it reports may be a lie.
    pub pace: u64,
    /// Its slots. They may be other than it says.
    pub slots: usize,
    pub life: u32,
    pub connected: bool,
    pub draining: bool,
    /// Told so on its own machine: nobody takes that back.
    leaving: bool,
    pub inbox: VecDeque<Word>,
    pub outbox: VecDeque<DroneInput>,
    leases: BTreeMap<JobId, Held>,
    /// Every lease that this process ever had.
    had: BTreeSet<(JobId, LeaseToken)>,
    /// Phases that it was told to go on to.
    told: BTreeSet<(JobId, LeaseToken, Phase)>,
    /// Deploys that it has begun in all its lives.
    pub deploys: Vec<JobId>,
}

impl Fake {
    pub fn new(info: Info) -> Self {
        Self {
            pace: 100,
            slots: info.capacity as usize,
            info,
            life: 1,
            connected: false,
            draining: false,
            leaving: false,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            leases: BTreeMap::new(),
            had: BTreeSet::new(),
            told: BTreeSet::new(),
            deploys: Vec::new(),
        }
    }

    /// The process dies and another one starts.
    pub fn restart(&mut self) {
        self.life += 1;
        self.disconnect();
        (self.draining, self.leaving) = (false, false);
        self.outbox.clear();
        self.leases.clear();
        self.had.clear();
        self.told.clear();
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

    /// What it says that it can do.
    pub fn info(&self) -> Info {
        Info {
            capacity: if self.draining { 0 } else { self.info.capacity },
            ..self.info.clone()
        }
    }

    /// Its machine wants it gone.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.drain(true);
    }

    fn drain(&mut self, on: bool) {
        if self.draining != on {
            self.draining = on;
            self.outbox.push_back(DroneInput::Info(self.info()));
        }
    }

    /// The leases that it holds.
    pub fn holds(&self) -> Vec<(JobId, LeaseToken)> {
        self.leases
            .iter()
            .map(|(job, held)| (job.clone(), held.token))
            .collect()
    }

    /// Slots that work really has now.
    pub fn busy(&self) -> usize {
        let of = |held: &Held| {
            usize::from(matches!(held.stage, Stage::Preparing | Stage::Deploying(_, true))) + held.running.len()
        };
        self.leases.values().map(of).sum()
    }

    fn free(&self) -> bool {
        self.busy() < self.slots.max(1)
    }

    fn say(&mut self, job: &JobId, what: JobInput) {
        if let Some(held) = self.leases.get(job) {
            let (job, lease) = (job.clone(), Some(held.token));
            self.outbox.push_back(DroneInput::Job { job, lease, what });
        }
    }

    fn phase(&mut self, job: &JobId, phase: Phase, edge: Edge, code: Option<i32>) {
        self.say(job, JobInput::Phase { phase, edge, code });
    }

    /// Runs `count` commands, from `first` or from where its own numbers stand.
    fn commands(&mut self, job: &JobId, first: Option<Num>, count: u32) {
        for at in 0..count {
            let Some(held) = self.leases.get_mut(job) else { return };
            let num = first.map_or(held.next, |first| Num(first.0 + at));
            if first.is_none() {
                held.next = num.next();
            }
            self.say(job, JobInput::CmdStart { num });
        }
    }

    /// Takes one message of the queen.
    pub fn receive(&mut self) -> bool {
        let Some(word) = self.inbox.pop_front() else {
            return false;
        };
        match word {
            Word::Connected(again) => {
                if again {
                    self.outbox.push_back(DroneInput::Resume(self.resume()));
                }
            }
            Word::Start(job, lease) => self.start(job, lease),
            Word::Message(message) => self.obey(message),
        }
        true
    }

    fn start(&mut self, job: JobId, lease: Lease) {
        // An echo, or older than what it has.
        if self.leases.get(&job).is_some_and(|held| held.token >= lease.token) {
            return;
        }
        let held = Held {
            token: lease.token,
            role: lease.role,
            stage: Stage::Waiting,
            next: lease.num,
            testing: false,
            queue: VecDeque::new(),
            running: Vec::new(),
            seen: BTreeSet::new(),
        };
        // What it may still have of the job is dropped: the queen has taken it away.
        self.leases.insert(job.clone(), held);
        self.had.insert((job.clone(), lease.token));
        self.say(&job, JobInput::Receipt);
        if self.free() {
            self.begin(&job);
        }
    }

    fn begin(&mut self, job: &JobId) {
        let Some(held) = self.leases.get_mut(job) else { return };
        held.stage = Stage::Preparing;
        if held.role == Role::Home {
            self.say(job, JobInput::Started);
        }
        self.phase(job, Phase::Prepare, Edge::Start, None);
    }

    /// The lease that a message means. One that it never had is a fault of the queen's; one that it has ended of its
    /// own accord the queen could not know of.
    fn meant(&mut self, job: &JobId, lease: LeaseToken) -> Option<&mut Held> {
        assert!(
            self.had.contains(&(job.clone(), lease)),
            "broken: a drone is told only of leases that it was given: {job} under {lease:?}"
        );
        self.leases.get_mut(job).filter(|held| held.token == lease)
    }

    fn obey(&mut self, message: ToDrone) {
        match message {
            ToDrone::QueryInfo {} => self.outbox.push_back(DroneInput::Info(self.info())),
            ToDrone::JobRun { job, lease, files } => {
                let Some(held) = self.meant(&job, lease) else { return };
                let ready = matches!(held.stage, Stage::Ready);
                assert!(
                    ready,
                    "broken: files are run where the job is prepared: {job}, {held:?}"
                );
                held.queue
                    .extend(files.into_iter().filter(|file| held.seen.insert(file.num)));
            }
            ToDrone::TakeBack {
                job,
                lease,
                nums,
                running,
            } => {
                let Some(held) = self.meant(&job, lease) else { return };
                let mut before: Vec<Num> = held.queue.iter().map(|file| file.num).collect();
                held.queue.retain(|file| !nums.contains(&file.num));
                if running == Some(true) {
                    before.extend(held.running.iter().map(|file| file.num));
                    held.running.retain(|file| !nums.contains(&file.num));
                }
                let nums: Vec<Num> = nums.into_iter().filter(|num| before.contains(num)).collect();
                held.seen.retain(|num| !nums.contains(num));
                self.say(&job, JobInput::Returned { nums });
            }
            ToDrone::JobPhase { job, lease, phase, num } => {
                if self.meant(&job, lease).is_none() || !self.told.insert((job.clone(), lease, phase)) {
                    // Said twice under one lease, it is heeded once.
                    return;
                }
                let Some(held) = self.leases.get_mut(&job) else { return };
                held.testing = false;
                match (phase, held.stage) {
                    (Phase::Deploy, Stage::Ready) => held.stage = Stage::Deploying(num, false),
                    (Phase::Cleanup, Stage::Cancelling) => {}
                    (Phase::Cleanup, _) => {
                        assert!(
                            held.queue.is_empty() && held.running.is_empty(),
                            "broken: nothing is cleaned up at work: {job}, {held:?}"
                        );
                        held.stage = Stage::Cleaning(num);
                    }
                    _ => {}
                }
            }
            ToDrone::JobCancel { job, lease, .. } => {
                let Some(held) = lease.and_then(|lease| self.meant(&job, lease)) else {
                    return;
                };
                if held.stage != Stage::Cancelling {
                    held.stage = Stage::Cancelling;
                    held.queue.clear();
                    held.running.clear();
                }
            }
            ToDrone::Resumed { jobs } => {
                for answer in jobs.into_iter().filter(|answer| !answer.go_on) {
                    if self.meant(&answer.id, answer.lease).is_some() {
                        self.leases.remove(&answer.id);
                    }
                }
            }
            ToDrone::Drain { on } => self.drain(on.unwrap_or(true) || self.leaving),
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
        let (free, pace) = (self.free(), self.pace);
        let Some(held) = self.leases.get_mut(job) else {
            return false;
        };
        match held.stage {
            Stage::Waiting if free => self.begin(job),
            Stage::Deploying(num, false) if free => {
                held.stage = Stage::Deploying(num, true);
                // Nobody keeps numbers for a cleanup that follows unasked, unless tests were listed.
                let given = suite.tests.then_some(num);
                if given.is_none() {
                    held.next = num;
                }
                self.deploys.push(job.clone());
                self.phase(job, Phase::Deploy, Edge::Start, None);
                self.commands(job, given, 2);
            }
            Stage::Waiting | Stage::Deploying(_, false) => return false,
            Stage::Preparing => self.prepare(job, suite, dice % 32),
            Stage::Deploying(_, true) => {
                held.stage = Stage::Ready;
                let code = i32::from(dice % 8 == 7);
                self.phase(job, Phase::Deploy, Edge::Done, Some(code));
                self.say(job, JobInput::Deployed { code });
            }
            Stage::Cleaning(num) => {
                self.clean_up(job, Some(num), suite);
                self.say(job, JobInput::Done);
                self.leases.remove(job);
            }
            Stage::Cancelling => {
                if held.testing {
                    self.phase(job, Phase::Test, Edge::Done, None);
                }
                self.clean_up(job, None, suite);
                self.say(job, JobInput::Cancelled);
                self.leases.remove(job);
            }
            Stage::Ready => {
                if free && let Some(file) = held.queue.pop_front() {
                    held.running.push(file.clone());
                    let (num, attempt) = (file.num, file.attempt);
                    self.say(job, JobInput::FileStart { num, attempt });
                    self.say(job, JobInput::CmdStart { num });
                } else if held.running.is_empty() {
                    return false;
                } else if dice % 128 == 127 {
                    let error = JobError::new("internal", "the fake breaks down");
                    self.say(job, JobInput::Errored { error });
                    self.leases.remove(job);
                } else {
                    let file = held.running.remove(dice as usize % held.running.len());
                    let (outcome, died) = match dice % 16 {
                        11 | 12 => (FileOutcome::Failed, false),
                        13 => (FileOutcome::Empty, false),
                        14 => (FileOutcome::Failed, true),
                        15 => (FileOutcome::TimedOut, false),
                        _ => (FileOutcome::Passed, false),
                    };
                    let done = JobInput::FileDone {
                        num: file.num,
                        attempt: file.attempt,
                        outcome,
                        died,
                        duration: (100 + u64::from(dice % 1000)) * 100 / pace.max(1),
                        groups: file.part.map(|part| groups_of(&part)).unwrap_or_default(),
                    };
                    self.say(job, done);
                }
            }
        }
        true
    }

    fn clean_up(&mut self, job: &JobId, first: Option<Num>, suite: &Suite) {
        self.phase(job, Phase::Cleanup, Edge::Start, None);
        self.commands(job, first, suite.plan.cleanup_commands);
        self.phase(job, Phase::Cleanup, Edge::Done, Some(0));
    }

    fn prepare(&mut self, job: &JobId, suite: &Suite, dice: u32) {
        let Some(held) = self.leases.get_mut(job) else { return };
        held.stage = Stage::Ready;
        let home = held.role == Role::Home;
        match dice {
            30 => {
                self.commands(job, None, suite.plan.prepare_commands.min(1));
                return self.phase(job, Phase::Prepare, Edge::Done, Some(2));
            }
            31 => {
                let error = JobError::new("source", "the fake cannot fetch");
                self.say(job, JobInput::Errored { error });
                self.leases.remove(job);
                return;
            }
            _ => {
                self.commands(job, None, suite.plan.prepare_commands);
                self.phase(job, Phase::Prepare, Edge::Done, Some(0));
            }
        }
        if home && suite.tests {
            if let Some(held) = self.leases.get_mut(job) {
                held.testing = true;
            }
            let listed = |(path, expect): &(String, Option<u64>)| ListedFile {
                path: path.clone(),
                expect: expect.map(|duration| Expect {
                    duration,
                    failed: duration % 7 == 0,
                    groups: groups(duration),
                }),
                quarantined: suite.quarantine.contains(path),
            };
            let files: Vec<ListedFile> = suite.files.iter().map(listed).collect();
            let (one, two) = files.split_at(files.len() / 2);
            let (first, last) = (one.to_vec(), two.to_vec());
            let part = |files, more, plan| JobInput::Files { files, more, plan };
            self.say(job, part(first, true, None));
            self.say(job, part(last, false, Some(suite.plan.clone())));
        }
    }
}

/// What a file of this duration is said to be made of: some have one group, some have many.
fn groups(duration: u64) -> Vec<Group> {
    let group = |at: u64| Group {
        name: format!("Test{at}"),
        duration: 1.0 + ((duration / 10 + at) % 5) as f64,
    };
    (0..duration / 10 % 8).map(group).collect()
}

fn groups_of(part: &Part) -> Vec<Group> {
    let named = part.groups.iter().filter(|_| !part.rest).map(String::as_str);
    let own = named.chain(part.rest.then_some("TestNew"));
    own.map(|name| Group {
        name: name.to_owned(),
        duration: 5.0,
    })
    .collect()
}
