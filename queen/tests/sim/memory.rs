//! A store in memory that keeps the whole contract of [`Store`], and that breaks when a test wants it to.
//!
//! What it does with each commit is asked of its [`Fates`]: do it, refuse it, or never answer, before or after it took
//! effect. It outlives the queens that use it, as a disk does. It knows nothing of simulations: the contract suite runs
//! on it too.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use async_trait::async_trait;
use queen::store::*;
use scheduler::{Expect, FileRow, JobRow, LeaseRow, LeaseState, NewJob, Record};
use sha2::{Digest, Sha256};
use shared::{
    Attempt, DroneId, Incarnation, JobData, JobId, LeaseToken, Num, Project, Seq, Timestamp,
    outcome::{CaseResult, FileOutcome, Group},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// The most jobs that one page looks at for a text.
const LOOKS: usize = 1_000;
/// Lives of a drone that are kept.
const LIVES: usize = 100;

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is written and said so.
    Done,
    /// It fails; `written`: although it took effect, as when a connection breaks over the answer.
    Fails { written: bool },
    /// Nobody ever hears of it: the machine stops here.
    Hangs { written: bool },
    /// It is said to be written, and is not: the next [`MemoryStore::crash`] takes it away, and all that follow it.
    Lies,
}

/// Decides what the disk does.
pub trait Fates: Send + 'static {
    /// The next commit: how long it takes, and what becomes of it.
    fn commit(&mut self) -> (Duration, Fate);
    /// Can anything be read?
    fn well(&mut self) -> bool;
}

/// A disk without faults that takes no time.
pub struct Sound;

impl Fates for Sound {
    fn commit(&mut self) -> (Duration, Fate) {
        (Duration::ZERO, Fate::Done)
    }
    fn well(&mut self) -> bool {
        true
    }
}

/// The store. Cloning shares it.
#[derive(Clone)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

struct Inner {
    state: State,
    /// What is really there, once the disk has lied.
    durable: Option<State>,
    fates: Box<dyn Fates>,
}

#[derive(Clone, Default)]
struct State {
    jobs: BTreeMap<JobId, Arc<Job>>,
    drones: BTreeMap<DroneId, Drone>,
    learned: BTreeMap<(Project, String), (Learned, Timestamp)>,
    splits: BTreeMap<(Project, String), Vec<Group>>,
    tokens: BTreeMap<String, (AccessToken, [u8; 32])>,
    quarantine: BTreeMap<(Project, String), Quarantine>,
    /// Jobs that each project has ever had.
    projects: BTreeMap<Project, u64>,
    /// Files that drones ran to their end, by the minute.
    minutes: BTreeMap<i64, u64>,
    /// Results and lives get numbers in the order in which they came.
    last_key: u64,
}

#[derive(Clone)]
struct Job {
    data: Arc<JobData>,
    shown: JobData,
    digest: [u8; 32],
    spec: NewJob,
    row: JobRow,
    files: BTreeMap<u32, FileRow>,
    leases: BTreeMap<LeaseToken, LeaseRow>,
    events: Vec<Arc<Event>>,
    results: Vec<(u64, AttemptResult)>,
    cases: Vec<CasePart>,
    log_removed: Option<Timestamp>,
    /// Its removal was begun.
    going: bool,
    /// Events that there were, also when the log is gone.
    last_seq: u64,
}

#[derive(Clone, Default)]
struct Drone {
    draining: bool,
    learned: Option<f64>,
    lives: Vec<(Incarnation, u64)>,
}

fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused(why.into())
}

fn broken() -> StoreError {
    StoreError::File {
        path: PathBuf::from("skep.db"),
        error: std::io::Error::from(std::io::ErrorKind::StorageFull),
    }
}

impl MemoryStore {
    pub fn new(fates: impl Fates) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            state: State::default(),
            durable: None,
            fates: Box::new(fates),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The machine stops: what the disk only said to have written is gone.
    pub fn crash(&self) {
        let mut inner = self.lock();
        if let Some(durable) = inner.durable.take() {
            inner.state = durable;
        }
    }

