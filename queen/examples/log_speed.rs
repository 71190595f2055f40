//! Times what a page asks a queen of the log of a very large job: its past in outline, lines by their numbers, searches,
//! raw ranges; and what the queen holds in memory for it.
//!
//! `log_speed [LINES [COMMANDS [LINES OF AN EVENT]]]`, by default 1,000,000, 5,000 and 10; eight commands run side by side. It
//! writes to a temporary folder and speaks HTTP and WebSocket over loopback, as a page does.

use futures_util::{SinkExt, StreamExt};
use queen::{
    app::App,
    clock::Stopwatch,
    config::Config,
    store::{Batch, Event, Store, Submitted},
};
use scheduler::{JobRow, NewJob, Record};
use serde_json::{Value, json};
use shared::{JobData, JobId, JobState, JobType, Seq, Timestamp};
use std::{error::Error, fmt::Write, sync::Arc, time::Duration};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};
use tokio_util::sync::CancellationToken;

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Commands that run at once.
const ABREAST: usize = 8;
/// Events of one commit.
const COMMIT: usize = 1_000;
/// Times that each question is asked, after one that is told of by itself.
const RUNS: usize = 9;

#[tokio::main]
async fn main() -> Done<()> {
    let number = |n: usize, default: usize| std::env::args().nth(n).map_or(Ok(default), |text| text.parse());
    let (lines, commands, each) = (number(1, 1_000_000)?, number(2, 5_000)?, number(3, 10)?);
    let dir = tempfile::tempdir()?;
    let app = App::start(Config::local(dir.path().join("queen"))).await?;
    let (url, context) = (app.url().to_owned(), app.context().clone());
    let watch = Stopwatch::start();
    let (events, bytes) = fill(&*context.store, lines / commands, commands, each).await?;
    println!(
        "{commands} commands of {} lines each in {events} events with {} MB of text, written in {:.1} s",
        lines / commands,
        bytes / 1_000_000,
        watch.elapsed().as_secs_f64()
    );
    let stop = CancellationToken::new();
    let served = tokio::spawn(app.serve(stop.clone()));

    let mut times = Vec::new();
    for _ in 0..3 {
        let watch = Stopwatch::start();
        let (messages, bytes) = outline(&url).await?;
        times.push(watch.elapsed());
        if times.len() == 1 {
            println!(
                "outline: {messages} messages, {} kB; the first reader builds the index",
                bytes / 1_000
            );
        }
    }
    tell("outline, to the word live", &times);
    println!("the index holds {} kB", context.lines.bytes() / 1_000);

    let (num, middle) = (commands / 2, lines / commands / 2);
    for (what, query) in [
        (
            "200 lines in the middle",
            format!("/lines?num={num}&from={middle}&count=200"),
        ),
        (
            "the last lines of a command",
            format!("/lines?num={num}&from={}", lines / commands),
        ),
        (
            "a search for one line",
            format!("/search?text=line+{middle}+of+command+{num}+"),
        ),
        ("a search for what is nowhere", "/search?text=nowhere".into()),
        ("a search for what is everywhere", "/search?text=command".into()),
        ("a search beyond ASCII", "/search?text=%C3%84rger".into()),
        ("a search in one command", format!("/search?text=line&num={num}")),
        ("100 raw lines", format!("?num={num}&from={middle}&to={}", middle + 99)),
    ] {
        let mut times = Vec::new();
        for _ in 0..=RUNS {
            let address = format!("{url}/api/v1/jobs/large/log{query}");
            let watch = Stopwatch::start();
            tokio::task::spawn_blocking(move || -> Done<usize> {
                Ok(ureq::get(&address).call()?.body_mut().read_to_vec()?.len())
            })
            .await??;
            times.push(watch.elapsed());
        }
        tell(what, &times);
    }
    stop.cancel();
    served.await??;
    Ok(())
}

/// The first of these times and the median of the others.
fn tell(what: &str, times: &[Duration]) {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let mut others = times[1..].to_vec();
    others.sort_unstable();
    println!(
        "{what:<32} first {:>9.1} ms  then {:>9.1} ms",
        ms(times[0]),
        ms(others[others.len() / 2])
    );
}

