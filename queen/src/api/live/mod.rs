//! `/api/v1/live`: a browser's WebSocket, over which it hears of jobs and lists and asks for a few things.
//!
//! One task owns the socket. Each subscription is a task of its own that hands batches to it through a short queue: a
//! client that does not read fills the queue, its subscriptions stand still, lose their place on the bus and are told
//! `lagged`. Nothing else ever waits for it. Read next: `subscribe.rs`, `outline.rs`, `request.rs`.

mod info;
mod outline;
mod request;
mod subscribe;

use super::{auth::Access, error::Answer};
use crate::app::Context;
use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message as WsMessage, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use futures_util::SinkExt;
use shared::{
    JobId,
    protocol::{
        FRAME_LIMIT, Frame,
        frame::join,
        live::{FromClient, Subscription, ToClient, Topic},
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Silence of the client after which it is asked whether it lives; after twice this it is taken for dead.
const PING: Duration = Duration::from_secs(20);
/// A client that takes nothing off a full connection for this long is cut.
const STALLED: Duration = Duration::from_secs(60);
/// A queen that stops waits this long for a write to end.
const PARTING: Duration = Duration::from_secs(1);
/// Batches that wait for the socket.
const QUEUE: usize = 4;
/// Bytes that are sent before they are flushed, and about the most of one frame.
const BATCH: usize = 256 * 1024;
/// The most subscriptions and requests under way on one socket.
const TASKS: usize = 100;

/// Takes a browser's WebSocket. Whoever comes here may read.
pub async fn upgrade(
    State(context): State<Context>,
    Extension(access): Extension<Access>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let socket = super::upgrade::live(socket)?
        .read_buffer_size(8 * 1024)
        .write_buffer_size(64 * 1024)
        .max_write_buffer_size(4 * FRAME_LIMIT)
        // A frame somewhat over the limit is still read, so that the reason reaches the client before the end.
        .max_message_size(2 * FRAME_LIMIT)
        .max_frame_size(2 * FRAME_LIMIT);
    let tracker = context.connections.clone();
    Ok(socket.on_upgrade(move |socket| tracker.track_future(serve(context, access, socket))))
}

/// What a subscription or request hands to the socket.
struct Batch {
    /// The subscription that it belongs to; what comes late for an ended one is not sent.
    subscription: Option<u64>,
    /// Messages as JSON text, in order.
    lines: Vec<Arc<str>>,
    /// Nothing more comes of the subscription.
    last: bool,
}

impl Batch {
    fn say(message: &ToClient) -> Arc<str> {
        // A message of the queen's own always has a JSON form.
        serde_json::to_string(message).unwrap_or_default().into()
    }

    fn answer(message: &ToClient) -> Self {
        Self {
            subscription: None,
            lines: vec![Self::say(message)],
            last: false,
        }
    }
}

/// What can be subscribed to once at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Job(JobId),
    Jobs,
    Drones,
    Project(String),
}

impl Key {
    fn of(what: &Subscription) -> Result<Self, String> {
        match what {
            Subscription::Job { job, .. } => Ok(Self::Job(job.clone())),
            Subscription::Topic { topic: Topic::Jobs, .. } => Ok(Self::Jobs),
            Subscription::Topic {
                topic: Topic::Drones, ..
            } => Ok(Self::Drones),
            Subscription::Topic {
                topic: Topic::Project,
                project: Some(project),
            } => Ok(Self::Project(project.clone())),
            Subscription::Topic { project: None, .. } => {
                Err("the topic project needs a project: {\"topic\": \"project\", \"project\": \"owner/name\"}".into())
            }
        }
    }
}

/// One client.
struct Client {
    context: Context,
    access: Access,
    queue: mpsc::Sender<Batch>,
    tasks: JoinSet<()>,
    subscriptions: HashMap<Key, (u64, AbortHandle)>,
    /// The subscriptions whose batches are still wanted.
    wanted: HashSet<u64>,
    /// Subscriptions made so far.
    made: u64,
    /// Cancelled when a subscription broke off that should go on: the client has to connect again.
    broken: CancellationToken,
}

async fn serve(context: Context, access: Access, mut socket: WebSocket) {
    let shutdown = context.shutdown.clone();
    let (queue, mut batches) = mpsc::channel(QUEUE);
    let mut client = Client {
        context,
        access,
        queue,
        tasks: JoinSet::new(),
        subscriptions: HashMap::new(),
        wanted: HashSet::new(),
        made: 0,
        broken: CancellationToken::new(),
    };
    let broken = client.broken.clone();
    let mut silence = Box::pin(tokio::time::sleep(PING));
    let mut asked = false;
    let (code, reason) = loop {
        let written = tokio::select! {
            () = shutdown.cancelled() => break (close_code::AWAY, "the queen stops: connect again".to_owned()),
            () = broken.cancelled() => break (close_code::AGAIN, "the queen cannot read its store just now: connect again".to_owned()),
            frame = socket.recv() => {
                silence.set(tokio::time::sleep(PING));
                asked = false;
                match frame {
                    Some(Ok(WsMessage::Text(text))) if text.len() > FRAME_LIMIT => {
                        break (close_code::SIZE, format!("the frame has {} bytes, the limit is {FRAME_LIMIT}", text.len()));
                    }
                    Some(Ok(WsMessage::Text(text))) => {
                        let answers = client.on_frame(&text).await;
                        send(&mut socket, &answers, &shutdown).await
                    }
                    Some(Ok(WsMessage::Binary(_))) => {
                        let error = client.error("binary frames are not part of the protocol: send text", None);
                        send(&mut socket, &[error], &shutdown).await
                    }
                    Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => Ok(()),
                    Some(Ok(WsMessage::Close(_))) | None => return,
                    Some(Err(error)) => break (close_code::SIZE, format!("the connection broke: {error}")),
                }
            }
            Some(batch) = batches.recv() => {
                let lines = client.collect(batch, &mut batches);
                send(&mut socket, &lines, &shutdown).await
            }
            Some(_) = client.tasks.join_next() => Ok(()),
            () = &mut silence => {
                if asked {
                    break (close_code::AWAY, "nothing was heard from you: connect again".to_owned());
                }
                asked = true;
                silence.set(tokio::time::sleep(PING));
                in_time(socket.send(WsMessage::Ping(Vec::new().into())), &shutdown).await
            }
        };
        if let Err(reason) = written {
            tracing::debug!(reason, "a live client is cut");
            return;
        }
    };
    let reason = reason
        .chars()
        .filter(char::is_ascii)
        .take(120)
        .collect::<String>()
        .into();
    let close = WsMessage::Close(Some(CloseFrame { code, reason }));
    // The client may be gone already.
    let _ = tokio::time::timeout(PARTING, socket.send(close)).await;
}

/// Writes messages as few frames and flushes once.
async fn send(socket: &mut WebSocket, lines: &[Arc<str>], shutdown: &CancellationToken) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    let write = async {
        if let [line] = lines {
            return socket.send(WsMessage::text(line.as_ref())).await;
        }
        for frame in join(lines.iter().map(AsRef::as_ref), BATCH) {
            socket.feed(WsMessage::text(frame)).await?;
        }
        socket.flush().await
    };
    in_time(write, shutdown).await
}