    /// The last number applied of a life of a drone.
    pub fn applied(&self, drone: &DroneId, life: &Incarnation) -> u64 {
        let inner = self.lock();
        let state = inner.durable.as_ref().unwrap_or(&inner.state);
        let lives = state.drones.get(drone).map(|drone| drone.lives.as_slice());
        let found = lives.unwrap_or_default().iter().find(|(own, _)| own == life);
        found.map_or(0, |(_, n)| *n)
    }

    /// Everything of a job that is really there, for those who check.
    pub fn durable<T>(&self, id: &JobId, read: impl FnOnce(Kept<'_>) -> T) -> Option<T> {
        let inner = self.lock();
        let job = inner.durable.as_ref().unwrap_or(&inner.state).jobs.get(id)?;
        Some(read(Kept {
            row: &job.row,
            files: &job.files,
            leases: &job.leases,
            events: &job.events,
            results: &job.results,
        }))
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        let mut inner = self.lock();
        if !inner.fates.well() {
            return Err(broken());
        }
        Ok(read(&inner.state))
    }

    fn write(&self, batch: &Batch, lie: bool) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let mut next = inner.state.clone();
        next.apply(batch)?;
        if lie && inner.durable.is_none() {
            inner.durable = Some(inner.state.clone());
        }
        inner.state = next;
        Ok(())
    }
}

/// What is kept of a job.
pub struct Kept<'a> {
    pub row: &'a JobRow,
    pub files: &'a BTreeMap<u32, FileRow>,
    pub leases: &'a BTreeMap<LeaseToken, LeaseRow>,
    pub events: &'a [Arc<Event>],
    pub results: &'a [(u64, AttemptResult)],
}

impl State {
    fn job(&mut self, id: &JobId) -> Result<&mut Job, StoreError> {
        let job = self.jobs.get_mut(id);
        job.map(Arc::make_mut)
            .ok_or_else(|| refused(format!("there is no job {id}")))
    }

