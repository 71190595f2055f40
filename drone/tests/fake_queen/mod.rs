//! A queen that does what a test says: a WebSocket server with the real messages, and a drone that talks to it.
//!
//! It owns the scripting of messages and the check that none is left over. It decides nothing by itself, except in
//! [`Peer::play`], which does what a queen does with a job that nobody disturbs.

use drone::{Config, DroneError, Stop, config::Layer};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shared::{
    JobData, JobId, LeaseToken, Num,
    protocol::{Lease, Role, RunFile, ToDrone, event::Phase, to_drone::Exposed},
};
use std::{collections::VecDeque, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode},
    },
};

/// Longer than anything takes that works.
pub const SOON: Duration = Duration::from_secs(30);

pub struct FakeQueen {
    listener: TcpListener,
    pub url: String,
}

impl FakeQueen {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next connection, up to its hello.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = timeout(SOON, self.listener.accept())
            .await
            .expect("no connection")
            .unwrap();
        #[expect(clippy::result_large_err, reason = "the type is the library's")]
        let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/api/v1/drone");
            assert_eq!(request.headers()["authorization"], "Bearer t0ken");
            assert_eq!(request.headers()["sec-websocket-protocol"], "skep.drone.v1");
            let protocol = HeaderValue::from_static("skep.drone.v1");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
        let mut peer = Peer {
            socket,
            heard: VecDeque::new(),
            last: 0,
        };
        let hello = peer.next().await;
        assert_eq!(hello["type"], "drone:hello");
        peer.last = hello["args"][0]["first"].as_u64().unwrap() - 1;
        peer
    }

    /// Answers the next connection with a status and no WebSocket.
    pub async fn refuse(&self, status: StatusCode) {
        let (stream, _) = timeout(SOON, self.listener.accept())
            .await
            .expect("no connection")
            .unwrap();
        #[expect(clippy::result_large_err, reason = "the type is the library's")]
        let refuse = |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
            let mut response = ErrorResponse::new(Some("no".into()));
            *response.status_mut() = status;
            Err(response)
        };
        assert!(tokio_tungstenite::accept_hdr_async(stream, refuse).await.is_err());
    }
}

/// One connection of the drone.
pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    heard: VecDeque<Value>,
    /// The last `n` that was heard.
    pub last: u64,
}

impl Peer {
    pub async fn say(&mut self, message: &ToDrone) {
        self.socket
            .send(Message::text(serde_json::to_string(message).unwrap()))
            .await
            .unwrap();
    }

