//! The end of a command: whatever outlives its first process is stopped.
//!
//! Owns the order TERM, grace, KILL, and its bounds. Must not know how kin are found (`kin.rs`).

use super::kin::{self, Id, Kin};
use rustix::process::Signal;
use std::time::Duration;

/// Time for what a command that ended by itself has left behind.
pub(crate) const SHORT_GRACE: Duration = Duration::from_secs(1);
/// How long a killed process may take to be gone, and how often it is looked for again: a process may have forked
/// while it was being looked at.
const KILL_TIME: Duration = Duration::from_millis(500);
const ROUNDS: u32 = 20;

/// Stops everything that is left of the command. `pipes`: the inodes of its output.
pub(super) async fn stop(id: &Id, pipes: Vec<u64>, grace: Duration) {
    for round in 0..ROUNDS {
        let left = search(id, &pipes).await;
        if left.is_empty() {
            return;
        }
        let (signal, time) = match round {
            0 if !grace.is_zero() => (Signal::TERM, grace),
            _ => (Signal::KILL, KILL_TIME),
        };
        for kin in &left {
            kin.signal(signal);
        }
        // Late: the next round looks again.
        let _ = tokio::time::timeout(time, all_gone(left)).await;
    }
    let left: Vec<_> = search(id, &pipes).await.into_iter().map(|kin| kin.pid).collect();
    if !left.is_empty() {
        tracing::warn!(pids = ?left, "processes of a command could not be killed; do they run as another user?");
    }
}

async fn search(id: &Id, pipes: &[u64]) -> Vec<Kin> {
    let (id, pipes) = (id.clone(), pipes.to_vec());
    tokio::task::spawn_blocking(move || kin::find(&id, &pipes))
        .await
        .unwrap_or_default()
}

async fn all_gone(left: Vec<Kin>) {
    for kin in left {
        // Registering fails at the limit of open files only; the next round looks again.
        let Ok(fd) = super::watch(kin.fd.into()) else {
            continue;
        };
        let _ = fd.readable().await;
    }
}
