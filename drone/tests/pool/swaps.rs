//! Workers that come and go by order: added, removed, replaced, destroyed.

use crate::kit::{By, Kit, lives, over_each_relay, payload, run, text};
use drone::pool::{Error, Holder, Kind, Options, Progress};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

over_each_relay!(
    a_reset_under_load_loses_nothing_and_changes_all_workers,
    a_reset_starts_the_new_worker_before_the_old_one_ends,
    a_reset_whose_workers_will_not_start_keeps_the_old_ones,
    a_worker_that_is_slow_to_stop_is_killed,
    destroy_lets_end_what_runs_and_refuses_the_rest,
    destroy_kills_what_does_not_end,
    a_destroyed_pool_takes_nothing,
    workers_are_added_and_removed,
    a_removed_worker_ends_its_payload_first,
);

async fn a_reset_under_load_loses_nothing_and_changes_all_workers(by: By) {
    let kit = Arc::new(Kit::new(by, Options::new(2)));
    let before: BTreeSet<i32> = kit.created(2).await.into_iter().collect();
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (kit, stop) = (Arc::clone(&kit), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut pids = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    pids.insert(kit.pid().await);
                }
                pids
            })
        })
        .collect();
    for _ in 0..3 {
        kit.pool.reset().await.unwrap();
    }
    let now: BTreeSet<i32> = kit.pool.workers().iter().filter_map(|worker| worker.pid).collect();
    assert!(now.is_disjoint(&before) && now.len() == 2, "{before:?} {now:?}");
    assert!(before.iter().all(|pid| !lives(*pid)), "the old ones have ended");
    stop.store(true, Ordering::Relaxed);
    for task in load {
        assert!(!task.await.expect("no payload failed").is_empty());
    }
}

async fn a_reset_starts_the_new_worker_before_the_old_one_ends(by: By) {
    let kit = Arc::new(Kit::new(by, Options::new(1)));
    let old = kit.created(1).await[0];
    let gate = kit.gate("gate");
    let mut execution = kit.pool.begin(gate.payload()).unwrap();
    execution.next().await.unwrap();
    let reset = tokio::spawn({
        let kit = Arc::clone(&kit);
        async move { kit.pool.reset().await }
    });
    let new = kit.created(1).await[0];
    assert!(lives(old), "it has a payload");
    gate.open().await;
    let answer = execution.end().await.unwrap();
    assert_eq!(text(&answer.payload), old.to_string());
    reset.await.unwrap().unwrap();
    assert!(!lives(old));
    assert_eq!(kit.pid().await, new);
}

async fn a_reset_whose_workers_will_not_start_keeps_the_old_ones(by: By) {
    let mut obstacle = None;
    let kit = Kit::with(by, Options::new(1), |folder| {
        obstacle = Some(folder.join("obstacle"));
        vec![("WORKER_FAILS", folder.join("obstacle").display().to_string())]
    });
    let pid = kit.pid().await;
    std::fs::write(obstacle.unwrap(), "").unwrap();
    let said = kit.pool.reset().await.unwrap_err().to_string();
    assert!(said.contains("this worker cannot start"), "{said}");
    assert_eq!(kit.pid().await, pid);
}

async fn a_worker_that_is_slow_to_stop_is_killed(by: By) {
    let mut options = Options::new(1);
    options.destroy_timeout = Duration::from_secs(1);
    let mut told = None;
    let kit = Kit::with(by, options, |folder| {
        told = Some(folder.join("told"));
        vec![("WORKER_SLOW", folder.join("told").display().to_string())]
    });
    let pid = kit.pid().await;
    kit.pool.reset().await.unwrap();
    assert!(!lives(pid) && told.unwrap().exists(), "it was told to stop first");
    let event = kit.event(Kind::DestroyTimeout).await;
    assert_eq!(
        (event.pid, event.detail.as_str()),
        (Some(pid), "it did not end within 1s and was killed")
    );
    let event = kit.event(Kind::Destructed).await;
    assert_eq!(event.detail, "it was ended by signal 9");
}

