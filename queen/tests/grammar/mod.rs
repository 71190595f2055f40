//! The grammar of a job's recorded stream: what PROTOCOL promises of order, checked event by event.
//!
//! `check` answers a short outline of the stream (what the tests compare) or the first event that breaks a rule.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Stream {
    outline: Vec<String>,
    queued: bool,
    started: bool,
    ended: Option<String>,
    done: bool,
    tested: bool,
    /// A phase ended without a code.
    broken: bool,
    deployed: bool,
    /// The open phase of each drone.
    phase: BTreeMap<String, &'static str>,
    /// The phases that each drone has begun, in order.
    begun: BTreeMap<String, Vec<&'static str>>,
    running: BTreeSet<u64>,
    commands: BTreeSet<u64>,
    files_open: BTreeMap<u64, String>,
    attempts: BTreeSet<(String, u64)>,
    /// A drone was lost.
    loss: bool,
}

const PHASES: [&str; 5] = ["environment", "prepare", "test", "deploy", "cleanup"];

/// Checks a whole stream of recorded events.
pub fn check(events: &[Value]) -> Result<Vec<String>, String> {
    read(events, Stream::default())
}

/// The same for a job that lost a drone: what that one had begun stays open, and its numbers may never be used.
pub fn check_with_loss(events: &[Value]) -> Result<Vec<String>, String> {
    let stream = Stream {
        loss: true,
        ..Stream::default()
    };
    read(events, stream)
}

fn read(events: &[Value], mut stream: Stream) -> Result<Vec<String>, String> {
    let mut at = 0;
    for (index, event) in events.iter().enumerate() {
        let fail = |why: String| format!("event {}: {why}\n{event}", index + 1);
        if event["seq"] != index as u64 + 1 {
            return Err(fail("its seq leaves a gap".into()));
        }
        let now = event["at"].as_i64().ok_or_else(|| fail("it has no time".into()))?;
        if now < at {
            return Err(fail("time runs backwards".into()));
        }
        at = now;
        stream.event(event).map_err(fail)?;
    }
    stream.end()?;
    Ok(stream.outline)
}

fn rule(ok: bool, why: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(why.into()) }
}

impl Stream {
    fn event(&mut self, event: &Value) -> Result<(), String> {
        let kind = event["type"].as_str().unwrap_or_default();
        let args = &event["args"];
        let num = || args[1].as_u64().ok_or("it has no num");
        rule(!self.done, "something follows job:done")?;
        rule(self.queued || kind == "job:queued", "job:queued has to come first")?;
        let drone = |index: usize| args[index].as_str().unwrap_or("queen").to_owned();
        match kind {
            "job:queued" => {
                rule(!self.queued, "it is queued twice")?;
                self.queued = true;
                self.outline.push("queued".into());
            }
            "job:started" => {
                rule(!self.started || self.loss, "it starts twice")?;
                self.started = true;
                self.outline.push("started".into());
            }
            "job:phase" => {
                let name = PHASES
                    .into_iter()
                    .find(|name| args[1] == **name)
                    .ok_or("unknown phase")?;
                self.phase(name, args[2].as_str().unwrap_or_default(), &drone(5), &args[3])?;
            }
            "job:cmd:start" => {
                let num = num()?;
                rule(self.commands.insert(num), "its num was used before")?;
                self.running.insert(num);
            }
            "job:cmd:stdout" | "job:cmd:stderr" => {
                rule(self.running.contains(&num()?), "output of a command that does not run")?
            }
            "job:cmd:done" => {
                rule(self.running.remove(&num()?), "the end of a command that does not run")?;
                rule(args[2].is_i64(), "it has no exit code")?;
            }
            "job:file:start" => {
                let path = args[2].as_str().unwrap_or_default().to_owned();
                let attempt = args[4].as_u64().ok_or("it has no attempt")?;
                rule(self.open_test(), "a file starts outside the test phase")?;
                rule(
                    self.attempts.insert((path.clone(), attempt)) || self.loss,
                    "this attempt was begun before",
                )?;
                rule(
                    self.files_open.insert(num()?, path).is_none(),
                    "its num was used before",
                )?;
            }
            "job:cases" => rule(
                self.files_open.contains_key(&num()?),
                "cases of a file that does not run",
            )?,
            "job:file:done" => {
                let num = num()?;
                let bare = args[4]["outcome"] == "crashed" || args[4]["outcome"] == "notrun";
                let open_ended = self.loss && bare;
                rule(open_ended || !self.running.contains(&num), "its command still runs")?;
                let open = self.files_open.remove(&num);
                rule(open.is_some() || bare, "the end of a file that does not run")?;
            }
            "job:tested" => {
                rule(!self.tested || self.loss, "it is tested twice")?;
                self.tested = true;
                self.outline.push(format!("tested {}", args[1]));
            }
            "job:deployed" => {
                rule(!self.deployed, "it is deployed twice")?;
                self.deployed = true;
                self.outline.push(format!("deployed {}", args[1]));
            }
            "job:errored" => self.ends(format!("errored {}", args[1]["kind"].as_str().unwrap_or_default()))?,
            "job:cancelled" => self.ends("cancelled".into())?,
            "job:done" => {
                self.done = true;
                self.outline.push("done".into());
            }
            "job:split" => rule(self.open_test(), "a file is split outside the test phase")?,
            "job:files" => {
                rule(self.open_test(), "files are listed outside the test phase")?;
                self.outline.push("files".into());
            }
            "job:stdout" | "job:stderr" | "job:plugin" | "job:warning" | "pool:worker" | "job:retry" => {}
            "job:quarantine" => rule(
                self.outline.iter().any(|told| told == "files"),
                "a quarantine before any list",
            )?,
            _ => return Err("unknown type".into()),
        }
        Ok(())
    }

