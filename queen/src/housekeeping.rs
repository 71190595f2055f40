//! What is kept no longer goes: finished jobs, their logs, what was learned, work trees that were handed over.
//!
//! Owns the one task that does it, and the order: by age first, then by size, the oldest first. It is woken by a job that
//! ends and by the next thing that comes of age, works in small steps with pauses as long as the steps, and never touches
//! anything of an unfinished job. Knows the limits, not the SQL and not the packs. Read next: `housekeeping/snapshots.rs`,
//! `store/retention.rs`, `repositories/collect.rs`.

mod snapshots;

use crate::{
    bus::Bus,
    clock::{self, Stopwatch},
    config::Retention,
    git_http::GitHttpError,
    repositories::Repositories,
    store::{Holdings, Oldest, Removed, Store, StoreError},
};
use shared::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// What comes of age within this time goes together; less where little is kept.
const TOGETHER: Duration = Duration::from_secs(3600);
/// Time between two rounds, however often jobs end; and a round may take one part in so many of all time.
const APART: Duration = Duration::from_secs(1);
const SHARE: u32 = 20;
/// When to try again what failed, or what somebody else was using.
const AGAIN: Duration = Duration::from_secs(60);

/// Why a round was broken off.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Git(#[from] GitHttpError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it broke down: {0}")]
    Broke(#[from] tokio::task::JoinError),
}

/// What one round removed.
#[derive(Debug, Default)]
struct Done {
    jobs: Removed,
    logs: Removed,
    snapshots: u64,
    snapshot_bytes: u64,
    learned: u64,
    given_back: u64,
}

struct Housekeeper {
    store: Arc<dyn Store>,
    repositories: Repositories,
    keep: Retention,
    /// When the next work tree comes of age; absent: to be found out.
    next_snapshot: Option<Timestamp>,
    done: Done,
}

/// Keeps house until `shutdown`.
pub async fn keep(
    store: Arc<dyn Store>,
    repositories: Repositories,
    bus: Bus,
    keep: Retention,
    shutdown: CancellationToken,
) {
    let work = async {
        let mut ended = bus.ended();
        let mut keeper = Housekeeper {
            store,
            repositories,
            keep,
            next_snapshot: None,
            done: Done::default(),
        };
        keeper.clear_leftovers().await;
        loop {
            ended.mark_unchanged();
            let watch = Stopwatch::start();
            let next = keeper.round().await;
            bus.tidied();
            tokio::time::sleep(APART.max(watch.elapsed() * SHARE)).await;
            tokio::select! {
                _ = ended.changed() => {}
                () = tokio::time::sleep(next.unwrap_or(Duration::MAX)), if next.is_some() => {}
            }
        }
    };
    // Every write is in a task of its own and ends by itself: nothing is lost by being dropped here.
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

impl Housekeeper {
    async fn clear_leftovers(&self) {
        let repositories = self.repositories.clone();
        let cleared = blocking(move || Ok(repositories.clear_leftovers()?)).await;
        if let Err(error) = cleared {
            tracing::warn!(%error, "leftovers of pushes could not be removed");
        }
    }

    /// Removes everything that is due; answers when the next is.
    async fn round(&mut self) -> Option<Duration> {
        self.done = Done::default();
        let result = self.remove_due().await;
        self.done.tell();
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is kept no longer could not be removed: it is tried again in a minute");
            Some(AGAIN)
        })
    }

    async fn remove_due(&mut self) -> Result<Option<Duration>, Failed> {
        let now = clock::now();
        self.remove_jobs(Oldest {
            before: since(now, self.keep.jobs),
            bytes: 0,
        })
        .await?;
        self.remove_logs(Oldest {
            before: since(now, self.keep.logs),
            bytes: 0,
        })
        .await?;
        if let Some(limit) = self.keep.bytes {
            let over = |held: Holdings| (held.log_bytes + held.rest_bytes).saturating_sub(limit);
            let nothing = Timestamp(i64::MIN);
            for jobs_too in [false, true] {
                let bytes = over(self.store.holdings().await?);
                let which = Oldest { before: nothing, bytes };
                match (bytes, jobs_too) {
                    (0, _) => break,
                    (_, false) => self.remove_logs(which).await?,
                    (_, true) => self.remove_jobs(which).await?,
                }
            }
        }
        self.forget(since(now, self.keep.learned)).await?;
        let settled = self.snapshots(now).await?;
        self.compact().await?;

        let held = self.store.holdings().await?;
        let due = [
            (held.oldest_job, self.keep.jobs),
            (held.oldest_log, self.keep.logs),
            (held.oldest_learned, self.keep.learned),
            (self.next_snapshot, self.keep.snapshots),
        ];
        let due = due
            .into_iter()
            .filter_map(|(oldest, keep)| Some(wake(oldest?, keep?, now)));
        Ok(due.chain((!settled).then_some(AGAIN)).min())
    }

    async fn remove_jobs(&mut self, mut which: Oldest) -> Result<(), Failed> {
        loop {
            let watch = Stopwatch::start();
            let removed = self.store.remove_jobs(which, clock::now()).await?;
            self.done.jobs.add(removed);
            if !go_on(&mut which, removed, watch).await {
                return Ok(());
            }
        }
    }

    async fn remove_logs(&mut self, mut which: Oldest) -> Result<(), Failed> {
        loop {
            let watch = Stopwatch::start();
            let removed = self.store.remove_logs(which, clock::now()).await?;
            self.done.logs.add(removed);
            if !go_on(&mut which, removed, watch).await {
                return Ok(());
            }
        }
    }

    async fn forget(&mut self, before: Timestamp) -> Result<(), Failed> {
        loop {
            let watch = Stopwatch::start();
            match self.store.forget(before).await? {
                0 => return Ok(()),
                count => self.done.learned += count,
            }
            tokio::time::sleep(watch.elapsed()).await;
        }
    }

    async fn compact(&mut self) -> Result<(), Failed> {
        loop {
            let watch = Stopwatch::start();
            match self.store.compact().await? {
                0 => return Ok(()),
                bytes => self.done.given_back += bytes,
            }
            tokio::time::sleep(watch.elapsed()).await;
        }
    }
}

