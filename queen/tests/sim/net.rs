//! The simulated network, as the queen, the drones' link and browsers see it: streams that can be cut and slowed down.
//!
//! What happens to messages on their way (delay, silence) is turmoil's; what happens to one connection is here.

use axum::serve::Listener;
use drone::link::Connect;
use shared::protocol::FRAME_LIMIT;
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, http::Request, protocol::WebSocketConfig},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use turmoil::net::{TcpListener, TcpStream};

/// Where the queen listens.
pub const PORT: u16 = 7874;

/// What can be done to one host's connections.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    cut: Arc<Mutex<CancellationToken>>,
    /// Milliseconds that it waits after each piece that it reads.
    pub slow: Arc<AtomicU64>,
}

impl Weather {
    /// Resets every connection that is open.
    pub fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
    }

    /// Opens a stream to the queen.
    pub async fn open(&self) -> io::Result<Wire> {
        let cut = self.cut.lock().unwrap().clone();
        let stream = TcpStream::connect(("queen", PORT)).await?;
        Ok(Wire::new(stream, cut, Arc::clone(&self.slow)))
    }
}

impl Connect for Weather {
    type Stream = Wire;

    async fn connect(
        &self,
        request: Request<()>,
        limits: WebSocketConfig,
    ) -> Result<WebSocketStream<Wire>, tungstenite::Error> {
        let wire = self.open().await?;
        let open = tokio_tungstenite::client_async_with_config(request, wire, Some(limits));
        Ok(open.await?.0)
    }
}

/// A browser's WebSocket.
pub async fn browse(weather: &Weather) -> Result<WebSocketStream<Wire>, tungstenite::Error> {
    let uri = format!("ws://127.0.0.1:{PORT}/api/v1/live").parse().unwrap();
    let request = tungstenite::ClientRequestBuilder::new(uri).with_sub_protocol("skep.live.v1");
    let limits = WebSocketConfig::default().max_message_size(Some(4 * FRAME_LIMIT));
    let wire = weather.open().await?;
    Ok(tokio_tungstenite::client_async_with_config(request, wire, Some(limits))
        .await?
        .0)
}

/// One end of a connection.
pub struct Wire {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    slow: Arc<AtomicU64>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    fn new(stream: TcpStream, cut: CancellationToken, slow: Arc<AtomicU64>) -> Self {
        Self {
            stream,
            cut: Box::pin(cut.cancelled_owned()),
            slow,
            pause: None,
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let slow = self.slow.load(Ordering::Relaxed);
        if slow > 0 {
            self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(slow))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        // A segment of turmoil's holds whatever it is given; one of a network's does not.
        Pin::new(&mut self.stream).poll_write(cx, &buf[..buf.len().min(16 * 1024)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The queen's listening socket.
pub struct Door {
    listener: TcpListener,
    weather: Weather,
}

impl Door {
    pub async fn open(weather: Weather) -> io::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        Ok(Self { listener, weather })
    }
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            // A client that is gone again is no reason to stop.
            if let Ok((stream, addr)) = self.listener.accept().await {
                let cut = self.weather.cut.lock().unwrap().clone();
                return (Wire::new(stream, cut, Arc::clone(&self.weather.slow)), addr);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
