//! The worker after the one that works: on its way, or ready and waiting.
//!
//! Must not know when it is wanted. Read next: `../seat.rs`.

use crate::{
    pool::{
        queue::Shared,
        worker::{How, Worker},
    },
    process,
};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// The worker after this one.
pub(super) enum Next {
    Starting(AbortOnDropHandle<Result<Box<Worker>, String>>),
    Ready(Box<Worker>),
}

impl Next {
    pub fn start(shared: &Arc<Shared>, seat: u32) -> Self {
        let start = Worker::start(Arc::clone(shared), seat);
        Self::Starting(AbortOnDropHandle::new(tokio::spawn(start)))
    }

    /// Waits until the next worker is there and takes it; for ever if none was begun. Cancel-safe.
    pub async fn ready(next: &mut Option<Self>) -> Result<Box<Worker>, String> {
        if let Some(Self::Starting(starting)) = next {
            let started = starting.await;
            *next = None;
            return started.unwrap_or_else(|error| Err(format!("its start broke down: {error}")));
        }
        match next.take() {
            Some(Self::Ready(worker)) => Ok(worker),
            _ => std::future::pending().await,
        }
    }

    /// Ends a worker that was never used; then nothing of it is left.
    pub async fn discard(self, shared: Arc<Shared>, seat: u32) {
        let started = match self {
            Self::Ready(worker) => Some(worker),
            Self::Starting(starting) => {
                starting.abort();
                starting.await.ok().and_then(Result::ok)
            }
        };
        match started {
            Some(worker) => {
                let end = worker.end(How::Stop(shared.options.destroy_timeout), None).await;
                shared.ended(seat, &end);
            }
            None => process::abandoned().await,
        }
    }
}
