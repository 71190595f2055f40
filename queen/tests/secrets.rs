//! Secrets stay secret: no byte of them in the database, the API, the commands shown, or the programs' own logs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fleet;

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use fleet::{Fleet, suite};
use serde_json::json;
use shared::secret::QUIET;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
};
use tracing_subscriber::EnvFilter;

const SECRET: &str = "correct-horse-battery-9f31";
const PASSWORD: &str = "pass-w0rd-of-the-forge-77";
const TOKEN: &str = "ghp_token0of0the0forge12345";
const ALL: [&str; 3] = [SECRET, PASSWORD, TOKEN];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn scan(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            scan(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.extend(
                ALL.iter()
                    .filter(|text| contains(&bytes, text))
                    .map(|text| format!("{text} in {}", path.display())),
            );
        }
    }
}

/// A forge that asks who it is and then lets nobody in; answers with its address, and with what it was told.
fn forge() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (say, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut told = None;
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                match line.split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("authorization") => told = Some(value.to_owned()),
                    _ if line.is_empty() => break,
                    _ => {}
                }
            }
            let (status, done) = match told {
                None => ("401 Unauthorized\r\nwww-authenticate: Basic realm=\"forge\"", false),
                Some(told) => ("403 Forbidden", say.send(told).is_ok()),
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if done {
                return;
            }
        }
    });
    (address, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_shows_them() {
    let log = Log::default();
    let writer = log.clone();
    // The finest log that an operator can ask for; both programs add these directives to it.
    let quiet = QUIET.iter().map(|directive| directive.parse().unwrap());
    tracing_subscriber::fmt()
        .with_env_filter(quiet.fold(EnvFilter::new("trace"), EnvFilter::add_directive))
        .with_writer(move || writer.clone())
        .init();

    let fleet = Fleet::with_drone().await;
    // Whole, in pieces that arrive apart, on both streams, and as the process's own failure.
    let body = "echo \"whole $TOKEN\"; printf %s \"$TOKEN\" | head -c 9; sleep 0.1; printf %s \"$TOKEN\" | tail -c +10; echo; \
                echo \"err $TOKEN\" >&2; echo \"1..1\"; echo \"not ok 1 - $TOKEN\"; exit 1";
    let repo = suite(
        &fleet.dir.path().join("repo"),
        "[prepare]\nrun = 'echo prepared with $TOKEN'\n",
        &[("leaky", body)],
    );
    let job = fleet
        .submit(
            &repo,
            json!({
                "repo": {"url": repo.to_str().unwrap(), "auth": {"type": "https", "username": "me", "password": PASSWORD}},
                "secrets": {"TOKEN": SECRET},
                "config": {"prepare": {"run": ["echo prepared with $TOKEN", format!("echo literally {SECRET}")]}},
            }),
        )
        .await;
    let events = fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "failed");
    let shown = serde_json::to_string(&events).unwrap();
    assert!(shown.contains("whole [secret]"), "{shown}");
    for secret in ALL {
        assert!(!shown.contains(secret), "{secret} is in the events: {shown}");
    }
    // A source that cannot be reached with a password in its address.
    let refused = fleet
        .submit(
            &repo,
            json!({"repo": {"url": format!("http://me:{PASSWORD}@127.0.0.1:9/none.git")}}),
        )
        .await;
    let events = fleet.finished(&refused).await;
    assert_eq!(fleet.state(&refused).await, "errored");
    assert!(
        !serde_json::to_string(&events).unwrap().contains(PASSWORD),
        "{events:#?}"
    );
    // A token alone in the address: the forge hears it, and nobody else.
    let (forge, heard) = forge();
    let tokened = fleet
        .submit(
            &repo,
            json!({"repo": {"url": format!("http://{TOKEN}@{forge}/a/b.git")}}),
        )
        .await;
    let events = fleet.finished(&tokened).await;
    assert_eq!(fleet.state(&tokened).await, "errored");
    assert!(serde_json::to_string(&events).unwrap().contains(&forge), "{events:#?}");
    assert_eq!(
        heard.recv().unwrap(),
        format!("Basic {}", STANDARD.encode(format!("{TOKEN}:")))
    );

    for path in [
        format!("/api/v1/jobs/{tokened}"),
        format!("/api/v1/jobs/{tokened}/events"),
        format!("/api/v1/jobs/{job}"),
        format!("/api/v1/jobs/{job}/files"),
        format!("/api/v1/jobs/{job}/log"),
        format!("/api/v1/jobs/{job}/junit.xml"),
        format!("/api/v1/jobs/{job}/events"),
        format!("/api/v1/jobs/{refused}"),
        "/api/v1/jobs".to_owned(),
        "/metrics".to_owned(),
    ] {
        let url = format!("{}{path}", fleet.url);
        let body =
            tokio::task::spawn_blocking(move || ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap())
                .await
                .unwrap();
        assert!(!body.is_empty(), "{path}");
        for secret in ALL {
            assert!(!body.contains(secret), "{secret} is in {path}");
        }
    }

    let dir = fleet.stop().await;
    let mut found = Vec::new();
    for part in ["queen", "d1"] {
        scan(&dir.path().join(part), &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
    let log = log.0.lock().unwrap();
    assert!(log.len() > 100, "the log was captured");
    for secret in ALL {
        assert!(!contains(&log, secret), "{secret} is in the log");
    }
}
