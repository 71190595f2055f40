//! The drone: works on one machine; knows nothing of other drones, of HTTP APIs or of the database.
//!
//! `main → agent → {link, job} → {phase, workspace, source, plugin, runner} → {pool, process}`. See ARCHITECTURE.md.
//! [`run`] is the one door: the `drone` program and a queen with a drone of its own both come in by it. It sets nothing
//! that belongs to the whole process, so several may run in one.

mod agent;
mod cache;
pub mod clock;
pub mod config;
mod data;
pub mod flags;
mod job;
mod kept;
pub mod link;
mod phase;
pub mod plugin;
pub mod pool;
pub mod process;
pub mod runner;
mod slots;
pub mod source;
mod speed;
pub mod workspace;

pub use agent::{Agent, Host, Stop, Work};
pub use config::Config;
pub use data::DataError;
pub use job::Mailbox;

use data::Data;
use job::{Base, Machine};
use kept::Kept;
use link::{Link, LinkError, Network, Outbox, OutboxError};
use plugin::Plugins;
use shared::{Incarnation, protocol::Info};
use slots::Slots;
use std::{io, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;
use workspace::Workspaces;

/// Messages of the queen that may wait for the agent.
const INBOX: usize = 256;
/// How long a drone that leaves waits for the queen to take its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Why a drone could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DroneError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The folder of workspaces cannot be used.
    #[error("the folder for workspaces cannot be used: {0}")]
    Workspaces(io::Error),
    /// The folder of what is kept between jobs cannot be used.
    #[error(
        "the folder of what is kept between jobs cannot be used: {0}; nothing in it is needed, so it may be removed"
    )]
    Kept(io::Error),
    /// The folder of the outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The queen does not want it, or cannot be reached at all.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A part of it broke down.
    #[error("the drone broke down ({0}): this is a bug of Skep")]
    Broken(String),
}

/// Works for a queen until `shutdown`, which kills what runs, removes its workspaces and leaves at once.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), DroneError> {
    let stop = Stop {
        drain: CancellationToken::new(),
        now: shutdown,
    };
    run_until(config, stop).await
}

/// Like [`run`], and can also be drained: `stop.drain` finishes what runs first.
pub async fn run_until(config: Config, stop: Stop) -> Result<(), DroneError> {
    let broken = |error: tokio::task::JoinError| DroneError::Broken(error.to_string());
    let config = Arc::new(config);
    let open = {
        let config = Arc::clone(&config);
        move || {
            // Here and not in the first job, which would wait for it.
            source::set_up();
            let data = Data::open(&config.data, &config.name)?;
            let workspaces = Workspaces::open(&data.workspaces()).map_err(DroneError::Workspaces)?;
            let kept = Kept::open(&data.kept()).map_err(DroneError::Kept)?;
            let outbox = Outbox::open(&data.outbox(), config.outbox)?;
            Ok::<_, DroneError>((data, workspaces, kept, outbox))
        }
    };
    let (data, workspaces, kept, outbox) = tokio::task::spawn_blocking(open).await.map_err(broken)??;
    let speed = agent::measured(config.speed).await;
    let base = Base::of_this_process();
    let machine = Arc::new(Machine {
        drone: data.drone().clone(),
        outbox: Arc::new(outbox),
        slots: Slots::new(config.capacity),
        workspaces,
        mirrors: data.mirrors(),
        kept,
        warm: data.warm(),
        plugins: Plugins::new(&config.plugin_dirs, &base.path),
        base,
        now: stop.now.clone(),
        config,
    });
    machine.shrink_cache();
    tracing::info!(
        drone = %machine.drone, name = %machine.config.name, queen = %machine.config.queen, speed,
        capacity = machine.config.capacity, "started"
    );
    let (inbox, heard) = mpsc::channel(INBOX);
    let leave = CancellationToken::new();
    let incarnation = uuid::Uuid::now_v7().simple().to_string();
    let link = Link {
        network: Network,
        config: Arc::clone(&machine.config),
        drone: machine.drone.clone(),
        incarnation: Incarnation::new(incarnation).map_err(|error| DroneError::Broken(error.to_string()))?,
        outbox: Arc::clone(&machine.outbox),
        inbox,
        stop: leave.clone(),
    };
    let mut link = tokio::spawn(link.run());
    Agent::new(Arc::clone(&machine), speed).run(heard, &stop).await;
    let last_words = stop
        .now
        .run_until_cancelled(time::timeout(LAST_WORDS, machine.outbox.flushed()));
    tokio::select! {
        // The agent had to leave because the link has ended.
        ended = &mut link => return Ok(ended.map_err(broken)??),
        said = last_words => if let Some(Err(_)) = said {
            tracing::warn!(waiting = machine.outbox.waiting(), "left before the queen had everything");
        },
    }
    leave.cancel();
    link.await.map_err(broken)??;
    Ok(())
}

/// What a drone with this configuration would report.
pub async fn report(config: &Config) -> Info {
    let speed = agent::measured(config.speed).await;
    let base = Base::of_this_process();
    let plugins = Plugins::new(&config.plugin_dirs, &base.path);
    agent::info(config, &plugins, speed, false).await
}
