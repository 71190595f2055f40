//! A place for one worker after the other: the task that owns the worker and decides when it is replaced.
//!
//! Its life: start a worker, offer it, run what it is given, replace it when a limit or it itself says so, or it broke. A
//! worker's successor is started when what may be its last payload begins, or for a reset, so that the seat need not wait
//! for it. Must not know frames (`worker.rs`).

mod next;

use super::{
    Error, Kind, State,
    error::said,
    execution::Answer,
    factory::describe,
    goridge::FrameError,
    queue::{Shared, Work},
    worker::{End, How, Said, Worker},
};
use futures_util::FutureExt;
use next::Next;
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Sleep, sleep},
};

/// The time before a start that failed is tried again: at first, and at most.
const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// How often a payload may be given back before the workers are to blame.
const RETURNS: u32 = 16;

/// What a seat is told.
pub(super) enum Order {
    /// Replace the worker, the new one first; say when the old one has ended.
    Reset(oneshot::Sender<Result<(), Error>>),
    /// End the worker after its payload, and be no more.
    Retire,
    /// Do so at once.
    Kill,
}

pub(super) struct Seat {
    shared: Arc<Shared>,
    number: u32,
    orders: mpsc::Receiver<Order>,
    next: Option<Next>,
    /// Those who wait for the next worker.
    resets: Vec<oneshot::Sender<Result<(), Error>>>,
    /// Workers that are ending.
    ending: JoinSet<()>,
    is_leaving: bool,
}

/// Why a worker waits no longer.
enum Wake {
    Work(Work),
    Exited,
    Limit(Kind),
    /// The next one is ready.
    Replaced,
    Leave,
}

/// Why the run of a payload ends.
enum Turn {
    Said(Said),
    TimedOut(Duration),
    /// Nobody wants the answer any more.
    Abandoned,
    Killed,
}

impl Seat {
    pub fn new(shared: Arc<Shared>, number: u32, orders: mpsc::Receiver<Order>) -> Self {
        Self {
            shared,
            number,
            orders,
            next: None,
            resets: Vec::new(),
            ending: JoinSet::new(),
            is_leaving: false,
        }
    }

    /// Runs until it is told to be no more; then nothing of its workers is left.
    pub async fn run(mut self) {
        while let Some(worker) = self.obtain().await {
            self.serve(worker).await;
        }
        if let Some(next) = self.next.take() {
            self.discard(next);
        }
        while self.ending.join_next().await.is_some() {}
        self.settle(Ok(()));
        self.shared.close_seat(self.number);
    }

    fn start(&self) -> Next {
        Next::start(&self.shared, self.number)
    }

    /// The next worker. A start that fails is tried again: for whoever waits, after a while; else when somebody does.
    /// Nothing: the seat is to be no more.
    async fn obtain(&mut self) -> Option<Box<Worker>> {
        let mut backoff = BACKOFF[0];
        while !self.is_leaving {
            if self.next.is_none() {
                self.next = Some(self.start());
            }
            self.stands(State::Inactive, None);
            let failure = tokio::select! {
                biased;
                order = self.orders.recv() => {
                    self.heed(order);
                    continue;
                }
                started = Next::ready(&mut self.next) => match started {
                    Ok(worker) => {
                        self.settle(Ok(()));
                        self.shared.started(self.number);
                        return Some(worker);
                    }
                    Err(failure) => failure,
                },
            };
            self.failed(failure);
            let shared = Arc::clone(&self.shared);
            let pause = async {
                sleep(backoff).await;
                shared.wanted().await;
            };
            tokio::select! {
                biased;
                order = self.orders.recv() => drop(self.heed(order)),
                () = pause => backoff = (backoff * 2).min(BACKOFF[1]),
            }
        }
        None
    }

    /// Offers the worker until it has ended or is ending.
    async fn serve(&mut self, mut worker: Box<Worker>) {
        loop {
            match self.wait(&mut worker).await {
                Wake::Work(work) => match self.execute(worker, work).await {
                    Some(kept) => worker = kept,
                    None => return,
                },
                Wake::Exited => {
                    let end = worker.end(How::Leave, None).await;
                    let detail = format!("it {} while it had no payload", describe(&end.exit));
                    return self.broke(&end, detail + &said(&end.stderr));
                }
                Wake::Limit(kind) => {
                    self.shared.tell(self.number, Some(worker.pid), kind, "");
                    return self.retire(worker, Vec::new());
                }
                Wake::Replaced => {
                    let resets = std::mem::take(&mut self.resets);
                    return self.retire(worker, resets);
                }
                Wake::Leave => return self.retire(worker, Vec::new()),
            }
        }
    }

