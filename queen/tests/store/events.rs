//! Event streams: any split into commits reads back as the plain list, in any window, after any restart.

use super::{Bench, fixture::*};
use proptest::{prelude::*, test_runner::TestRunner};
use queen::store::{Batch, Event, Store, StoreError};
use scheduler::Record;
use shared::{JobState, Seq};
use std::cell::Cell;

fn of(events: impl IntoIterator<Item = Event>) -> Batch {
    Batch {
        events: events.into_iter().collect(),
        ..Batch::default()
    }
}

async fn read(store: &dyn Store, id: &str, from: u64, to: u64, limit: usize) -> Vec<Event> {
    store.events(&job_id(id), Seq(from), Seq(to), limit).await.unwrap()
}

fn plain(events: &[Event]) -> Vec<(u64, i64, &str)> {
    events
        .iter()
        .map(|event| (event.seq.0, event.at.0, &*event.line))
        .collect()
}

/// What a window is to hold, said in the simplest way.
fn expected(events: &[Event], from: u64, to: u64, limit: usize) -> &[Event] {
    let from = usize::try_from(from.max(1) - 1).unwrap().min(events.len());
    let to = usize::try_from(to).unwrap().clamp(from, events.len());
    &events[from..to][..events[from..to].len().min(limit)]
}

#[tokio::test]
async fn a_window_is_what_was_written() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    assert_eq!(read(&*store, "j", 1, 99, 1_000).await.len(), 0);
    let events: Vec<_> = (1..=40)
        .map(|seq| event("j", seq, "line \u{1b}[31mred\u{0}\n"))
        .collect();
    store.commit(of(events.clone())).await.unwrap();
    assert_eq!(
        plain(&read(&*store, "j", 1, u64::MAX, usize::MAX).await),
        plain(&events)
    );
    assert_eq!(plain(&read(&*store, "j", 0, 3, usize::MAX).await), plain(&events[..3]));
    assert_eq!(
        plain(&read(&*store, "j", 39, u64::MAX, usize::MAX).await),
        plain(&events[38..])
    );
    assert_eq!(read(&*store, "j", 41, u64::MAX, usize::MAX).await.len(), 0);
    assert_eq!(read(&*store, "j", 9, 8, usize::MAX).await.len(), 0);
    assert_eq!(read(&*store, "other", 1, 9, usize::MAX).await.len(), 0);
    assert_eq!(
        plain(&read(&*store, "j", 5, 9, 0).await),
        plain(&events[4..5]),
        "at least one"
    );
    let some = read(&*store, "j", 5, 40, 1_000).await;
    let bytes: usize = some.iter().map(|event| event.line.len()).sum();
    assert!((500..=1_000).contains(&bytes), "{bytes}");
    assert_eq!(store.job(&job_id("j")).await.unwrap().unwrap().last_seq, Seq(40));
}

#[tokio::test]
async fn an_event_out_of_order_refuses_the_whole_batch() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(of((1..=3).map(|seq| event("j", seq, "x")))).await.unwrap();
    let twice = || of([event("j", 4, "x"), event("j", 4, "x")]);
    let gap = || of([event("j", 5, "x")]);
    let known = || of([event("j", 3, "x"), event("j", 4, "x")]);
    let zero = || of([event("j", 0, "x")]);
    let unknown = || of([event("k", 1, "x")]);
    let mut broken = of([event("j", 4, "x")]);
    broken.events[0].line = "{\n}".into();
    for mut bad in [twice(), gap(), known(), zero(), unknown(), broken] {
        let new = new_job("new", "a/b", 9);
        bad.submitted = new.submitted;
        bad.records = new.records;
        let error = store.commit(bad).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        assert!(store.job(&job_id("new")).await.unwrap().is_none(), "{error}");
        assert_eq!(read(&*store, "j", 1, 9, usize::MAX).await.len(), 3, "{error}");
    }
    store.commit(of([event("j", 4, "x")])).await.unwrap();
    assert_eq!(read(&*store, "j", 1, 9, usize::MAX).await.len(), 4);
}

