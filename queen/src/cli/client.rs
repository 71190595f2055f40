//! A small HTTP client of the queen's API: JSON, text, and the event stream line by line.
//!
//! Owns addresses, the token and how errors are read; knows nothing of what jobs mean. The library blocks, so calls
//! run on blocking threads; a stream has a thread of its own and a bounded channel, so a slow reader slows the socket.

use super::{Failure, exit};
use queen::api::view::ErrorView;
use serde::{Serialize, de::DeserializeOwned};
use shared::{JobId, Secret, Seq};
use std::{
    io::{BufRead, BufReader, Read},
    time::Duration,
};
use tokio::sync::mpsc;

/// Lines of a stream that may wait for the reader.
const BACKLOG: usize = 256;
/// Bytes of one line of a stream; a recorded event is always shorter.
const LINE_LIMIT: u64 = 4 * 1024 * 1024;
/// Bytes of one answer.
const BODY_LIMIT: u64 = 256 * 1024 * 1024;
/// Silence after which a stream counts as lost. The queen says something at least every fifteen seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error(
        "no queen answers at {url}: {why}; start one with `queen serve`, or give the right address with --queen or QUEEN_URL"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// The system's words.
        why: String,
    },
    /// The queen said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's word for programs.
        kind: String,
        /// What happened and what to do.
        message: String,
    },
    /// What answers there is no queen, or one of another age.
    #[error("the answer of {url} is not what a queen says: {why}")]
    Strange {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ClientError {
    /// True if it may be otherwise in a moment: the queen is starting again or cannot write just now.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..=599),
            Self::Strange { .. } => false,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match error {
            ClientError::Refused { .. } => exit::FAILED,
            _ => exit::LOST,
        };
        Self::new(code, error)
    }
}

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    token: Option<Secret>,
    agent: ureq::Agent,
}

