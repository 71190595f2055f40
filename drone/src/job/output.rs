//! What a lease says to the queen: events in order, output within its limit, nothing once it is told to be silent.
//!
//! It knows the outbox and the job's mask, and not why anything is said. Read next: `phase`, which runs commands.

use crate::{
    link::Outbox,
    plugin::EventLines,
    process::{Mask, Output, Stream},
};
use shared::{
    DroneId, JobId, LeaseToken, Num,
    protocol::{
        JobEvent,
        event::{CmdDetail, Phase, Warning},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The most bytes of a command line in `job:cmd:start`.
const COMMAND_LIMIT: usize = 16 * 1024;

/// The voice of one lease.
#[derive(Debug)]
pub struct Voice {
    pub job: JobId,
    pub lease: LeaseToken,
    pub drone: DroneId,
    pub outbox: Arc<Outbox>,
    pub mask: Arc<Mask>,
    /// Cancelled: the lease is gone, nothing may be said under it any more.
    pub silent: CancellationToken,
    /// Bytes of output that this lease may send.
    pub limit: u64,
    pub written: AtomicU64,
    pub truncated: AtomicBool,
}

impl Voice {
    /// Says it, after everything said before. Waits while the outbox is full.
    pub async fn say(&self, event: JobEvent) {
        let push = self.outbox.push(&event, Some(self.lease));
        if let Some(Err(error)) = self.silent.run_until_cancelled(push).await {
            tracing::error!(job = %self.job, kind = event.kind(), %error, "an event could not be sent");
        }
    }

    /// Says what a person should know.
    pub async fn warn(&self, source: impl Into<String>, message: &str) {
        self.say(JobEvent::Warned {
            job: self.job.clone(),
            warning: Warning {
                source: source.into(),
                message: self.mask.sanitize(message),
            },
        })
        .await;
    }

    /// A command begins.
    pub async fn command(&self, num: Num, command: &str, screen: Option<&str>, phase: Phase, by: &str) {
        self.say(JobEvent::CmdStart {
            job: self.job.clone(),
            num,
            command: cut(self.mask.sanitize(command), COMMAND_LIMIT),
            screencmd: screen.map(|screen| cut(self.mask.sanitize(screen), COMMAND_LIMIT)),
            detail: Some(CmdDetail {
                phase: Some(phase),
                plugin: Some(by.to_owned()),
                drone: Some(self.drone.clone()),
            }),
        })
        .await;
    }

    /// Output of a command, unless the job has said too much already. `text` is masked.
    pub async fn output(&self, num: Num, stream: Stream, text: String) {
        if text.is_empty() {
            return;
        }
        let size = text.len() as u64;
        if self.written.fetch_add(size, Ordering::Relaxed) + size > self.limit {
            if !self.truncated.swap(true, Ordering::Relaxed) {
                let message = format!(
                    "the output of this job on drone {} is over the limit of {} bytes: nothing more of it is kept; its commands go on. Raise the limit with --log-limit on the drone",
                    self.drone, self.limit
                );
                self.warn("log", &message).await;
            }
            return;
        }
        let job = self.job.clone();
        self.say(match stream {
            Stream::Stdout => JobEvent::CmdStdout { job, num, text },
            Stream::Stderr => JobEvent::CmdStderr { job, num, text },
        })
        .await;
    }

    /// Says a command's output as it comes, until `pieces` is closed. `plugin`: its event lines are taken out.
    pub async fn relay(&self, num: Num, mut pieces: mpsc::Receiver<Output>, plugin: Option<&str>) {
        let mut lines = plugin.map(|name| (name, EventLines::new(name)));
        while let Some(piece) = pieces.recv().await {
            match &mut lines {
                Some((name, lines)) if piece.stream == Stream::Stdout => {
                    let found = lines.push(&piece.text);
                    self.plugin_output(num, name, found).await;
                }
                _ => self.output(num, piece.stream, piece.text).await,
            }
        }
        if let Some((name, mut lines)) = lines {
            let found = lines.finish();
            self.plugin_output(num, name, found).await;
        }
    }

    async fn plugin_output(&self, num: Num, name: &str, (text, events): (String, Vec<serde_json::Value>)) {
        self.output(num, Stream::Stdout, text).await;
        for data in events {
            self.say(JobEvent::Plugin {
                job: self.job.clone(),
                plugin: name.to_owned(),
                data,
            })
            .await;
        }
    }
}

/// `text`, with its middle left out if it is longer than `limit` bytes.
#[must_use]
pub fn cut(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let note = format!("\n[… {} bytes left out …]\n", text.len() - limit);
    let head = text.floor_char_boundary(limit / 2);
    let tail = text.ceil_char_boundary(text.len() - limit.saturating_sub(limit / 2 + note.len()));
    format!("{}{note}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_keeps_its_beginning_and_its_end() {
        let text = format!("begin{}end", "ü".repeat(5000));
        let short = cut(text, 1000);
        assert!(short.len() <= 1000, "{}", short.len());
        assert!(short.starts_with("begin") && short.ends_with("end") && short.contains("bytes left out"));
        assert_eq!(cut("short".into(), 5), "short");
    }
}
