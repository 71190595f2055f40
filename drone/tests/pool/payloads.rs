//! What goes in and what comes out.

use crate::kit::{By, Kit, over_each_relay, payload, run, text};
use drone::{
    pool::{Codec, Error, Holder, Kind, Options, Payload, Progress, State},
    process::Stream,
};
use proptest::prelude::*;
use std::sync::Arc;

over_each_relay!(
    a_payload_comes_back_with_and_without_a_context,
    an_empty_payload_is_refused,
    an_error_of_the_job_keeps_the_worker,
    parts_of_an_answer_come_one_by_one,
    a_ping_is_answered,
    output_comes_with_the_payload_that_wrote_it,
    much_output_and_a_large_payload_do_not_block_each_other,
    workers_say_where_they_stand,
    payloads_of_any_size_come_back,
);

async fn a_payload_comes_back_with_and_without_a_context(by: By) {
    let kit = Kit::new(by, Options::new(1));
    for (context, body) in [("", "hello"), ("context", "body"), ("context", ""), ("", "\0\u{ff}\n")] {
        let sent = Payload::new(context, body);
        assert_eq!(kit.pool.exec(sent.clone()).await.unwrap(), sent);
    }
    let json = Payload::json("", &[1, 2]).unwrap();
    assert_eq!(json.codec, Codec::Json);
    assert_eq!(kit.pool.exec(json).await.unwrap().body, "[1,2]");
}

async fn an_empty_payload_is_refused(by: By) {
    let kit = Kit::new(by, Options::new(1));
    let error = kit.pool.exec(Payload::default()).await.unwrap_err();
    assert!(matches!(error, Error::Empty));
    assert_eq!(
        error.to_string(),
        "an empty payload cannot be run: give it a context or a body"
    );
    assert_eq!(kit.worker().executions, 0);
}

async fn an_error_of_the_job_keeps_the_worker(by: By) {
    let kit = Kit::new(by, Options::new(1));
    let pid = kit.pid().await;
    let error = kit
        .pool
        .exec(Payload::new("do:error", "no such thing"))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Job { message, exit: None } if message == "no such thing"));
    assert_eq!(error.to_string(), "no such thing");
    assert_eq!(kit.pid().await, pid);
}

async fn parts_of_an_answer_come_one_by_one(by: By) {
    let kit = Kit::new(by, Options::new(1));
    let pid = kit.pid().await;
    let mut execution = kit.pool.begin(payload("do:stream 100")).unwrap();
    let mut parts = Vec::new();
    while let Some(progress) = execution.next().await {
        match progress {
            Progress::Began(Holder { seat, pid: by, .. }) => assert_eq!((seat, by), (1, pid)),
            Progress::Frame(part) => {
                assert_eq!(part.context, "part");
                parts.push(text(&part));
            }
            Progress::Output(output) => panic!("{output:?}"),
        }
    }
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(parts, expected);
    assert_eq!(text(&execution.end().await.unwrap().payload), "end");
    assert_eq!(kit.pid().await, pid);
}

async fn a_ping_is_answered(by: By) {
    let kit = Kit::new(by, Options::new(1));
    assert_eq!(kit.ask("do:ping").await, "pong");
}

async fn output_comes_with_the_payload_that_wrote_it(by: By) {
    let kit = Kit::with(by, Options::new(1), |_| vec![("WORKER_SAYS", "at start\n".into())]);
    let mut all = Vec::new();
    for context in ["do:pid", "do:print one", "do:print two"] {
        let mut execution = kit.pool.begin(payload(context)).unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        while let Some(progress) = execution.next().await {
            if let Progress::Output(output) = progress {
                match output.stream {
                    Stream::Stdout => out.push_str(&output.text),
                    Stream::Stderr => err.push_str(&output.text),
                }
            }
        }
        execution.end().await.unwrap();
        all.push((out, err));
    }
    let both = |text: &str| match by {
        By::Pipe => (String::new(), text.to_owned()),
        _ => (text.to_owned(), text.to_owned()),
    };
    let first = (String::new(), "at start\n".to_owned());
    assert_eq!(all, [first, both("one\n"), both("two\n")]);
}

async fn much_output_and_a_large_payload_do_not_block_each_other(by: By) {
    let kit = Kit::new(by, Options::new(1));
    let sent = Payload::new("do:flood 8192", vec![b'x'; 1 << 22]);
    let mut execution = kit.pool.begin(sent).unwrap();
    let mut bytes = 0;
    while let Some(progress) = execution.next().await {
        if let Progress::Output(output) = progress {
            bytes += output.text.len();
        }
    }
    assert_eq!(text(&execution.end().await.unwrap().payload), "flooded");
    assert_eq!(bytes, 8 << 20);
}

async fn workers_say_where_they_stand(by: By) {
    let kit = Kit::new(by, Options::new(2));
    let pids = kit.created(2).await;
    let gate = kit.gate("gate");
    let mut execution = kit.pool.begin(gate.payload()).unwrap();
    let Some(Progress::Began(Holder { seat, pid, .. })) = execution.next().await else {
        panic!("a worker")
    };
    assert!(pids.contains(&pid));
    let worker = kit
        .pool
        .workers()
        .into_iter()
        .find(|worker| worker.seat == seat)
        .unwrap();
    assert_eq!(
        (worker.pid, worker.state, worker.executions),
        (Some(pid), State::Working, 1)
    );
    gate.open().await;
    execution.end().await.unwrap();
    let before = worker.changed;
    kit.pool.destroy().await;
    assert!(before.0 > 0 && kit.pool.workers().is_empty());
    let kinds = kit.kinds().await;
    assert_eq!(
        kinds.iter().filter(|kind| **kind == Kind::Destructed).count(),
        2,
        "{kinds:?}"
    );
}

/// Sizes around the edges of what a pipe, a buffer or a socket takes at once, and anything between.
fn sizes() -> impl Strategy<Value = usize> {
    let most = 16 << 20;
    prop_oneof![
        8 => 0_usize..5000,
        4 => (12_u32..24).prop_flat_map(|power| (1_usize << power) - 20..(1_usize << power) + 20),
        1 => 0..=most,
        1 => Just(most),
    ]
}

async fn payloads_of_any_size_come_back(by: By) {
    let kit = Arc::new(Kit::new(by, Options::new(1)));
    let handle = tokio::runtime::Handle::current();
    let check = move || {
        let config = ProptestConfig {
            cases: 40,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let payloads = (0_usize..3000, sizes(), any::<u8>());
        proptest!(config, |((context, body, fill) in payloads)| {
            // The worker does what begins with "do:".
            let context = vec![fill | 0x80; context + usize::from(body == 0)];
            let body: Vec<u8> = (0..body).map(|at| fill.wrapping_add((at % 251) as u8)).collect();
            let sent = Payload::new(context, body);
            let came = handle.block_on(kit.pool.exec(sent.clone())).unwrap();
            prop_assert!(came == sent, "{} and {} bytes are not the same", sent.context.len(), sent.body.len());
        });
    };
    tokio::task::spawn_blocking(check).await.unwrap();
}

#[test]
fn a_payload_that_no_frame_can_hold_is_refused() {
    run(async {
        let kit = Kit::new(By::Pipe, Options::new(0));
        let error = kit
            .pool
            .exec(Payload::new("", vec![0; 256 * 1024 * 1024 + 1]))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a payload of 268435457 bytes is too long: 268435456 are allowed"
        );
    });
}
