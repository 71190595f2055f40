//! Each limit by what follows from it.

use crate::kit::{By, Kit, is_ready, lives, over_each_relay, payload};
use drone::pool::{Error, Holder, Kind, Options, Payload, Progress, State};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

over_each_relay!(
    with_one_execution_each_payload_has_a_process_of_its_own,
    a_worker_has_as_many_payloads_as_it_may,
    the_successor_is_there_before_the_last_payload_ends,
    a_worker_may_say_itself_which_payload_was_its_last,
    all_workers_busy_is_said_after_the_time_to_wait,
    more_payloads_than_may_wait_are_refused_at_once,
    a_payload_that_takes_too_long_ends_with_its_worker,
    a_payload_can_have_a_limit_of_its_own,
    a_worker_that_has_lived_long_enough_is_replaced,
    a_worker_lives_no_longer_under_load,
    only_a_used_worker_idles_too_long,
    a_worker_with_too_much_memory_is_replaced_after_its_payload,
);

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::new(1);
    change(&mut options);
    options
}

const SHORT: Duration = Duration::from_millis(50);

async fn with_one_execution_each_payload_has_a_process_of_its_own(by: By) {
    let kit = Kit::with(by, options(|options| options.max_executions = Some(1)), |_| {
        vec![("WORKER_LEAVES", "goodbye\n".into())]
    });
    let mut pids = BTreeSet::new();
    for _ in 0..3 {
        let mut execution = kit.pool.begin(payload("do:pid")).unwrap();
        let mut said = String::new();
        while let Some(progress) = execution.next().await {
            if let Progress::Output(output) = progress {
                said.push_str(&output.text);
            }
        }
        let answer = execution.end().await.unwrap();
        let pid: i32 = crate::kit::text(&answer.payload).parse().unwrap();
        assert_eq!(said, "goodbye\n", "what it writes at its end comes before the answer");
        let exit = answer.exit.expect("it has ended");
        assert_eq!((exit.code, exit.signal), (0, None));
        assert!(exit.peak_memory > 1 << 20 && !exit.cpu.is_zero(), "{exit:?}");
        assert!(!lives(pid));
        pids.insert(pid);
    }
    assert_eq!(pids.len(), 3);
    let error = kit.pool.exec(Payload::new("do:error", "no")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Job { exit: Some(exit), .. } if exit.code == 0),
        "{error:?}"
    );
}

async fn a_worker_has_as_many_payloads_as_it_may(by: By) {
    let kit = Kit::new(by, options(|options| options.max_executions = Some(3)));
    let mut pids = Vec::new();
    for _ in 0..7 {
        pids.push(kit.pid().await);
    }
    assert!(pids[0] == pids[2] && pids[3] == pids[5], "{pids:?}");
    assert!(pids[2] != pids[3] && pids[5] != pids[6], "{pids:?}");
    kit.event(Kind::MaxExecutions).await;
}

async fn the_successor_is_there_before_the_last_payload_ends(by: By) {
    let kit = Kit::new(by, options(|options| options.max_executions = Some(1)));
    let first = kit.created(1).await;
    let gate = kit.gate("gate");
    let mut execution = kit.pool.begin(gate.payload()).unwrap();
    assert!(matches!(execution.next().await, Some(Progress::Began(Holder { pid, .. })) if pid == first[0]));
    // Only then may the first one go on.
    let second = kit.created(1).await;
    gate.open().await;
    execution.end().await.unwrap();
    assert_eq!(kit.pid().await, second[0]);
}

async fn a_worker_may_say_itself_which_payload_was_its_last(by: By) {
    let kit = Kit::new(
        by,
        options(|options| options.keeps = Some(|answer| answer.body != "last")),
    );
    let first = kit.created(1).await;
    assert_eq!(kit.pid().await, first[0]);
    let second = kit.created(1).await;
    assert_eq!(kit.pid().await, first[0], "the second one waits");
    let answer = kit.pool.begin(Payload::new("", "last")).unwrap().end().await.unwrap();
    assert!(answer.exit.is_some() && !lives(first[0]));
    assert_eq!(kit.event(Kind::Stop).await.pid, Some(first[0]));
    assert_eq!(kit.pid().await, second[0]);
    let third = kit.created(1).await;
    kit.pool.exec(Payload::new("do:error", "no")).await.unwrap_err();
    assert_eq!(
        kit.pid().await,
        third[0],
        "an error leaves nobody to have another payload"
    );
    kit.pool.reset().await.unwrap();
    let fresh = kit.pid().await;
    assert!(
        fresh != third[0] && kit.pid().await == fresh,
        "all are new after a reset, also who waited"
    );
}

async fn all_workers_busy_is_said_after_the_time_to_wait(by: By) {
    let kit = Kit::new(by, options(|options| options.allocate_timeout = Duration::from_secs(3)));
    kit.created(1).await;
    let mut busy = kit.pool.begin(payload("do:hang")).unwrap();
    busy.next().await.unwrap();
    let error = kit.pool.exec(payload("do:pid")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no worker could be had within 3s: all 1 workers are busy: add workers or raise allocate_timeout"
    );
    assert_eq!(kit.event(Kind::AllocateTimeout).await.worker, 0);
    assert_eq!(kit.pool.waiting(), 0);
}