#[tokio::test]
async fn streams_of_many_jobs_in_one_batch_stay_apart() {
    let bench = Bench::new();
    let store = bench.open().await;
    for id in ["j", "k"] {
        store.commit(new_job(id, "a/b", 1)).await.unwrap();
    }
    for round in 0..3 {
        let seqs = || (1..=50).map(|n| round * 50 + n);
        let mixed = seqs().flat_map(|seq| [event("j", seq, "jj"), event("k", seq, "kkk")]);
        store.commit(of(mixed)).await.unwrap();
    }
    for id in ["j", "k"] {
        let events = read(&*store, id, 1, 999, usize::MAX).await;
        assert_eq!(events.len(), 150);
        assert!(
            events
                .iter()
                .all(|event| event.job == job_id(id) && event.line.contains(&id.repeat(2)))
        );
    }
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_whole_or_not_there() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    for round in 0..20 {
        let seq = store.job(&job_id("j")).await.unwrap().unwrap().last_seq.0;
        let mut commit = store.commit(of((1..=100).map(|n| event("j", seq + n, "x"))));
        for _ in 0..round {
            let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
            if commit.as_mut().poll(&mut nobody).is_ready() {
                break;
            }
            // The database has its time, and goes on after the commit is dropped.
            std::thread::yield_now();
        }
        drop(commit);
        // Whatever was begun is done before the next write.
        store.ping().await.unwrap();
        let events = read(&*store, "j", 1, u64::MAX, usize::MAX).await;
        assert_eq!(events.len() % 100, 0);
    }
}

/// Steps of a stream: how many events come in one commit, and how long their texts are.
fn steps() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let step = prop_oneof![
        4 => (1..4usize, 0..200usize),
        2 => (1..60usize, 0..500usize),
        1 => (1..4usize, 30_000..150_000usize),
    ];
    proptest::collection::vec(step, 1..25)
}

/// One database for all cases: a fresh one for each would take longer than the case.
#[test]
fn any_split_and_any_window_equal_the_plain_list() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bench = Bench::new();
    let cases = Cell::new(0);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(40)
    };
    let windows = proptest::collection::vec((0..1_500u64, 0..1_500u64), 8);
    let strategy = (steps(), windows, proptest::option::of(0..25usize));
    let done = TestRunner::new(config).run(&strategy, |(steps, windows, end)| {
        cases.set(cases.get() + 1);
        runtime.block_on(one_stream(&bench, &format!("j{}", cases.get()), steps, windows, end))
    });
    done.unwrap();
}

async fn one_stream(
    bench: &Bench,
    id: &str,
    steps: Vec<(usize, usize)>,
    windows: Vec<(u64, u64)>,
    end: Option<usize>,
) -> Result<(), TestCaseError> {
    let store = bench.open().await;
    store.commit(new_job(id, "a/b", 1)).await.unwrap();
    let mut all: Vec<Event> = Vec::new();
    for (at, (count, length)) in steps.into_iter().enumerate() {
        let next = all.len() as u64 + 1;
        let text = "abcdefghij".repeat(length / 10 + 1);
        let new: Vec<_> = (next..)
            .take(count)
            .map(|seq| event(id, seq, &text[..length]))
            .collect();
        let mut batch = of(new.clone());
        if end == Some(at) {
            batch.records = vec![Record::Job(row(id, JobState::Passed))];
        }
        store.commit(batch).await.unwrap();
        all.extend(new);
    }
    drop(store);
    let store = bench.open().await;
    let whole = read(&*store, id, 1, u64::MAX, usize::MAX).await;
    prop_assert_eq!(plain(&whole), plain(&all));
    for (from, to) in windows {
        let got = read(&*store, id, from, to, usize::MAX).await;
        prop_assert_eq!(plain(&got), plain(expected(&all, from, to, usize::MAX)));
        let got = read(&*store, id, from, to, 0).await;
        prop_assert_eq!(plain(&got), plain(expected(&all, from, to, 1)));
    }
    // Page by page, as a client reads that has little room.
    let (mut pages, mut next) = (Vec::new(), 1);
    loop {
        let page = read(&*store, id, next, u64::MAX, 5_000).await;
        let Some(last) = page.last() else { break };
        next = last.seq.0 + 1;
        pages.extend(page);
    }
    prop_assert_eq!(plain(&pages), plain(&all));
    Ok(())
}