    fn key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for new in &batch.submitted {
            self.submit(new, &batch.records)?;
        }
        for record in &batch.records {
            self.record(record)?;
        }
        for event in &batch.events {
            let job = self.job(&event.job)?;
            let next = job.last_seq + 1;
            if event.seq.0 != next || event.line.contains('\n') {
                return Err(refused(format!(
                    "event {} of job {} is not {next}",
                    event.seq, event.job
                )));
            }
            job.last_seq = next;
            job.events.push(Arc::new(event.clone()));
        }
        for result in &batch.results {
            self.result(result)?;
        }
        for part in batch.cases.iter().filter(|part| !part.cases.is_empty()) {
            self.job(&part.job)?.cases.push(part.clone());
        }
        for Applied { drone, incarnation, n } in &batch.applied {
            let lives = &mut self.drones.entry(drone.clone()).or_default().lives;
            match lives.iter_mut().find(|(own, _)| own == incarnation) {
                Some((_, applied)) => *applied = (*applied).max(*n),
                None => lives.push((incarnation.clone(), *n)),
            }
        }
        Ok(())
    }

    fn submit(&mut self, new: &Submitted, records: &[Record]) -> Result<(), StoreError> {
        let id = &new.spec.id;
        if self.jobs.contains_key(id) {
            return Err(refused(format!("there is a job {id} already")));
        }
        let row = records.iter().rev().find_map(|record| match record {
            Record::Job(row) if row.id == *id => Some(row.clone()),
            _ => None,
        });
        let row = row.ok_or_else(|| refused(format!("job {id} was submitted without saying how it stands")))?;
        let job = Job {
            shown: serde_json::from_value(new.data.shown()).map_err(|error| refused(error.to_string()))?,
            data: Arc::clone(&new.data),
            digest: new.digest,
            spec: new.spec.clone(),
            row,
            files: BTreeMap::new(),
            leases: BTreeMap::new(),
            events: Vec::new(),
            results: Vec::new(),
            cases: Vec::new(),
            log_removed: None,
            going: false,
            last_seq: 0,
        };
        self.jobs.insert(id.clone(), Arc::new(job));
        *self.projects.entry(new.spec.project.clone()).or_default() += 1;
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), StoreError> {
        match record {
            Record::Job(row) => self.job(&row.id)?.row = row.clone(),
            Record::File(row) => {
                self.job(&row.job)?.files.insert(row.index, row.clone());
            }
            Record::NoFiles(id) => self.job(id)?.files.clear(),
            Record::Lease(row) => {
                self.job(&row.job)?.leases.insert(row.token, row.clone());
            }
            Record::Drain { drone, on } => self.drones.entry(drone.clone()).or_default().draining = *on,
            Record::Learned { drone, factor } => {
                self.drones.entry(drone.clone()).or_default().learned = Some(*factor);
            }
        }
        Ok(())
    }

    fn result(&mut self, result: &AttemptResult) -> Result<(), StoreError> {
        let key = self.key();
        let job = self.job(&result.job)?;
        let of = |one: &AttemptResult| (one.path.clone(), one.attempt, one.num);
        if job.results.iter().any(|(_, one)| of(one) == of(result)) {
            let (id, attempt, path) = (&result.job, result.attempt, &result.path);
            return Err(refused(format!(
                "job {id} has a result of attempt {attempt} of {path} already"
            )));
        }
        job.results.push((key, result.clone()));
        if result.drone.is_some() && result.result.outcome != FileOutcome::NotRun {
            let minute = result.at.0.div_euclid(60_000);
            *self.minutes.entry(minute).or_default() += 1;
            let newest = self.minutes.last_key_value().map_or(minute, |(newest, _)| *newest);
            self.minutes.retain(|minute, _| *minute > newest - 1_440);
        }
        if result.is_part {
            return Ok(());
        }
        let file = (result.project.clone(), result.path.clone());
        if let Some(groups) = result.splits() {
            self.splits.insert(file.clone(), groups.clone());
        }
        let (learned, last) = self.learned.entry(file).or_insert((Learned::default(), Timestamp(0)));
        if learned.add(&result.result, result.normal_duration, result.at) {
            *last = result.at;
        }
        Ok(())
    }

    fn newest_first(&self) -> Vec<&Arc<Job>> {
        let mut jobs: Vec<_> = self.jobs.values().collect();
        jobs.sort_by(|a, b| (b.spec.submitted, &b.spec.id).cmp(&(a.spec.submitted, &a.spec.id)));
        jobs
    }

    /// Finished jobs, the one that ended first at the front.
    fn finished(&self) -> Vec<&Arc<Job>> {
        let mut jobs: Vec<_> = self.jobs.values().filter(|job| job.row.state.is_final()).collect();
        jobs.sort_by_key(|job| job.ended());
        jobs
    }

    /// Those that are to lose what `size` counts.
    fn due(&self, which: Oldest, size: impl Fn(&Job) -> u64) -> (Vec<JobId>, u64) {
        let mut freed = 0;
        let mut due = Vec::new();
        for job in self.finished() {
            if size(job) > 0 && (freed < which.bytes || job.ended() < which.before) {
                freed += size(job);
                due.push(job.spec.id.clone());
            }
        }
        (due, freed)
    }

    fn restore(&self) -> Restored {
        let mut jobs: Vec<_> = self.jobs.values().filter(|job| !job.row.state.is_final()).collect();
        jobs.sort_by(|a, b| (a.spec.submitted, &a.spec.id).cmp(&(b.spec.submitted, &b.spec.id)));
        let jobs = jobs.into_iter().map(|job| RestoredJob {
            data: Arc::clone(&job.data),
            spec: job.spec.clone(),
            row: job.row.clone(),
            files: job.files.values().cloned().collect(),
            leases: job
                .leases
                .values()
                .filter(|lease| lease.state != LeaseState::Ended)
                .cloned()
                .collect(),
            last_seq: Seq(job.last_seq),
        });
        let drones = self.drones.iter().map(|(id, drone)| RestoredDrone {
            drone: id.clone(),
            incarnation: drone.lives.last().map(|(life, _)| life.clone()),
            applied: drone.lives.last().map_or(0, |(_, n)| *n),
            draining: drone.draining,
            learned: drone.learned,
        });
        Restored {
            jobs: jobs.collect(),
            drones: drones.collect(),
        }
    }
}

