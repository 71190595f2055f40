//! A subscription: the task that brings a job's events or a list's changes to one client's socket.
//!
//! It waits for the socket's queue and for nothing else; whoever publishes never waits for it.

use super::{Batch, outline::Outline};
use crate::{
    api::{
        error::ApiError,
        follow::{Follow, Piece},
        view::{DroneView, JobView, WaitingView},
    },
    app::Context,
    bus::Change,
};
use axum::http::StatusCode;
use scheduler::DroneStatus;
use serde_json::Value;
use shared::{
    JobId, Seq,
    protocol::live::{Subscription, ToClient, Topic},
};
use std::sync::Arc;
use tokio::sync::{
    broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    mpsc,
};
use tokio_util::sync::CancellationToken;

/// Changes that are sent together at most.
const TOGETHER: usize = 64;

/// Where a subscription stands.
pub(super) struct Task {
    pub context: Context,
    pub number: u64,
    pub queue: mpsc::Sender<Batch>,
    /// Cancelled to end the client's connection.
    pub broken: CancellationToken,
}

/// The socket is gone.
struct Gone;

impl Task {
    pub(super) async fn run(self, what: Subscription) {
        // A socket that is gone ends its subscriptions.
        let _ = match what {
            Subscription::Job { job, from, outline } => self.job(job, from, outline).await,
            Subscription::Topic { topic, project } => self.topic(topic, project.as_deref()).await,
        };
    }

    async fn push(&self, lines: Vec<Arc<str>>, last: bool) -> Result<(), Gone> {
        let batch = Batch {
            subscription: Some(self.number),
            lines,
            last,
        };
        self.queue.send(batch).await.map_err(|_| Gone)
    }

    async fn job(&self, job: JobId, from: u64, outline: bool) -> Result<(), Gone> {
        let mut follow = match Follow::open(&self.context, &job, from).await {
            Ok(follow) => follow,
            Err(error) => return self.refuse(&error).await,
        };
        let mut outline = match (outline, follow.stored()) {
            (true, Some(until)) => match Outline::open(&self.context, &job, from, until).await {
                Ok(outline) => Some(outline),
                Err(error) => return self.refuse(&error).await,
            },
            _ => None,
        };
        loop {
            let piece = match follow.next().await {
                Ok(piece) => piece,
                Err(error) => return self.refuse(&error.into()).await,
            };
            match piece {
                Some(Piece::Events(events)) => {
                    let lines = match &mut outline {
                        Some(outline) => outline.take(events),
                        None => events.into_iter().map(|event| event.line).collect(),
                    };
                    self.push(lines, false).await?;
                }
                Some(Piece::Live(seq)) => {
                    // From here on every event is told whole.
                    outline = None;
                    self.push(vec![live(&job, seq)], false).await?;
                }
                Some(Piece::Lagged(seq)) => {
                    let lagged = ToClient::Lagged { job, seq };
                    return self.push(vec![Batch::say(&lagged)], true).await;
                }
                None => return self.push(Vec::new(), true).await,
            }
        }
    }

    /// Ends the subscription. What passes by itself ends the connection: whoever comes back goes on from what it has.
    async fn refuse(&self, error: &ApiError) -> Result<(), Gone> {
        if error.status == StatusCode::SERVICE_UNAVAILABLE {
            self.broken.cancel();
            return Ok(());
        }
        let message = ToClient::Error {
            message: error.message.clone(),
            about: Some("subscribe".into()),
        };
        self.push(vec![Batch::say(&message)], true).await
    }