    /// Waits for a payload, or for a reason to have no more.
    async fn wait(&mut self, worker: &mut Worker) -> Wake {
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        if self.is_leaving {
            return Wake::Leave;
        }
        let has_too_much = |most: &u64| worker.memory().is_some_and(|bytes| bytes > *most);
        if worker.executions > 0 && options.max_memory.as_ref().is_some_and(has_too_much) {
            return Wake::Limit(Kind::MaxMemory);
        }
        let idle_ttl = options.idle_ttl.filter(|_| worker.executions > 0);
        // Both are looked at before the queue: under load there is always a payload.
        if due(&mut worker.ttl).now_or_never().is_some() {
            return Wake::Limit(Kind::Ttl);
        }
        if !self.resets.is_empty()
            && let Some(started) = Next::ready(&mut self.next).now_or_never()
            && let Some(wake) = self.succeed(started)
        {
            return wake;
        }
        let mut offer = match self.shared.take_or_offer(self.number, worker.pid, worker.executions) {
            Ok(work) => return Wake::Work(work),
            Err(offer) => offer,
        };
        let mut idle_ttl = idle_ttl.map(|time| Box::pin(sleep(time)));
        let mut ttl = worker.ttl.take();
        let wake = loop {
            tokio::select! {
                biased;
                _ = worker.idle() => break Wake::Exited,
                order = self.orders.recv() => {
                    self.heed(order);
                    if self.is_leaving {
                        break Wake::Leave;
                    }
                }
                // Else it waits for the last payload of this one.
                started = Next::ready(&mut self.next), if !self.resets.is_empty() => if let Some(wake) = self.succeed(started) {
                    break wake;
                },
                () = due(&mut ttl) => break Wake::Limit(Kind::Ttl),
                () = due(&mut idle_ttl) => break Wake::Limit(Kind::IdleTtl),
                Ok(work) = &mut offer => break Wake::Work(work),
            }
        };
        worker.ttl = ttl;
        if !matches!(wake, Wake::Work(_)) {
            offer.close();
            // It came at the same moment.
            if let Ok(work) = offer.try_recv() {
                self.shared.give_back(work).await;
            }
        }
        wake
    }

    /// The next worker is there, or not to be had: then this one is kept.
    fn succeed(&mut self, started: Result<Box<Worker>, String>) -> Option<Wake> {
        match started {
            Ok(worker) => {
                self.next = Some(Next::Ready(worker));
                Some(Wake::Replaced)
            }
            Err(failure) => {
                self.failed(failure);
                None
            }
        }
    }

    /// Runs one payload. The worker, if it can have another one.
    async fn execute(&mut self, mut worker: Box<Worker>, work: Work) -> Option<Box<Worker>> {
        worker.executions += 1;
        let is_spent = worker.is_spent();
        let keeps = self.shared.options.keeps;
        if (is_spent || keeps.is_some()) && self.next.is_none() && !self.is_leaving {
            self.next = Some(self.start());
        }
        if !work.is_placed {
            self.stands(State::Working, Some(&worker));
        }
        match self.turn(&mut worker, &work).await {
            Turn::Said(Said::Answer(said)) => {
                let can_go_on = keeps.is_none_or(|keeps| said.as_ref().is_ok_and(keeps));
                let (exit, kept) = if is_spent || !can_go_on {
                    let kind = if is_spent { Kind::MaxExecutions } else { Kind::Stop };
                    self.shared.tell(self.number, Some(worker.pid), kind, "");
                    let how = How::Stop(self.shared.options.destroy_timeout);
                    let end = self.finish(worker, how, &work).await;
                    self.gone(&end, State::Stopped);
                    (Some(end.exit), None)
                } else {
                    worker.settle(&work.reply).await;
                    (None, Some(worker))
                };
                let result = match said {
                    Ok(payload) => Ok(Answer { payload, exit }),
                    Err(message) => Err(Error::Job {
                        message: self.shared.options.mask.sanitize(&message),
                        exit,
                    }),
                };
                work.conclude(result).await;
                kept
            }
            Turn::Said(Said::Stop) => {
                self.shared.tell(self.number, Some(worker.pid), Kind::Stop, "");
                self.retire(worker, Vec::new());
                self.give_back(work).await;
                None
            }
            Turn::Said(Said::Undelivered(error)) => {
                let how = if error.is_end() { How::Leave } else { How::Kill };
                let end = worker.end(how, None).await;
                let text = match error.is_end() && !end.late {
                    true => format!("it {} before it had read a payload", describe(&end.exit)),
                    false => self.shared.options.mask.sanitize(&error.to_string()),
                };
                self.broke(&end, text + &said(&end.stderr));
                self.give_back(work).await;
                None
            }
            Turn::Said(Said::Broken(error)) => {
                let how = if error.is_end() { How::Leave } else { How::Kill };
                let end = self.finish(worker, how, &work).await;
                let message = match &error {
                    FrameError::Closed if !end.late => format!("it {} before it had answered", describe(&end.exit)),
                    error if error.is_end() && !end.late => format!("it {}; {error}", describe(&end.exit)),
                    error => error.to_string(),
                };
                let message = self.shared.options.mask.sanitize(&message);
                self.broke(&end, message.clone() + &said(&end.stderr));
                let (exit, stderr) = (Some(end.exit), end.stderr);
                work.conclude(Err(Error::Worker { message, stderr, exit })).await;
                None
            }
            Turn::TimedOut(after) => {
                let detail = format!("longer than {after:?}");
                self.shared
                    .tell(self.number, Some(worker.pid), Kind::ExecTimeout, detail);
                let end = self.finish(worker, How::Kill, &work).await;
                self.gone(&end, State::Stopped);
                let (exit, stderr) = (Some(end.exit), end.stderr);
                work.conclude(Err(Error::TimedOut { after, stderr, exit })).await;
                None
            }
            Turn::Abandoned | Turn::Killed => {
                let end = self.finish(worker, How::Kill, &work).await;
                self.gone(&end, State::Stopped);
                work.conclude(Err(Error::Destroyed)).await;
                None
            }
        }
    }

