//! A drone whose every word the test decides.
//!
//! [`FakeDrone::take`] plays the usual way up to the listed files; [`Work`] goes on from there.

use super::{
    Queen,
    live::{Socket, connect},
    soon,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio_tungstenite::tungstenite::Message;

/// A drone.
pub struct FakeDrone {
    pub socket: Socket,
    waiting: VecDeque<Value>,
    n: u64,
}

/// A job that the drone is home to, prepared and with its files listed.
pub struct Work {
    pub job: String,
    pub lease: u64,
    /// The files that the queen has handed out and the test has not run yet.
    pub given: VecDeque<Value>,
}

impl FakeDrone {
    /// One with `capacity` slots that can do everything.
    pub async fn join(queen: &Queen, name: &str, capacity: u32) -> Self {
        Self::join_with(queen, name, capacity, &[]).await
    }

    /// The same with headers, for a token.
    pub async fn join_with(queen: &Queen, name: &str, capacity: u32, headers: &[(&str, &str)]) -> Self {
        let socket = connect(&queen.addr, "/api/v1/drone", Some("skep.drone.v1"), headers)
            .await
            .unwrap();
        let mut drone = Self {
            socket,
            waiting: VecDeque::new(),
            n: 0,
        };
        let hello =
            json!({"id": name, "incarnation": "one", "name": name, "version": "test", "protocols": [1], "first": 1});
        drone.send(json!({"type": "drone:hello", "args": [hello]})).await;
        drone.expect("drone:query-info").await;
        let info = json!({"speed": 100, "capacity": capacity, "plugins": ["git", "shell"], "runners": ["command"],
            "labels": ["fake"], "platform": "linux-x86_64", "version": "test"});
        drone.say("drone:info", json!([info])).await;
        drone
    }

    pub async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Says something under the next number.
    pub async fn say(&mut self, kind: &str, args: Value) {
        self.n += 1;
        let n = self.n;
        self.send(json!({"type": kind, "args": args, "n": n})).await;
    }

    /// Counts a number that the test has used by itself.
    pub fn count(&mut self) {
        self.n += 1;
    }

    /// The next message that is no `ack`.
    pub async fn next(&mut self) -> Value {
        loop {
            while let Some(message) = self.waiting.pop_front() {
                if message["type"] != "ack" {
                    return message;
                }
            }
            match soon("a message to the drone", self.socket.next())
                .await
                .unwrap()
                .unwrap()
            {
                Message::Text(text) => match serde_json::from_str(&text).unwrap() {
                    Value::Array(all) => self.waiting.extend(all),
                    one => self.waiting.push_back(one),
                },
                Message::Close(frame) => panic!("the queen closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The args of the next message of type `kind`; others before it are dropped.
    pub async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message["args"].clone();
            }
        }
    }

    /// Waits until everything said so far is durable at the queen.
    pub async fn acked(&mut self) {
        let n = self.n;
        loop {
            if let Some(at) = self.waiting.iter().position(|message| message["type"] == "ack") {
                if self.waiting.remove(at).unwrap()["args"][0].as_u64().unwrap() >= n {
                    return;
                }
                continue;
            }
            match soon("an ack", self.socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => match serde_json::from_str(&text).unwrap() {
                    Value::Array(all) => self.waiting.extend(all),
                    one => self.waiting.push_back(one),
                },
                Message::Close(frame) => panic!("the queen closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Takes the next job, prepares it with one command (number 0) and lists `paths`.
    pub async fn take(&mut self, paths: &[&str]) -> Work {
        self.take_with(paths, json!({"runner": "command"})).await
    }

    /// The same with a plan of the test's own.
    pub async fn take_with(&mut self, paths: &[&str], plan: Value) -> Work {
        let args = self.expect("queue:new").await;
        let job = args[0]["job_id"].as_str().unwrap().to_owned();
        let lease = args[1]["token"].as_u64().unwrap();
        self.say("job:queued", json!([job, 1])).await;
        self.say("job:started", json!([job, 1])).await;
        self.phase(&job, "environment", "start", None).await;
        self.phase(&job, "environment", "done", Some(0)).await;
        self.phase(&job, "prepare", "start", None).await;
        self.command(&job, 0, "git fetch", "fetched\n").await;
        self.phase(&job, "prepare", "done", Some(0)).await;
        self.phase(&job, "test", "start", None).await;
        self.say("job:files", json!([job, paths, false, plan])).await;
        Work {
            job,
            lease,
            given: VecDeque::new(),
        }
    }

    pub async fn phase(&mut self, job: &str, phase: &str, edge: &str, code: Option<i32>) {
        self.say("job:phase", json!([job, phase, edge, code, 1])).await;
    }

    /// A whole command with some output.
    pub async fn command(&mut self, job: &str, num: u64, line: &str, out: &str) {
        self.say("job:cmd:start", json!([job, num, line])).await;
        self.say("job:cmd:stdout", json!([job, num, out])).await;
        self.say("job:cmd:done", json!([job, num, 0, 5])).await;
    }

    /// The next file that the queen hands out, begun: (num, path).
    pub async fn begin(&mut self, work: &mut Work) -> (u64, String) {
        while work.given.is_empty() {
            let args = self.expect("job:run").await;
            work.given.extend(args[2].as_array().unwrap().iter().cloned());
        }
        let file = work.given.pop_front().unwrap();
        let (num, path) = (file["num"].as_u64().unwrap(), file["path"].as_str().unwrap().to_owned());
        self.say("job:file:start", json!([work.job, num, path, 0, file["attempt"]]))
            .await;
        self.say("job:cmd:start", json!([work.job, num, format!("run {path}")]))
            .await;
        (num, path)
    }

    /// A piece of a command's output.
    pub async fn out(&mut self, work: &Work, num: u64, text: &str) {
        self.say("job:cmd:stdout", json!([work.job, num, text])).await;
    }

    /// Ends a file. `result` is laid over a plain one of `outcome`.
    pub async fn end(&mut self, work: &Work, (num, path): (u64, String), outcome: &str, cases: Value, result: Value) {
        let code = i32::from(outcome != "passed" && outcome != "empty");
        self.say("job:cmd:done", json!([work.job, num, code, 12])).await;
        self.say("job:cases", json!([work.job, num, 1, cases])).await;
        let mut whole = json!({"outcome": outcome, "exit": code, "duration": 12.0});
        for (key, value) in result.as_object().cloned().unwrap_or_default() {
            whole[key] = value;
        }
        self.say("job:file:done", json!([work.job, num, path, 1, whole])).await;
    }

    /// Waits until the queen wants the job cleaned up, does that and says the last word.
    pub async fn finish(&mut self, work: &Work) {
        let args = self.expect("job:phase").await;
        assert_eq!(args[2], "cleanup", "{args}");
        self.phase(&work.job, "cleanup", "start", None).await;
        self.phase(&work.job, "cleanup", "done", Some(0)).await;
        self.say("job:done", json!([work.job, 1])).await;
    }
}
