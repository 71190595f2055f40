//! What the queen wants of a lease: files to run, the next phase, or an end to it.
//!
//! The agent puts in, the job takes out; it knows neither. A file is known from the moment it is taken until its
//! `job:file:done` is in the outbox, which is what a resume tells. Read next: [`super`].

use shared::{
    Num,
    protocol::{RunFile, event::Phase},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What waits for one lease.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    files: Notify,
    phases: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queued: VecDeque<RunFile>,
    /// What runs, and what stops it.
    running: BTreeMap<Num, CancellationToken>,
    /// Every number ever taken and not given back: a second hand-out of it is an echo.
    seen: BTreeSet<Num>,
    phases: VecDeque<(Phase, Num)>,
    /// Every phase ever wanted: after a reconnect the queen says again what it cannot know to have arrived.
    wanted: BTreeSet<Phase>,
}

/// How a lease stands, for `drone:resume` and `job:info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Begun and not reported as done.
    pub running: Vec<Num>,
    /// Not begun.
    pub queued: Vec<Num>,
}

impl Mailbox {
    /// Takes files to run, in order; answers how many were there already.
    pub fn run(&self, files: Vec<RunFile>) -> usize {
        let mut inner = self.lock();
        let before = files.len();
        let fresh: Vec<_> = files.into_iter().filter(|file| inner.seen.insert(file.num)).collect();
        let echoes = before - fresh.len();
        inner.queued.extend(fresh);
        drop(inner);
        self.files.notify_one();
        echoes
    }

    /// Gives back those of `nums` that have not begun.
    pub fn take_back(&self, nums: &[Num]) -> Vec<Num> {
        let mut inner = self.lock();
        let mut returned = Vec::new();
        inner.queued.retain(|file| {
            let back = nums.contains(&file.num);
            if back {
                returned.push(file.num);
            }
            !back
        });
        for num in &returned {
            inner.seen.remove(num);
        }
        returned
    }

    /// The queen wants the lease to go on to a phase. The same phase twice is an echo, also once it has begun: a deploy
    /// runs once.
    pub fn go_on(&self, phase: Phase, num: Num) {
        let mut inner = self.lock();
        if inner.wanted.insert(phase) {
            inner.phases.push_back((phase, num));
        }
        drop(inner);
        self.phases.notify_one();
    }

    /// Waits until a file is there to be begun.
    pub async fn file_waits(&self) {
        loop {
            let more = self.files.notified();
            if !self.lock().queued.is_empty() {
                return;
            }
            more.await;
        }
    }

    /// The next file, which now counts as running, and what stops it: the queen, or `job`.
    pub fn begin(&self, job: &CancellationToken) -> Option<(RunFile, CancellationToken)> {
        let mut inner = self.lock();
        let file = inner.queued.pop_front()?;
        let stop = job.child_token();
        inner.running.insert(file.num, stop.clone());
        Some((file, stop))
    }

    /// Stops those of `nums` that run.
    pub fn stop(&self, nums: &[Num]) {
        let inner = self.lock();
        nums.iter()
            .filter_map(|num| inner.running.get(num))
            .for_each(CancellationToken::cancel);
    }

    /// The end of a file is in the outbox.
    pub fn end(&self, num: Num) {
        self.lock().running.remove(&num);
    }

    /// Waits for the next phase that the queen wants.
    pub async fn next_phase(&self) -> (Phase, Num) {
        loop {
            let more = self.phases.notified();
            if let Some(next) = self.lock().phases.pop_front() {
                return next;
            }
            more.await;
        }
    }

    /// How the lease stands.
    #[must_use]
    pub fn held(&self) -> Held {
        let inner = self.lock();
        Held {
            running: inner.running.keys().copied().collect(),
            queued: inner.queued.iter().map(|file| file.num).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::Attempt;

    fn file(num: u32) -> RunFile {
        RunFile {
            num: Num(num),
            path: format!("f{num}"),
            attempt: Attempt(1),
            timeout: None,
            cases: None,
            part: None,
        }
    }

    #[tokio::test]
    async fn a_deploy_that_is_wanted_again_after_a_reconnect_does_not_run_again() {
        let mailbox = Mailbox::default();
        mailbox.go_on(Phase::Deploy, Num(3));
        assert_eq!(mailbox.next_phase().await, (Phase::Deploy, Num(3)));
        mailbox.go_on(Phase::Deploy, Num(3));
        mailbox.go_on(Phase::Cleanup, Num(4));
        assert_eq!(mailbox.next_phase().await, (Phase::Cleanup, Num(4)));
    }

    #[test]
    fn a_file_is_held_until_its_end_is_told_and_only_an_idle_one_goes_back() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.run(vec![file(4), file(5), file(6)]), 0);
        let job = CancellationToken::new();
        let (begun, stop) = mailbox.begin(&job).unwrap();
        assert_eq!(begun.num, Num(4));
        assert_eq!(mailbox.run(vec![file(4), file(5)]), 2, "echoes");
        assert_eq!(mailbox.take_back(&[Num(4), Num(5), Num(9)]), [Num(5)]);
        assert_eq!(mailbox.held().running, [Num(4)]);
        assert_eq!(mailbox.held().queued, [Num(6)]);
        mailbox.stop(&[Num(5), Num(6)]);
        assert!(!stop.is_cancelled(), "others are stopped");
        mailbox.stop(&[Num(4)]);
        assert!(stop.is_cancelled() && !job.is_cancelled(), "it alone");
        mailbox.end(Num(4));
        assert_eq!(mailbox.run(vec![file(4)]), 1, "done is done");
        assert_eq!(mailbox.run(vec![file(5)]), 0, "what went back may come again");
        assert_eq!(mailbox.held().queued, [Num(6), Num(5)]);
    }
}
