//! The way to the queen: a connection that is made again whenever it is lost, and an outbox that loses nothing meanwhile.
//!
//! It knows nothing of jobs: the agent hears [`FromQueen`] and speaks through [`Outbox`]. Read next: `session`, then
//! `outbox`.

mod backoff;
mod outbox;
mod session;
mod spill;

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod outbox_tests;

pub use outbox::{BATCH_LIMIT, Bounds, Cursor, Outbox, OutboxError};
pub use session::{Connect, Network};

use crate::Config;
use backoff::Backoff;
use session::{End, Session};
use shared::{
    DroneId, Incarnation,
    protocol::{Hello, ToDrone, VERSION},
};
use std::sync::Arc;
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;

/// What the agent hears, in order, over all connections.
#[derive(Debug, Clone, PartialEq)]
pub enum FromQueen {
    /// A connection is there. `again`: it is not the first of this process.
    Connected {
        /// The drone may hold leases that the queen asks after.
        again: bool,
    },
    /// The queen said something.
    Message(ToDrone),
}

/// Why there is no point in another try.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The token is wrong or missing.
    #[error(
        "the queen at {queen} {}; make one on the queen's machine with `queen token` for the role drone, and start the drone with it as DRONE_TOKEN or `token` in drone.toml",
        if *.given { "does not know this drone's token" } else { "wants a token, and this drone has none" }
    )]
    Unauthorized {
        /// Whom.
        queen: String,
        /// A token was sent.
        given: bool,
    },
    /// The token is known but may not do this.
    #[error("the queen at {queen} does not let this token join as a drone{said}; it needs the role drone")]
    Forbidden {
        /// Whom.
        queen: String,
        /// Its own words, after a colon, or nothing.
        said: String,
    },
    /// The queen ended the connection for good.
    #[error("the queen at {queen} refuses this drone: {reason}")]
    Refused {
        /// Whom.
        queen: String,
        /// Its own words.
        reason: String,
    },
    /// The address cannot be used.
    #[error("{queen} cannot be connected to: {error}")]
    Address {
        /// What was given.
        queen: String,
        /// Why not.
        error: String,
    },
    /// Nothing can be promised any more.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// Who this drone is, and what it talks through.
#[derive(Debug)]
pub struct Link<C = Network> {
    /// By what.
    pub network: C,
    /// Where the queen is, and the token.
    pub config: Arc<Config>,
    /// Who speaks, over restarts.
    pub drone: DroneId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What is to be sent.
    pub outbox: Arc<Outbox>,
    /// Whom to tell.
    pub inbox: mpsc::Sender<FromQueen>,
    /// Cancelled: say goodbye and return.
    pub stop: CancellationToken,
}

impl<C: Connect> Link<C> {
    /// Keeps a connection to the queen until `stop`, or until nothing but a person can help.
    pub async fn run(self) -> Result<(), LinkError> {
        let mut backoff = Backoff::default();
        let mut again = false;
        loop {
            let mut healthy = false;
            let kept = self.outbox.first();
            // On the heap: a TLS handshake is a large future.
            let connecting = Box::pin(session::connect(&self.network, &self.config));
            let end = match self.stop.run_until_cancelled(connecting).await {
                None => return Ok(()),
                Some(Err(end)) => end,
                Some(Ok(socket)) => {
                    tracing::info!(queen = %self.config.queen, "connected");
                    if self.inbox.send(FromQueen::Connected { again }).await.is_err() {
                        return Ok(());
                    }
                    again = true;
                    let session = Session {
                        queen: &self.config.queen,
                        hello: self.hello(),
                        outbox: &self.outbox,
                        inbox: &self.inbox,
                        stop: &self.stop,
                        healthy: &mut healthy,
                    };
                    session.serve(socket).await
                }
            };
            let reason = match end {
                End::Stopped => return Ok(()),
                End::Fatal(error) => return Err(error),
                End::Lost(reason) => reason,
            };
            // A queen that has made something durable is worth another try at once, however soon she went.
            if healthy || self.outbox.first() > kept {
                backoff.reset();
            }
            let wait = backoff.next();
            tracing::warn!(
                queen = %self.config.queen, reason, wait_ms = wait.as_millis(), waiting = self.outbox.waiting(),
                "not connected to the queen"
            );
            if self.stop.run_until_cancelled(time::sleep(wait)).await.is_none() {
                return Ok(());
            }
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            drone: self.drone.clone(),
            incarnation: self.incarnation.clone(),
            name: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocols: vec![VERSION],
            first: self.outbox.first(),
        }
    }
}
