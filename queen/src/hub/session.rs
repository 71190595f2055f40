//! One drone's connection: reads frames into the engine, writes what the engine says, notices a dead peer.
//!
//! Reading and writing go side by side; a reader that waits for the engine's budget holds up nobody but its own drone.

use crate::{
    app::Context,
    engine::{Engine, Incoming, Said, SessionId, ToSession},
    store::StoreError,
};
use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message as WsMessage, WebSocket, close_code},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use scheduler::ListedFile;
use shared::{
    DroneId,
    protocol::{
        DRONE_PROTOCOL, FRAME_LIMIT, Frame, Hello, JobEvent, Message, ToQueen, VERSION, frame, to_drone::ToDrone,
        to_queen::Agent,
    },
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Messages that may wait for a drone that does not read; one more and it is cut.
const QUEUE: usize = 16 * 1024;
/// A connection that does not say hello in this time is closed.
const HELLO: Duration = Duration::from_secs(10);
/// A drone that says nothing in this time is taken for dead. It sends a sign of life every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// The most bytes of a frame to a drone.
const FRAME: usize = 256 * 1024;

/// Takes a drone's WebSocket. Whoever comes here has the role `drone`.
pub async fn upgrade(State(context): State<Context>, socket: WebSocketUpgrade) -> Response {
    let socket = socket
        .protocols([DRONE_PROTOCOL])
        .read_buffer_size(8 * 1024)
        .max_write_buffer_size(4 * FRAME_LIMIT)
        .max_message_size(FRAME_LIMIT)
        .max_frame_size(FRAME_LIMIT);
    if socket.selected_protocol().is_none() {
        let message = format!(
            "a drone has to ask for the subprotocol {DRONE_PROTOCOL}: this one is too old, too new, or no drone"
        );
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let tracker = context.connections.clone();
    socket.on_upgrade(move |socket| tracker.track_future(serve(context, socket)))
}

async fn serve(context: Context, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let hello = tokio::select! {
        hello = tokio::time::timeout(HELLO, hello(&mut stream)) => hello,
        () = context.shutdown.cancelled() => return,
    };
    let (hello, rest) = match hello {
        Ok(Ok(hello)) => hello,
        // This code tells the drone that another try would end the same way.
        Ok(Err(reason)) => return close(&mut sink, close_code::POLICY, &reason).await,
        Err(_) => return close(&mut sink, close_code::PROTOCOL, "no drone:hello came within 10 s").await,
    };
    let drone = hello.drone.clone();
    let (queue, outbound) = mpsc::channel(QUEUE);
    let cut = CancellationToken::new();
    let Ok(session) = context.engine.connected(hello, queue, cut.clone()).await else {
        return close(&mut sink, close_code::AGAIN, "the queen cannot write just now").await;
    };
    let reader = Reader {
        engine: &context.engine,
        drone: &drone,
        session,
    };
    let end = tokio::select! {
        end = reader.read(&mut stream, rest) => end,
        reason = write(&mut sink, outbound) => End::Broken(reason),
        () = cut.cancelled() => End::Broken("cut: it did not read, connected again, or has to start over".to_owned()),
        () = context.shutdown.cancelled() => End::Broken("the queen stops".to_owned()),
    };
    let (reason, left) = match end {
        End::Left => ("it said goodbye".to_owned(), true),
        End::Broken(reason) => (reason, false),
    };
    context.engine.gone(session, reason.clone(), left).await;
    close(&mut sink, close_code::AWAY, &reason).await;
}

/// How a connection ended.
enum End {
    /// The drone leaves, and does not come back as the one that it is.
    Left,
    /// Anything else; it may come back.
    Broken(String),
}

async fn close(sink: &mut SplitSink<WebSocket, WsMessage>, code: u16, reason: &str) {
    // 123 bytes are what a close frame can hold.
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // The peer may be gone already.
    let _ = tokio::time::timeout(Duration::from_secs(1), sink.send(WsMessage::Close(Some(frame)))).await;
}

/// The first frame: a hello, and whatever came with it.
async fn hello(stream: &mut SplitStream<WebSocket>) -> Result<(Hello, Option<String>), String> {
    let first = next_text(stream).await.map_err(|end| match end {
        End::Left => "the drone closed the connection".to_owned(),
        End::Broken(reason) => reason,
    })?;
    let frame = Frame::read(&first).map_err(|error| error.to_string())?;
    let Some(message) = frame.0.first() else {
        return Err("the first frame is empty: say drone:hello".into());
    };
    let hello = match ToQueen::read(message).map_err(|error| error.to_string())? {
        Some(ToQueen::Agent(Agent::Hello { hello })) => hello,
        _ => {
            return Err(format!(
                "{} came first: say drone:hello before anything else",
                message.kind
            ));
        }
    };
    if !hello.protocols.contains(&VERSION) {
        return Err(format!(
            "this queen speaks protocol version {VERSION}, the drone {:?}: update the older of them",
            hello.protocols
        ));
    }
    let more = frame.0.len() > 1;
    drop(frame);
    Ok((hello, more.then_some(first)))
}

/// The next text. Every frame is a sign of life.
async fn next_text(stream: &mut SplitStream<WebSocket>) -> Result<String, End> {
    let broken = |reason: String| Err(End::Broken(reason));
    loop {
        let Ok(frame) = tokio::time::timeout(SILENCE, stream.next()).await else {
            return broken(format!("it said nothing for {} s", SILENCE.as_secs()));
        };
        match frame {
            Some(Ok(WsMessage::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(WsMessage::Binary(_))) => return broken("binary frames are not part of the protocol".into()),
            Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => {}
            Some(Ok(WsMessage::Close(Some(frame)))) if frame.code == close_code::AWAY => return Err(End::Left),
            Some(Ok(WsMessage::Close(_))) | None => return broken("the drone closed the connection".into()),
            Some(Err(error)) => return broken(format!("the connection broke: {error}")),
        }
    }
}

/// Writes until the engine drops the queue or the connection breaks; answers why it ended.
async fn write(sink: &mut SplitSink<WebSocket, WsMessage>, mut queue: mpsc::Receiver<ToSession>) -> String {
    let mut waiting = Vec::new();
    loop {
        if queue.recv_many(&mut waiting, 256).await == 0 {
            return "the engine let it go".into();
        }
        let mut ack = None;
        let mut messages = Vec::with_capacity(waiting.len());
        for word in waiting.drain(..) {
            match word {
                ToSession::Message(message) => messages.push(message),
                ToSession::Ack(n) => ack = ack.max(Some(n)),
            }
        }
        if let Some(n) = ack {
            messages.push(serde_json::to_string(&ToDrone::Ack { n }).unwrap_or_default());
        }
        for frame in frame::join(messages.iter().map(String::as_str), FRAME) {
            if let Err(error) = sink.feed(WsMessage::text(frame)).await {
                return format!("the connection broke: {error}");
            }
        }
        if let Err(error) = sink.flush().await {
            return format!("the connection broke: {error}");
        }
    }
}

struct Reader<'a> {
    engine: &'a Engine,
    drone: &'a DroneId,
    session: SessionId,
}

impl Reader<'_> {
    /// Reads until the connection ends; answers why it did. `first` came with the hello.
    async fn read(&self, stream: &mut SplitStream<WebSocket>, first: Option<String>) -> End {
        if let Some(first) = first
            && let Err(reason) = self.frame(&first).await
        {
            return End::Broken(reason);
        }
        loop {
            let text = match next_text(stream).await {
                Ok(text) => text,
                Err(end) => return end,
            };
            if let Err(reason) = self.frame(&text).await {
                return End::Broken(reason);
            }
        }
    }

    async fn frame(&self, text: &str) -> Result<(), String> {
        let messages = match Frame::read(text) {
            Ok(frame) => frame.0,
            Err(error) => {
                metrics::counter!("skep_messages_dropped_total", "why" => "malformed").increment(1);
                warn!(drone = %self.drone, %error, "a frame could not be read");
                return Ok(());
            }
        };
        let mut incoming = Vec::with_capacity(messages.len());
        let mut broken = None;
        for message in &messages {
            match self.message(message).await {
                Ok(said) => incoming.extend(said),
                Err(error) => {
                    broken = Some(format!("what is known of a job's files cannot be read: {error}"));
                    break;
                }
            }
        }
        let taken = self.engine.said(self.session, incoming, text.len()).await;
        taken.map_err(|_| "the engine has stopped".to_owned())?;
        broken.map_or(Ok(()), Err)
    }

    async fn message(&self, message: &Message<'_>) -> Result<Option<Incoming>, StoreError> {
        let said = match ToQueen::read(message) {
            // A sign of life has done its work by arriving; a second hello has none.
            Ok(Some(ToQueen::Agent(Agent::KeepAlive {} | Agent::Hello { .. }))) => Said::Nothing,
            Ok(Some(ToQueen::Agent(Agent::Info { info }))) => Said::Info(info),
            Ok(Some(ToQueen::Agent(Agent::Resume { resume }))) => Said::Resume(resume),
            Ok(Some(ToQueen::Job(event))) => {
                let files = self.listed(&event).await?;
                Said::Job(event, files)
            }
            Ok(None) => {
                metrics::counter!("skep_messages_dropped_total", "why" => "unknown-type").increment(1);
                debug!(drone = %self.drone, kind = %message.kind, "unknown message type");
                Said::Nothing
            }
            Err(error) => {
                metrics::counter!("skep_messages_dropped_total", "why" => "malformed").increment(1);
                warn!(drone = %self.drone, %error, "a message could not be read");
                Said::Nothing
            }
        };
        let counts = message.n.is_some() || !matches!(said, Said::Nothing);
        Ok(counts.then_some(Incoming {
            n: message.n,
            lease: message.lease,
            said,
        }))
    }

    /// The files that a drone lists, with what is known of each. Without their past they are only ordered less well; without
    /// the quarantine a file in it would count as any other, so that the list has to come again on another connection.
    async fn listed(&self, event: &JobEvent) -> Result<Vec<ListedFile>, StoreError> {
        let JobEvent::Files { job, paths, .. } = event else {
            return Ok(Vec::new());
        };
        let store = self.engine.store();
        // What is said of a job that is not there counts for nothing.
        let Some(stored) = store.job(job).await? else {
            return Ok(Vec::new());
        };
        let project = &stored.data.project;
        let quarantined = store.quarantined(project, paths).await?;
        let past = store.expectations(project, paths).await.unwrap_or_else(|error| {
            warn!(%job, %error, "the files' history cannot be read");
            vec![None; paths.len()]
        });
        let known = paths.iter().zip(past).zip(quarantined);
        Ok(known
            .map(|((path, expect), quarantined)| ListedFile {
                // The past of a whole file says nothing of some of its cases.
                expect: expect.filter(|_| !stored.data.cases.contains_key(path)),
                path: path.clone(),
                quarantined,
            })
            .collect())
    }
}
