//! Workers that are talked to on their standard input and output.
//!
//! Owns the pipes. Must not know what the program does. Read next: `mod.rs`.

use super::{Factory, Ready, Relay, Starting, describe, ended};
use crate::process::{self, Child, Command};
use std::{io, os::fd::OwnedFd, process::Stdio};
use tokio::net::unix::pipe;

/// What names the way to the drone, as RoadRunner's worker libraries expect it.
pub const RELAY: &str = "RR_RELAY";

/// Starts programs whose standard input and output carry frames; standard error is their output.
pub struct Pipe {
    command: Box<dyn Fn(u32) -> Command + Send + Sync>,
}

impl Pipe {
    /// `command` is the program of the seat with this number. Its environment gets [`RELAY`]; its time limit and grace
    /// mean nothing here.
    pub fn new(command: impl Fn(u32) -> Command + Send + Sync + 'static) -> Self {
        Self {
            command: Box::new(command),
        }
    }
}

impl Factory for Pipe {
    fn spawn(&self, seat: u32) -> Result<Starting, String> {
        let mut command = (self.command)(seat);
        command.env.insert(RELAY.into(), "pipes".into());
        let started = process::start(&command, Stdio::piped()).map_err(|error| error.to_string())?;
        let relay =
            relay(started.stdin, started.stdout).map_err(|error| format!("its pipes cannot be used: {error}"))?;
        Ok(Starting {
            stdout: None,
            stderr: started.stderr,
            ready: Box::pin(greet(started.child, relay)),
        })
    }
}

fn relay(to: Option<OwnedFd>, from: OwnedFd) -> io::Result<Relay> {
    let to = to.ok_or_else(|| io::Error::other("there is no standard input"))?;
    Ok(Relay::new(
        pipe::Receiver::from_owned_fd(from)?,
        pipe::Sender::from_owned_fd(to)?,
    ))
}

async fn greet(mut process: Child, mut relay: Relay) -> Result<Ready, String> {
    let greeted = relay.greet().await;
    match greeted {
        Ok(_) => Ok(Ready { process, relay }),
        Err(error) if error.is_end() => match ended(&mut process).await {
            Some(exit) => Err(format!("it {} before it had said its pid", describe(&exit))),
            None => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    }
}