    /// The list as it stands, then its changes. A client that lost some gets the list anew.
    async fn topic(&self, topic: Topic, project: Option<&str>) -> Result<(), Gone> {
        loop {
            // First the place, then the list: a change in between comes twice rather than never.
            let changes = self.context.bus.changes();
            match self.list(topic).await {
                Ok(lines) => self.push(lines, false).await?,
                Err(error) => return self.refuse(&error).await,
            }
            if self.changes(changes, topic, project).await? {
                return self.push(Vec::new(), true).await;
            }
            let missed = ToClient::Error {
                message: "you were too slow and some changes are missed: read the list again".into(),
                about: Some("subscribe".into()),
            };
            self.push(vec![Batch::say(&missed)], false).await?;
        }
    }

    async fn list(&self, topic: Topic) -> Result<Vec<Arc<str>>, ApiError> {
        match topic {
            Topic::Jobs => Ok(vec![self.queue().await?]),
            Topic::Drones => {
                let drones = self.context.engine.drones().await?;
                let changed = drones
                    .into_iter()
                    .map(|drone| ToClient::DroneChanged { drone: shown(drone) });
                Ok(changed.map(|message| Batch::say(&message)).collect())
            }
            Topic::Project => Ok(Vec::new()),
        }
    }

    async fn queue(&self) -> Result<Arc<str>, ApiError> {
        let waiting = self.context.engine.queue().await?;
        let queue: Vec<_> = waiting.into_iter().map(WaitingView::of).collect();
        Ok(Batch::say(&ToClient::QueueChanged { queue: json(&queue) }))
    }

    /// Passes changes on until some were lost (`false`) or no more come (`true`).
    async fn changes(&self, mut changes: Receiver<Change>, topic: Topic, project: Option<&str>) -> Result<bool, Gone> {
        loop {
            let mut arrived = match changes.recv().await {
                Ok(change) => Some(change),
                Err(RecvError::Lagged(_)) => return Ok(false),
                Err(RecvError::Closed) => return Ok(true),
            };
            // However often the queue has changed meanwhile, it is asked for once.
            let (mut lines, mut queue, mut lost) = (Vec::new(), false, false);
            while let Some(change) = arrived.take() {
                queue |= topic == Topic::Jobs && matches!(change, Change::Queue);
                lines.extend(message(&change, topic, project).map(|message| Batch::say(&message)));
                if lines.len() < TOGETHER {
                    match changes.try_recv() {
                        Ok(change) => arrived = Some(change),
                        Err(TryRecvError::Lagged(_)) => lost = true,
                        Err(TryRecvError::Empty | TryRecvError::Closed) => {}
                    }
                }
            }
            if queue && let Ok(queue) = self.queue().await {
                lines.push(queue);
            }
            if !lines.is_empty() {
                self.push(lines, false).await?;
            }
            if lost {
                return Ok(false);
            }
        }
    }
}

fn live(job: &JobId, seq: Seq) -> Arc<str> {
    Batch::say(&ToClient::Live { job: job.clone(), seq })
}

/// What a client that listens to `topic` is told of a change.
fn message(change: &Change, topic: Topic, project: Option<&str>) -> Option<ToClient> {
    match (change, topic) {
        (Change::Job(job), Topic::Jobs) => Some(ToClient::JobsChanged {
            job: json(&JobView::of(job)),
        }),
        (Change::Job(job), Topic::Project) => {
            let own = Some(job.data.project.as_str()) == project;
            own.then(|| ToClient::JobsChanged {
                job: json(&JobView::of(job)),
            })
        }
        (Change::DroneJoined(drone), Topic::Drones) => Some(ToClient::DroneJoined {
            drone: shown((**drone).clone()),
        }),
        (Change::DroneLeft(drone, reason), Topic::Drones) => Some(ToClient::DroneLeft {
            drone: shown((**drone).clone()),
            reason: Some(reason.to_string()),
        }),
        (Change::DroneChanged(drone), Topic::Drones) => Some(ToClient::DroneChanged {
            drone: shown((**drone).clone()),
        }),
        _ => None,
    }
}

fn shown(drone: DroneStatus) -> Value {
    json(&DroneView::of(drone))
}

/// Views always have a JSON form.
fn json(view: &impl serde::Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}