    fn open_test(&self) -> bool {
        self.begun.values().any(|phases| phases.contains(&"test"))
    }

    fn ends(&mut self, how: String) -> Result<(), String> {
        rule(self.ended.is_none(), "it ends twice")?;
        self.outline.push(how.clone());
        self.ended = Some(how);
        Ok(())
    }

    fn phase(&mut self, name: &'static str, edge: &str, drone: &str, code: &Value) -> Result<(), String> {
        // The queen says the end of the tests: it alone knows of all files.
        let drone = if name == "test" { "home" } else { drone };
        if self.loss && edge == "start" && matches!(name, "environment" | "test") {
            // A drone that begins anew; another home drone.
            self.begun.remove(drone);
            self.phase.remove(drone);
        }
        match edge {
            "start" => {
                rule(self.started, "a phase starts before job:started")?;
                if self.loss && (name == "environment" || name == "cleanup" || self.phase.contains_key(drone)) {
                    // A new lease, or the end of one that was broken off.
                    self.phase.remove(drone);
                }
                rule(!self.phase.contains_key(drone), "a phase is still open")?;
                let begun = self.begun.entry(drone.to_owned()).or_default();
                if self.loss && (name == "environment" || name == "test") {
                    begun.clear();
                }
                let after = |phase: &&str| PHASES.iter().position(|known| known == phase);
                rule(
                    begun.last().is_none_or(|last| after(last) < after(&name)),
                    "phases are out of order",
                )?;
                begun.push(name);
                self.phase.insert(drone.to_owned(), name);
                self.outline.push(format!("{name} start"));
            }
            "done" => {
                rule(
                    self.phase.remove(drone) == Some(name),
                    "the end of a phase that is not open",
                )?;
                self.broken |= code.is_null();
                rule(code.is_i64() || code.is_null(), "its code is no number")?;
                self.outline.push(format!("{name} done {code}"));
            }
            _ => return Err("a phase has neither start nor done".into()),
        }
        Ok(())
    }

    fn end(&self) -> Result<(), String> {
        rule(self.done, "the stream does not end with job:done")?;
        if self.loss {
            return Ok(());
        }
        rule(
            self.running.is_empty(),
            &format!("commands never ended: {:?}", self.running),
        )?;
        // What was stopped has no result.
        rule(
            self.ended.is_some() || self.files_open.is_empty(),
            &format!("files never ended: {:?}", self.files_open),
        )?;
        rule(
            !self.broken || self.ended.is_some(),
            "a phase has no code, and yet the job is neither errored nor cancelled",
        )?;
        rule(self.phase.is_empty(), &format!("phases never ended: {:?}", self.phase))?;
        let dense = self.commands.iter().copied().eq(0..self.commands.len() as u64);
        rule(dense, &format!("command numbers have gaps: {:?}", self.commands))
    }
}
