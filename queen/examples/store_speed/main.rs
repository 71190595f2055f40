//! Measures the store on both databases: event lines a second beside bare inserts of the same lines, and pages of a job
//! list over many jobs with many events.
//!
//! `store_speed [JOBS [EVENTS]]`, by default 100,000 and 10,000,000; `store_speed --small` is 10,000 and 100,000. PostgreSQL takes part if `SKEP_BENCH_POSTGRES` is the
//! address of an empty database; `bench/store` sees to that. It writes to a temporary folder and to that database only.

mod pages;

use queen::{
    clock::Stopwatch,
    store::{Applied, Batch, Event, PgStore, SqliteStore, Store},
};
use serde_json::json;
use shared::{DroneId, Incarnation, JobId, Seq, Timestamp};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, QueryBuilder, Sqlite, SqliteConnection,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{error::Error, path::Path, str::FromStr, sync::Arc, time::Duration};

/// What a measurement comes to, or why there is none.
pub type Done<T> = Result<T, Box<dyn Error>>;

/// Rounds of each measurement, ours and bare in turn.
const ROUNDS: usize = 7;
/// Lines of one round by the size of its commits.
const SIZES: [(usize, usize); 3] = [(1, 3_000), (100, 60_000), (1_000, 150_000)];
/// Rows of one statement of bare SQLite.
const MULTI: usize = 100;

#[tokio::main]
async fn main() -> Done<()> {
    let small = std::env::args().nth(1).is_some_and(|word| word == "--small");
    let number = |n: usize, default: usize| std::env::args().nth(n).map_or(Ok(default), |text| text.parse());
    let (jobs, events) = match small {
        true => (10_000, 100_000),
        false => (number(1, 100_000)?, number(2, 10_000_000)?),
    };
    let dir = tempfile::tempdir()?;
    let ours: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.path().join("ours")).await?);
    println!("SQLite");
    appends(&*ours, &mut Bare::sqlite(dir.path()).await?).await?;
    pages::measure(&*ours, jobs, events).await?;
    ours.close().await;
    if let Ok(url) = std::env::var("SKEP_BENCH_POSTGRES") {
        let ours: Arc<dyn Store> = Arc::new(PgStore::open(&dir.path().join("key"), &url.parse()?).await?);
        println!("PostgreSQL");
        appends(&*ours, &mut Bare::postgres(&url).await?).await?;
        pages::measure(&*ours, jobs, events).await?;
        ours.close().await;
    }
    Ok(())
}

/// A connection with nothing of ours in between.
enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// No index: nothing writes these rows faster.
const BARE: &str =
    "CREATE TABLE bare (job BIGINT NOT NULL, seq BIGINT NOT NULL, at BIGINT NOT NULL, line TEXT NOT NULL)";

impl Bare {
    async fn sqlite(dir: &Path) -> Done<Self> {
        let options = SqliteConnectOptions::new()
            .filename(dir.join("bare.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("wal_autocheckpoint", "4000")
            .disable_statement_logging();
        let mut sql = options.connect().await?;
        sqlx::query(BARE).execute(&mut sql).await?;
        Ok(Self::Sqlite(sql))
    }

    async fn postgres(url: &str) -> Done<Self> {
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        let mut sql = options.connect().await?;
        sqlx::query(AssertSqlSafe(BARE)).execute(&mut sql).await?;
        Ok(Self::Postgres(sql))
    }

    /// Writes one batch in one transaction.
    async fn write(&mut self, job: i64, batch: &[Event]) -> Done<()> {
        match self {
            Self::Sqlite(sql) if batch.len() == 1 => multi(sql, job, batch).await,
            Self::Sqlite(sql) => {
                let mut transaction = sql.begin_with("BEGIN IMMEDIATE").await?;
                for some in batch.chunks(MULTI) {
                    multi(&mut transaction, job, some).await?;
                }
                Ok(transaction.commit().await?)
            }
            Self::Postgres(sql) => {
                let seq: Vec<i64> = batch.iter().map(|event| event.seq.0.cast_signed()).collect();
                let at: Vec<i64> = batch.iter().map(|event| event.at.0).collect();
                let line: Vec<&str> = batch.iter().map(|event| &*event.line).collect();
                sqlx::query("INSERT INTO bare SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[])")
                    .bind(job)
                    .bind(seq)
                    .bind(at)
                    .bind(line)
                    .execute(sql)
                    .await?;
                Ok(())
            }
        }
    }
}

async fn multi(sql: &mut SqliteConnection, job: i64, batch: &[Event]) -> Done<()> {
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO bare ");
    query.push_values(batch, |mut row, event| {
        row.push_bind(job);
        row.push_bind(event.seq.0.cast_signed());
        row.push_bind(event.at.0);
        row.push_bind(&*event.line);
    });
    query.build().execute(sql).await?;
    Ok(())
}

/// Lines with nothing else, and as the queen writes those of a drone: with the number of the message that they came in.
async fn appends(ours: &dyn Store, bare: &mut Bare) -> Done<()> {
    for (said, (size, lines)) in SIZES.into_iter().flat_map(|size| [(false, size), (true, size)]) {
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let mut batch = Batch::default();
            pages::submit(
                &mut batch,
                100_000_000 + (2 * size + usize::from(said)) * ROUNDS + round,
            )?;
            let id = batch.submitted[0].spec.id.clone();
            ours.commit(batch).await?;
            let all: Vec<Event> = (1..=lines as u64).map(|seq| line(&id, seq)).collect();
            let parts: Vec<Batch> = all
                .chunks(size)
                .map(|part| events(part.to_vec(), said))
                .collect::<Result<_, _>>()?;
            let watch = Stopwatch::start();
            for part in parts {
                ours.commit(part).await?;
            }
            of_ours.push(watch.elapsed());
            let watch = Stopwatch::start();
            for part in all.chunks(size) {
                bare.write(i64::try_from(round)?, part).await?;
            }
            of_bare.push(watch.elapsed());
        }
        let (of_ours, of_bare) = (per_second(lines, median(of_ours)), per_second(lines, median(of_bare)));
        println!(
            "  events  commits of {size:>5}{}: {of_ours:>9.0} lines/s, bare {of_bare:>9.0} lines/s, ratio {:.2}",
            if said { ", of a drone" } else { "" },
            of_ours / of_bare
        );
    }
    Ok(())
}

/// A line of about 120 bytes, as test runners write them.
pub fn line(id: &JobId, seq: u64) -> Event {
    let text = format!(
        "tests/test_{:03}.py::test_case_{seq} PASSED [{:>3}%]\n",
        seq / 90,
        seq % 100
    );
    let line = json!({"seq": seq, "at": seq / 7, "type": "job:cmd:stdout", "args": [id, seq / 90, text]});
    Event {
        job: id.clone(),
        seq: Seq(seq),
        at: Timestamp((seq / 7).cast_signed()),
        line: line.to_string().into(),
    }
}

fn events(events: Vec<Event>, said: bool) -> Done<Batch> {
    let last = events.last().map_or(0, |event| event.seq.0);
    let applied = Applied {
        drone: DroneId::new("d")?,
        incarnation: Incarnation::new("i")?,
        n: last,
    };
    Ok(Batch {
        events,
        applied: if said { vec![applied] } else { Vec::new() },
        ..Batch::default()
    })
}

/// The one in the middle.
pub fn median(mut runs: Vec<Duration>) -> Duration {
    runs.sort();
    runs[runs.len() / 2]
}

/// How often in a second, if `count` of them took so long.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