/// Reads the job's past in outline; answers how many messages that takes, and bytes.
async fn outline(url: &str) -> Done<(usize, usize)> {
    let address = format!("{}/api/v1/live", url.replace("http://", "ws://"));
    let request = ClientRequestBuilder::new(address.parse()?).with_sub_protocol("skep.live.v1");
    let (mut socket, _) = connect_async(request).await?;
    let wanted = json!({"type": "subscribe", "args": [{"job": "large", "from": 1, "outline": true}]});
    socket.send(Message::text(wanted.to_string())).await?;
    let (mut messages, mut bytes) = (0, 0);
    loop {
        let Message::Text(text) = socket.next().await.ok_or("the queen closed")?? else {
            continue;
        };
        bytes += text.len();
        let Value::Array(frame) = serde_json::from_str(&text)? else {
            messages += 1;
            if text.contains("\"type\":\"live\"") {
                return Ok((messages, bytes));
            }
            continue;
        };
        messages += frame.len();
        if frame.iter().any(|message| message["type"] == "live") {
            return Ok((messages, bytes));
        }
    }
}

/// Events on their way into the store.
struct Writer<'s> {
    store: &'s dyn Store,
    batch: Batch,
    seq: Seq,
    bytes: usize,
}

impl Writer<'_> {
    async fn say(&mut self, kind: &str, args: &Value) -> Done<()> {
        self.seq = self.seq.next();
        let line: Arc<str> = format!(
            "{{\"seq\":{},\"at\":{},\"type\":\"{kind}\",\"args\":{args}}}",
            self.seq, self.seq
        )
        .into();
        self.bytes += line.len();
        self.batch.events.push(Event {
            job: JobId::new("large")?,
            seq: self.seq,
            at: Timestamp(self.seq.0.cast_signed()),
            line,
        });
        if self.batch.events.len() >= COMMIT {
            self.store.commit(std::mem::take(&mut self.batch)).await?;
        }
        Ok(())
    }
}

/// Writes the job; answers how many events it has and their bytes.
async fn fill(store: &dyn Store, lines: usize, commands: usize, each: usize) -> Done<(u64, usize)> {
    let data = r#"{"job_id": "large", "project": "acme/large", "trigger": {"type": "manual", "timestamp": 1}}"#;
    let data = JobData::parse(data)?;
    let row = |state| {
        Ok::<_, Box<dyn Error + Send + Sync>>(Record::Job(JobRow {
            state,
            ..JobRow::new(JobId::new("large")?)
        }))
    };
    let spec = NewJob {
        id: JobId::new("large")?,
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
    let mut writer = Writer {
        store,
        batch: Batch {
            submitted: vec![Submitted {
                data: Arc::new(data),
                digest: [0; 32],
                spec,
            }],
            records: vec![row(JobState::Running)?],
            ..Batch::default()
        },
        seq: Seq(0),
        bytes: 0,
    };
    let nums: Vec<usize> = (0..commands).collect();
    for abreast in nums.chunks(ABREAST) {
        for num in abreast {
            let path = format!("tests/test_{num}.py");
            writer
                .say("job:file:start", &json!(["large", num, path, 1, 1, "drone"]))
                .await?;
            writer
                .say(
                    "job:cmd:start",
                    &json!(["large", num, format!("pytest {path}"), null, {}]),
                )
                .await?;
        }
        for first in (0..lines).step_by(each) {
            for num in abreast {
                let mut text = String::new();
                for line in first..(first + each).min(lines) {
                    let colour = if line % 10 == 0 { "\u{1b}[32mok\u{1b}[0m" } else { "ok" };
                    writeln!(
                        text,
                        "2026-01-31T12:00:00.{num:06} line {line} of command {num} is a line like any other {colour}"
                    )?;
                }
                writer.say("job:cmd:stdout", &json!(["large", num, text])).await?;
            }
        }
        for num in abreast {
            let cases = json!([{"name": "test_one", "outcome": "passed", "duration": 1.5}]);
            let result = json!({"outcome": "passed", "exit": 0, "duration": 12.0, "cases": {"passed": 1}});
            writer.say("job:cases", &json!(["large", num, 1, cases])).await?;
            writer.say("job:cmd:done", &json!(["large", num, 0, 12])).await?;
            let path = format!("tests/test_{num}.py");
            writer
                .say("job:file:done", &json!(["large", num, path, 1, result, "drone"]))
                .await?;
        }
    }
    writer.batch.records.push(row(JobState::Passed)?);
    writer.say("job:done", &json!(["large", 1])).await?;
    store.commit(std::mem::take(&mut writer.batch)).await?;
    Ok((writer.seq.0, writer.bytes))
}
