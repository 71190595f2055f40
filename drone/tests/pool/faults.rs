//! Workers that break, and workers that never come to be.

use crate::kit::{By, Kit, lives, over_each_relay, payload, run, text};
use drone::pool::{Error, Holder, Kind, Options, Pool, Progress};
use std::{sync::Arc, time::Duration};

over_each_relay!(
    a_crash_is_told_with_its_last_words_and_the_worker_replaced,
    a_worker_that_is_killed_says_the_signal,
    a_worker_that_dies_without_a_payload_is_replaced,
    a_payload_is_not_lost_to_a_worker_that_has_just_died,
    a_worker_that_ends_after_its_answer_has_answered,
    a_worker_that_asks_to_be_replaced_does_so_unseen,
    workers_that_never_take_a_payload_are_an_error,
    a_worker_that_will_not_start_is_tried_again_until_the_time_is_over,
    a_worker_that_says_nothing_is_not_waited_for_longer_than_allowed,
    a_worker_that_starts_at_last_gets_the_payload,
    noise_is_shown,
    a_wrong_checksum_is_an_error,
    a_frame_that_is_cut_short_is_an_error,
    a_worker_that_closes_its_side_is_ended,
    an_answer_too_many_is_not_the_next_payload_s,
    an_abandoned_payload_ends_with_its_worker,
    what_a_worker_has_left_ends_with_it,
);

fn one() -> Options {
    Options::new(1)
}

fn impatient() -> Options {
    let mut options = one();
    options.allocate_timeout = Duration::from_secs(5);
    options
}

async fn failure(kit: &Kit, context: &str) -> (String, String) {
    match kit.pool.exec(payload(context)).await.unwrap_err() {
        Error::Worker { message, stderr, exit } => {
            assert!(exit.is_some());
            (message, stderr)
        }
        error => panic!("{error:?}"),
    }
}

async fn a_crash_is_told_with_its_last_words_and_the_worker_replaced(by: By) {
    let kit = Kit::new(by, one());
    let pid = kit.pid().await;
    let error = kit.pool.exec(payload("do:crash 7")).await.unwrap_err();
    assert_eq!(error.exit().unwrap().code, 7);
    assert_eq!(
        error.to_string(),
        "the worker failed: it ended with code 7 before it had answered; its stderr ends with:\nabout to crash"
    );
    let event = kit.event(Kind::Error).await;
    assert!(
        event.pid == Some(pid) && event.detail.contains("about to crash"),
        "{event:?}"
    );
    kit.event(Kind::Destructed).await;
    assert_ne!(kit.pid().await, pid);
}

async fn a_worker_that_is_killed_says_the_signal(by: By) {
    let kit = Kit::new(by, one());
    let error = kit.pool.exec(payload("do:signal 11")).await.unwrap_err();
    let exit = error.exit().unwrap();
    assert_eq!((exit.signal, exit.code), (Some(11), 139));
    assert!(
        error
            .to_string()
            .contains("it was ended by signal 11 before it had answered"),
        "{error}"
    );
}

async fn a_worker_that_dies_without_a_payload_is_replaced(by: By) {
    let kit = Kit::new(by, one());
    let pid = kit.pid().await;
    kill(pid);
    let event = kit.event(Kind::Error).await;
    assert_eq!(event.pid, Some(pid));
    assert!(event.detail.contains("signal 9 while it had no payload"), "{event:?}");
    assert_ne!(kit.pid().await, pid);
}

/// Whether the pool has seen the death already or not.
async fn a_payload_is_not_lost_to_a_worker_that_has_just_died(by: By) {
    let kit = Kit::new(by, one());
    for _ in 0..5 {
        let pid = kit.pid().await;
        kill(pid);
        while lives(pid) {
            tokio::task::yield_now().await;
        }
        assert_ne!(kit.pid().await, pid);
    }
}

async fn a_worker_that_ends_after_its_answer_has_answered(by: By) {
    let kit = Kit::new(by, one());
    for _ in 0..2 {
        assert_eq!(kit.ask("do:answer-and-exit").await, "last words");
        let event = kit.event(Kind::Error).await;
        assert_eq!(event.detail, "it ended with code 0 while it had no payload");
    }
}

async fn a_worker_that_asks_to_be_replaced_does_so_unseen(by: By) {
    let kit = Kit::new(by, one());
    let pid = kit.pid().await;
    let once = kit.folder.path().join("once");
    let mut execution = kit.pool.begin(payload(&format!("do:stop {}", once.display()))).unwrap();
    let mut seen = Vec::new();
    while let Some(progress) = execution.next().await {
        let Progress::Began(Holder { pid, .. }) = progress else {
            panic!("{progress:?}")
        };
        seen.push(pid);
    }
    let answered: i32 = text(&execution.end().await.unwrap().payload).parse().unwrap();
    assert_eq!(seen, [pid, answered]);
    assert_ne!(answered, pid);
    assert_eq!(kit.event(Kind::Stop).await.pid, Some(pid));
}

async fn workers_that_never_take_a_payload_are_an_error(by: By) {
    let kit = Kit::new(by, one());
    let error = kit.pool.exec(payload("do:always-stop")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the worker failed: 16 workers in a row gave the payload back"
    );
    kit.pid().await;
}

async fn a_worker_that_will_not_start_is_tried_again_until_the_time_is_over(by: By) {
    let kit = Kit::with(by, impatient(), |_| vec![("WORKER_FAILS", "always".into())]);
    let error = kit.pool.exec(payload("do:pid")).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::NoWorker { .. }), "{said}");
    assert!(
        said.starts_with(
            "no worker could be had within 5s: worker 1 could not be started: it ended with code 1 before"
        ),
        "{said}"
    );
    assert!(
        said.ends_with("its stderr ends with:\nthis worker cannot start"),
        "{said}"
    );
    // Not only once.
    kit.event(Kind::Error).await;
    let event = kit.event(Kind::Error).await;
    assert!(event.detail.contains("this worker cannot start"), "{event:?}");
    kit.pool.destroy().await;
}