    /// The talk with the worker, and whatever may cut it short.
    async fn turn(&mut self, worker: &mut Worker, work: &Work) -> Turn {
        let limit = work.limit.or(self.shared.options.exec_timeout);
        let mut time = limit.map(|limit| Box::pin(sleep(limit)));
        let mut conversation = std::pin::pin!(worker.converse(self.number, work));
        loop {
            tokio::select! {
                biased;
                said = &mut conversation => return Turn::Said(said),
                () = due(&mut time) => return Turn::TimedOut(limit.unwrap_or_default()),
                () = work.reply.closed() => return Turn::Abandoned,
                order = self.orders.recv() => if self.heed(order) {
                    return Turn::Killed;
                },
            }
        }
    }

    /// Does what it is told; true: at once. Nobody there to tell it any more means the same.
    fn heed(&mut self, order: Option<Order>) -> bool {
        match order {
            Some(Order::Reset(done)) => {
                self.resets.push(done);
                // One that was begun before is not new.
                let next = self.start();
                if let Some(old) = self.next.replace(next) {
                    self.discard(old);
                }
                false
            }
            Some(Order::Retire) => {
                self.is_leaving = true;
                false
            }
            Some(Order::Kill) | None => {
                self.is_leaving = true;
                true
            }
        }
    }

    /// Lets a payload wait again that its worker has not run.
    async fn give_back(&mut self, mut work: Work) {
        work.returns += 1;
        if work.returns <= RETURNS {
            return self.shared.give_back(work).await;
        }
        let error = Error::Worker {
            message: format!("{RETURNS} workers in a row gave the payload back"),
            stderr: String::new(),
            exit: None,
        };
        work.conclude(Err(error)).await;
    }

    /// Ends the worker of a payload; its last output is that payload's.
    async fn finish(&mut self, worker: Box<Worker>, how: How, work: &Work) -> End {
        self.stands(State::Stopping, Some(&worker));
        worker.end(how, Some(&work.reply)).await
    }

    /// Ends a worker that has no payload beside whatever the seat does next.
    fn retire(&mut self, worker: Box<Worker>, resets: Vec<oneshot::Sender<Result<(), Error>>>) {
        while self.ending.try_join_next().is_some() {}
        let (shared, seat) = (Arc::clone(&self.shared), self.number);
        self.ending.spawn(async move {
            let end = worker.end(How::Stop(shared.options.destroy_timeout), None).await;
            shared.ended(seat, &end);
            for done in resets {
                // Who asked has gone.
                let _ = done.send(Ok(()));
            }
        });
    }

    /// Ends a worker that was never used.
    fn discard(&mut self, next: Next) {
        self.ending.spawn(next.discard(Arc::clone(&self.shared), self.number));
    }

    /// A worker could not be started.
    fn failed(&mut self, why: String) {
        self.shared.tell(self.number, None, Kind::Error, why.clone());
        self.settle(Err(&why));
        self.shared.failed(self.number, why);
    }

    fn settle(&mut self, result: Result<(), &String>) {
        for done in self.resets.drain(..) {
            let after = self.shared.options.allocate_timeout;
            // Who asked has gone.
            let _ = done.send(result.map_err(|why| Error::NoWorker {
                after,
                why: why.clone(),
            }));
        }
    }

    fn broke(&self, end: &End, detail: String) {
        self.shared.tell(self.number, Some(end.pid), Kind::Error, detail);
        self.gone(end, State::Errored);
    }

    fn gone(&self, end: &End, state: State) {
        self.shared.ended(self.number, end);
        self.shared.stands(self.number, state, Some(end.pid), end.executions);
    }

    fn stands(&self, state: State, worker: Option<&Worker>) {
        let executions = worker.map_or(0, |worker| worker.executions);
        self.shared
            .stands(self.number, state, worker.map(|worker| worker.pid), executions);
    }
}

/// The end of a time that may not be limited.
async fn due(time: &mut Option<Pin<Box<Sleep>>>) {
    match time {
        Some(time) => time.await,
        None => std::future::pending().await,
    }
}
