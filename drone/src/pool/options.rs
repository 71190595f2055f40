//! What a pool is told: how many workers, and when each is replaced.
//!
//! Owns the defaults and what `[pool]` of `skep.toml` becomes. Must not know how a limit is kept (`seat.rs`).

use super::{Event, Payload};
use crate::process::Mask;
use rand::RngExt;
use shared::settings;
use std::{fmt, sync::Arc, time::Duration};

/// Payloads that may wait where nothing else is said.
const QUEUE: usize = 1024;
/// How long a payload waits for a worker, and a worker may take to start, where nothing else is said.
const ALLOCATE: Duration = Duration::from_secs(60);
/// How long a worker may take to stop where nothing else is said.
const DESTROY: Duration = Duration::from_secs(10);

/// Who hears of events; called from the pool's tasks, so it must not wait.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// The settings of a pool.
#[derive(Clone)]
pub struct Options {
    /// Workers at once.
    pub workers: u32,
    /// Payloads after which a worker is replaced; from 10 on, each worker gets up to a tenth less, by chance, so that
    /// not all are replaced at the same time. Absent: never. With 1 each payload has a process of its own.
    pub max_executions: Option<u32>,
    /// Whether the worker of this answer can have another payload, where the workers know that themselves. A successor is
    /// then started with a worker's first payload, and waits for its last. Absent: any answer leaves it able to.
    pub keeps: Option<fn(&Payload) -> bool>,
    /// How long a payload waits for a worker, and how long a worker may take to start.
    pub allocate_timeout: Duration,
    /// How long a worker that was told to stop may take until it is killed, and what runs when the pool is destroyed.
    pub destroy_timeout: Duration,
    /// How long a payload may take until its worker is killed; absent: for ever.
    pub exec_timeout: Option<Duration>,
    /// How long a worker lives; a payload that runs then ends first. Absent: for ever.
    pub ttl: Option<Duration>,
    /// How long a worker that has had a payload may wait for the next one; absent: for ever.
    pub idle_ttl: Option<Duration>,
    /// Bytes of resident memory; a worker that has more after a payload is replaced. Absent: any number.
    pub max_memory: Option<u64>,
    /// Payloads that may wait for a worker; more are refused.
    pub queue_size: usize,
    /// Hides secrets in output and errors.
    pub mask: Arc<Mask>,
    /// Hears what happens to workers.
    pub listener: Listener,
}

impl Options {
    /// So many workers and the defaults.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        Self {
            workers,
            max_executions: None,
            keeps: None,
            allocate_timeout: ALLOCATE,
            destroy_timeout: DESTROY,
            exec_timeout: None,
            ttl: None,
            idle_ttl: None,
            max_memory: None,
            queue_size: QUEUE,
            mask: Arc::default(),
            listener: Arc::new(|_| {}),
        }
    }

    /// `[pool]`, for a drone of so many slots. A limit of 0 is none; a time to wait or a queue of 0 is the default.
    #[must_use]
    pub fn of(settings: &settings::Pool, capacity: u32) -> Self {
        let seconds = |value: Option<u64>| value.filter(|value| *value > 0).map(Duration::from_secs);
        let default = Self::new(settings.workers.unwrap_or(capacity));
        let queue = settings.queue_size.filter(|size| *size > 0);
        Self {
            max_executions: settings.max_executions.filter(|most| *most > 0),
            allocate_timeout: seconds(settings.allocate_timeout).unwrap_or(default.allocate_timeout),
            destroy_timeout: seconds(settings.destroy_timeout).unwrap_or(default.destroy_timeout),
            exec_timeout: seconds(settings.exec_timeout),
            ttl: seconds(settings.ttl),
            idle_ttl: seconds(settings.idle_ttl),
            max_memory: settings.max_memory.filter(|most| *most > 0),
            queue_size: queue.map_or(default.queue_size, |size| size as usize),
            ..default
        }
    }

    /// How many payloads the next worker gets.
    pub(super) fn executions(&self) -> Option<u32> {
        let most = self.max_executions?;
        Some(most - rand::rng().random_range(0..=most / 10))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_take_the_place_of_defaults_and_zero_is_no_limit() {
        let settings = settings::Pool {
            max_executions: Some(0),
            allocate_timeout: Some(0),
            destroy_timeout: Some(3),
            exec_timeout: Some(0),
            ttl: Some(7),
            max_memory: Some(1 << 20),
            queue_size: Some(2),
            ..settings::Pool::default()
        };
        let options = Options::of(&settings, 4);
        assert_eq!((options.workers, options.max_executions), (4, None));
        assert_eq!((options.allocate_timeout, options.exec_timeout), (ALLOCATE, None));
        assert_eq!(options.destroy_timeout, Duration::from_secs(3));
        assert_eq!((options.ttl, options.idle_ttl), (Some(Duration::from_secs(7)), None));
        assert_eq!((options.max_memory, options.queue_size), (Some(1 << 20), 2));
        let none = settings::Pool {
            workers: Some(0),
            ..settings::Pool::default()
        };
        assert_eq!(Options::of(&none, 4).workers, 0);
    }

    #[test]
    fn workers_are_not_all_replaced_at_once() {
        let mut options = Options::new(1);
        assert_eq!(options.executions(), None);
        options.max_executions = Some(1);
        assert_eq!(options.executions(), Some(1));
        options.max_executions = Some(100);
        let all: std::collections::BTreeSet<_> = (0..200).map(|_| options.executions().unwrap()).collect();
        assert!(
            all.len() > 1 && *all.first().unwrap() >= 90 && *all.last().unwrap() <= 100,
            "{all:?}"
        );
    }
}
