//! What a pool tells about its workers.
//!
//! Owns the names of events and states. Must not know who listens.

use shared::Timestamp;
use std::fmt;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The seat of the worker, from 1; 0: the pool as a whole.
    pub worker: u32,
    /// The worker's process, if it has one.
    pub pid: Option<i32>,
    /// What.
    pub kind: Kind,
    /// More, for people; may be empty. Masked.
    pub detail: String,
}

macro_rules! names {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $kind { $($(#[$doc])* $name,)* }

        impl $kind {
            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names! {
    /// Which event.
    Kind {
        /// A worker is there.
        Created = "created",
        /// A worker has ended.
        Destructed = "destructed",
        /// A worker broke, or would not start.
        Error = "error",
        /// A worker asked to be replaced.
        Stop = "stop",
        /// A worker has had its last payload.
        MaxExecutions = "max_executions",
        /// A payload has waited for a worker too long.
        AllocateTimeout = "allocate_timeout",
        /// A worker took too long to stop and was killed.
        DestroyTimeout = "destroy_timeout",
        /// A payload took too long.
        ExecTimeout = "exec_timeout",
        /// A worker has lived long enough.
        Ttl = "ttl",
        /// A worker has waited for a payload long enough.
        IdleTtl = "idle_ttl",
        /// A worker has too much memory.
        MaxMemory = "max_memory",
        /// A payload was refused because too many wait.
        QueueSize = "queue_size",
    }
}

names! {
    /// Where a worker stands.
    State {
        /// It is being started.
        Inactive = "inactive",
        /// It waits for a payload.
        Ready = "ready",
        /// It has one.
        Working = "working",
        /// It was told to stop.
        Stopping = "stopping",
        /// It has stopped.
        Stopped = "stopped",
        /// It broke, or would not start.
        Errored = "errored",
    }
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its seat, from 1.
    pub seat: u32,
    /// Its process; absent while there is none.
    pub pid: Option<i32>,
    /// Where it stands.
    pub state: State,
    /// Payloads that it has had.
    pub executions: u32,
    /// When its state last changed.
    pub changed: Timestamp,
}
