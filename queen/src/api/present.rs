//! Fills the types of `view.rs` from what the store and the scheduler have.
//!
//! Nothing is decided or looked up here. Read next: `jobs.rs`.

use super::view::{
    DroneView, FileHistoryView, FileView, JobView, NowView, PastRunView, ProjectView, QuarantineView, RunningView,
    SlotView, TokenView, TrendJobView, WaitingView,
};
use crate::store::{AccessToken, FileHistory, PastRun, Quarantined, StoredFile, StoredJob, StoredProject};
use scheduler::{DroneStatus, Explain, SlotFile, Waiting};

impl JobView {
    /// From what the store has.
    #[must_use]
    pub fn of(job: &StoredJob) -> Self {
        let (data, row) = (&job.data, &job.row);
        Self {
            id: row.id.to_string(),
            project: data.project.to_string(),
            state: row.state,
            job_type: data.job_type,
            branch: data.branch().map(Into::into),
            commit: data.commit().map(Into::into),
            repo: data.repo.as_ref().map(|repo| repo.url.clone()),
            trigger: data.trigger.clone(),
            user_id: data.user_id.clone(),
            priority: data.priority,
            labels: data.labels.clone(),
            attempt: row.attempt,
            submitted: job.submitted.0,
            started: row.started.map(|at| at.0),
            finished: row.finished.map(|at| at.0),
            test_code: row.test_code,
            deploy_code: row.deploy_code,
            error: row.error.clone(),
            cancel_reason: row.cancel.clone(),
            runner: row.plan.as_ref().map(|plan| plan.runner.clone()),
            files_total: row.files_total,
            files_done: row.files_done,
            files_bad: row.files_bad,
            rerun_of: data.rerun_of.as_ref().map(ToString::to_string),
            last_seq: job.last_seq.0,
            log_removed: job.log_removed.map(|at| at.0),
            now: None,
        }
    }
}

impl FileView {
    /// From what the store has.
    #[must_use]
    pub fn of(file: StoredFile) -> Self {
        let row = file.row;
        let result = file.result;
        Self {
            path: row.path,
            state: row.state,
            outcome: row.outcome,
            num: row.num.map(|num| num.0),
            attempt: row.attempt.0,
            drone: row.drone.map(Into::into),
            duration: result.as_ref().map(|result| result.duration),
            cpu: result.as_ref().and_then(|result| result.cpu),
            peak_memory: result.as_ref().and_then(|result| result.peak_memory),
            exit: result.as_ref().and_then(|result| result.exit),
            cases: result.as_ref().map(|result| result.cases).unwrap_or_default(),
            failures: result
                .as_ref()
                .map(|result| result.failures.clone())
                .unwrap_or_default(),
            stderr_tail: result.map(|result| result.stderr_tail).unwrap_or_default(),
            part_of: row.part.map(|part| part.part.file),
            expected: row.expect,
            quarantined: row.quarantined,
        }
    }
}

impl NowView {
    /// From what the scheduler says.
    #[must_use]
    pub fn of(explain: Explain) -> Self {
        Self {
            waits: explain.waits,
            expected_end: explain.expected_end.map(|at| at.0),
            lower_bound: explain.lower_bound_ms,
            running: explain
                .running
                .into_iter()
                .map(|file| RunningView {
                    num: file.num.0,
                    path: file.path,
                    drone: file.drone.into(),
                    attempt: file.attempt.0,
                    since: file.since.map(|at| at.0),
                })
                .collect(),
            drones: explain.drones.into_iter().map(Into::into).collect(),
        }
    }
}