impl Job {
    fn stored(&self) -> StoredJob {
        StoredJob {
            data: self.shown.clone(),
            submitted: self.spec.submitted,
            row: self.row.clone(),
            last_seq: Seq(self.last_seq),
            digest: self.digest,
            log_removed: self.log_removed,
        }
    }

    fn matches(&self, filter: &JobFilter) -> bool {
        let (data, id) = (&self.data, &self.spec.id);
        let author = data.trigger.author.clone().unwrap_or_default();
        let names = [author.name, author.username, author.email];
        filter.project.as_ref().is_none_or(|project| *project == data.project)
            && filter
                .branch
                .as_deref()
                .is_none_or(|branch| data.branch() == Some(branch))
            && filter.trigger.as_ref().is_none_or(|kind| *kind == data.trigger.kind)
            && (filter.states.is_empty() || filter.states.contains(&self.row.state))
            && filter
                .author
                .as_ref()
                .is_none_or(|name| names.iter().flatten().any(|own| own == name))
            && filter
                .before
                .as_ref()
                .is_none_or(|before| (self.spec.submitted, id) < (before.submitted, &before.id))
            && filter
                .text
                .as_ref()
                .is_none_or(|text| self.texts().iter().any(|own| own.contains(&text.to_ascii_lowercase())))
    }

    /// Every three characters of the text are somewhere in what it is looked for in, as an index would find it.
    fn has_parts(&self, text: &str) -> bool {
        let (own, text) = (self.texts(), text.to_ascii_lowercase());
        let chars: Vec<char> = text.chars().collect();
        let mut parts = chars.windows(3).map(String::from_iter);
        parts.all(|part| own.iter().any(|own| own.contains(&part)))
    }

    /// What a text is looked for in, in small letters.
    fn texts(&self) -> [String; 4] {
        let branch = self.data.branch().unwrap_or_default();
        let message = &*self.data.trigger.message;
        [self.spec.id.as_str(), self.data.project.as_str(), branch, message].map(str::to_ascii_lowercase)
    }

    /// Bytes of its log, about.
    fn log_bytes(&self) -> u64 {
        let events = self.events.iter().map(|event| event.line.len() as u64 + 64);
        let cases = self.cases.iter().map(|part| part.cases.len() as u64 * 64);
        events.chain(cases).sum()
    }

    /// Bytes of everything else of it, about.
    fn rest_bytes(&self) -> u64 {
        4096 + (self.results.len() + self.files.len()) as u64 * 128
    }

    fn ended(&self) -> Timestamp {
        self.row.finished.unwrap_or(self.spec.submitted)
    }

    /// The last result of a file; one of an earlier try of the whole job has another command and does not count.
    fn result_of(&self, row: &FileRow) -> Option<&AttemptResult> {
        let fits = |one: &AttemptResult| {
            one.path == row.path
                && (one.attempt < row.attempt || one.attempt == row.attempt && row.num.is_none_or(|num| num == one.num))
        };
        self.results.iter().rev().map(|(_, one)| one).find(|one| fits(one))
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn fingerprint(&self, text: &str) -> [u8; 32] {
        Sha256::digest(format!("in memory\n{text}")).into()
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        // A task of its own: whoever is dropped never leaves a write half-way.
        let store = self.clone();
        let writing = tokio::spawn(async move {
            let (time, fate) = store.lock().fates.commit();
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            match fate {
                Fate::Done => store.write(&batch, false),
                Fate::Lies => store.write(&batch, true),
                Fate::Fails { written } => {
                    if written {
                        store.write(&batch, false)?;
                    }
                    Err(broken())
                }
                Fate::Hangs { written } => {
                    if written {
                        store.write(&batch, false)?;
                    }
                    std::future::pending().await
                }
            }
        });
        writing.await.unwrap_or_else(|_| Err(broken()))
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        self.read(State::restore)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|_| ())
    }

    async fn job(&self, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
        self.read(|state| state.jobs.get(id).map(|job| job.stored()))
    }