impl Client {
    /// A client of the queen at `address`, `http(s)://host[:port][/path]`; without a scheme, `http`.
    pub fn new(address: &str, token: Option<Secret>) -> Result<Self, Failure> {
        let bad = |why: String| {
            let text =
                format!("the queen's address {address:?} cannot be used: {why}; give one like http://127.0.0.1:7874");
            Failure::new(exit::NOTHING, text)
        };
        let base = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let parsed = url::Url::parse(&base).map_err(|error| bad(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad(format!("{} is no way to reach a queen", parsed.scheme())));
        }
        if parsed.password().is_some() || !parsed.username().is_empty() {
            return Err(bad("it holds a user name; put the token into QUEEN_TOKEN".into()));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .user_agent(concat!("queen/", env!("CARGO_PKG_VERSION")));
        let loopback = match parsed.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if loopback {
            config = config.proxy(None);
        }
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            token,
            agent: config.build().into(),
        })
    }

    /// The queen's address, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token that it sends.
    #[must_use]
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// Reads JSON from below `/api/v1`, for example `jobs/x`.
    pub async fn get<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Result<T, ClientError> {
        self.ask("GET", format!("/api/v1/{path}"), None)
            .await
            .and_then(|body| self.read(path, &body))
    }

    /// Sends JSON below `/api/v1` and reads the answer.
    pub async fn post<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error))?;
        let answer = self.ask("POST", format!("/api/v1/{path}"), Some(body)).await?;
        self.read(path, &answer)
    }

    /// Puts something below `/api/v1`; the answer says no more than that it was done.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error))?;
        self.ask("PUT", format!("/api/v1/{path}"), Some(body)).await.map(drop)
    }

    /// Deletes something below `/api/v1`.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.ask("DELETE", format!("/api/v1/{path}"), None).await.map(drop)
    }

    /// Reads text from an absolute path of the queen, `/healthz` for example.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.ask("GET", path.to_owned(), None).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Copies a long answer to `out` as it comes. An error of `out` ends the copy without one: nobody reads any more.
    pub async fn copy(&self, path: &str, mut out: impl std::io::Write + Send + 'static) -> Result<(), ClientError> {
        let (this, path) = (self.clone(), path.to_owned());
        blocking(move || {
            let mut body = this.call("GET", &path, None, None)?.into_reader();
            let mut piece = vec![0; 64 * 1024];
            loop {
                let read = body.read(&mut piece).map_err(|error| this.unreachable(error))?;
                if read == 0 || out.write_all(&piece[..read]).is_err() {
                    let _ = out.flush();
                    return Ok(());
                }
            }
        })
        .await
    }

    /// A job's events from `from` on, first what is recorded, then live. Dropping the stream ends it.
    #[must_use]
    pub fn events(&self, job: &JobId, from: Seq) -> Events {
        let (lines, receiver) = mpsc::channel(BACKLOG);
        let (this, path) = (self.clone(), format!("/api/v1/jobs/{job}/events?from={}", from.0));
        // Not on tokio's blocking pool: a reader that waits for a silent queen must not hold up the end of the program.
        let thread = std::thread::Builder::new().name("events".into()).spawn({
            let lines = lines.clone();
            move || {
                if let Err(error) = this.read_events(&path, &lines) {
                    let _ = lines.blocking_send(Err(error));
                }
            }
        });
        if let Err(error) = thread {
            let _ = lines.try_send(Err(self.unreachable(error)));
        }
        Events(receiver)
    }

    fn read_events(&self, path: &str, lines: &mpsc::Sender<Result<String, ClientError>>) -> Result<(), ClientError> {
        let body = self.call("GET", path, None, Some("text/event-stream"))?;
        let mut reader = BufReader::new(body.into_with_config().limit(u64::MAX).reader());
        let (mut data, mut line) = (String::new(), Vec::new());
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line);
            if read.map_err(|error| self.unreachable(error))? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                if !data.is_empty() && lines.blocking_send(Ok(std::mem::take(&mut data))).is_err() {
                    return Ok(());
                }
            } else if let Some(value) = text.strip_prefix("data:") {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value.strip_prefix(' ').unwrap_or(value));
            } else if text.starts_with(':') && lines.is_closed() {
                // A word to keep the connection: a good moment to see that nobody reads any more.
                return Ok(());
            }
        }
    }

    async fn ask(&self, method: &'static str, path: String, body: Option<Vec<u8>>) -> Result<Vec<u8>, ClientError> {
        let this = self.clone();
        blocking(move || {
            let answer = this.call(method, &path, body, None)?;
            let mut answer = answer.into_with_config().limit(BODY_LIMIT).reader();
            let mut bytes = Vec::new();
            answer
                .read_to_end(&mut bytes)
                .map_err(|error| this.unreachable(error))?;
            Ok(bytes)
        })
        .await
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        accept: Option<&str>,
    ) -> Result<ureq::Body, ClientError> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let bad_token = "the token holds characters that no token has";
        let answer = match body {
            Some(body) => {
                let request = request.body(body).map_err(|_| self.strange(bad_token))?;
                let request = self
                    .agent
                    .configure_request(request)
                    .timeout_per_read(Some(SILENCE))
                    .build();
                self.agent.run(request)
            }
            None => {
                let request = request.body(()).map_err(|_| self.strange(bad_token))?;
                let request = self
                    .agent
                    .configure_request(request)
                    .timeout_per_read(Some(SILENCE))
                    .build();
                self.agent.run(request)
            }
        };
        let answer = answer.map_err(|error| match error {
            ureq::Error::Io(error) => self.unreachable(error),
            ureq::Error::HostNotFound => self.unreachable("there is no machine of that name"),
            error => self.unreachable(error),
        })?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let text = body.read_to_string().unwrap_or_default();
        Err(match serde_json::from_str::<ErrorView>(&text) {
            Ok(view) => ClientError::Refused {
                status,
                kind: view.kind,
                message: view.error,
            },
            Err(_) => self.strange(format!("status {status} for {path}")),
        })
    }

    fn read<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.strange(format!("{path}: {error}")))
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> ClientError {
        ClientError::Unreachable {
            url: self.base.clone(),
            why: why.to_string(),
        }
    }

    fn strange(&self, why: impl std::fmt::Display) -> ClientError {
        ClientError::Strange {
            url: self.base.clone(),
            why: why.to_string(),
        }
    }
}

/// Runs a blocking call to its end. It is abandoned, not stopped, when the future is dropped.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
) -> Result<T, ClientError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(error) => Err(ClientError::Strange {
            url: "the client itself".into(),
            why: error.to_string(),
        }),
    }
}

/// Lines of an event stream.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Result<String, ClientError>>);

impl Events {
    /// The next event as JSON text; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Result<String, ClientError>> {
        self.0.recv().await
    }
}

/// A text as one part of a path or query.
#[must_use]
pub fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[cfg(test)]
#[path = "client_tests.rs"]
pub mod tests;
