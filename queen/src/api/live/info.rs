//! The answer to `job:query-info`: the job, its phases, and every command with its output so far.
//!
//! One answer is one frame, so it is bounded: a first pass over the events measures, a second one keeps of each command
//! what its share allows, beginning and end. Small outputs are whole unless there are very many.

use crate::{
    api::{
        error::Answer,
        jobs,
        output::{self, Channel, Running, Seen},
    },
    app::Context,
};
use serde_json::{Map, Value, json};
use shared::{
    JobId, Num, Seq, Timestamp,
    protocol::{JobEvent, event::Edge},
};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of JSON that all output of one answer may take.
const OUTPUT: usize = 640 * 1024;
/// Bytes of JSON that everything about the commands but their output may take.
const COMMANDS: usize = 128 * 1024;
/// Bytes that are kept of one command line.
const LINE: usize = 2 * 1024;

/// A command and what it said.
#[derive(Debug, Default)]
struct Command {
    command: String,
    screencmd: Option<String>,
    phase: Option<&'static str>,
    started: Option<Timestamp>,
    duration: Option<u64>,
    exit_code: Option<i32>,
    out: Cut,
    err: Cut,
    merged: Cut,
}

/// Text that is cut in the middle. A share of 0 only measures.
#[derive(Debug, Default)]
struct Cut {
    /// Bytes of JSON that all of it takes.
    cost: usize,
    /// Bytes of JSON that may be kept.
    share: usize,
    head: String,
    head_cost: usize,
    tail: VecDeque<String>,
    tail_cost: usize,
    /// Bytes left out.
    lost: usize,
}

/// Bytes that `text` takes as JSON.
fn cost(text: &str) -> usize {
    text.bytes().map(byte_cost).sum()
}

