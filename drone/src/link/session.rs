//! One connection to the queen: how it is made, what is said first, how it is kept alive and how it ends.
//!
//! It reads the outbox and passes on what the queen says. It knows nothing of jobs. Read next: `mod.rs`, which makes
//! the next connection when this one is lost.

use super::{FromQueen, LinkError, Outbox, OutboxError};
use crate::Config;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use shared::protocol::{DRONE_PROTOCOL, FRAME_LIMIT, Frame, Hello, ToDrone, to_queen::Agent};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        error::{ProtocolError, SubProtocolError},
        http::{HeaderValue, Request, Response, StatusCode, header},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

/// How often the drone says that it lives, and asks the queen for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the queen may be silent before the connection counts as dead.
const DEAD: Duration = Duration::from_secs(45);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);
/// After this time a connection counts as healthy: the next loss starts from the shortest wait.
const HEALTHY: Duration = Duration::from_secs(5);

/// How bytes get to the queen.
pub trait Connect: Send + Sync {
    /// Carries them.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    /// Opens a WebSocket.
    fn connect(
        &self,
        request: Request<()>,
        limits: WebSocketConfig,
    ) -> impl Future<Output = Result<WebSocketStream<Self::Stream>, tungstenite::Error>> + Send;
}

/// The network of this machine, with TLS where the address says so.
#[derive(Debug, Clone, Copy)]
pub struct Network;

impl Connect for Network {
    type Stream = MaybeTlsStream<TcpStream>;

    async fn connect(
        &self,
        request: Request<()>,
        limits: WebSocketConfig,
    ) -> Result<WebSocketStream<Self::Stream>, tungstenite::Error> {
        let open = tokio_tungstenite::connect_async_tls_with_config(request, Some(limits), true, None);
        Ok(open.await?.0)
    }
}

/// How a connection ended, or why there is none.
#[derive(Debug)]
pub(super) enum End {
    /// The drone leaves.
    Stopped,
    /// Worth another try. The text is for the log.
    Lost(String),
    /// Another try would end the same way.
    Fatal(LinkError),
}

/// Opens a connection.
pub(super) async fn connect<C: Connect>(by: &C, config: &Config) -> Result<WebSocketStream<C::Stream>, End> {
    let request = request(config)?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(FRAME_LIMIT))
        .max_frame_size(Some(FRAME_LIMIT));
    match time::timeout(CONNECT, by.connect(request, limits)).await {
        Err(_) => Err(End::Lost(format!("no answer within {} s", CONNECT.as_secs()))),
        Ok(Err(error)) => Err(refused(config, error)),
        Ok(Ok(socket)) => Ok(socket),
    }
}

fn request(config: &Config) -> Result<Request<()>, End> {
    let bad = |error: String| {
        End::Fatal(LinkError::Address {
            queen: config.queen.clone(),
            error,
        })
    };
    let mut request = config
        .socket()
        .into_client_request()
        .map_err(|error| bad(error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(DRONE_PROTOCOL));
    if let Some(token) = &config.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose().trim()))
            .map_err(|_| bad("the token holds characters that no token has".into()))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

fn refused(config: &Config, error: tungstenite::Error) -> End {
    let queen = config.queen.clone();
    match error {
        tungstenite::Error::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED => End::Fatal(LinkError::Unauthorized {
                queen,
                given: config.token.is_some(),
            }),
            StatusCode::FORBIDDEN => End::Fatal(LinkError::Forbidden {
                queen,
                said: said(&response),
            }),
            status => End::Lost(format!("the queen answered {status}{}", said(&response))),
        },
        tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol | SubProtocolError::InvalidSubProtocol,
        )) => End::Fatal(LinkError::Refused {
            queen,
            reason: format!("it does not speak {DRONE_PROTOCOL}"),
        }),
        tungstenite::Error::Url(error) => End::Fatal(LinkError::Address {
            queen,
            error: error.to_string(),
        }),
        error => End::Lost(error.to_string()),
    }
}

/// What the queen wrote beside the status, cut to one line.
fn said(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let line: String = text.lines().next().unwrap_or_default().chars().take(300).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// One open connection and what it works with.
pub(super) struct Session<'a> {
    pub(super) queen: &'a str,
    /// Whose `first` is put in here.
    pub(super) hello: Hello,
    pub(super) outbox: &'a Outbox,
    pub(super) inbox: &'a mpsc::Sender<FromQueen>,
    pub(super) stop: &'a CancellationToken,
    /// Set once the connection counts as healthy.
    pub(super) healthy: &'a mut bool,
}

