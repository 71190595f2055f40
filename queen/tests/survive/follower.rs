//! A client of the live socket, as a page is one: it comes back after every break and goes on from what it has. It
//! fails the test at the first gap and at the first event that it gets twice.

use crate::{
    cli_support::LONG,
    grammar,
    harness::live::{Socket, connect},
    world::LOOK,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// A job's stream so far.
pub struct Follower {
    addr: String,
    job: String,
    socket: Option<Socket>,
    waiting: VecDeque<Value>,
    /// Everything that came, in order.
    pub seen: Vec<Value>,
}

impl Follower {
    pub fn new(addr: &str, job: &str) -> Self {
        Self {
            addr: addr.into(),
            job: job.into(),
            socket: None,
            waiting: VecDeque::new(),
            seen: Vec::new(),
        }
    }

    /// Reads on until `wanted` answers something of an event.
    pub async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        loop {
            if timeout(LONG, self.next()).await.is_err() {
                panic!("waited {LONG:?} for {what}; the last was {:?}", self.seen.last());
            }
            if let Some(found) = self.seen.last().and_then(&mut wanted) {
                return found;
            }
        }
    }

    /// Reads on until an event of this type.
    pub async fn event(&mut self, kind: &str) -> Value {
        self.until(kind, |event| (event["type"] == kind).then(|| event.clone()))
            .await
    }

    /// Reads to the last event of the job and holds the whole against the grammar; answers its outline.
    pub async fn finished(&mut self) -> Vec<String> {
        self.end().await;
        grammar::check(&self.seen).unwrap_or_else(|why| panic!("{why}\n{:#?}", self.seen))
    }

    /// The same for a job that lost a drone.
    pub async fn finished_with_loss(&mut self) -> Vec<String> {
        self.end().await;
        grammar::check_with_loss(&self.seen).unwrap_or_else(|why| panic!("{why}\n{:#?}", self.seen))
    }

    async fn end(&mut self) {
        if self.seen.last().is_none_or(|event| event["type"] != "job:done") {
            self.event("job:done").await;
        }
    }

    /// Takes the next event, over as many connections as it takes.
    async fn next(&mut self) {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                match message["seq"].as_u64() {
                    Some(seq) => {
                        assert_eq!(seq, self.seen.len() as u64 + 1, "a gap or a repeat: {message}");
                        return self.seen.push(message);
                    }
                    None if message["type"] == "lagged" => self.socket = None,
                    None => {}
                }
                continue;
            }
            let Some(socket) = &mut self.socket else {
                self.open().await;
                continue;
            };
            match socket.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).unwrap() {
                    Value::Array(all) => self.waiting.extend(all),
                    one => self.waiting.push_back(one),
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => self.socket = None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn open(&mut self) {
        let Ok(mut socket) = connect(&self.addr, "/api/v1/live", Some("skep.live.v1"), &[]).await else {
            return sleep(LOOK).await;
        };
        let from = self.seen.len() + 1;
        let wish = json!({"type": "subscribe", "args": [{"job": self.job, "from": from}]});
        // A connection that breaks here is opened again.
        if socket.send(Message::text(wish.to_string())).await.is_ok() {
            self.socket = Some(socket);
        }
    }

    /// Events of a type.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.seen.iter().filter(move |event| event["type"] == kind)
    }

    /// The results of the job: path, attempt and outcome of each, sorted. Two of one attempt fail the test.
    pub fn results(&self) -> Vec<(String, u64, String)> {
        let mut results: Vec<_> = self
            .of("job:file:done")
            .map(|event| {
                let args = &event["args"];
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (text(&args[2]), args[3].as_u64().unwrap(), text(&args[4]["outcome"]))
            })
            .collect();
        results.sort();
        let one_each = results
            .windows(2)
            .all(|two| (&two[0].0, two[0].1) != (&two[1].0, two[1].1));
        assert!(one_each, "an attempt has two results: {results:#?}");
        results
    }

    /// What each attempt of a file wrote to standard output, by path and attempt.
    pub fn output(&self) -> BTreeMap<(String, u64), String> {
        let mut text: BTreeMap<u64, String> = BTreeMap::new();
        for event in self.of("job:cmd:stdout") {
            let num = event["args"][1].as_u64().unwrap();
            text.entry(num)
                .or_default()
                .push_str(event["args"][2].as_str().unwrap());
        }
        let begun = self.of("job:file:start").map(|event| {
            let args = &event["args"];
            let said = text.remove(&args[1].as_u64().unwrap()).unwrap_or_default();
            ((args[2].as_str().unwrap().to_owned(), args[4].as_u64().unwrap()), said)
        });
        begun.collect()
    }
}