async fn more_payloads_than_may_wait_are_refused_at_once(by: By) {
    let kit = Kit::new(by, options(|options| options.queue_size = 2));
    let gate = kit.gate("gate");
    let mut first = kit.pool.begin(gate.payload()).unwrap();
    first.next().await.unwrap();
    let second = kit.pool.begin(payload("do:pid")).unwrap();
    let third = kit.pool.begin(payload("do:pid")).unwrap();
    let error = kit.pool.exec(payload("do:pid")).await.unwrap_err();
    assert!(matches!(error, Error::Full(2)));
    assert_eq!(
        error.to_string(),
        "2 payloads wait for a worker and no more may: add workers or raise queue_size"
    );
    kit.event(Kind::QueueSize).await;
    // One that is given up makes room.
    drop(second);
    let fourth = kit.pool.begin(payload("do:pid")).unwrap();
    gate.open().await;
    for execution in [first, third, fourth] {
        execution.end().await.unwrap();
    }
}

async fn a_payload_that_takes_too_long_ends_with_its_worker(by: By) {
    let kit = Kit::new(
        by,
        options(|options| options.exec_timeout = Some(Duration::from_secs(2))),
    );
    let pid = kit.pid().await;
    let error = kit.pool.exec(payload("do:hang")).await.unwrap_err();
    let Error::TimedOut { after, stderr, exit } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*after, stderr.as_str()), (Duration::from_secs(2), "about to hang\n"));
    assert_eq!(exit.unwrap().signal, Some(9));
    let said = error.to_string();
    assert!(
        said.contains("longer than 2s") && said.ends_with("about to hang"),
        "{said}"
    );
    assert!(!lives(pid));
    assert_eq!(kit.event(Kind::ExecTimeout).await.pid, Some(pid));
    assert_ne!(kit.pid().await, pid);
}

async fn a_payload_can_have_a_limit_of_its_own(by: By) {
    let kit = Kit::new(by, options(|options| options.exec_timeout = Some(SHORT / 50)));
    let gate = kit.gate("gate");
    let mut execution = kit.pool.begin_with(gate.payload(), Some(crate::kit::LONG)).unwrap();
    while !matches!(execution.next().await, Some(Progress::Frame(_))) {}
    gate.open().await;
    execution.end().await.unwrap();
    let execution = kit.pool.begin_with(payload("do:hang"), Some(SHORT)).unwrap();
    let error = execution.end().await.unwrap_err();
    assert!(
        matches!(error, Error::TimedOut { after, .. } if after == SHORT),
        "{error:?}"
    );
}

async fn a_worker_that_has_lived_long_enough_is_replaced(by: By) {
    let kit = Kit::new(by, options(|options| options.ttl = Some(Duration::from_secs(1))));
    let pid = kit.pid().await;
    kit.event_that(|event| event.kind == Kind::Ttl && event.pid == Some(pid))
        .await;
    assert_ne!(kit.pid().await, pid);
    // A payload that runs at that time ends first.
    let gate = kit.gate("gate");
    let mut execution = kit.pool.begin(gate.payload()).unwrap();
    let Some(Progress::Began(Holder { pid, .. })) = execution.next().await else {
        panic!("a worker")
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.open().await;
    execution.end().await.unwrap();
    kit.event_that(|event| event.kind == Kind::Ttl && event.pid == Some(pid))
        .await;
}

async fn a_worker_lives_no_longer_under_load(by: By) {
    let kit = Arc::new(Kit::new(
        by,
        options(|options| options.ttl = Some(Duration::from_secs(2))),
    ));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let kit = Arc::clone(&kit);
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    kit.pid().await;
                }
            }))
        })
        .collect();
    let first = kit.event(Kind::Ttl).await.pid;
    assert_ne!(kit.event(Kind::Ttl).await.pid, first);
    drop(load);
}

async fn only_a_used_worker_idles_too_long(by: By) {
    let kit = Kit::new(
        by,
        options(|options| {
            options.workers = 2;
            options.idle_ttl = Some(SHORT);
        }),
    );
    let pids = kit.created(2).await;
    let used = kit.pid().await;
    assert_eq!(kit.event(Kind::IdleTtl).await.pid, Some(used));
    let unused = pids.into_iter().find(|pid| *pid != used).unwrap();
    let replaced = kit.event_that(|event| event.kind == Kind::Destructed).await;
    assert_eq!(replaced.pid, Some(used));
    assert!(lives(unused));
    let workers = kit.pool.workers();
    assert!(
        workers
            .iter()
            .any(|worker| worker.pid == Some(unused) && is_ready(worker)),
        "{workers:?}"
    );
}

async fn a_worker_with_too_much_memory_is_replaced_after_its_payload(by: By) {
    let kit = Kit::new(by, options(|options| options.max_memory = Some(256 << 20)));
    let pid = kit.pid().await;
    assert_eq!(kit.pid().await, pid);
    let answered = kit.ask(&format!("do:grow {}", 300 << 20)).await;
    assert_eq!(answered, pid.to_string(), "the payload ends");
    assert_eq!(kit.event(Kind::MaxMemory).await.pid, Some(pid));
    assert_ne!(kit.pid().await, pid);
    assert!(kit.pool.workers().iter().all(|worker| worker.state != State::Errored));
}