/// True if there is another step; others get as much time with the database as the last one took.
async fn go_on(which: &mut Oldest, removed: Removed, watch: Stopwatch) -> bool {
    which.bytes = which.bytes.saturating_sub(removed.bytes);
    if removed.more {
        tokio::time::sleep(watch.elapsed()).await;
    }
    removed.more
}

/// What happened before this is kept no longer.
fn since(now: Timestamp, keep: Option<Duration>) -> Timestamp {
    Timestamp(keep.map_or(i64::MIN, |keep| now.0.saturating_sub(millis(keep))))
}

/// How long from `now` until what happened at `oldest` is to go, and what comes of age soon after along with it.
fn wake(oldest: Timestamp, keep: Duration, now: Timestamp) -> Duration {
    let due = oldest.0.saturating_add(millis(keep + TOGETHER.min(keep / 24)));
    Duration::from_millis(u64::try_from(due.saturating_sub(now.0)).unwrap_or(0))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

async fn blocking<T: Send + 'static>(task: impl FnOnce() -> Result<T, Failed> + Send + 'static) -> Result<T, Failed> {
    tokio::task::spawn_blocking(task).await?
}

impl Removed {
    fn add(&mut self, more: Self) {
        self.jobs += more.jobs;
        self.bytes += more.bytes;
    }
}

impl Done {
    /// Counts it, and says it once.
    fn tell(&self) {
        for (what, count, bytes) in [
            ("jobs", self.jobs.jobs, self.jobs.bytes),
            ("logs", self.logs.jobs, self.logs.bytes),
            ("snapshots", self.snapshots, self.snapshot_bytes),
            ("durations", self.learned, 0),
        ] {
            metrics::counter!("skep_removed_total", "what" => what).increment(count);
            metrics::counter!("skep_removed_bytes_total", "what" => what).increment(bytes);
        }
        if self.jobs.jobs + self.logs.jobs + self.snapshots + self.learned + self.snapshot_bytes + self.given_back > 0 {
            tracing::info!(
                jobs = self.jobs.jobs,
                logs = self.logs.jobs,
                snapshots = self.snapshots,
                durations = self.learned,
                bytes = self.jobs.bytes + self.logs.bytes + self.snapshot_bytes,
                given_back = self.given_back,
                "removed what is kept no longer"
            );
        }
    }
}

/// Describes what is counted here.
pub fn describe() {
    metrics::describe_counter!(
        "skep_removed_total",
        "Finished jobs, logs, handed-over work trees and durations of files that were kept no longer"
    );
    metrics::describe_counter!("skep_removed_bytes_total", "Bytes that they took");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_age_soon_after_goes_along() {
        let day = Duration::from_secs(86_400);
        let at = |days: i64| Timestamp(days * 86_400_000);
        assert_eq!(wake(at(0), day * 3, at(1)), day * 2 + TOGETHER);
        assert_eq!(wake(at(0), day * 3, at(9)), Duration::ZERO);
        assert_eq!(
            wake(Timestamp(0), Duration::from_secs(24), Timestamp(0)),
            Duration::from_secs(25)
        );
        assert_eq!(since(at(5), Some(day)), at(4));
        assert_eq!(since(at(5), None), Timestamp(i64::MIN));
    }
}
