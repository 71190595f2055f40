//! What Skep reads from strangers, given anything at all: each target is a function of bytes that panics if a promise is
//! broken.
//!
//! Owns the promises, not the inputs. Those come three ways: `tests/targets.rs` replays `corpus/` and mutates it by
//! seed; `targets/` hands each function to libFuzzer (`make fuzz`); `INPUT=file` gives the tests one file alone. Must not
//! know how what it reads is read. Read next: `frames.rs`; CONTRIBUTING.md for the commands.

pub mod choices;
pub mod frames;
pub mod goridge;
pub mod jobs;
pub mod json;
pub mod junit;
pub mod lines;
pub mod live;
pub mod masks;
pub mod messages;
pub mod output;
pub mod plugins;
mod report;
pub mod settings;
pub mod tap;

use serde::Serialize;
use serde_json::Value;

/// A target: its name, which is that of its folder in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 13] = [
    ("frames", frames::target),
    ("messages", messages::target),
    ("live", live::target),
    ("settings", settings::target),
    ("jobs", jobs::target),
    ("junit", junit::target),
    ("tap", tap::target),
    ("json", json::target),
    ("lines", lines::target),
    ("masks", masks::target),
    ("output", output::target),
    ("plugins", plugins::target),
    ("goridge", goridge::target),
];

/// No error that is logged or sent on may be longer, in bytes, however long what it is about.
const LONGEST_ERROR: usize = 1000;

/// True if both are written as the same JSON. A double may differ in its last bits: the reader is fast, not exact.
fn is_same(a: &impl Serialize, b: &impl Serialize) -> bool {
    let value = |result: serde_json::Result<Value>| result.expect("text and numbers");
    same_values(&value(serde_json::to_value(a)), &value(serde_json::to_value(b)))
}

fn same_values(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
                return false;
            };
            (a - b).abs() <= a.abs() * 4.0 * f64::EPSILON
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_values(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_values(a, b)))
        }
        (a, b) => a == b,
    }
}
