//! Nothing is lost, nothing changes places: in memory, on disk, over reconnects.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

fn open(dir: &Path, memory: u64, disk: u64) -> Outbox {
    Outbox::open(&dir.join("outbox"), Bounds { memory, disk }).unwrap()
}

fn message(text: &str) -> Value {
    json!({"type": "t", "args": [text]})
}

fn numbers(frame: &str) -> Vec<u64> {
    let messages: Vec<Value> = serde_json::from_str(frame).unwrap();
    messages.iter().map(|message| message["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_message_carries_its_number_and_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path(), 1000, 1000);
    assert_eq!(outbox.first(), 1);
    assert_eq!(
        outbox
            .push(&message("a\n}"), Some(shared::LeaseToken(7)))
            .await
            .unwrap(),
        1
    );
    assert_eq!(outbox.push_now(&message("b"), None).unwrap(), 2);
    let frame = outbox.cursor().frame().await;
    assert_eq!(
        serde_json::from_str::<Value>(&frame).unwrap(),
        json!([{"type": "t", "args": ["a\n}"], "lease": 7, "n": 1}, {"type": "t", "args": ["b"], "n": 2}])
    );
}

#[tokio::test]
async fn frames_stay_below_their_limit() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path(), 64 << 20, 1000);
    let text = "x".repeat(50_000);
    for _ in 0..20 {
        outbox.push(&message(&text), None).await.unwrap();
    }
    outbox.push(&message(&"y".repeat(BATCH_LIMIT * 2)), None).await.unwrap();
    let mut cursor = outbox.cursor();
    let mut seen = Vec::new();
    while seen.len() < 21 {
        let frame = cursor.frame().await;
        let part = numbers(&frame);
        assert!(frame.len() <= BATCH_LIMIT || part.len() == 1);
        seen.extend(part);
    }
    assert_eq!(seen, (1..=21).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_outbox_makes_its_writers_wait_until_the_queen_has_taken_something() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Arc::new(open(dir.path(), 500, 500));
    let (told, mut pushed) = mpsc::channel(1000);
    let writer = tokio::spawn({
        let outbox = outbox.clone();
        async move {
            for _ in 0..200 {
                told.send(outbox.push(&message(&"z".repeat(50)), None).await.unwrap())
                    .await
                    .unwrap();
            }
        }
    });
    let mut last = 0;
    while let Ok(Some(n)) = timeout(Duration::from_millis(200), pushed.recv()).await {
        last = n;
    }
    assert!((5..50).contains(&last), "it stopped at {last}");
    // An answer to the queen does not wait.
    let answer = outbox.push_now(&message("info"), None).unwrap();
    assert_eq!(answer, last + 1);

    let mut cursor = outbox.cursor();
    let mut seen = Vec::new();
    while seen.len() < 201 {
        let frame = timeout(SOON, cursor.frame()).await.unwrap();
        seen.extend(numbers(&frame));
        outbox.ack(*seen.last().unwrap()).unwrap();
    }
    writer.await.unwrap();
    assert_eq!(seen, (1..=201).collect::<Vec<_>>());
    timeout(SOON, outbox.flushed()).await.unwrap();
}

#[tokio::test]
async fn a_writer_that_gives_up_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path(), 100, 100);
    while timeout(Duration::from_millis(50), outbox.push(&message("0123456789"), None))
        .await
        .is_ok()
    {}
    let kept = outbox.waiting();
    outbox.ack(kept).unwrap();
    assert_eq!(outbox.push(&message("next"), None).await.unwrap(), kept + 1);
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path(), 100, 100);
    outbox.push(&message("a"), None).await.unwrap();
    assert!(matches!(
        outbox.ack(2),
        Err(OutboxError::AckAhead { acked: 2, sent: 1 })
    ));
    outbox.ack(1).unwrap();
    outbox.ack(1).unwrap();
    assert_eq!((outbox.first(), outbox.waiting()), (2, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Answer(usize),
    Send,
    Ack(u64),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..120).prop_map(Step::Push),
        1 => (0usize..60).prop_map(Step::Answer),
        2 => Just(Step::Send),
        2 => (0u64..8).prop_map(Step::Ack),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A queen that drops what it has seen gets every number exactly once and in order, whatever was spilled.
    #[test]
    fn every_number_arrives_exactly_once_and_in_order(
        steps in prop::collection::vec(step(), 1..150),
        memory in 1u64..2000,
        disk in 1u64..4000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let outbox = open(dir.path(), memory, disk);
            let mut cursor = outbox.cursor();
            let (mut pushed, mut applied, mut texts) = (0, 0, Vec::new());
            let receive = |frame: String, applied: &mut u64, texts: &[String]| {
                let messages: Vec<Value> = serde_json::from_str(&frame).unwrap();
                for message in messages {
                    let n = message["n"].as_u64().unwrap();
                    assert!(n <= *applied + 1, "a gap: {n} after {applied}");
                    *applied = (*applied).max(n);
                    assert_eq!(message["args"][0].as_str().unwrap(), texts[n as usize - 1]);
                }
            };
            for step in steps {
                match step {
                    Step::Push(size) => {
                        let text = "x".repeat(size);
                        let kept = timeout(Duration::ZERO, outbox.push(&message(&text), None)).await;
                        if let Ok(n) = kept {
                            pushed += 1;
                            assert_eq!(n.unwrap(), pushed);
                            texts.push(text);
                        }
                    }
                    Step::Answer(size) => {
                        let text = "y".repeat(size);
                        pushed += 1;
                        assert_eq!(outbox.push_now(&message(&text), None).unwrap(), pushed);
                        texts.push(text);
                    }
                    Step::Send => {
                        if let Ok(frame) = timeout(Duration::ZERO, cursor.frame()).await {
                            receive(frame, &mut applied, &texts);
                        }
                    }
                    Step::Ack(behind) => outbox.ack(applied.saturating_sub(behind)).unwrap(),
                    Step::Reconnect => {
                        cursor = outbox.cursor();
                        assert!(cursor.position() <= applied + 1);
                    }
                }
            }
            outbox.ack(applied).unwrap();
            while applied < pushed {
                let frame = timeout(SOON, cursor.frame()).await.expect("what was pushed must come");
                receive(frame, &mut applied, &texts);
                outbox.ack(applied).unwrap();
            }
            assert_eq!(outbox.first(), pushed + 1);
        });
    }
}

#[tokio::test]
async fn what_answers_the_queen_is_kept_in_its_place_although_the_disk_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path(), 300, 10_000);
    for text in ["first", "second"] {
        outbox.push(&message(&text.repeat(20)), None).await.unwrap();
    }
    outbox.push(&message(&"on disk".repeat(20)), None).await.unwrap();
    // No new segment can be made, and the one that there is has no room.
    let segment = std::fs::read_dir(dir.path().join("outbox"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let away = dir.path().join("away");
    std::fs::rename(dir.path().join("outbox"), &away).unwrap();
    for n in [4, 5] {
        assert_eq!(outbox.push_now(&message("answer"), None).unwrap(), n);
    }
    let output = message("output");
    let waits = timeout(Duration::from_millis(10), outbox.push(&output, None));
    assert!(waits.await.is_err(), "output must not overtake what waits");
    std::fs::rename(&away, dir.path().join("outbox")).unwrap();
    assert!(segment.path().exists());
    let mut cursor = outbox.cursor();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.extend(numbers(&cursor.frame().await));
        outbox.ack(seen[seen.len() - 1]).unwrap();
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(outbox.push(&message("output"), None).await.unwrap(), 6);
    assert_eq!(outbox.waiting(), 1);
}