fn byte_cost(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

impl Cut {
    fn measure(&mut self, text: &str) {
        self.cost += cost(text);
    }

    fn keep(&mut self, text: &str) {
        let whole = self.cost <= self.share;
        let room = if whole { usize::MAX } else { self.share / 2 };
        let mut split = 0;
        if self.tail.is_empty() && self.lost == 0 {
            for (at, c) in text.char_indices() {
                let cost = cost(&text[at..at + c.len_utf8()]);
                if self.head_cost + cost > room {
                    break;
                }
                self.head_cost += cost;
                split = at + c.len_utf8();
            }
            self.head.push_str(&text[..split]);
        }
        let rest = &text[split..];
        if rest.is_empty() {
            return;
        }
        self.tail_cost += cost(rest);
        self.tail.push_back(rest.to_owned());
        while self.tail_cost > room {
            let Some(first) = self.tail.front_mut() else { break };
            let first_cost = cost(first);
            if self.tail_cost - first_cost >= room {
                self.lost += first.len();
                self.tail_cost -= first_cost;
                self.tail.pop_front();
                continue;
            }
            // Only a part of the oldest piece has to go.
            let mut gone = 0;
            for c in first.chars() {
                if self.tail_cost <= room {
                    break;
                }
                self.tail_cost -= cost(c.encode_utf8(&mut [0; 4]));
                gone += c.len_utf8();
            }
            self.lost += gone;
            first.drain(..gone);
        }
    }

    fn text(&self) -> String {
        let mut text = self.head.clone();
        if self.lost > 0 {
            text.push_str(&format!(
                "\n[… {} bytes are left out here: the log has them …]\n",
                self.lost
            ));
        }
        text.extend(self.tail.iter().map(String::as_str));
        text
    }
}

/// The most that each text may have, so that all together have at most `all`: small ones whole, large ones alike.
fn share(costs: &[usize], all: usize) -> usize {
    let mut sorted = costs.to_vec();
    sorted.sort_unstable();
    let mut left = all;
    for (index, cost) in sorted.iter().enumerate() {
        let each = left / (sorted.len() - index);
        if *cost > each {
            return each;
        }
        left -= cost;
    }
    usize::MAX
}

#[derive(Debug, Default)]
struct Phases {
    open: Option<&'static str>,
    all: Map<String, Value>,
}

impl Phases {
    fn follow(&mut self, seen: &Seen) {
        let JobEvent::Phase {
            phase, edge, code, at, ..
        } = &seen.event
        else {
            return;
        };
        let entry = self
            .all
            .entry(phase.as_str())
            .or_insert_with(|| json!({"finished": false}));
        match edge {
            Edge::Start => {
                self.open = Some(phase.as_str());
                *entry = json!({"started": at, "finished": false});
            }
            Edge::Done => {
                self.open = None;
                entry["finished"] = true.into();
                entry["exitCode"] = json!(code);
                let started = entry["started"].as_i64().map(Timestamp);
                entry["duration"] = json!(started.map(|started| at.since(started)));
            }
        }
    }
}

/// Everything known of a job, as one JSON value.
pub(super) async fn of(context: &Context, id: &JobId) -> Answer<Value> {
    let job = jobs::find(context, id).await?;
    let mut commands = BTreeMap::<Option<Num>, Command>::new();
    let mut phases = Phases::default();
    let mut running = Running::default();
    output::scan(&*context.store, id, Seq(1), job.last_seq, |seen| {
        phases.follow(&seen);
        describe(&mut commands, &seen, phases.open);
        if let Some((num, channel, text)) = running.follow(&seen.event) {
            let command = commands.entry(num).or_default();
            match channel {
                Channel::Out => command.out.measure(text),
                Channel::Err => command.err.measure(text),
            }
            command.merged.measure(text);
        }
    })
    .await?;

    let dropped = drop_middle(&mut commands);
    let costs: Vec<usize> = commands
        .values()
        .flat_map(|command| [command.out.cost, command.err.cost, command.merged.cost])
        .filter(|cost| *cost > 0)
        .collect();
    // The notice where text was cut needs room too.
    let share = share(&costs, OUTPUT.saturating_sub(costs.len() * 80));
    for command in commands.values_mut() {
        for cut in [&mut command.out, &mut command.err, &mut command.merged] {
            cut.share = share;
        }
    }
    let mut running = Running::default();
    output::scan(&*context.store, id, Seq(1), job.last_seq, |seen| {
        if let Some((num, channel, text)) = running.follow(&seen.event)
            && let Some(command) = commands.get_mut(&num)
        {
            match channel {
                Channel::Out => command.out.keep(text),
                Channel::Err => command.err.keep(text),
            }
            command.merged.keep(text);
        }
    })
    .await?;

    let lost = |command: &Command| {
        [&command.out, &command.err, &command.merged]
            .iter()
            .any(|cut| cut.lost > 0)
    };
    let truncated = dropped > 0 || commands.values().any(lost);
    let std = commands.remove(&None).unwrap_or_default();
    let view = jobs::view(context, &job).await;
    Ok(json!({
        "job": view,
        "phases": phases.all,
        "commands": commands.iter().map(|(num, command)| command.json(*num)).collect::<Vec<_>>(),
        "std": {"out": std.out.text(), "err": std.err.text(), "merged": std.merged.text()},
        "last_seq": job.last_seq,
        "commands_left_out": dropped,
        "truncated": truncated,
    }))
}

fn describe(commands: &mut BTreeMap<Option<Num>, Command>, seen: &Seen, phase: Option<&'static str>) {
    match &seen.event {
        JobEvent::CmdStart {
            num,
            command: line,
            screencmd,
            detail,
            ..
        } => {
            let command = commands.entry(Some(*num)).or_default();
            command.command = short(line);
            command.screencmd = screencmd.as_deref().map(short);
            let own = detail.as_ref().and_then(|detail| detail.phase);
            command.phase = own.map(|own| own.as_str()).or(phase);
            command.started = Some(seen.at);
        }
        JobEvent::CmdDone {
            num,
            exit_code,
            elapsed,
            ..
        } => {
            let command = commands.entry(Some(*num)).or_default();
            command.exit_code = Some(*exit_code);
            command.duration = elapsed.or(command.started.map(|started| seen.at.since(started)));
        }
        _ => {}
    }
}

fn short(line: &str) -> String {
    if line.len() <= LINE {
        return line.to_owned();
    }
    let end = (0..=LINE).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &line[..end])
}

/// Leaves out commands in the middle until those that stay have room; answers how many are gone.
fn drop_middle(commands: &mut BTreeMap<Option<Num>, Command>) -> usize {
    let about = |command: &Command| 200 + cost(&command.command) + command.screencmd.as_deref().map_or(0, cost);
    let keys: Vec<_> = commands.keys().copied().collect();
    let (mut low, mut high, mut used) = (0, keys.len(), 0);
    while low < high {
        // By turns from the beginning and from the end.
        let key = if (low + keys.len() - high).is_multiple_of(2) {
            keys[low]
        } else {
            keys[high - 1]
        };
        used += commands.get(&key).map_or(0, about);
        if used > COMMANDS {
            break;
        }
        if (low + keys.len() - high).is_multiple_of(2) {
            low += 1
        } else {
            high -= 1
        }
    }
    for key in &keys[low..high] {
        commands.remove(key);
    }
    high - low
}

impl Command {
    fn json(&self, num: Option<Num>) -> Value {
        json!({
            "num": num,
            "command": self.command,
            "screencmd": self.screencmd,
            "phase": self.phase,
            "started": self.started,
            "duration": self.duration,
            "exitCode": self.exit_code,
            "out": self.out.text(),
            "err": self.err.text(),
            "merged": self.merged.text(),
        })
    }
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