impl DroneView {
    /// From what the scheduler says.
    #[must_use]
    pub fn of(drone: DroneStatus) -> Self {
        Self {
            id: drone.drone.into(),
            name: drone.name,
            connected: drone.connected,
            draining: drone.draining,
            speed: drone.info.speed,
            effective_speed: drone.speed,
            capacity: drone.info.capacity,
            active: drone.active,
            queued: drone.queued,
            labels: drone.info.labels,
            plugins: drone.info.plugins,
            runners: drone.info.runners,
            platform: drone.info.platform,
            version: drone.info.version,
            jobs: drone.jobs.into_iter().map(Into::into).collect(),
            running: drone.running.into_iter().map(SlotView::of).collect(),
        }
    }
}

impl SlotView {
    fn of(file: SlotFile) -> Self {
        Self {
            job: file.job.into(),
            num: file.num.0,
            path: file.path,
            attempt: file.attempt.0,
            since: file.since.map(|at| at.0),
        }
    }
}

impl WaitingView {
    /// From what the scheduler says.
    #[must_use]
    pub fn of(waiting: Waiting) -> Self {
        Self {
            job: waiting.job.into(),
            waits: waiting.waits,
            since: waiting.since.0,
            backlog: waiting.backlog.map(Into::into),
        }
    }
}

impl TokenView {
    /// From what the store has.
    #[must_use]
    pub fn of(token: AccessToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role,
            created: token.created.0,
        }
    }
}

impl PastRunView {
    /// From what the store has.
    #[must_use]
    pub fn of(run: PastRun) -> Self {
        Self {
            job: run.job.into(),
            outcome: run.outcome,
            duration: run.duration,
            at: run.at.0,
        }
    }
}

impl QuarantineView {
    /// From what the store has.
    #[must_use]
    pub fn of(file: Quarantined) -> Self {
        let entry = file.entry;
        Self {
            path: entry.path,
            reason: entry.reason,
            by: entry.who,
            since: entry.since.0,
            failed_at: file.failed_at.map(|at| at.0),
            runs: file.runs.into_iter().map(PastRunView::of).collect(),
        }
    }
}

/// Files that a project's page names as its slowest, and as its flaky ones.
const NAMED: usize = 50;

impl ProjectView {
    /// As lists show it.
    #[must_use]
    pub fn of(project: StoredProject) -> Self {
        Self {
            project: project.project.into(),
            jobs: project.jobs,
            last_job: project.last_job.map(Into::into),
            last_state: project.last_state,
            last_submitted: project.last_submitted.map(|at| at.0),
            flaky: None,
            slowest: None,
            files: None,
        }
    }

    /// With its files, which come slowest first; `all`: with every one.
    #[must_use]
    pub fn with_files(mut self, files: Vec<FileHistory>, all: bool) -> Self {
        let files: Vec<_> = files.into_iter().map(FileHistoryView::of).collect();
        let mut flaky: Vec<_> = files.iter().filter(|file| file.flaky > 0).cloned().collect();
        // Flaky runs of all runs, compared without dividing.
        let share = |one: &FileHistoryView, of: &FileHistoryView| u128::from(one.flaky) * u128::from(of.runs);
        flaky.sort_by(|one, other| {
            share(other, one)
                .cmp(&share(one, other))
                .then(other.flaky.cmp(&one.flaky))
        });
        flaky.truncate(NAMED);
        self.flaky = Some(flaky);
        self.slowest = Some(files.iter().take(NAMED).cloned().collect());
        self.files = all.then_some(files);
        self
    }
}

impl TrendJobView {
    /// From what the store has.
    #[must_use]
    pub fn of(job: &StoredJob, flaky: u64) -> Self {
        let row = &job.row;
        Self {
            id: row.id.to_string(),
            submitted: job.submitted.0,
            state: row.state,
            duration: row.started.zip(row.finished).map(|(from, to)| to.since(from)),
            files: row.files_total,
            bad: row.files_bad,
            flaky,
        }
    }
}

impl FileHistoryView {
    fn of(file: FileHistory) -> Self {
        Self {
            path: file.path,
            duration: file.duration,
            runs: file.runs,
            bad: file.bad,
            flaky: file.flaky,
            failed: file.failed,
            last: file.last.0,
        }
    }
}