impl Session<'_> {
    /// Says hello, sends what is not acknowledged, and goes on until the connection ends.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, socket: WebSocketStream<S>) -> End {
        let (mut sink, stream) = socket.split();
        let healthy = async {
            time::sleep(HEALTHY).await;
            *self.healthy = true;
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            biased;
            () = self.stop.cancelled() => End::Stopped,
            end = write(&mut sink, self.hello, self.outbox) => end,
            end = read(stream, self.queen, self.outbox, self.inbox) => end,
            () = healthy => End::Stopped,
        };
        if matches!(end, End::Stopped) {
            let bye = CloseFrame {
                code: CloseCode::Away,
                reason: "the drone leaves".into(),
            };
            // The queen may be gone already; then there is nobody to say it to.
            let _ = time::timeout(Duration::from_secs(1), sink.send(Message::Close(Some(bye)))).await;
        }
        end
    }
}

/// Sends hello, then the outbox from its first message on, then each new message as it comes.
async fn write<S>(sink: &mut S, mut hello: Hello, outbox: &Outbox) -> End
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    let mut cursor = outbox.cursor();
    hello.first = cursor.position();
    let mut sent = send_agent(sink, &Agent::Hello { hello }).await;
    let mut ask = time::interval(KEEP_ALIVE);
    ask.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    ask.tick().await;
    while sent.is_ok() {
        sent = tokio::select! {
            frame = cursor.frame() => sink.send(Message::text(frame)).await,
            _ = ask.tick() => match send_agent(sink, &Agent::KeepAlive {}).await {
                Ok(()) => sink.send(Message::Ping(Default::default())).await,
                error => error,
            },
        };
    }
    End::Lost(sent.err().map_or_else(String::new, |error| error.to_string()))
}

async fn send_agent<S>(sink: &mut S, message: &Agent) -> Result<(), tungstenite::Error>
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    let text = serde_json::to_string(message).map_err(|error| tungstenite::Error::Io(error.into()))?;
    sink.send(Message::text(text)).await
}

/// Takes acknowledgements itself and passes everything else on, in order.
async fn read<S>(mut stream: S, queen: &str, outbox: &Outbox, inbox: &mpsc::Sender<FromQueen>) -> End
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    loop {
        let text = match time::timeout(DEAD, stream.next()).await {
            Err(_) => return End::Lost(format!("nothing was heard of the queen for {} s", DEAD.as_secs())),
            Ok(None) => return End::Lost("the connection was closed".into()),
            Ok(Some(Err(error))) => return End::Lost(error.to_string()),
            Ok(Some(Ok(Message::Text(text)))) => text,
            Ok(Some(Ok(Message::Close(frame)))) => return closed(queen, frame),
            Ok(Some(Ok(_))) => continue,
        };
        let frame = match Frame::read(&text) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::warn!(%error, "a frame of the queen could not be read and is dropped");
                continue;
            }
        };
        for message in frame.0 {
            match ToDrone::read(&message) {
                Ok(Some(ToDrone::Ack { n })) => match outbox.ack(n) {
                    Ok(()) => {}
                    Err(error @ OutboxError::AckAhead { .. }) => return End::Lost(error.to_string()),
                    Err(error) => return End::Fatal(error.into()),
                },
                Ok(Some(message)) => {
                    if inbox.send(FromQueen::Message(message)).await.is_err() {
                        return End::Stopped;
                    }
                }
                Ok(None) => tracing::debug!(kind = %message.kind, "a message of an unknown type is ignored"),
                Err(error) => tracing::warn!(%error, "a message of the queen could not be read and is dropped"),
            }
        }
    }
}

/// A queen that cuts a drone off for good says so by the close code; its reason goes to the operator as it is.
fn closed(queen: &str, frame: Option<CloseFrame>) -> End {
    let Some(frame) = frame else {
        return End::Lost("the queen closed the connection".into());
    };
    let fatal = matches!(frame.code, CloseCode::Policy | CloseCode::Unsupported) || u16::from(frame.code) >= 4000;
    let reason = if frame.reason.is_empty() {
        format!("code {}", frame.code)
    } else {
        frame.reason.to_string()
    };
    if fatal {
        return End::Fatal(LinkError::Refused {
            queen: queen.to_owned(),
            reason,
        });
    }
    End::Lost(format!("the queen closed the connection: {reason}"))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
