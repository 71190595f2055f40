//! The pool of workers: processes that are started once and given one payload after the other.
//!
//! Owns who runs a payload and when a worker is replaced. Knows `process` and nothing above; it could be a library of
//! its own. Read next: `seat.rs` for the life of a worker, `queue.rs` for how payloads find one, [`Factory`] for how
//! workers are started.

pub mod factory;
pub mod goridge;

mod error;
mod event;
mod execution;
mod options;
mod queue;
mod seat;
mod worker;

pub use error::Error;
pub use event::{Event, Kind, State, Worker};
pub use execution::{Answer, Execution, Holder, Progress};
pub use factory::{Factory, Ready, Relay, Starting};
pub use goridge::{Codec, Payload};
pub use options::{Listener, Options};

use queue::Shared;
use seat::{Order, Seat};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Orders that may wait for a seat.
const ORDERS: usize = 8;

/// Workers that share a queue of payloads. Dropped, it kills them all; [`Pool::destroy`] lets them end.
pub struct Pool {
    shared: Arc<Shared>,
    places: Mutex<BTreeMap<u32, Place>>,
}

/// The pool's side of a seat.
struct Place {
    orders: mpsc::Sender<Order>,
    task: AbortOnDropHandle<()>,
}

impl Pool {
    /// Begins to start the workers. Must be called in a runtime.
    #[must_use]
    pub fn new(factory: Arc<dyn Factory>, options: Options) -> Self {
        let workers = options.workers;
        let pool = Self {
            shared: Arc::new(Shared::new(factory, options)),
            places: Mutex::default(),
        };
        for _ in 0..workers {
            // A new pool has not been destroyed.
            let _ = pool.add_worker();
        }
        pool
    }

    /// Runs a payload and answers with the last frame of its worker.
    pub async fn exec(&self, payload: Payload) -> Result<Payload, Error> {
        Ok(self.begin(payload)?.end().await?.payload)
    }

    /// Gives a payload to a worker, or lets it wait for one. An error: it is not even let wait.
    pub fn begin(&self, payload: Payload) -> Result<Execution, Error> {
        self.begin_with(payload, None)
    }

    /// Like [`Self::begin`]; `limit` takes the place of the pool's `exec_timeout`.
    pub fn begin_with(&self, payload: Payload, limit: Option<Duration>) -> Result<Execution, Error> {
        match payload.len() {
            0 => return Err(Error::Empty),
            length if length > goridge::LIMIT => return Err(Error::TooLong(length)),
            _ => {}
        }
        let (reply, replies) = mpsc::channel(execution::REPLIES);
        let (id, placed) = self.shared.submit(payload, limit, reply)?;
        Ok(Execution::new(Arc::clone(&self.shared), id, replies, placed))
    }

    /// Where each worker stands.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        self.shared.workers()
    }

    /// How many payloads wait for a worker.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// Adds a worker and answers with its seat. An error: the pool has been destroyed.
    pub fn add_worker(&self) -> Result<u32, Error> {
        let mut places = self.places();
        let seat = self.shared.open_seat()?;
        let (orders, heard) = mpsc::channel(ORDERS);
        let run = Seat::new(Arc::clone(&self.shared), seat, heard).run();
        let task = AbortOnDropHandle::new(tokio::spawn(run));
        places.insert(seat, Place { orders, task });
        Ok(seat)
    }

    /// Ends a worker, one that has no payload if there is one, and answers with its seat; nothing if there is none. A
    /// payload that it has ends first.
    pub async fn remove_worker(&self) -> Option<u32> {
        let (seat, place) = {
            let mut places = self.places();
            let busy = |seat: &u32| {
                let workers = self.shared.workers();
                workers
                    .iter()
                    .any(|worker| worker.seat == *seat && worker.state == State::Working)
            };
            let seat = *places.keys().rev().min_by_key(|seat| busy(seat))?;
            (seat, places.remove(&seat)?)
        };
        // A seat that is gone needs no order.
        let _ = place.orders.send(Order::Retire).await;
        let _ = place.task.await;
        Some(seat)
    }

    /// Replaces every worker without losing a payload: first the new ones start, then each old one ends its payload and
    /// stops. An error: a new worker would not start; its old one goes on.
    pub async fn reset(&self) -> Result<(), Error> {
        let orders: Vec<_> = self.places().values().map(|place| place.orders.clone()).collect();
        let mut answers = Vec::new();
        for orders in orders {
            let (done, answer) = oneshot::channel();
            if orders.send(Order::Reset(done)).await.is_ok() {
                answers.push(answer);
            }
        }
        let mut result = Ok(());
        for answer in answers {
            // A seat that was removed meanwhile has no worker to replace.
            result = result.and(answer.await.unwrap_or(Ok(())));
        }
        result
    }

    /// Refuses what comes and what waits, lets what runs end for `destroy_timeout`, and stops all workers. Nothing of
    /// them is left when it returns; whatever comes later is refused.
    pub async fn destroy(&self) {
        self.shared.destroy();
        let mut places = std::mem::take(&mut *self.places());
        for order in [|| Order::Retire, || Order::Kill] {
            for place in places.values() {
                // Full: it has been told.
                let _ = place.orders.try_send(order());
            }
            let all = async {
                for place in places.values_mut().filter(|place| !place.task.is_finished()) {
                    let _ = (&mut place.task).await;
                }
            };
            if tokio::time::timeout(self.shared.options.destroy_timeout, all)
                .await
                .is_ok()
            {
                return;
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<u32, Place>> {
        // A panic while it was held cannot have left it half changed.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