async fn a_worker_that_says_nothing_is_not_waited_for_longer_than_allowed(by: By) {
    let kit = Kit::with(by, impatient(), |_| vec![("WORKER_SILENT", "1".into())]);
    let said = kit.pool.exec(payload("do:pid")).await.unwrap_err().to_string();
    assert!(
        said.contains("worker 1") && said.ends_with("about to say nothing"),
        "{said}"
    );
    let event = kit.event(Kind::Error).await;
    assert!(event.detail.contains("it was not ready within 5s"), "{event:?}");
}

async fn a_worker_that_starts_at_last_gets_the_payload(by: By) {
    let mut obstacle = None;
    let kit = Kit::with(by, one(), |folder| {
        let path = folder.join("obstacle");
        std::fs::write(&path, "").unwrap();
        obstacle = Some(path.clone());
        vec![("WORKER_FAILS", path.display().to_string())]
    });
    kit.event(Kind::Error).await;
    let execution = kit.pool.begin(payload("do:pid")).unwrap();
    kit.event(Kind::Error).await;
    std::fs::remove_file(obstacle.unwrap()).unwrap();
    execution.end().await.unwrap();
}

async fn noise_is_shown(by: By) {
    let kit = Kit::new(by, one());
    let pid = kit.pid().await;
    let (message, _) = failure(&kit, "do:noise").await;
    assert_eq!(
        message,
        "it wrote something that is no frame where only frames may be: \"Warning: this is no frame\\n\""
    );
    assert!(!lives(pid));
    assert_ne!(kit.pid().await, pid);
}

async fn a_wrong_checksum_is_an_error(by: By) {
    let kit = Kit::new(by, one());
    let (message, _) = failure(&kit, "do:crc").await;
    assert!(message.contains("no frame") && message.contains("spoiled"), "{message}");
    kit.pid().await;
}

async fn a_frame_that_is_cut_short_is_an_error(by: By) {
    let kit = Kit::new(by, one());
    let (message, _) = failure(&kit, "do:short").await;
    assert!(
        message.starts_with("it ended with code 3; it closed its side in the middle of a frame"),
        "{message}"
    );
    kit.pid().await;
}

async fn a_worker_that_closes_its_side_is_ended(by: By) {
    let kit = Kit::new(by, one());
    let pid = kit.pid().await;
    let (message, _) = failure(&kit, "do:close").await;
    assert!(
        message.starts_with("it closed its side in the middle of a frame"),
        "{message}"
    );
    assert!(!lives(pid));
    kit.pid().await;
}

async fn an_answer_too_many_is_not_the_next_payload_s(by: By) {
    let kit = Kit::new(by, one());
    let pid = kit.pid().await;
    assert_eq!(kit.ask("do:twice").await, "one");
    assert_ne!(kit.pid().await, pid);
    let event = kit.event(Kind::Error).await;
    assert_eq!(event.detail, "it sent a frame that nobody had asked for");
}

async fn an_abandoned_payload_ends_with_its_worker(by: By) {
    let kit = Kit::new(by, one());
    let mut execution = kit.pool.begin(payload("do:hang")).unwrap();
    let Some(Progress::Began(Holder { pid, .. })) = execution.next().await else {
        panic!("a worker")
    };
    drop(execution);
    let event = kit.event(Kind::Destructed).await;
    assert!(event.pid == Some(pid) && !lives(pid));
    assert_ne!(kit.pid().await, pid);
    // And the pool as a whole.
    let Kit { pool, folder, .. } = kit;
    let mut execution = pool.begin(payload("do:hang")).unwrap();
    let Some(Progress::Began(Holder { pid, .. })) = execution.next().await else {
        panic!("a worker")
    };
    drop(Arc::into_inner(pool));
    let error = execution.end().await.unwrap_err();
    assert!(matches!(error, Error::Destroyed), "{error:?}");
    while lives(pid) {
        tokio::task::yield_now().await;
    }
    drop(folder);
}

async fn what_a_worker_has_left_ends_with_it(by: By) {
    let mut options = one();
    options.max_executions = Some(1);
    let kit = Kit::new(by, options);
    let child: i32 = kit.ask("do:child").await.parse().unwrap();
    assert!(!lives(child));
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_program_that_is_not_there_is_named() {
    use crate::kit::{command, factory};
    for by in [By::Pipe, By::Unix, By::Tcp] {
        run(async move {
            let folder = tempfile::TempDir::new().unwrap();
            let factory = factory(by, folder.path(), || {
                let mut command = command(&Vec::new());
                command.program = "no-such-interpreter".into();
                command
            });
            let pool = Pool::new(factory, impatient());
            let said = pool.exec(payload("do:pid")).await.unwrap_err().to_string();
            assert!(said.contains("no-such-interpreter is not on PATH"), "{said}");
        });
    }
}

#[test]
fn a_shell_between_the_pool_and_the_worker_does_no_harm() {
    use crate::kit::{command, factory};
    for by in [By::Pipe, By::Unix, By::Tcp] {
        run(async move {
            let folder = tempfile::TempDir::new().unwrap();
            let factory = factory(by, folder.path(), || {
                let plain = command(&Vec::new());
                drone::process::Command::shell(&format!("{}; exit 0", plain.display()), plain.cwd, plain.env)
            });
            let pool = Pool::new(factory, one());
            pool.exec(payload("do:pid")).await.unwrap();
            pool.destroy().await;
        });
    }
}
