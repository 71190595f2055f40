//! What lines are, told in the plainest way: all events read in full, all text held. The fast ways are measured by it.

use super::style::Styled;
use crate::{
    api::output::{self, Channel, Running},
    store::Event,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use shared::{JobId, Seq, Timestamp};
use std::collections::BTreeMap;

/// A line and the style of its stream where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub channel: Channel,
    pub text: String,
    pub at: Timestamp,
    pub style: Option<String>,
}

/// A command's lines, and which is open on each stream (0: none).
#[derive(Debug, Clone, Default)]
pub struct Command {
    pub lines: Vec<Line>,
    pub open: [usize; 2],
    pub ended: bool,
    styled: [Styled; 2],
}

/// All commands that these events tell of.
pub fn read(events: &[Event]) -> BTreeMap<u32, Command> {
    let mut commands = BTreeMap::<u32, Command>::new();
    let mut running = Running::default();
    for event in events {
        let Some(seen) = output::read(&event.line) else {
            continue;
        };
        match &seen.event {
            shared::protocol::JobEvent::CmdStart { num, .. } => commands.entry(num.0).or_default().ended = false,
            shared::protocol::JobEvent::CmdDone { num, .. } => commands.entry(num.0).or_default().ended = true,
            _ => {}
        }
        let Some((num, channel, text)) = running.follow(&seen.event) else {
            continue;
        };
        let command = commands.entry(num.map_or(0, |num| num.0)).or_default();
        let stream = channel as usize;
        for c in text.chars() {
            if command.open[stream] == 0 {
                command.lines.push(Line {
                    channel,
                    text: String::new(),
                    at: event.at,
                    style: command.styled[stream].style.sequence(),
                });
                command.open[stream] = command.lines.len();
            }
            command.styled[stream].take(c.encode_utf8(&mut [0; 4]));
            match c {
                '\n' => command.open[stream] = 0,
                c => command.lines[command.open[stream] - 1].text.push(c),
            }
        }
    }
    commands
}

/// An event of job `job` with the next number.
pub fn event(events: &[Event], kind: &str, args: &Value) -> Event {
    let seq = Seq(events.len() as u64 + 1);
    let at = Timestamp(1_000 + i64::try_from(seq.0).unwrap());
    Event {
        job: JobId::new("job").unwrap(),
        seq,
        at,
        line: format!(
            "{{\"seq\":{seq},\"at\":{},\"type\":{},\"args\":{args}}}",
            at.0,
            json!(kind)
        )
        .into(),
    }
}

/// Any events of a few commands side by side, with output that is cut anywhere.
pub fn events() -> impl Strategy<Value = Vec<Event>> {
    let piece = prop_oneof![
        "[ab\n]{0,6}",
        "(err|ERR|ÄR|är|\r|\n|\x1b\\[3[0-9]m|\x1b\\[m|\x1b|\\[1|m|\x1b\\]0;e|\x07|\u{1f41d}|\u{212a}){0,6}",
    ];
    // Long enough together that there are marks.
    let text = (piece, prop_oneof![25 => 0..3_usize, 1 => 90..300_usize]).prop_map(|(text, times)| text.repeat(times));
    let one = (0..9_u8, 0..4_u32, text).prop_map(|(what, num, text)| match what {
        0 => ("job:cmd:start", json!(["job", num, "make"])),
        1 => ("job:cmd:done", json!(["job", num, 0])),
        2 => ("job:stdout", json!(["job", text])),
        3 => ("job:stderr", json!(["job", text])),
        4 => ("job:cases", json!(["job", num, 1, []])),
        5 | 6 => ("job:cmd:stderr", json!(["job", num, text])),
        _ => ("job:cmd:stdout", json!(["job", num, text])),
    });
    vec(one, 0..60).prop_map(|all| {
        let mut events = Vec::new();
        for (kind, args) in all {
            events.push(event(&events, kind, &args));
        }
        events
    })
}