    /// The next message. Numbers must come without a gap.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some(message) = self.heard.pop_front() {
                if let Some(n) = message["n"].as_u64() {
                    assert_eq!(n, self.last + 1, "{message}");
                    self.last = n;
                }
                return message;
            }
            let frame = timeout(SOON, self.socket.next()).await.expect("the drone is silent");
            let Message::Text(text) = frame.expect("the drone has gone").unwrap() else {
                continue;
            };
            match serde_json::from_str(&text).unwrap() {
                Value::Array(all) => self.heard.extend(all),
                one => self.heard.push_back(one),
            }
        }
    }

    /// The next message, which must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// Every message up to the first of this type, that one included.
    pub async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last: &Value| last["type"] != kind) {
            all.push(self.next().await);
        }
        all
    }

    pub async fn ack(&mut self) {
        let n = self.last;
        self.say(&ToDrone::Ack { n }).await;
    }

    /// Asks the drone what it can do and answers with that.
    pub async fn info(&mut self) -> Value {
        self.say(&ToDrone::QueryInfo {}).await;
        let info = self.expect("drone:info").await;
        self.ack().await;
        info["args"][0].clone()
    }

    pub async fn start(&mut self, job: &Value, role: Role, token: u64, num: u32) {
        let lease = Lease {
            token: LeaseToken(token),
            role,
            num: Num(num),
        };
        let job = Exposed(Box::new(JobData::parse(&job.to_string()).unwrap()));
        self.say(&ToDrone::QueueNew { job, lease }).await;
    }

    pub async fn phase(&mut self, job: &str, token: u64, phase: Phase, num: u32) {
        let (job, lease, num) = (id(job), LeaseToken(token), Num(num));
        self.say(&ToDrone::JobPhase { job, lease, phase, num }).await;
    }

    pub async fn run(&mut self, job: &str, token: u64, files: &[(u32, &str)]) {
        let files = files.iter().map(|(num, path)| RunFile {
            num: Num(*num),
            path: (*path).to_owned(),
            attempt: shared::Attempt(1),
            timeout: None,
            cases: None,
            part: None,
        });
        let (job, lease, files) = (id(job), LeaseToken(token), files.collect());
        self.say(&ToDrone::JobRun { job, lease, files }).await;
    }

    pub async fn cancel(&mut self, job: &str) {
        let (job, reason) = (id(job), "a test".to_owned());
        self.say(&ToDrone::JobCancel {
            job,
            reason,
            lease: None,
        })
        .await;
    }

    /// Does what a queen does with a job that nobody disturbs, and answers with everything that the drone said.
    pub async fn play(&mut self, job: &Value) -> Vec<Value> {
        let name = job["job_id"].as_str().unwrap();
        let kind = job["job_type"].as_str().unwrap_or("TEST");
        let (mut all, mut left, mut bad) = (Vec::new(), 0, false);
        self.start(job, Role::Home, 1, 0).await;
        loop {
            let message = self.next().await;
            self.ack().await;
            all.push(message.clone());
            let args = &message["args"];
            match message["type"].as_str().unwrap() {
                "job:phase" if args[1] == "prepare" && args[2] == "done" => match args[3].as_i64() {
                    Some(0) if kind == "DEPLOY" => self.phase(name, 1, Phase::Deploy, 200).await,
                    None | Some(0) => {}
                    Some(_) => self.phase(name, 1, Phase::Cleanup, 300).await,
                },
                "job:files" => {
                    let paths: Vec<&str> = args[1]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|path| path.as_str().unwrap())
                        .collect();
                    left = paths.len();
                    let files: Vec<_> = (100..).zip(paths).collect();
                    self.run(name, 1, &files).await;
                }
                "job:file:done" => {
                    left -= 1;
                    bad |= args[4]["outcome"] != "passed";
                    if left == 0 && kind == "TEST&DEPLOY" && !bad {
                        self.phase(name, 1, Phase::Deploy, 200).await;
                    } else if left == 0 {
                        self.phase(name, 1, Phase::Cleanup, 300).await;
                    }
                }
                "job:deployed" => self.phase(name, 1, Phase::Cleanup, 300).await,
                "job:done" | "job:errored" | "job:cancelled" => return all,
                _ => {}
            }
        }
    }

    /// Cuts the line as a broken network does.
    pub fn cut(self) {}

    /// The drone says goodbye and nothing else.
    pub async fn finish(self) {
        let left = self.last_words().await;
        assert!(left.is_empty(), "left over: {left:?}");
    }

    /// What the drone still says before it closes the connection.
    async fn last_words(mut self) -> Vec<Value> {
        let mut words = Vec::from(std::mem::take(&mut self.heard));
        loop {
            let frame = timeout(SOON, self.socket.next()).await;
            match frame.expect("the drone does not leave") {
                None | Some(Err(_) | Ok(Message::Close(_))) => return words,
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).unwrap() {
                    Value::Array(all) => words.extend(all),
                    one => words.push(one),
                },
                Some(Ok(_)) => {}
            }
        }
    }
}

pub fn id(job: &str) -> JobId {
    JobId::new(job).unwrap()
}

/// A job of that type without a source, whose commands are those of the plugin `shell`.
pub fn shell_job(kind: &str, commands: Value) -> Value {
    json!({
        "job_id": "j1", "project": "a/b", "job_type": kind, "trigger": {"type": "manual", "timestamp": 1},
        "plugins": ["shell"], "config": {"shell": commands},
    })
}

