//! Who waits for whom: payloads for workers, workers for payloads, and where each seat stands.
//!
//! One lock, held for a few steps and across no wait. A worker that is free puts an offer up; dropping the offer's
//! receiver withdraws it, and the next one is tried. Must not know processes. Read next: `seat.rs`, which makes offers.

use super::{
    Error, Event, Factory, Kind, Options, State, Worker,
    execution::{Answer, Holder, Reply},
    factory::describe,
    goridge::Payload,
    worker::End,
};
use crate::clock;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, oneshot};

/// A payload on its way.
pub(super) struct Work {
    pub id: u64,
    pub payload: Payload,
    /// Its own time limit, in place of the pool's.
    pub limit: Option<Duration>,
    /// How often workers have given it back.
    pub returns: u32,
    /// Its caller knows which worker has it.
    pub is_placed: bool,
    pub reply: mpsc::Sender<Reply>,
}

/// What all of a pool's tasks share.
pub(super) struct Shared {
    pub options: Options,
    pub factory: Arc<dyn Factory>,
    state: Mutex<Waiting>,
    /// A payload has begun to wait.
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Work>,
    free: Vec<Free>,
    seats: BTreeMap<u32, Status>,
    last_id: u64,
    last_seat: u32,
    destroyed: bool,
}

/// A worker without a payload.
struct Free {
    holder: Holder,
    offer: oneshot::Sender<Work>,
}

/// Where a seat stands, and why it has no worker.
struct Status {
    worker: Worker,
    /// Why the last start failed; forgotten when one succeeds.
    failure: Option<String>,
    /// What the worker that is being started has written on its standard error.
    stderr: String,
}

