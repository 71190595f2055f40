//! Builds a queen out of its [`Config`] and serves it. The program, the embedded queen of `queen run` and the tests all
//! come in here.

use crate::{
    api::{self, LineCache},
    bus::Bus,
    config::Config,
    engine::{self, Engine},
    housekeeping,
    repositories::Repositories,
    store::{self, Store, StoreError},
};
use axum::serve::Listener;
use std::{future::IntoFuture, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a queen that stops waits for clients to take their answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Why a queen could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {addr}: {error}; choose another with --listen")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// An address that others can reach, and nobody has a token.
    #[error(
        "{0} can be reached from other machines, so everybody needs a token, and there is none yet: \
         make one with `queen token add --role admin NAME --data DIR`, or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket broke.
    #[error("serving failed: {0}")]
    Serve(#[from] io::Error),
}

/// What every request handler is given.
#[derive(Clone)]
pub struct Context {
    /// Where jobs go in.
    pub engine: Engine,
    /// Where live events come out.
    pub bus: Bus,
    /// Where durable things are read.
    pub store: Arc<dyn Store>,
    /// The settings.
    pub config: Arc<Config>,
    /// The address that people use, without a slash at the end.
    pub url: Arc<str>,
    /// Where the lines are of the jobs that somebody looks at.
    pub lines: LineCache,
    /// Where repositories that were handed over are kept.
    pub repositories: Repositories,
    /// Ends long-lived connections when the queen stops.
    pub shutdown: CancellationToken,
    /// Counts long-lived connections and the housekeeping, so that stopping waits for them.
    pub connections: TaskTracker,
}

/// A TCP port whose connections send every message at once.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.0).await;
        // Messages are small and every one is waited for: none may lie in the system until the one before is confirmed.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its small messages back");
        }
        (stream, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A queen that is ready to serve whoever comes in by `L`.
pub struct App<L = Port> {
    listener: L,
    context: Context,
    engine: tokio::task::JoinHandle<()>,
}

impl App {
    /// Opens the store, binds the address and starts the engine and the housekeeping. Nothing is served before [`App::serve`].
    pub async fn start(config: Config) -> Result<Self, AppError> {
        let store = store::open(&config.data, config.database.as_ref()).await?;
        if !config.listen.ip().is_loopback() && store.tokens().await?.is_empty() {
            return Err(AppError::NoToken(config.listen));
        }
        let listen = |error| AppError::Listen {
            addr: config.listen,
            error,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let url = config.public_url.clone().unwrap_or_else(|| format!("http://{addr}"));
        let app = Self::on(config, store, Port(listener), &url).await?;
        let context = &app.context;
        context.connections.spawn(housekeeping::keep(
            Arc::clone(&context.store),
            context.repositories.clone(),
            context.bus.clone(),
            context.config.keep,
            context.shutdown.clone(),
        ));
        Ok(app)
    }
}

impl<L: Listener> App<L>
where
    L::Addr: std::fmt::Debug,
{
    /// Starts the engine over a store that is open and a socket that is bound; `url` is how people reach it.
    pub async fn on(config: Config, store: Arc<dyn Store>, listener: L, url: &str) -> Result<Self, AppError> {
        let bus = Bus::default();
        let shutdown = CancellationToken::new();
        let (engine, task) = engine::start(Arc::clone(&store), bus.clone(), config.grace, shutdown.clone()).await?;
        let context = Context {
            engine,
            bus,
            store,
            lines: LineCache::default(),
            repositories: Repositories::new(config.data.join("git")),
            config: Arc::new(config),
            url: url.trim_end_matches('/').into(),
            shutdown,
            connections: TaskTracker::new(),
        };
        Ok(Self {
            listener,
            context,
            engine: task,
        })
    }

    /// The address that people use.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.context.url
    }

    /// What the request handlers are given.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Serves until `shutdown`; then ends every connection, writes what is left and returns.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let Self {
            listener,
            context,
            engine,
        } = self;
        let router = api::router(context.clone());
        let service = router.into_make_service();
        let stop = context.shutdown.clone();
        let served = axum::serve(listener, service).with_graceful_shutdown({
            let stop = stop.clone();
            async move {
                shutdown.cancelled().await;
                stop.cancel();
            }
        });
        // A client that does not read its answer must not keep the queen from stopping.
        let patience = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        let result = tokio::select! {
            result = served.into_future() => result,
            () = patience => Ok(()),
        };
        stop.cancel();
        // WebSockets are not waited for by axum.
        context.connections.close();
        context.connections.wait().await;
        let store = Arc::clone(&context.store);
        drop(context);
        // The engine ends when it has written everything that was accepted.
        if let Err(error) = engine.await {
            tracing::error!(%error, "the engine ended badly");
        }
        // Somebody may still read for a client that does not take its answer.
        if tokio::time::timeout(LAST_ANSWERS, store.close()).await.is_err() {
            tracing::debug!(
                "the database is still being read: what it keeps beside its file is written back next time"
            );
        }
        result.map_err(AppError::Serve)
    }
}
