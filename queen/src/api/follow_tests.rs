//! Readers beside a writer, over a real store and a real bus: whatever the timing, no gap and nothing twice.

use super::*;
use crate::store::{Batch, SqliteStore, Submitted};
use scheduler::{JobRow, NewJob, Record};
use shared::{JobData, JobState, JobType, Timestamp};

const JOB: &str = "job";

fn id() -> JobId {
    JobId::new(JOB).unwrap()
}

fn row(state: JobState) -> Record {
    Record::Job(JobRow {
        state,
        ..JobRow::new(id())
    })
}

struct Fixture {
    store: Arc<dyn Store>,
    bus: Bus,
    last: Seq,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
        let data = r#"{"job_id": "job", "project": "a/b", "trigger": {"type": "manual", "timestamp": 1}}"#;
        let data = JobData::parse(data).unwrap();
        let spec = NewJob {
            id: id(),
            project: data.project.clone(),
            job_type: JobType::Test,
            priority: 0,
            labels: Vec::new(),
            plugins: Vec::new(),
            spread: None,
            retries: 0,
            timeout: None,
            delay_until: None,
            submitted: Timestamp(1),
        };
        let batch = Batch {
            submitted: vec![Submitted {
                data: Arc::new(data),
                digest: [0; 32],
                spec,
            }],
            records: vec![row(JobState::Running)],
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
        let bus = Bus::default();
        bus.open(&id(), Seq(0));
        Self {
            store,
            bus,
            last: Seq(0),
            _dir: dir,
        }
    }

    /// Writes `count` events, then tells; with `end` they are the job's last.
    async fn write(&mut self, count: u64, end: bool) {
        let mut events = Vec::new();
        for _ in 0..count {
            self.last = self.last.next();
            events.push(Event {
                job: id(),
                seq: self.last,
                at: Timestamp(1),
                line: format!("{{\"seq\":{},\"at\":1,\"type\":\"t\",\"args\":[]}}", self.last).into(),
            });
        }
        let batch = Batch {
            records: end.then(|| row(JobState::Passed)).into_iter().collect(),
            events: events.clone(),
            ..Batch::default()
        };
        self.store.commit(batch).await.unwrap();
        self.bus.publish(&events);
        if end {
            self.bus.close(&id());
        }
    }

    async fn follow(&self, from: u64) -> Follow {
        Follow::over(&self.store, &self.bus, &id(), from).await.unwrap()
    }
}

/// Reads to the end, coming back after each `Lagged`; answers the events' numbers and how often the place was lost.
async fn read(store: Arc<dyn Store>, bus: Bus, from: u64) -> (Vec<u64>, u32) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    let mut follow = Follow::over(&store, &bus, &id(), from).await.unwrap();
    while let Some(piece) = follow.next().await.unwrap() {
        match piece {
            Piece::Events(events) => numbers.extend(events.iter().map(|event| event.seq.0)),
            Piece::Live(_) => {}
            Piece::Lagged(seq) => {
                lost += 1;
                assert_eq!(seq.0, numbers.last().copied().unwrap_or(from.max(1) - 1));
                follow = Follow::over(&store, &bus, &id(), seq.0 + 1).await.unwrap();
            }
        }
        tokio::task::yield_now().await;
    }
    (numbers, lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_that_come_at_any_time_miss_nothing() {
    let mut fixture = Fixture::new().await;
    let mut readers = Vec::new();
    for round in 0..60 {
        for from in [0, fixture.last.0, fixture.last.0 + 5] {
            let (store, bus) = (Arc::clone(&fixture.store), fixture.bus.clone());
            readers.push((from, tokio::spawn(read(store, bus, from))));
        }
        fixture.write(1 + round * 7 % 40, round == 59).await;
    }
    for (from, reader) in readers {
        let (numbers, _) = reader.await.unwrap();
        assert_eq!(
            numbers,
            (from.max(1)..=fixture.last.0).collect::<Vec<_>>(),
            "from {from}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_where_it_stands() {
    let mut fixture = Fixture::new().await;
    fixture.write(3, false).await;
    let mut follow = fixture.follow(2).await;
    assert!(matches!(follow.next().await.unwrap(), Some(Piece::Events(events)) if events.len() == 2));
    assert!(matches!(follow.next().await.unwrap(), Some(Piece::Live(Seq(3)))));
    fixture.write(1, false).await;
    assert!(matches!(follow.next().await.unwrap(), Some(Piece::Events(events)) if events[0].seq == Seq(4)));
    fixture.write(5000, false).await;
    assert!(matches!(follow.next().await.unwrap(), Some(Piece::Lagged(Seq(4)))));
    assert!(follow.next().await.unwrap().is_none());
    fixture.write(1, true).await;
    let (numbers, _) = read(Arc::clone(&fixture.store), fixture.bus.clone(), 5).await;
    assert_eq!(numbers, (5..=5005).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_rebuilding_engine_sends_readers_back_to_the_store() {
    let mut fixture = Fixture::new().await;
    fixture.write(2, false).await;
    let mut follow = fixture.follow(0).await;
    follow.next().await.unwrap();
    follow.next().await.unwrap();
    fixture.bus.close_all();
    assert!(matches!(follow.next().await.unwrap(), Some(Piece::Lagged(Seq(2)))));
    // Not live, and not over either: the reader has to come again.
    let mut early = fixture.follow(1).await;
    assert!(matches!(early.next().await.unwrap(), Some(Piece::Lagged(Seq(0)))));
    fixture.bus.open(&id(), fixture.last);
    let mut back = fixture.follow(3).await;
    assert!(matches!(back.next().await.unwrap(), Some(Piece::Live(Seq(2)))));
    fixture.write(1, true).await;
    assert!(matches!(back.next().await.unwrap(), Some(Piece::Events(events)) if events[0].seq == Seq(3)));
    assert!(back.next().await.unwrap().is_none());
}
