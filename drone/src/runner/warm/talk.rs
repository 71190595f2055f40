//! What a warm worker says of a file, while it runs it.
//!
//! Owns the words of the frames and what the end of a process means for the case that ran. Must not know templates or
//! the pool's limits. Read next: `drone/runners/worker.py`, the other end.

use crate::{
    pool::{Answer, Error, Payload},
    process::{Ended, Exit, Output, Stream},
    runner::found::{self, Found, Names},
};
use serde::{Deserialize, Serialize};
use shared::{
    outcome::{CaseOutcome, CaseResult},
    protocol::to_drone::Part,
};
use std::{collections::BTreeMap, time::Duration};

/// The most bytes of stderr that a result may carry.
const TAIL: usize = 8 * 1024;

/// What a worker is asked.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    pub file: &'a str,
    /// Variables of this file alone.
    pub env: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'a Part>,
    /// Tell what the file can be split into.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub groups: bool,
    /// Only in a process that has run no other file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// A second look: of a part, the whole file is run and the part told of. It may end with the first case that fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

#[derive(Deserialize)]
struct Done {
    exit: i32,
    /// The most memory that the worker has had, in KiB, where its language can only ask for its own.
    memory: Option<u64>,
    /// Seconds of processor time, where its process has run other files too.
    cpu: Option<f64>,
    /// The worker can have another file.
    #[serde(default)]
    more: bool,
}

/// True if the worker that has said this can have another file.
pub fn has_more(answer: &Payload) -> bool {
    serde_json::from_slice::<Done>(&answer.body).is_ok_and(|done| done.more)
}

/// A file as far as the worker has told of it.
#[derive(Debug, Default)]
pub struct Telling {
    pub found: Found,
    names: Names,
    /// The case that runs.
    running: Option<String>,
    stderr: String,
}

impl Telling {
    /// A frame before the last. The case that it is about, if it is about one.
    pub fn hear(&mut self, payload: &Payload) -> Option<&CaseResult> {
        let text = || String::from_utf8_lossy(&payload.body).into_owned();
        match &payload.context[..] {
            b"begin" => self.running = Some(text()),
            b"case" => match serde_json::from_slice::<CaseResult>(&payload.body) {
                Ok(mut case) => {
                    self.running = None;
                    case.name = self.names.unique(&case.name);
                    let before = self.found.cases.len();
                    self.found.add(case);
                    return self.found.cases.get(before);
                }
                Err(error) => self.found.warnings.push(format!("a case could not be read: {error}")),
            },
            b"groups" => match serde_json::from_slice(&payload.body) {
                Ok(groups) => self.found.groups = groups,
                Err(error) => self
                    .found
                    .warnings
                    .push(format!("what the file can be split into could not be read: {error}")),
            },
            b"warning" => self.found.warnings.push(text()),
            _ => {}
        }
        None
    }

    /// A piece of the file's output.
    pub fn note(&mut self, output: &Output) {
        if output.stream == Stream::Stderr {
            self.stderr.push_str(&output.text);
            if self.stderr.len() > TAIL {
                let start = self.stderr.ceil_char_boundary(self.stderr.len() - TAIL);
                self.stderr.drain(..start);
            }
        }
    }

    /// The end: how the file's command would have ended, and everything that was found. An error: no worker has run it.
    pub fn end(mut self, result: Result<Answer, Error>, wall: Duration) -> Result<(Ended, Found), Error> {
        let mut timed_out = false;
        let (mut memory, mut cpu) = (None, None);
        let (code, exit) = match result {
            Ok(answer) => {
                let done = serde_json::from_slice::<Done>(&answer.payload.body);
                if let Ok(done) = &done {
                    memory = done.memory;
                    cpu = done.cpu.and_then(|cpu| Duration::try_from_secs_f64(cpu).ok());
                }
                let code = done.map(|done| done.exit).unwrap_or_else(|error| {
                    self.found
                        .fault(format!("the last word of its worker could not be read: {error}"));
                    1
                });
                self.found.says_none = self.found.cases.is_empty();
                // Something may have gone wrong after the last word.
                (
                    answer
                        .exit
                        .map_or(code, |exit| if exit.code == 0 { code } else { exit.code }),
                    answer.exit,
                )
            }
            Err(Error::Job { message, exit }) => {
                self.found.fault(message);
                (exit.map_or(1, |exit| exit.code.max(1)), exit)
            }
            Err(Error::TimedOut { exit, .. }) => {
                timed_out = true;
                self.broke_off("it ran when the time limit was reached".into(), false);
                (exit.map_or(128 + 9, |exit| exit.code), exit)
            }
            Err(Error::Worker { message, exit, .. }) => {
                let how = exit.map_or(message, |exit| match exit.signal {
                    Some(signal) => format!("the process was ended by signal {signal}"),
                    None => format!("the process ended by itself, with code {}", exit.code),
                });
                self.broke_off(how, true);
                (exit.map_or(1, |exit| exit.code), exit)
            }
            Err(error) => return Err(error),
        };
        let exit = exit.unwrap_or(Exit::of_status(0, Duration::ZERO, 0));
        let ended = Ended {
            code,
            signal: exit.signal,
            timed_out,
            cancelled: false,
            wall,
            cpu: cpu.unwrap_or(exit.cpu),
            peak_memory: exit.peak_memory.max(memory.unwrap_or(0) * 1024),
            stderr_tail: self.stderr,
        };
        Ok((ended, self.found))
    }

    /// The process is gone: the case that ran is the one to look at.
    fn broke_off(&mut self, how: String, is_fault: bool) {
        match self.running.take() {
            Some(name) => {
                let mut case = found::case(name, CaseOutcome::Errored);
                case.message = Some(format!("{how} while this case ran"));
                self.found.add(case);
            }
            None if is_fault => self.found.fault(format!("{how} before the file was done")),
            None => {}
        }
    }
}