/// A drone of this test.
pub struct TestDrone {
    pub data: TempDir,
    pub stop: Stop,
    running: JoinHandle<Result<(), DroneError>>,
}

impl TestDrone {
    pub fn start(queen: &FakeQueen, capacity: u32) -> Self {
        Self::with(queen, |layer| layer.capacity = Some(capacity))
    }

    pub fn with(queen: &FakeQueen, change: impl FnOnce(&mut Layer)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut layer = Layer {
            queen: Some(queen.url.clone()),
            token: Some("t0ken".into()),
            data: Some(data.path().to_owned()),
            name: Some("tester".into()),
            speed: Some(100),
            capacity: Some(2),
            grace: Some(1),
            ..Layer::default()
        };
        change(&mut layer);
        let stop = Stop::default();
        let running = tokio::spawn(drone::run_until(Config::from_layer(layer).unwrap(), stop.clone()));
        Self { data, stop, running }
    }

    /// How the drone ended.
    pub async fn ended(&mut self) -> Result<(), DroneError> {
        timeout(SOON, &mut self.running)
            .await
            .expect("the drone does not end")
            .unwrap()
    }

    /// Tells it to go, and checks that nothing is left of its work.
    ///
    /// Answers with its data folder. That it drains it may say or not: it does not wait until anybody has heard that.
    pub async fn leave(mut self, peer: Peer) -> TempDir {
        self.stop.drain.cancel();
        for word in peer.last_words().await {
            assert_eq!(
                (&word["type"], &word["args"][0]["capacity"]),
                (&"drone:info".into(), &0.into()),
                "{word}"
            );
        }
        self.ended().await.unwrap();
        self.assert_clean();
        self.data
    }

    /// No workspace is left.
    pub fn assert_clean(&self) {
        let left = workspaces(self.data.path());
        assert!(left.is_empty(), "left over: {left:?}");
    }
}

/// The folders of jobs in a drone's data folder: each drone has a folder of its own there.
pub fn workspaces(data: &Path) -> Vec<String> {
    let below = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let homes = below(&data.join("workspaces"));
    let folders = homes.iter().flat_map(|home| below(home));
    folders.map(|path| path.display().to_string()).collect()
}

/// Processes of which the command line or the environment holds `marker`.
pub fn processes(marker: &str) -> Vec<String> {
    let holds = |path: std::path::PathBuf| {
        let text = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(marker)
    };
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter(|entry| *entry.file_name() != *own)
        .filter(|entry| holds(entry.path().join("cmdline")) || holds(entry.path().join("environ")))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Types, with what tells phases and commands apart; output left out.
pub fn story(messages: &[Value]) -> Vec<String> {
    let words = messages.iter().filter_map(|message| {
        let args = &message["args"];
        let word = |i: usize| args[i].as_str().unwrap_or_default().to_owned();
        Some(match message["type"].as_str().unwrap() {
            "job:phase" => format!("{} {}{}", word(1), word(2), code(&args[3])),
            "job:cmd:start" => format!("${} {}", args[1], word(2)),
            "job:cmd:done" => format!("${} ={}", args[1], args[2]),
            "job:file:done" => format!("file {} {}", word(2), args[4]["outcome"].as_str().unwrap()),
            "job:cmd:stdout" | "job:cmd:stderr" => return None,
            "job:files" => format!("files {}", args[1]),
            "job:deployed" => format!("deployed{}", code(&args[1])),
            "job:errored" => format!("errored {}", args[1]["kind"].as_str().unwrap()),
            other => other.trim_start_matches("job:").to_owned(),
        })
    });
    words.collect()
}

fn code(value: &Value) -> String {
    value.as_i64().map_or_else(String::new, |code| format!(" {code}"))
}

/// What a command wrote, both streams together.
pub fn output(messages: &[Value], num: u32) -> String {
    let of =
        |message: &&Value| message["type"].as_str().unwrap().starts_with("job:cmd:std") && message["args"][1] == num;
    messages
        .iter()
        .filter(of)
        .map(|message| message["args"][2].as_str().unwrap())
        .collect()
}