/// A client that does not read holds up neither its task nor the queen's end for ever.
async fn in_time(
    write: impl Future<Output = Result<(), axum::Error>>,
    shutdown: &CancellationToken,
) -> Result<(), String> {
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(STALLED) => format!("it took nothing for {} s", STALLED.as_secs()),
            () = async { shutdown.cancelled().await; tokio::time::sleep(PARTING).await } => "the queen stops".into(),
        }
    };
    tokio::select! {
        written = write => written.map_err(|error| format!("the connection broke: {error}")),
        why = patience => Err(why),
    }
}

impl Client {
    /// The messages to send of `first` and of what else waits, up to a batch.
    fn collect(&mut self, first: Batch, batches: &mut mpsc::Receiver<Batch>) -> Vec<Arc<str>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        let mut arrived = Some(first);
        while let Some(batch) = arrived {
            if batch.subscription.is_none_or(|number| self.wanted.contains(&number)) {
                bytes += batch.lines.iter().map(|line| line.len()).sum::<usize>();
                lines.extend(batch.lines);
            }
            if let Some(number) = batch.subscription.filter(|_| batch.last) {
                self.wanted.remove(&number);
                self.subscriptions.retain(|_, (own, _)| *own != number);
            }
            arrived = if bytes < BATCH { batches.try_recv().ok() } else { None };
        }
        lines
    }

    /// Serves a frame; answers what is to be said at once.
    async fn on_frame(&mut self, text: &str) -> Vec<Arc<str>> {
        let frame = match Frame::read(text) {
            Ok(frame) => frame,
            Err(error) => return vec![self.error(&error.to_string(), None)],
        };
        let mut answers = Vec::new();
        for message in &frame.0 {
            match FromClient::read(message) {
                Ok(Some(request)) => answers.extend(self.on_request(request).await),
                Ok(None) => metrics::counter!("skep_messages_dropped_total", "why" => "unknown-type").increment(1),
                Err(error) => answers.push(self.error(&error.to_string(), Some(&message.kind))),
            }
        }
        answers
    }

    fn error(&self, message: &str, about: Option<&str>) -> Arc<str> {
        Batch::say(&ToClient::Error {
            message: message.into(),
            about: about.map(Into::into),
        })
    }

    /// Starts or replaces a subscription.
    fn subscribe(&mut self, what: Subscription) -> Result<(), String> {
        let key = Key::of(&what)?;
        self.unsubscribe(&what)?;
        self.has_room()?;
        self.made += 1;
        let task = subscribe::Task {
            context: self.context.clone(),
            number: self.made,
            queue: self.queue.clone(),
            broken: self.broken.clone(),
        };
        let handle = self.tasks.spawn(task.run(what));
        self.wanted.insert(self.made);
        self.subscriptions.insert(key, (self.made, handle));
        Ok(())
    }

    fn unsubscribe(&mut self, what: &Subscription) -> Result<(), String> {
        if let Some((number, handle)) = self.subscriptions.remove(&Key::of(what)?) {
            handle.abort();
            self.wanted.remove(&number);
        }
        Ok(())
    }

    fn has_room(&self) -> Result<(), String> {
        if self.tasks.len() < TASKS {
            return Ok(());
        }
        Err(format!(
            "{TASKS} subscriptions and requests are under way on this connection, which is the limit: end some first"
        ))
    }
}
