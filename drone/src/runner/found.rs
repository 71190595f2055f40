//! What a report or an output tells of the cases of a file, whatever wrote it.
//!
//! Owns the limits and the uniqueness of names. The readers (`junit.rs`, `tap.rs`, `json.rs`, `text.rs`) fill it in;
//! `run.rs` makes a result of it.

use shared::outcome::{CaseOutcome, CaseResult, MESSAGE_LIMIT};
use std::collections::HashMap;

/// The most cases that are kept of one file.
const CASE_LIMIT: usize = 200_000;
/// The most bytes of a case's name.
const NAME_LIMIT: usize = 1000;

/// Everything that was found out about a file's cases.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub cases: Vec<CaseResult>,
    /// Things that make the file bad although no case is: a plan that was not kept, for example.
    pub faults: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// The framework itself says that there was no test.
    pub says_none: bool,
}

impl Found {
    /// A report that cannot be read.
    pub fn unreadable(warning: impl Into<String>) -> Self {
        Self {
            warnings: vec![warning.into()],
            ..Self::default()
        }
    }

    pub fn add(&mut self, case: CaseResult) {
        match self.cases.len() {
            CASE_LIMIT => self
                .warnings
                .push(format!("only the first {CASE_LIMIT} cases are kept")),
            n if n > CASE_LIMIT => return,
            _ => {}
        }
        self.cases.push(case);
    }

    /// Cuts what is too long and makes names unique: the second `x` becomes `x (2)`.
    pub fn finish(mut self) -> Self {
        self.cases.truncate(CASE_LIMIT);
        let mut seen: HashMap<String, u32> = HashMap::new();
        for case in &mut self.cases {
            if case.name.trim().is_empty() {
                case.name = "(no name)".into();
            }
            case.name = cut(&case.name, NAME_LIMIT);
            let count = seen.entry(case.name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                case.name.push_str(&format!(" ({count})"));
            }
            if let Some(message) = &mut case.message {
                *message = cut(message.trim_end(), MESSAGE_LIMIT);
            }
            if case.message.as_ref().is_some_and(String::is_empty) {
                case.message = None;
            }
        }
        self
    }
}

/// A case of which only name and outcome are known.
pub(super) fn case(name: impl Into<String>, outcome: CaseOutcome) -> CaseResult {
    CaseResult {
        name: name.into(),
        outcome,
        duration: None,
        message: None,
        file: None,
        line: None,
    }
}

/// Adds `text` to a case's message, on a line of its own.
pub(super) fn say(case: &mut CaseResult, text: &str) {
    let text = text.trim_matches('\n');
    if text.is_empty() {
        return;
    }
    match &mut case.message {
        // A few times the limit: what is beyond is cut at the end.
        Some(message) if message.len() > 8 * MESSAGE_LIMIT => {}
        Some(message) => {
            message.push('\n');
            message.push_str(text);
        }
        None => case.message = Some(text.to_owned()),
    }
}

/// `text` with its middle left out, if it is longer than `limit` bytes.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mark = format!("\n… {} bytes left out …\n", text.len() - limit);
    let half = limit.saturating_sub(mark.len()) / 2;
    let (head, tail) = (
        text.floor_char_boundary(half),
        text.ceil_char_boundary(text.len() - half),
    );
    format!("{}{mark}{}", &text[..head], &text[tail..])
}
