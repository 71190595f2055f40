//! What a recorded event says of lines, without reading more of it than that takes.
//!
//! A job may have a million events, so those in the form that the engine writes are read at sight; any other form is read
//! in full. Read next: `index.rs`.

use crate::api::output::{self, Channel};
use serde::Deserialize;
use shared::{
    Num,
    protocol::{JobEvent, live::Recorded},
};
use std::borrow::Cow;

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'e> {
    /// A command begins.
    Start(Num),
    /// A command has ended.
    Done(Num),
    /// Output, of the command that runs if none is named.
    Text {
        /// The command.
        num: Option<Num>,
        /// Which output.
        channel: Channel,
        /// What it says.
        text: Cow<'e, str>,
    },
    /// Cases of a file.
    Cases,
    /// Something that has nothing to do with lines.
    Other,
}

/// Reads a recorded line.
#[must_use]
pub fn hear(line: &str) -> Heard<'_> {
    at_sight(line).unwrap_or_else(|| in_full(line))
}

/// `None`: it has another form than the engine's.
fn at_sight(line: &str) -> Option<Heard<'_>> {
    let rest = number(line.strip_prefix("{\"seq\":")?)?.1;
    let rest = rest.strip_prefix(",\"at\":")?;
    let rest = number(rest.strip_prefix('-').unwrap_or(rest))?.1;
    let (kind, rest) = rest.strip_prefix(",\"type\":\"")?.split_once('"')?;
    let named = match kind {
        "job:cmd:start" | "job:cmd:done" | "job:cmd:stdout" | "job:cmd:stderr" => true,
        "job:stdout" | "job:stderr" => false,
        "job:cases" => return Some(Heard::Cases),
        // An escaped word may be any.
        _ if kind.contains('\\') => return None,
        _ => return Some(Heard::Other),
    };
    // No job's id has a quotation mark in it.
    let (_, rest) = rest.strip_prefix(",\"args\":[\"")?.split_once("\",")?;
    let (num, rest) = match named {
        true => number(rest)?,
        false => (0, rest),
    };
    let num = Num(u32::try_from(num).ok()?);
    match kind {
        "job:cmd:start" => return Some(Heard::Start(num)),
        "job:cmd:done" => return Some(Heard::Done(num)),
        _ => {}
    }
    let rest = if named { rest.strip_prefix(',')? } else { rest };
    let channel = match kind.ends_with("out") {
        true => Channel::Out,
        false => Channel::Err,
    };
    let Text(text) = serde_json::from_str(rest.strip_suffix("]}")?).ok()?;
    Some(Heard::Text {
        num: named.then_some(num),
        channel,
        text,
    })
}

#[derive(Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

/// The digits at the beginning, and what follows.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn in_full(line: &str) -> Heard<'static> {
    let text = |num, channel, text| Heard::Text {
        num,
        channel,
        text: Cow::Owned(text),
    };
    match output::read(line).map(|seen| seen.event) {
        Some(JobEvent::CmdStart { num, .. }) => Heard::Start(num),
        Some(JobEvent::CmdDone { num, .. }) => Heard::Done(num),
        Some(JobEvent::CmdStdout { num, text: said, .. }) => text(Some(num), Channel::Out, said),
        Some(JobEvent::CmdStderr { num, text: said, .. }) => text(Some(num), Channel::Err, said),
        Some(JobEvent::Stdout { text: said, .. }) => text(None, Channel::Out, said),
        Some(JobEvent::Stderr { text: said, .. }) => text(None, Channel::Err, said),
        Some(_) => Heard::Other,
        None => match serde_json::from_str::<Recorded<'_>>(line) {
            Ok(recorded) if recorded.kind == "job:cases" => Heard::Cases,
            _ => Heard::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn line(kind: &str, args: &Value) -> String {
        format!("{{\"seq\":7,\"at\":-9,\"type\":{},\"args\":{args}}}", json!(kind))
    }

    /// The same event in a form that the engine does not write.
    fn otherwise(kind: &str, args: &Value) -> String {
        format!("{{\"at\":9, \"args\": {args}, \"type\": {}, \"seq\":7}}", json!(kind))
    }

    #[test]
    fn every_event_is_heard_in_either_form() {
        let said = |num, channel, text: &'static str| Heard::Text {
            num,
            channel,
            text: text.into(),
        };
        for (kind, args, heard) in [
            ("job:cmd:start", json!(["j", 3, "make", null, {}]), Heard::Start(Num(3))),
            ("job:cmd:done", json!(["j", 3, 0, 5]), Heard::Done(Num(3))),
            (
                "job:cmd:stdout",
                json!(["j", 3, "a\n\"]}\u{1f41d}"]),
                said(Some(Num(3)), Channel::Out, "a\n\"]}\u{1f41d}"),
            ),
            (
                "job:cmd:stderr",
                json!(["j", 0, ""]),
                said(Some(Num(0)), Channel::Err, ""),
            ),
            ("job:stdout", json!(["j", "x"]), said(None, Channel::Out, "x")),
            (
                "job:stderr",
                json!(["j", "\u{1b}[1m"]),
                said(None, Channel::Err, "\u{1b}[1m"),
            ),
            ("job:done", json!(["j", 1]), Heard::Other),
        ] {
            let own = line(kind, &args);
            assert!(at_sight(&own).is_some(), "{own}");
            assert_eq!(hear(&own), heard, "{own}");
            let other = otherwise(kind, &args);
            assert!(at_sight(&other).is_none());
            assert_eq!(hear(&other), heard, "{other}");
        }
        for form in [line, otherwise] {
            assert_eq!(hear(&form("job:cases", &json!(["j", 1, 1, []]))), Heard::Cases);
        }
        // More args than are known, and an escape where none is needed.
        assert_eq!(
            hear(&line("job:cmd:stdout", &json!(["j", 3, "a", {"new": true}]))),
            said(Some(Num(3)), Channel::Out, "a")
        );
        let escaped = "{\"seq\":1,\"at\":1,\"type\":\"job:\\u0073tdout\",\"args\":[\"j\",\"\\u0061\"]}";
        assert_eq!(hear(escaped), said(None, Channel::Out, "a"));
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        for bad in [
            "",
            "{}",
            "nonsense",
            &line("job:cmd:stdout", &json!(["j", "x", "a"])),
            &line("job:cmd:stdout", &json!(["j", 3])),
            &line("job:cmd:stdout", &json!([])),
            &line("job:cmd:start", &json!(["j", 99_999_999_999_u64, "make"])),
        ] {
            assert_eq!(hear(bad), Heard::Other, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_heard_as_it_was_said(text in any::<String>(), num in any::<u32>()) {
            let own = line("job:cmd:stderr", &json!(["a-job", num, text]));
            prop_assert_eq!(hear(&own), Heard::Text { num: Some(Num(num)), channel: Channel::Err, text: text.into() });
        }

        #[test]
        fn any_line_is_borne(line in "[{}\\[\\]\",:a-z0-9\\\\]{0,60}") {
            let _ = hear(&line);
        }
    }
}
