//! HTTP by hand, so that a test can send any header, any body and nothing it does not mean to, and read a stream line
//! by line. Version 1.0, so that a body is what comes until the connection ends.

use super::soon;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A request.
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body as it came, packed or not.
    pub bytes: Vec<u8>,
}

/// An answer whose body is still coming.
pub struct Stream {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the answer's head. `host` is where to connect, and the Host header unless one is set.
    pub async fn open(self, host: &str) -> Stream {
        let mut head = format!(
            "{} {} HTTP/1.0\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str(&format!("host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut socket = TcpStream::connect(host).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&self.body).await.unwrap();
        let mut reader = BufReader::new(socket);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
        let headers = headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Stream {
            status,
            headers,
            reader,
        }
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self, host: &str) -> Reply {
        let mut stream = self.open(host).await;
        let mut body = Vec::new();
        stream.reader.read_to_end(&mut body).await.unwrap();
        Reply {
            status: stream.status,
            headers: stream.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            bytes: body,
        }
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }

    /// Checks that this is an error of the API; answers its kind and message.
    pub fn error(&self) -> (String, String) {
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        let view = self.json();
        let text = |key: &str| {
            view[key]
                .as_str()
                .unwrap_or_else(|| panic!("no {key}: {self:?}"))
                .to_owned()
        };
        (text("kind"), text("error"))
    }
}

impl Stream {
    /// The next line without its end; `None` when the body has ended.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon("a line", self.reader.read_line(&mut line)).await.unwrap();
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next server-sent event as (id, event, data), comments skipped; `None` when the stream has ended.
    pub async fn event(&mut self) -> Option<(Option<u64>, String, String)> {
        let (mut id, mut kind, mut data) = (None, String::new(), String::new());
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("id", value)) => id = value.parse().ok(),
                Some(("event", value)) => kind = value.into(),
                Some(("data", value)) => data = value.into(),
                _ if line.is_empty() && !data.is_empty() => return Some((id, kind, data)),
                _ => {}
            }
        }
    }
}
