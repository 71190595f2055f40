//! Reads a job's commands and their output back out of its recorded events.
//!
//! Owns the question "which command says this?"; the text itself passes through, window by window, and is never held
//! as a whole. Read next: `log.rs` and `live/info.rs`, which use it; `log/hear.rs` reads the same at sight, for what has
//! to go over all of a long log.

use super::follow::WINDOW;
use crate::store::{Store, StoreError};
use shared::{
    JobId, Num, Seq, Timestamp,
    protocol::{JobEvent, Message, live::Recorded},
};

/// Which of a command's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A recorded event that matters here.
#[derive(Debug)]
pub struct Seen {
    /// Its number.
    pub seq: Seq,
    /// When the queen received it.
    pub at: Timestamp,
    /// What it is.
    pub event: JobEvent,
}

/// Reads a recorded line; `None` for one that has nothing to do with commands, phases and output.
#[must_use]
pub fn read(line: &str) -> Option<Seen> {
    let recorded: Recorded<'_> = serde_json::from_str(line).ok()?;
    if !matches!(
        &*recorded.kind,
        "job:phase"
            | "job:cmd:start"
            | "job:cmd:done"
            | "job:cmd:stdout"
            | "job:cmd:stderr"
            | "job:stdout"
            | "job:stderr"
    ) {
        return None;
    }
    let (seq, at) = (recorded.seq, recorded.at);
    let message = Message {
        kind: recorded.kind,
        args: recorded.args,
        n: None,
        lease: None,
    };
    let event = JobEvent::read(&message).ok()??;
    Some(Seen { seq, at, event })
}

/// Commands that have begun and not ended, the latest last.
#[derive(Debug, Clone, Default)]
pub struct Running(Vec<Num>);

impl Running {
    /// A command begins.
    pub fn start(&mut self, num: Num) {
        self.done(num);
        self.0.push(num);
    }

    /// A command has ended.
    pub fn done(&mut self, num: Num) {
        self.0.retain(|running| *running != num);
    }

    /// Whose output it is that names no command.
    #[must_use]
    pub fn latest(&self) -> Option<Num> {
        self.0.last().copied()
    }

    /// Takes in an event; for output answers whose it is (`None`: no command runs) and what it says.
    pub fn follow<'e>(&mut self, event: &'e JobEvent) -> Option<(Option<Num>, Channel, &'e str)> {
        match event {
            JobEvent::CmdStart { num, .. } => {
                self.start(*num);
                None
            }
            JobEvent::CmdDone { num, .. } => {
                self.done(*num);
                None
            }
            JobEvent::CmdStdout { num, text, .. } => Some((Some(*num), Channel::Out, text)),
            JobEvent::CmdStderr { num, text, .. } => Some((Some(*num), Channel::Err, text)),
            JobEvent::Stdout { text, .. } => Some((self.latest(), Channel::Out, text)),
            JobEvent::Stderr { text, .. } => Some((self.latest(), Channel::Err, text)),
            _ => None,
        }
    }
}

/// What to show of a command.
#[must_use]
pub fn title(command: &str, screencmd: Option<&str>) -> String {
    screencmd.unwrap_or(command).to_owned()
}

/// Calls `each` for every event of `from..=until` that matters here, in order.
pub async fn scan(
    store: &dyn Store,
    job: &JobId,
    from: Seq,
    until: Seq,
    mut each: impl FnMut(Seen) + Send,
) -> Result<(), StoreError> {
    let mut next = from;
    while next <= until {
        let events = store.events(job, next, until, WINDOW).await?;
        let Some(last) = events.last() else { break };
        next = last.seq.next();
        for event in &events {
            if let Some(seen) = read(&event.line) {
                each(seen);
            }
        }
    }
    Ok(())
}
