//! What a drone's session hands to the engine, and how an event becomes the line that is stored and shown.

use scheduler::{JobInput, ListedFile};
use serde::Serialize;
use shared::{
    DroneId, LeaseToken, Seq, Timestamp,
    protocol::{
        JobEvent,
        to_queen::{Info, Resume},
    },
};
use std::sync::Arc;

/// One message of a drone, read and checked.
#[derive(Debug)]
pub struct Incoming {
    /// The drone's own number.
    pub n: Option<u64>,
    /// The lease that it speaks under.
    pub lease: Option<LeaseToken>,
    /// What it says.
    pub said: Said,
}

/// What a drone can say after its hello.
#[derive(Debug)]
pub enum Said {
    /// What it can do.
    Info(Info),
    /// What it still holds.
    Resume(Resume),
    /// Something of a job. For `job:files`: its files with what the store knows of each.
    Job(JobEvent, Vec<ListedFile>),
    /// Nothing that this queen understands; its number still counts.
    Nothing,
}

/// The event as it is stored and shown: `{"seq", "at", "type", "args"}`, one line.
pub(super) fn line(seq: Seq, at: Timestamp, event: &JobEvent) -> Arc<str> {
    #[derive(Serialize)]
    struct Line<'a> {
        seq: Seq,
        at: Timestamp,
        #[serde(flatten)]
        event: &'a JobEvent,
    }
    // Events hold text and numbers only; nothing in them can fail to serialize.
    serde_json::to_string(&Line { seq, at, event })
        .unwrap_or_default()
        .into()
}

/// Writes down which drone it was, whatever the drone itself says.
pub(super) fn signed(mut event: JobEvent, by: &DroneId) -> JobEvent {
    match &mut event {
        JobEvent::Started { drone, .. }
        | JobEvent::Phase { drone, .. }
        | JobEvent::FileStart { drone, .. }
        | JobEvent::FileDone { drone, .. } => *drone = Some(by.clone()),
        JobEvent::CmdStart { detail, .. } => detail.get_or_insert_default().drone = Some(by.clone()),
        _ => {}
    }
    event
}

/// What an event of a drone means to the scheduler.
pub(super) enum Meaning {
    /// A decision hangs on it.
    Input(JobInput),
    /// It is recorded if the drone holds a lease and, where it names a command, that command was begun.
    Output,
    /// It is for the queen alone.
    Nothing,
}

/// Sorts an event. `files` are those of `job:files`.
pub(super) fn meaning(event: &JobEvent, files: Vec<ListedFile>) -> Meaning {
    Meaning::Input(match event {
        JobEvent::Queued { .. } => JobInput::Receipt,
        JobEvent::Started { .. } => JobInput::Started,
        JobEvent::Phase { phase, edge, code, .. } => JobInput::Phase {
            phase: *phase,
            edge: *edge,
            code: *code,
        },
        JobEvent::CmdStart { num, .. } => JobInput::CmdStart { num: *num },
        JobEvent::Files { more, plan, .. } => JobInput::Files {
            files,
            more: more.unwrap_or(false),
            plan: plan.clone(),
        },
        JobEvent::FileStart { num, attempt, .. } => JobInput::FileStart {
            num: *num,
            attempt: *attempt,
        },
        JobEvent::FileDone {
            num, attempt, result, ..
        } => JobInput::FileDone {
            num: *num,
            attempt: *attempt,
            outcome: result.outcome,
            died: result.died,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "milliseconds, never negative"
            )]
            duration: result.duration.max(0.0) as u64,
            groups: result.groups.clone(),
        },
        JobEvent::Returned { nums, .. } => JobInput::Returned { nums: nums.clone() },
        JobEvent::Deployed { code, .. } => JobInput::Deployed { code: *code },
        JobEvent::Done { .. } => JobInput::Done,
        JobEvent::Errored { error, .. } => JobInput::Errored { error: error.clone() },
        JobEvent::Cancelled { .. } => JobInput::Cancelled,
        JobEvent::CmdDone { .. }
        | JobEvent::CmdStdout { .. }
        | JobEvent::CmdStderr { .. }
        | JobEvent::Cases { .. }
        | JobEvent::Stdout { .. }
        | JobEvent::Stderr { .. }
        | JobEvent::Plugin { .. }
        | JobEvent::Warned { .. }
        | JobEvent::Worker { .. } => return Meaning::Output,
        // The queen says these itself.
        JobEvent::Split { .. }
        | JobEvent::Tested { .. }
        | JobEvent::Retried { .. }
        | JobEvent::Quarantined { .. }
        | JobEvent::Info { .. } => {
            return Meaning::Nothing;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{JobId, Num};

    #[test]
    fn a_line_is_the_recorded_event() {
        let event = JobEvent::CmdStdout {
            job: JobId::new("j").unwrap(),
            num: Num(3),
            text: "a\nb\"".into(),
        };
        assert_eq!(
            &*line(Seq(7), Timestamp(9), &event),
            r#"{"seq":7,"at":9,"type":"job:cmd:stdout","args":["j",3,"a\nb\""]}"#
        );
    }
}