    async fn job_data(&self, id: &JobId) -> Result<Option<JobData>, StoreError> {
        self.read(|state| state.jobs.get(id).map(|job| JobData::clone(&job.data)))
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        self.read(|state| {
            let limit = filter.limit.clamp(1, 500) as usize;
            let Some(text) = &filter.text else {
                let jobs = state.newest_first().into_iter().filter(|job| job.matches(filter));
                return Page::of(jobs.take(limit).map(|job| job.stored()).collect(), limit);
            };
            let others = JobFilter {
                text: None,
                ..filter.clone()
            };
            let jobs = state.newest_first().into_iter();
            let mut page = Page::default();
            for (looked, job) in (1..).zip(jobs.filter(|job| job.matches(&others) && job.has_parts(text))) {
                let stored = job.stored();
                let cursor = stored.cursor();
                if job.matches(filter) {
                    page.jobs.push(stored);
                }
                if looked == LOOKS || page.jobs.len() == limit {
                    page.next = Some(cursor);
                    break;
                }
            }
            page
        })
    }

    async fn files(&self, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
        self.read(|state| {
            let Some(job) = state.jobs.get(id) else {
                return Vec::new();
            };
            let files = job.files.values().map(|row| {
                let last = job.result_of(row);
                StoredFile {
                    row: row.clone(),
                    at: last.map(|last| last.at),
                    result: last.map(|last| last.result.clone()),
                }
            });
            files.collect()
        })
    }

    async fn attempts(&self, id: &JobId, path: &str) -> Result<Vec<PastAttempt>, StoreError> {
        self.read(|state| {
            let results = state.jobs.get(id).into_iter().flat_map(|job| &job.results);
            let own = results.filter(|(_, one)| one.path == path);
            own.map(|(_, one)| PastAttempt {
                num: one.num,
                attempt: one.attempt,
                result: one.result.clone(),
            })
            .collect()
        })
    }

    async fn cases(&self, id: &JobId, num: Num, attempt: Attempt) -> Result<Vec<CaseResult>, StoreError> {
        self.read(|state| {
            let parts = state.jobs.get(id).map(|job| job.cases.as_slice()).unwrap_or_default();
            let parts = parts.iter().filter(|part| part.num == num && part.attempt == attempt);
            parts.flat_map(|part| part.cases.iter().cloned()).collect()
        })
    }

    async fn cases_by_file(
        &self,
        id: &JobId,
        path: Option<&str>,
        from: u32,
        limit_bytes: usize,
    ) -> Result<Vec<FileCases>, StoreError> {
        self.read(|state| {
            let Some(job) = state.jobs.get(id) else {
                return Vec::new();
            };
            let (mut files, mut bytes) = (Vec::new(), 0);
            for (index, row) in job.files.range(from..) {
                let own = |part: &&CasePart| row.num == Some(part.num) && row.attempt == part.attempt;
                let parts = job.cases.iter().filter(own).filter(|part| !part.cases.is_empty());
                let cases: Vec<_> = parts.flat_map(|part| part.cases.clone()).collect();
                let (Some(num), false) = (row.num, cases.is_empty()) else {
                    continue;
                };
                if path.is_some_and(|path| path != row.path) {
                    continue;
                }
                if bytes >= limit_bytes && !files.is_empty() {
                    break;
                }
                bytes += serde_json::to_string(&cases).map_or(0, |text| text.len());
                files.push(FileCases {
                    index: *index,
                    path: row.path.clone(),
                    num,
                    attempt: row.attempt,
                    cases,
                });
            }
            files
        })
    }

    async fn events(&self, id: &JobId, from: Seq, to: Seq, limit_bytes: usize) -> Result<Vec<Event>, StoreError> {
        self.read(|state| {
            let events = state.jobs.get(id).map(|job| job.events.as_slice()).unwrap_or_default();
            let wanted = events.iter().filter(|event| (from..=to).contains(&event.seq));
            let mut room = limit_bytes;
            let mut taken = Vec::new();
            for event in wanted {
                if event.line.len() > room && !taken.is_empty() {
                    break;
                }
                room = room.saturating_sub(event.line.len());
                taken.push(Event::clone(event));
            }
            taken
        })
    }