async fn destroy_lets_end_what_runs_and_refuses_the_rest(by: By) {
    let kit = Arc::new(Kit::new(by, Options::new(1)));
    let gate = kit.gate("gate");
    let mut running = kit.pool.begin(gate.payload()).unwrap();
    let Some(Progress::Began(Holder { pid, .. })) = running.next().await else {
        panic!("a worker")
    };
    let waiting = kit.pool.begin(payload("do:pid")).unwrap();
    let destroy = tokio::spawn({
        let kit = Arc::clone(&kit);
        async move { kit.pool.destroy().await }
    });
    assert!(matches!(waiting.end().await, Err(Error::Destroyed)));
    gate.open().await;
    assert_eq!(text(&running.end().await.unwrap().payload), pid.to_string());
    destroy.await.unwrap();
    assert!(!lives(pid));
}

async fn destroy_kills_what_does_not_end(by: By) {
    let mut options = Options::new(1);
    options.destroy_timeout = Duration::from_millis(500);
    let kit = Kit::new(by, options);
    let mut running = kit.pool.begin(payload("do:hang")).unwrap();
    let Some(Progress::Began(Holder { pid, .. })) = running.next().await else {
        panic!("a worker")
    };
    kit.pool.destroy().await;
    assert!(!lives(pid));
    assert!(matches!(running.end().await, Err(Error::Destroyed)));
}

async fn a_destroyed_pool_takes_nothing(by: By) {
    let kit = Kit::new(by, Options::new(2));
    let pid = kit.pid().await;
    kit.pool.destroy().await;
    assert!(!lives(pid) && kit.pool.workers().is_empty());
    let error = kit.pool.exec(payload("do:pid")).await.unwrap_err();
    assert_eq!(error.to_string(), "the pool has been destroyed");
    assert!(matches!(kit.pool.add_worker(), Err(Error::Destroyed)));
    assert!(kit.pool.remove_worker().await.is_none());
    kit.pool.reset().await.unwrap();
    kit.pool.destroy().await;
}

async fn workers_are_added_and_removed(by: By) {
    let kit = Kit::new(by, Options::new(0));
    assert_eq!(kit.pool.add_worker().unwrap(), 1);
    let first = kit.created(1).await[0];
    assert_eq!(kit.pid().await, first);
    kit.pool.add_worker().unwrap();
    kit.created(1).await;
    assert_eq!(kit.pool.workers().len(), 2);
    assert_eq!(kit.pool.remove_worker().await, Some(2));
    assert_eq!(kit.pool.remove_worker().await, Some(1));
    assert!(!lives(first));
    assert_eq!(kit.pool.remove_worker().await, None);
    assert!(kit.pool.workers().is_empty());
}

#[test]
fn a_pool_without_workers_says_so() {
    run(async {
        let mut options = Options::new(0);
        options.allocate_timeout = Duration::from_secs(5);
        let kit = Kit::new(By::Unix, options);
        assert_eq!(
            kit.pool.exec(payload("do:pid")).await.unwrap_err().to_string(),
            "no worker could be had within 5s: the pool has no workers: set workers to 1 or more"
        );
        // One that comes meanwhile is taken.
        let waiting = kit.pool.begin(payload("do:pid")).unwrap();
        kit.pool.add_worker().unwrap();
        waiting.end().await.unwrap();
    });
}

async fn a_removed_worker_ends_its_payload_first(by: By) {
    let kit = Arc::new(Kit::new(by, Options::new(1)));
    let gate = kit.gate("gate");
    let mut execution = kit.pool.begin(gate.payload()).unwrap();
    execution.next().await.unwrap();
    let removed = tokio::spawn({
        let kit = Arc::clone(&kit);
        async move { kit.pool.remove_worker().await }
    });
    while !kit.pool.workers().is_empty() && !matches!(execution.next().await, Some(Progress::Frame(_))) {}
    gate.open().await;
    execution.end().await.unwrap();
    assert_eq!(removed.await.unwrap(), Some(1));
}

/// Whatever is asked of a pool at the same time, each payload has one answer.
#[test]
fn payloads_survive_all_of_it_at_once() {
    run(async {
        let mut options = Options::new(2);
        options.max_executions = Some(5);
        let kit = Arc::new(Kit::new(By::Unix, options));
        let load: Vec<_> = (0..4)
            .map(|_| {
                let kit = Arc::clone(&kit);
                tokio::spawn(async move {
                    for _ in 0..40 {
                        kit.pid().await;
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            kit.pool.add_worker().unwrap();
            kit.pool.reset().await.unwrap();
            kit.pool.remove_worker().await.unwrap();
        }
        for task in load {
            task.await.expect("no payload failed");
        }
        kit.pool.destroy().await;
        assert!(kit.pool.workers().is_empty());
    });
}
