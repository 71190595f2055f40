//! A browser's side of the live socket.

use super::{Queen, soon};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Error, Message},
};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects to `path` with `headers`.
pub async fn connect(
    addr: &str,
    path: &str,
    protocol: Option<&str>,
    headers: &[(&str, &str)],
) -> Result<Socket, Error> {
    let mut request = ClientRequestBuilder::new(format!("ws://{addr}{path}").parse().unwrap());
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    if let Some(protocol) = protocol {
        request = request.with_sub_protocol(protocol);
    }
    soon("a WebSocket", Box::pin(connect_async(request)))
        .await
        .map(|(socket, _)| socket)
}

/// A live client.
pub struct Live {
    pub socket: Socket,
    waiting: VecDeque<Value>,
}

impl Live {
    pub async fn open(queen: &Queen) -> Self {
        Self::open_with(queen, &[]).await
    }

    /// With headers, for a token.
    pub async fn open_with(queen: &Queen, headers: &[(&str, &str)]) -> Self {
        let socket = connect(&queen.addr, "/api/v1/live", Some("skep.live.v1"), headers)
            .await
            .unwrap();
        Self {
            socket,
            waiting: VecDeque::new(),
        }
    }

    pub async fn text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn say(&mut self, kind: &str, args: Value) {
        self.text(json!({"type": kind, "args": args}).to_string()).await;
    }

    pub async fn subscribe(&mut self, job: &str, from: u64) {
        self.say("subscribe", json!([{"job": job, "from": from}])).await;
    }

    /// The same with the past in outline.
    pub async fn outline(&mut self, job: &str, from: u64) {
        self.say("subscribe", json!([{"job": job, "from": from, "outline": true}]))
            .await;
    }

    /// The next message; `Err` with the reason when the queen has closed.
    pub async fn next(&mut self) -> Result<Value, String> {
        while self.waiting.is_empty() {
            match soon("a live message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).unwrap() {
                    Value::Array(all) => self.waiting.extend(all),
                    one => self.waiting.push_back(one),
                },
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| frame.reason.to_string()).unwrap_or_default());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("ended".into()),
            }
        }
        Ok(self.waiting.pop_front().unwrap())
    }

    /// Everything up to and with the next message of type `kind`.
    pub async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let message = self.next().await.unwrap();
            let found = message["type"] == kind;
            seen.push(message);
            if found {
                return seen;
            }
        }
    }
}
