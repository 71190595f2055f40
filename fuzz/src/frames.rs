//! Frames: what is read is a message or many, within the limits; what is joined is read again in the same order.

use crate::LONGEST_ERROR;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use shared::{
    LeaseToken,
    protocol::{FRAME_LIMIT, Frame, Message, frame},
};

/// `data` is a frame, and its lines are messages to be joined.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Frame::read(&text) {
        Ok(frame) => read(&text, &frame),
        Err(error) => assert!(error.to_string().len() <= LONGEST_ERROR, "{error}"),
    }
    let limit = data.len() % 97;
    join(&text.lines().collect::<Vec<_>>(), limit);
}

fn read(text: &str, frame: &Frame<'_>) {
    assert!(text.len() <= FRAME_LIMIT);
    // A reader of whole JSON refuses what is nested too deeply and numbers beyond a double; a frame leaves that to
    // whoever reads the args.
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        let all = match whole {
            Value::Array(all) => all,
            one => vec![one],
        };
        assert_eq!(all.len(), frame.0.len());
        for (one, message) in all.iter().zip(&frame.0) {
            assert!(one.is_object(), "{one} is taken for a message");
            assert_eq!(one["type"], *message.kind);
            let args = one["args"].as_array().map_or(0, Vec::len);
            assert_eq!(args, message.args.len());
        }
    }
    let written: Vec<String> = frame.0.iter().map(write).collect();
    let joined = frame::join(written.iter().map(String::as_str), FRAME_LIMIT / 4);
    let frames = joined
        .iter()
        .map(|text| Frame::read(text).expect("what was written is read again"));
    let again: Vec<String> = frames
        .flat_map(|frame| frame.0.iter().map(write).collect::<Vec<_>>())
        .collect();
    assert_eq!(again, written);
}

/// A message as it would be sent on.
fn write(message: &Message<'_>) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        args: &'a [&'a RawValue],
        n: Option<u64>,
        lease: Option<LeaseToken>,
    }
    let line = Line {
        kind: &message.kind,
        args: &message.args,
        n: message.n,
        lease: message.lease,
    };
    serde_json::to_string(&line).expect("text and numbers")
}

/// Joined frames hold every message once and in order, none needlessly alone, and none too long but a single one.
fn join(messages: &[&str], limit: usize) {
    let mut left = messages.iter();
    let mut before = 0;
    for frame in frame::join(messages.iter().copied(), limit) {
        let mut inside = frame
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .expect("an array");
        let first = left.next().expect("no frame is empty");
        if before > 0 {
            assert!(
                before + 1 + first.len() > limit,
                "a message had room in the frame before"
            );
        }
        inside = inside.strip_prefix(first).expect("in order");
        let mut count = 1;
        while let Some(rest) = inside.strip_prefix(',').filter(|_| !inside.is_empty()) {
            inside = rest.strip_prefix(left.next().expect("a message")).expect("in order");
            count += 1;
        }
        assert!(inside.is_empty());
        assert!(
            count == 1 || frame.len() <= limit,
            "{} bytes, the limit is {limit}",
            frame.len()
        );
        before = frame.len();
    }
    assert!(left.next().is_none(), "a message is lost");
}