impl Shared {
    pub fn new(factory: Arc<dyn Factory>, options: Options) -> Self {
        Self {
            options,
            factory,
            state: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic while it was held cannot have left it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self, worker: u32, pid: Option<i32>, kind: Kind, detail: impl Into<String>) {
        (self.options.listener)(Event {
            worker,
            pid,
            kind,
            detail: detail.into(),
        });
    }

    /// Gives a new payload to a free worker, and answers with it as well, or lets it wait.
    pub fn submit(
        &self,
        payload: Payload,
        limit: Option<Duration>,
        reply: mpsc::Sender<Reply>,
    ) -> Result<(u64, Option<Holder>), Error> {
        let most = self.options.queue_size;
        let mut state = self.lock();
        if state.destroyed {
            return Err(Error::Destroyed);
        }
        state.last_id += 1;
        let id = state.last_id;
        let work = Work {
            id,
            payload,
            limit,
            returns: 0,
            is_placed: true,
            reply,
        };
        let mut work = match state.hand_over(work) {
            Ok(holder) => return Ok((id, Some(holder))),
            Err(work) => work,
        };
        work.is_placed = false;
        if state.queue.len() >= most {
            drop(state);
            self.tell(0, None, Kind::QueueSize, format!("{most} payloads wait"));
            return Err(Error::Full(most));
        }
        state.queue.push_back(work);
        drop(state);
        self.arrived.notify_waiters();
        Ok((id, None))
    }

    /// A worker has not run what it was given: the payload goes before all others. Its caller waits again, if there
    /// still is one.
    pub async fn give_back(&self, mut work: Work) {
        if work.reply.send(Reply::Back).await.is_err() {
            return;
        }
        let mut state = self.lock();
        if state.destroyed {
            // Dropped, it tells its caller.
            return;
        }
        work.is_placed = false;
        if let Err(work) = state.hand_over(work) {
            state.queue.push_front(work);
            drop(state);
            self.arrived.notify_waiters();
        }
    }

    /// The payload that has waited longest, or an offer of the seat's worker to take the next one.
    pub fn take_or_offer(&self, seat: u32, pid: i32, executions: u32) -> Result<Work, oneshot::Receiver<Work>> {
        let mut state = self.lock();
        while let Some(work) = state.queue.pop_front() {
            if !work.reply.is_closed() {
                return Ok(work);
            }
        }
        let (offer, taken) = oneshot::channel();
        state.free.retain(|free| free.holder.seat != seat);
        let holder = Holder { seat, pid, executions };
        state.free.push(Free { holder, offer });
        state.stands(seat, State::Ready, Some(pid), executions);
        Err(taken)
    }

    /// Takes a waiting payload out of the queue; false if a worker has it.
    pub fn withdraw(&self, id: u64) -> bool {
        let mut state = self.lock();
        let before = state.queue.len();
        state.queue.retain(|work| work.id != id);
        state.queue.len() < before
    }

    /// Payloads that wait.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Ends when a payload waits.
    pub async fn wanted(&self) {
        let mut arrived = std::pin::pin!(self.arrived.notified());
        loop {
            arrived.as_mut().enable();
            if self.waiting() > 0 {
                return;
            }
            arrived.as_mut().await;
            arrived.set(self.arrived.notified());
        }
    }

    /// Refuses whatever comes and whatever waits.
    pub fn destroy(&self) {
        let mut state = self.lock();
        state.destroyed = true;
        let refused = std::mem::take(&mut state.queue);
        drop(state);
        drop(refused);
    }

    /// A number for a new seat. An error: the pool has been destroyed.
    pub fn open_seat(&self) -> Result<u32, Error> {
        let mut state = self.lock();
        if state.destroyed {
            return Err(Error::Destroyed);
        }
        state.last_seat += 1;
        let seat = state.last_seat;
        let status = Status {
            worker: Worker {
                seat,
                pid: None,
                state: State::Inactive,
                executions: 0,
                changed: clock::now(),
            },
            failure: None,
            stderr: String::new(),
        };
        state.seats.insert(seat, status);
        Ok(seat)
    }

    pub fn close_seat(&self, seat: u32) {
        self.lock().seats.remove(&seat);
    }

    /// A seat's worker stands elsewhere now.
    pub fn stands(&self, seat: u32, state: State, pid: Option<i32>, executions: u32) {
        self.lock().stands(seat, state, pid, executions);
    }

    /// What the worker that is being started has written on its standard error.
    pub fn says(&self, seat: u32, stderr: &str) {
        self.lock().seat(seat, |status| status.stderr = stderr.to_owned());
    }

    pub fn started(&self, seat: u32) {
        self.lock().seat(seat, |status| {
            status.failure = None;
            status.stderr.clear();
        });
    }

    pub fn failed(&self, seat: u32, why: String) {
        self.lock().seat(seat, |status| {
            status.failure = Some(why);
            status.stderr.clear();
        });
    }

    /// A worker has ended.
    pub fn ended(&self, seat: u32, end: &End) {
        let pid = Some(end.pid);
        if end.late {
            let time = self.options.destroy_timeout;
            self.tell(
                seat,
                pid,
                Kind::DestroyTimeout,
                format!("it did not end within {time:?} and was killed"),
            );
        }
        self.tell(seat, pid, Kind::Destructed, format!("it {}", describe(&end.exit)));
    }

    pub fn workers(&self) -> Vec<Worker> {
        self.lock().seats.values().map(|status| status.worker.clone()).collect()
    }

    /// What stands against a worker for a payload, for people.
    pub fn why_none(&self) -> String {
        let state = self.lock();
        if state.seats.is_empty() {
            return "the pool has no workers: set workers to 1 or more".to_owned();
        }
        if let Some(failure) = state.seats.values().find_map(|status| status.failure.clone()) {
            return failure;
        }
        let starting = |status: &&Status| status.worker.state == State::Inactive;
        match state.seats.values().find(starting) {
            Some(status) => format!(
                "worker {} is still being started{}",
                status.worker.seat,
                super::error::said(&status.stderr)
            ),
            None => format!(
                "all {} workers are busy: add workers or raise allocate_timeout",
                state.seats.len()
            ),
        }
    }
}

impl Work {
    /// Tells the caller what has come of it.
    pub async fn conclude(self, result: Result<Answer, Error>) {
        // Who asked has gone.
        let _ = self.reply.send(Reply::Done(Box::new(result))).await;
    }
}

impl Waiting {
    fn seat(&mut self, seat: u32, change: impl FnOnce(&mut Status)) {
        if let Some(status) = self.seats.get_mut(&seat) {
            change(status);
        }
    }

    fn stands(&mut self, seat: u32, state: State, pid: Option<i32>, executions: u32) {
        let changed = clock::now();
        self.seat(seat, |status| {
            status.worker = Worker {
                seat,
                pid,
                state,
                executions,
                changed,
            };
        });
    }

    /// Gives `work` to the worker that became free last, whose memory is the warmest, and answers with it;
    /// back if there is none.
    fn hand_over(&mut self, mut work: Work) -> Result<Holder, Work> {
        while let Some(Free { holder, offer }) = self.free.pop() {
            match offer.send(work) {
                Ok(()) => {
                    self.stands(holder.seat, State::Working, Some(holder.pid), holder.executions + 1);
                    return Ok(holder);
                }
                Err(back) => work = back,
            }
        }
        Err(work)
    }
}
