//! What a report or an output tells of the cases of a file, whatever wrote it.
//!
//! Owns the limits and the uniqueness of names. The readers (`junit.rs`, `tap.rs`, `json.rs`, `text.rs`) fill it in;
//! `run.rs` makes a result of it.

use shared::outcome::{CaseOutcome, CaseResult, Group, MESSAGE_LIMIT};
use std::collections::{HashMap, HashSet};

/// The most cases that are kept of one file.
const CASE_LIMIT: usize = 200_000;
/// The most bytes of a case's name.
pub(super) const NAME_LIMIT: usize = 1000;
/// The most bytes of messages that are kept of one file.
pub(super) const TEXTS_LIMIT: usize = 64 * 1024 * 1024;
/// The most faults that are kept of one file.
const FAULT_LIMIT: usize = 100;
/// The most levels of suites or subtests that are told apart; those deeper count to the last one.
pub(super) const DEPTH_LIMIT: usize = 100;

/// Everything that was found out about a file's cases.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub cases: Vec<CaseResult>,
    /// Things that make the file bad although no case is: a plan that was not kept, for example.
    pub faults: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What the file can be split into.
    pub groups: Vec<Group>,
    /// The framework itself says that there was no test.
    pub says_none: bool,
    /// Bytes of messages so far.
    texts: usize,
}

impl Found {
    /// A report that cannot be read.
    pub fn unreadable(warning: impl Into<String>) -> Self {
        Self {
            warnings: vec![warning.into()],
            ..Self::default()
        }
    }

    /// Takes a case in, cut to the limits at once: a report may repeat a long text in each of its cases.
    pub fn add(&mut self, mut case: CaseResult) {
        if self.cases.len() >= CASE_LIMIT {
            return self.warn_once(format!("only the first {CASE_LIMIT} cases are kept"));
        }
        case.name = cut(&case.name, NAME_LIMIT);
        case.file = case.file.map(|file| cut(&file, NAME_LIMIT));
        if let Some(message) = case.message.take() {
            if self.texts < TEXTS_LIMIT {
                let message = cut(message.trim_end(), MESSAGE_LIMIT);
                self.texts += message.len();
                case.message = Some(message);
            } else {
                self.warn_once(format!("only the first {TEXTS_LIMIT} bytes of messages are kept"));
            }
        }
        self.cases.push(case);
    }

    /// Notes what makes the file bad.
    pub fn fault(&mut self, fault: String) {
        match self.faults.len() {
            FAULT_LIMIT => self.warn_once(format!("only the first {FAULT_LIMIT} faults are kept")),
            _ => self.faults.push(cut(&fault, MESSAGE_LIMIT)),
        }
    }

    fn warn_once(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Cuts what has grown too long since, drops numbers that mean nothing, and makes names unique: the second `x`
    /// becomes `x (2)`.
    pub fn finish(mut self) -> Self {
        let mut names = Names::default();
        for case in &mut self.cases {
            case.name = names.unique(&case.name);
            case.duration = case.duration.filter(|ms| ms.is_finite() && *ms >= 0.0);
            case.line = case.line.filter(|line| *line > 0);
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

/// The names of a file's cases so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    counts: HashMap<String, u32>,
}

impl Names {
    /// A name like this one that no case before has.
    pub fn unique(&mut self, name: &str) -> String {
        let name = match name.trim() {
            "" => "(no name)".into(),
            _ => cut(name, NAME_LIMIT),
        };
        if self.taken.insert(name.clone()) {
            return name;
        }
        let count = self.counts.entry(name.clone()).or_insert(1);
        // Another case may be called so by itself.
        loop {
            *count += 1;
            let name = format!("{name} ({count})");
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cases: impl IntoIterator<Item = CaseResult>) -> Found {
        let mut found = Found::default();
        cases.into_iter().for_each(|case| found.add(case));
        found.finish()
    }

    #[test]
    fn names_are_unique_also_when_a_case_is_called_like_a_repeated_one() {
        let found = of(["x", "x", "x (2)", "x", " "].map(|name| case(name, CaseOutcome::Passed)));
        let names: Vec<_> = found.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["x", "x (2)", "x (2) (2)", "x (3)", "(no name)"]);
    }

    #[test]
    fn numbers_that_mean_nothing_are_left_out() {
        let with = |duration, line| CaseResult {
            duration: Some(duration),
            line: Some(line),
            ..case("x", CaseOutcome::Passed)
        };
        let found = of([with(f64::NAN, 0), with(-1.0, 1), with(f64::INFINITY, 2), with(0.5, 3)]);
        let numbers: Vec<_> = found.cases.iter().map(|case| (case.duration, case.line)).collect();
        assert_eq!(
            numbers,
            [(None, None), (None, Some(1)), (None, Some(2)), (Some(0.5), Some(3))]
        );
    }

    #[test]
    fn what_is_kept_of_a_file_is_bounded() {
        let long = CaseResult {
            message: Some("m".repeat(4 * MESSAGE_LIMIT)),
            ..case("n".repeat(50_000), CaseOutcome::Failed)
        };
        let mut found = Found::default();
        for _ in 0..5000 {
            found.add(long.clone());
            found.fault("f".repeat(50_000));
        }
        let texts =
            |found: &Found| -> usize { found.cases.iter().flat_map(|case| &case.message).map(String::len).sum() };
        assert!(found.cases.iter().all(|case| case.name.len() <= NAME_LIMIT));
        assert!((TEXTS_LIMIT - MESSAGE_LIMIT..TEXTS_LIMIT + MESSAGE_LIMIT).contains(&texts(&found)));
        assert_eq!((found.cases.len(), found.faults.len()), (5000, FAULT_LIMIT));
        assert_eq!(
            found.warnings,
            [
                "only the first 100 faults are kept",
                "only the first 67108864 bytes of messages are kept"
            ]
        );
    }
}