    async fn expectations(&self, project: &Project, paths: &[String]) -> Result<Vec<Option<Expect>>, StoreError> {
        self.read(|state| {
            let of = |path: &String| {
                let file = (project.clone(), path.clone());
                let (learned, _) = state.learned.get(&file)?;
                (learned.runs > 0).then(|| Expect {
                    duration: learned.duration(),
                    failed: learned.failed,
                    groups: state.splits.get(&file).cloned().unwrap_or_default(),
                })
            };
            paths.iter().map(of).collect()
        })
    }

    async fn projects(&self) -> Result<Vec<StoredProject>, StoreError> {
        self.read(|state| {
            let newest = state.newest_first();
            let view = |(project, jobs): (&Project, &u64)| {
                let last = newest.iter().find(|job| job.spec.project == *project);
                StoredProject {
                    last_job: last.map(|job| job.spec.id.clone()),
                    last_state: last.map(|job| job.row.state),
                    last_submitted: last.map(|job| job.spec.submitted),
                    jobs: *jobs,
                    project: project.clone(),
                }
            };
            state.projects.iter().map(view).collect()
        })
    }

    async fn history(&self, project: &Project) -> Result<Vec<FileHistory>, StoreError> {
        self.read(|state| {
            let own = state.learned.iter().filter(|((name, _), _)| name == project);
            let mut files: Vec<_> = own
                .filter(|(_, (learned, _))| learned.runs > 0)
                .map(|((_, path), (learned, last))| FileHistory {
                    path: path.clone(),
                    duration: learned.duration(),
                    runs: learned.runs,
                    bad: learned.bad,
                    flaky: learned.flaky,
                    failed: learned.failed,
                    last: *last,
                })
                .collect();
            files.sort_by(|a, b| (b.duration, &a.path).cmp(&(a.duration, &b.path)));
            files
        })
    }

    async fn flaky(&self, jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
        self.read(|state| {
            let count = |id: &JobId| {
                let results = state.jobs.get(id).into_iter().flat_map(|job| &job.results);
                let flaky = results.filter(|(_, one)| one.result.outcome == FileOutcome::Flaky);
                let paths: BTreeSet<&str> = flaky.map(|(_, one)| one.path.as_str()).collect();
                paths.len() as u64
            };
            jobs.iter().map(count).collect()
        })
    }

    async fn throughput(&self, from: Timestamp) -> Result<Vec<Minute>, StoreError> {
        self.read(|state| {
            let minutes = state.minutes.range(from.0.div_euclid(60_000)..);
            let minutes = minutes.map(|(minute, files)| Minute {
                start: Timestamp(minute * 60_000),
                files: *files,
            });
            minutes.collect()
        })
    }

