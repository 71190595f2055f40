//! Second tries: attempts of a file, poison, files of a lost drone, the whole job again with backoff.
//!
//! A bad result uses up one of the plan's retries; a file under quarantine has two at least, and counts as bad if none of
//! them ends well. A process that died, or a lost drone, is not the test's own word: the
//! file goes elsewhere, but three such losses and it is reported as crashed and not tried again.

use crate::{FileState, Record, State, job::Job, lease::Gone};
use shared::{
    JobId, JobState, LeaseToken, Num,
    outcome::{FileOutcome, FileResult},
    protocol::{JobEvent, event::Retry},
};

/// Retries that a file under quarantine has, whatever the plan says.
const CHANCES: u32 = 2;
/// Losses after which a file is poison.
pub(crate) const POISON: u32 = 3;

impl Job {
    /// Will the job, ending so, be tried again?
    pub(crate) fn may_retry(&self, verdict: JobState) -> bool {
        matches!(verdict, JobState::Failed | JobState::Errored)
            && self.row.attempt <= self.new.retries
            && !self.row.deploy_given
            && self.row.cancel.is_none()
    }
}

/// Milliseconds before try `attempt` (from 2) of a job: exponential from 1 s to 60 s, and up to half as much again so that
/// jobs that failed together do not come back together.
pub(crate) fn backoff(job: &JobId, attempt: u32) -> u64 {
    let base = 1000_u64
        .checked_shl(attempt.saturating_sub(2).min(16))
        .unwrap_or(u64::MAX)
        .min(40_000);
    // FNV-1a: spread over jobs and tries, the same on every machine.
    let hash = job
        .as_str()
        .bytes()
        .chain(attempt.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    base + (hash >> 20) % (base / 2 + 1)
}

impl State {
    /// Decides what a drone's result of a file means, and accepts it.
    pub(crate) fn judge(&mut self, id: &JobId, index: u32, outcome: FileOutcome, died: bool) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let retries = job.row.plan.as_ref().map_or(0, |plan| plan.retries);
        let stopping = job.stopping() || job.is_cut();
        let file = &mut job.files[index as usize];
        let retries = if file.row.quarantined {
            retries.max(CHANCES)
        } else {
            retries
        };
        let said = match outcome {
            // Words that are the queen's own: from a drone they only say that the file passed, or did not run.
            FileOutcome::Flaky => FileOutcome::Passed,
            other => other,
        };
        let void = died || said == FileOutcome::NotRun;
        let (last, verdict) = if void {
            file.row.lost += 1;
            file.elsewhere = true;
            if file.row.lost >= POISON {
                (true, FileOutcome::Crashed)
            } else {
                (stopping, said)
            }
        } else if said.is_bad() {
            file.row.bad += 1;
            (file.row.bad > retries || stopping, said)
        } else if said == FileOutcome::Passed && file.row.bad > 0 {
            (true, FileOutcome::Flaky)
        } else {
            (true, said)
        };
        self.out.accept_as((verdict != outcome).then_some(verdict));
        if last {
            self.account(id, index, verdict);
        } else {
            job.push_pending(index);
            self.out.dirty_files.insert((id.clone(), index));
        }
    }

    /// Closes a file.
    pub(crate) fn account(&mut self, id: &JobId, index: u32, outcome: FileOutcome) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let file = &mut job.files[index as usize];
        file.row.state = FileState::Done;
        file.row.outcome = Some(outcome);
        job.row.files_done += 1;
        job.row.files_bad += u32::from(outcome.is_bad());
        self.join(id, index);
        self.out.dirty_files.insert((id.clone(), index));
        self.out.dirty_jobs.insert(id.clone());
    }

    /// A file was out under a lease that is over.
    pub(crate) fn unfinished(&mut self, id: &JobId, token: LeaseToken, num: Num, how: Gone) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(index) = job.out(num, token) else { return };
        let waited = job.files[index as usize].ahead;
        let stopping = job.stopping() || job.is_cut() || job.row.state.is_final();
        self.resize(id, token, |job| job.take_out(index, num, token));
        let Some(job) = self.jobs.get_mut(id) else { return };
        if stopping {
            return self.account(id, index, FileOutcome::NotRun);
        }
        if waited && self.faults.forget_ahead {
            return;
        }
        let file = &mut job.files[index as usize];
        // What only waited for a slot has harmed nobody.
        if !waited {
            file.row.lost += 1;
            file.elsewhere = how == Gone::Lost;
        }
        if file.row.lost < POISON {
            job.push_pending(index);
            self.out.dirty_files.insert((id.clone(), index));
            return;
        }
        let event = JobEvent::FileDone {
            job: id.clone(),
            num,
            path: file.row.path.clone(),
            attempt: file.row.attempt,
            result: FileResult::bare(FileOutcome::Crashed),
            drone: file.row.drone.clone(),
        };
        self.out.emit(event);
        self.account(id, index, FileOutcome::Crashed);
        self.after_file(id);
    }

    /// What is pending will not be run.
    pub(crate) fn drop_pending(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let turns: Vec<_> = job.pending.iter().copied().collect();
        for turn in &turns {
            job.pop_pending(turn);
        }
        // A list that is not whole yet has no turns.
        let unlisted = (0..job.row.files_total).filter(|_| job.row.plan.is_none());
        let left: Vec<u32> = turns.into_iter().map(|turn| turn.2).chain(unlisted).collect();
        for index in left {
            if self
                .jobs
                .get(id)
                .is_some_and(|job| job.files[index as usize].row.state == FileState::Pending)
            {
                self.account(id, index, FileOutcome::NotRun);
            }
        }
    }

    /// Forgets the list of files: it comes anew. Only while no lease has any of them.
    pub(crate) fn clear_files(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.files.is_empty() {
            return;
        }
        for turn in std::mem::take(&mut job.pending) {
            job.work.remove(job.files[turn.2 as usize].row.expect);
        }
        job.files.clear();
        job.nums.clear();
        job.ahead.clear();
        (job.row.files_total, job.row.files_done, job.row.files_bad) = (0, 0, 0);
        self.out.forget_files(id);
        self.out.save(Record::NoFiles(id.clone()));
        self.out.dirty_jobs.insert(id.clone());
    }

    /// The whole job once more, after a pause.
    pub(crate) fn try_again(&mut self, id: &JobId, verdict: JobState) {
        self.drop_pending(id);
        self.clear_files(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        let reason = match &job.row.error {
            Some(error) => format!("{}: {}", error.kind, error.message),
            None => verdict.to_string(),
        };
        let attempt = job.row.attempt + 1;
        let at = self.now.plus(backoff(id, attempt));
        let row = &mut job.row;
        row.attempt = attempt;
        row.not_before = Some(at);
        (row.began, row.lost, row.plan) = (None, 0, None);
        (row.test_code, row.deploy_code, row.error) = (None, None, None);
        job.starved = at;
        job.settle_by = None;
        job.barred.clear();
        let retry = Retry { attempt, at, reason };
        self.out.emit(JobEvent::Retried { job: id.clone(), retry });
        self.out.dirty_jobs.insert(id.clone());
        self.dirty_jobs.insert(id.clone());
    }
}
