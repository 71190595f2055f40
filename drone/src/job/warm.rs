//! The job's warm workers: what they run with, and what is told of them.
//!
//! It turns settings into [`Warm`] and the pool's events into the job's. It knows neither files nor how a worker runs one.
//! Read next: `runner/warm.rs`.

use super::{Job, Prepared};
use crate::{
    pool::{self, Kind},
    runner::{
        Listing,
        warm::{Setting, Warm},
    },
};
use serde_json::json;
use shared::{protocol::JobEvent, settings::Isolation};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events of workers that may wait to be said; more are not said.
const EVENTS: usize = 1024;

impl Job {
    /// Begins to start what keeps a listing's runner warm; nothing where there is no such thing.
    pub(super) fn warm_up(self: &Arc<Self>, prepared: &Prepared, listing: &Listing) -> Option<Arc<Warm>> {
        let settings = &prepared.settings;
        let isolation = settings.test.isolation.unwrap_or_default();
        let capacity = self.machine.config.capacity;
        let (sender, mut events) = mpsc::channel(EVENTS);
        let options = pool::Options {
            listener: Arc::new(move |event: pool::Event| {
                // A worker has few payloads by rule: that is no news.
                let has_few = matches!(isolation, Isolation::Auto | Isolation::Fork);
                if !(has_few && matches!(event.kind, Kind::MaxExecutions | Kind::Stop)) {
                    // Full: whoever reads them has enough to read.
                    let _ = sender.try_send(event);
                }
            }),
            ..pool::Options::of(&settings.pool, capacity)
        };
        let warm = Warm::new(
            &listing.runner,
            Setting {
                root: prepared.root().to_owned(),
                env: prepared.env.clone(),
                scratch: prepared.scratch().to_owned(),
                kept: self.machine.warm.clone(),
                mask: Arc::clone(&self.voice.mask),
                isolation,
                pool: options,
                capacity,
                files: listing.files.len(),
            },
        )?;
        self.progress().warm = Some(Arc::clone(&warm));
        self.tasks.spawn({
            let warm = Arc::clone(&warm);
            async move { warm.start().await }
        });
        self.tasks.spawn({
            let (job, warm) = (Arc::clone(self), Arc::clone(&warm));
            async move {
                loop {
                    let event = tokio::select! {
                        biased;
                        Some(event) = events.recv() => event,
                        () = warm.stopped() => break,
                    };
                    job.tell_of_worker(event).await;
                }
            }
        });
        Some(warm)
    }

    async fn tell_of_worker(&self, event: pool::Event) {
        let mut detail = json!({});
        if let Some(pid) = event.pid {
            detail["pid"] = pid.into();
        }
        if !event.detail.is_empty() {
            detail["text"] = super::cut(event.detail, 16 * 1024).into();
        }
        self.voice
            .say(JobEvent::Worker {
                job: self.id.clone(),
                worker: event.worker,
                event: event.kind.name().to_owned(),
                detail: Some(detail),
            })
            .await;
    }
}