    async fn past_runs(&self, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError> {
        self.read(|state| {
            let all = state.jobs.values().flat_map(|job| &job.results);
            let mut own: Vec<_> = all
                .filter(|(_, one)| one.project == *project && one.path == path)
                .collect();
            own.sort_by_key(|(key, one)| std::cmp::Reverse((one.at, *key)));
            let runs = own.into_iter().take(100).map(|(_, one)| PastRun {
                job: one.job.clone(),
                outcome: one.result.outcome,
                duration: one.result.duration,
                at: one.at,
            });
            runs.collect()
        })
    }

    async fn quarantined(&self, project: &Project, paths: &[String]) -> Result<Vec<bool>, StoreError> {
        self.read(|state| {
            let is_in = |path: &String| state.quarantine.contains_key(&(project.clone(), path.clone()));
            paths.iter().map(is_in).collect()
        })
    }

    async fn quarantine(&self, project: &Project) -> Result<Vec<Quarantined>, StoreError> {
        let mut files = self.read(|state| {
            let own = state.quarantine.iter().filter(|((name, _), _)| name == project);
            let files = own.map(|(file, entry)| Quarantined {
                entry: entry.clone(),
                failed_at: state.learned.get(file).and_then(|(learned, _)| learned.failed_at),
                runs: Vec::new(),
            });
            files.collect::<Vec<_>>()
        })?;
        for file in &mut files {
            file.runs = self.past_runs(project, &file.entry.path).await?;
            file.runs.truncate(10);
        }
        Ok(files)
    }

    async fn put_in_quarantine(
        &self,
        project: &Project,
        entry: &Quarantine,
        limit: usize,
    ) -> Result<Entered, StoreError> {
        let state = &mut self.lock().state;
        if let Some(known) = state.quarantine.get_mut(&(project.clone(), entry.path.clone())) {
            let since = known.since;
            *known = Quarantine { since, ..entry.clone() };
            return Ok(Entered::Changed);
        }
        if state.quarantine.keys().filter(|(name, _)| name == project).count() >= limit {
            return Ok(Entered::Full);
        }
        if !state.projects.contains_key(project) {
            return Err(refused(format!("there is no project {project}")));
        }
        let file = (project.clone(), entry.path.clone());
        state.quarantine.insert(file, entry.clone());
        Ok(Entered::Added)
    }

    async fn lift_quarantine(&self, project: &Project, path: &str) -> Result<bool, StoreError> {
        let file = (project.clone(), path.to_owned());
        Ok(self.lock().state.quarantine.remove(&file).is_some())
    }

    async fn add_token(&self, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
        let tokens = &mut self.lock().state.tokens;
        if tokens.contains_key(&token.id) || tokens.values().any(|(_, own)| *own == hash) {
            return Err(refused(format!("there is a token {} already", token.id)));
        }
        tokens.insert(token.id.clone(), (token.clone(), hash));
        Ok(())
    }

    async fn tokens(&self) -> Result<Vec<AccessToken>, StoreError> {
        self.read(|state| {
            let mut tokens: Vec<_> = state.tokens.values().map(|(token, _)| token.clone()).collect();
            tokens.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            tokens
        })
    }

    async fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.lock().state.tokens.remove(id).is_some())
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        self.read(|state| {
            let mut own = state.tokens.values().filter(|(_, own)| *own == hash);
            own.next().map(|(token, _)| token.clone())
        })
    }

    async fn holdings(&self) -> Result<Holdings, StoreError> {
        self.read(|state| {
            let finished = state.finished();
            Holdings {
                jobs: finished.len() as u64,
                log_bytes: finished.iter().map(|job| job.log_bytes()).sum(),
                rest_bytes: finished.iter().map(|job| job.rest_bytes()).sum(),
                oldest_log: finished.iter().find(|job| job.log_bytes() > 0).map(|job| job.ended()),
                oldest_job: finished.first().map(|job| job.ended()),
                oldest_learned: state.learned.values().map(|(_, last)| *last).min(),
            }
        })
    }

    async fn remove_logs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        let state = &mut self.lock().state;
        let (due, bytes) = state.due(which, Job::log_bytes);
        for id in &due {
            let job = state.job(id)?;
            job.log_removed.get_or_insert(now);
            job.events.clear();
            job.cases.clear();
        }
        Ok(Removed {
            jobs: due.len() as u64,
            bytes,
            more: false,
        })
    }

    async fn remove_jobs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        let state = &mut self.lock().state;
        let size = |job: &Job| job.log_bytes() + job.rest_bytes();
        let step = Removed {
            more: true,
            ..Removed::default()
        };
        // What was begun comes first, whatever the limits are now.
        if let Some(job) = state.jobs.values().find(|job| job.going).cloned() {
            state.jobs.remove(&job.spec.id);
            return Ok(Removed {
                jobs: 1,
                bytes: size(&job),
                ..step
            });
        }
        let Some(id) = state.due(which, size).0.first().cloned() else {
            return Ok(Removed::default());
        };
        let job = state.job(&id)?;
        job.going = true;
        job.log_removed.get_or_insert(now);
        Ok(step)
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let state = &mut self.lock().state;
        for drone in state.drones.values_mut() {
            let old = drone.lives.len().saturating_sub(LIVES);
            drone.lives.drain(..old);
        }
        let learned = &mut state.learned;
        let known = learned.len();
        learned.retain(|_, (_, last)| *last >= before);
        Ok((known - learned.len()) as u64)
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn close(&self) {}
}
