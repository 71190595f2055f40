//! What plugins say: the answer of a program, and the lines by which its commands send events.

use crate::choices::Choices;
use drone::plugin::{EventLines, read_answer};
use serde_json::Value;
use shared::job::is_env_name;

/// `data` is an answer, and the output of a command; its first bytes also choose where that is cut.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match read_answer(&text) {
        Ok(brought) => {
            let said: Value = serde_json::from_str(&text).expect("what is taken is JSON");
            assert!(said.is_object(), "{said} is taken for an answer");
            assert!(brought.env.keys().all(|name| is_env_name(name)));
            assert_eq!(brought.path.len(), said["path"].as_array().map_or(0, Vec::len));
            for (phase, steps) in &brought.commands {
                assert!(!steps.is_empty());
                assert_eq!(said[phase.as_str()].as_array().map(Vec::len), Some(steps.len()));
            }
        }
        Err(said) => assert!(!said.is_empty()),
    }
    events(&text, &mut Choices::new(data));
}

/// Lines that are events are taken out, all others are shown, and no cut changes that.
fn events(text: &str, choices: &mut Choices<'_>) {
    let (mut shown, mut events) = (String::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        let event = line
            .strip_prefix("::skep-plugin mine ")
            .and_then(|json| serde_json::from_str::<Value>(json).ok());
        match event {
            Some(event) => events.push(event),
            None => shown.push_str(line),
        }
    }
    let cuts: Vec<_> = choices
        .cuts(text.len())
        .into_iter()
        .map(|cut| text.ceil_char_boundary(cut))
        .collect();
    let mut lines = EventLines::new("mine");
    let mut got = (String::new(), Vec::new());
    let mut take = |(text, events): (String, Vec<Value>)| {
        got.0.push_str(&text);
        got.1.extend(events);
    };
    for pair in cuts.windows(2) {
        take(lines.push(&text[pair[0]..pair[1]]));
    }
    take(lines.finish());
    assert_eq!(got, (shown, events), "cut at {cuts:?}");
}
