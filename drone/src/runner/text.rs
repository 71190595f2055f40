//! Results in the lines that frameworks print for people: libtest (cargo), go test, unittest, minitest.
//!
//! These have no report that a released version could write to a file. Reads line by line as the output comes; a line
//! that is not understood is somebody's output and left alone.

#[cfg(test)]
mod tests;

use super::found::{Found, TEXTS_LIMIT, case, cut, say};
use crate::process::Stream;
use shared::outcome::{CaseOutcome, CaseResult};
use std::collections::HashMap;

/// Whose lines they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Libtest,
    Go,
    Unittest,
    Minitest,
}

/// The most bytes of text that are kept for one case while it is not known if it fails.
const TEXT: usize = 64 * 1024;

/// Reads the output of one file.
#[derive(Debug)]
pub(super) struct Lines {
    dialect: Dialect,
    found: Found,
    /// Where a case is in `found`.
    index: HashMap<String, usize>,
    /// The case that has begun and whose outcome is still to come (minitest).
    begun: Option<String>,
    /// The case whose text the next lines are.
    current: Option<String>,
    /// Text of cases whose outcome is not known yet.
    texts: HashMap<String, String>,
    /// Bytes that are there, names included.
    kept: usize,
    /// The list of cases is over, and their failures are told one by one (unittest).
    in_details: bool,
    /// The framework said how many tests there are, and each time none.
    counted: bool,
}

impl Lines {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            found: Found::default(),
            index: HashMap::new(),
            begun: None,
            current: None,
            texts: HashMap::new(),
            kept: 0,
            in_details: false,
            counted: false,
        }
    }

    /// Takes the next line of a stream, without its end.
    pub fn line(&mut self, stream: Stream, line: &str) {
        match (self.dialect, stream) {
            (Dialect::Libtest, Stream::Stdout) => self.libtest(line),
            (Dialect::Go, Stream::Stdout) => self.go(line),
            (Dialect::Unittest, Stream::Stderr) => self.unittest(line),
            (Dialect::Minitest, Stream::Stdout) => self.minitest(line),
            _ => {}
        }
    }

    /// The output has ended.
    pub fn finish(mut self) -> Found {
        for (name, text) in std::mem::take(&mut self.texts) {
            if let Some(case) = self.index.get(&name).and_then(|index| self.found.cases.get_mut(*index))
                && case.outcome.is_bad()
            {
                say(case, &text);
                locate(case);
            }
        }
        self.found.says_none = self.counted && self.found.cases.is_empty();
        self.found.finish()
    }

    fn add(&mut self, name: &str, outcome: CaseOutcome) -> Option<&mut CaseResult> {
        let index = self.found.cases.len();
        self.found.add(case(name, outcome));
        let case = self.found.cases.get_mut(index)?;
        self.index.insert(name.to_owned(), index);
        Some(case)
    }

    fn keep(&mut self, line: &str) {
        let Some(name) = self.current.as_ref().filter(|_| self.kept < TEXTS_LIMIT) else {
            return;
        };
        if !self.texts.contains_key(name) {
            self.kept += name.len();
        }
        let text = self.texts.entry(name.clone()).or_default();
        if text.len() < TEXT {
            let line = cut(line, TEXT);
            self.kept += line.len() + 1;
            text.push_str(&line);
            text.push('\n');
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(text) = self.texts.remove(name) {
            self.kept -= name.len() + text.len();
        }
    }

    fn libtest(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("running ")
            && rest.trim_end_matches('s').ends_with(" test")
        {
            self.counted = true;
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            let name = name.strip_suffix(" - should panic").unwrap_or(name);
            let (word, reason) = verdict.split_once(", ").unwrap_or((verdict, ""));
            // With `--report-time` the time follows.
            let word = word.split_once(" <").map_or(word, |(word, _)| word);
            let outcome = match word {
                "ok" => CaseOutcome::Passed,
                "FAILED" => CaseOutcome::Failed,
                "ignored" => CaseOutcome::Skipped,
                _ => return,
            };
            if let Some(case) = self.add(name, outcome) {
                say(case, reason);
            }
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            self.current = Some(name.strip_suffix(" stdout").unwrap_or(name).to_owned());
        } else if line == "failures:" || line.starts_with("test result:") {
            self.current = None;
        } else {
            self.keep(line);
        }
    }

    fn go(&mut self, line: &str) {
        let text = line.trim_start();
        if let Some(rest) = text.strip_prefix("=== ") {
            let (_, name) = rest.split_once(char::is_whitespace).unwrap_or_default();
            self.current = Some(name.trim().to_owned());
        } else if let Some((word, rest)) = text.strip_prefix("--- ").and_then(|rest| rest.split_once(": ")) {
            let outcome = match word {
                "PASS" => CaseOutcome::Passed,
                "FAIL" => CaseOutcome::Failed,
                "SKIP" => CaseOutcome::Skipped,
                _ => return,
            };
            let (name, time) = rest.rsplit_once(" (").unwrap_or((rest, ""));
            let seconds: Option<f64> = time.trim_end_matches("s)").parse().ok();
            let reason = self
                .texts
                .get(name)
                .filter(|_| outcome == CaseOutcome::Skipped)
                .cloned();
            if let Some(case) = self.add(name, outcome) {
                case.duration = seconds.map(|seconds| seconds * 1000.0);
                say(case, &reason.unwrap_or_default());
            }
            if !outcome.is_bad() {
                self.forget(name);
            }
            self.current = Some(name.to_owned());
        } else if text.contains("[no test files]") || text.contains("no tests to run") {
            self.counted = true;
        } else if ["PASS", "FAIL"].contains(&line) || line.starts_with("ok  \t") || line.starts_with("FAIL\t") {
            self.current = None;
        } else {
            self.keep(line);
        }
    }

    fn unittest(&mut self, line: &str) {
        if line.starts_with("======") {
            (self.current, self.in_details) = (None, true);
            return;
        }
        if let Some(count) = line.strip_prefix("Ran ").and_then(|rest| rest.split(' ').next()) {
            self.current = None;
            self.counted |= count == "0";
            return;
        }
        if self.in_details {
            match line.split_once(": ") {
                Some(("FAIL" | "ERROR", name)) if self.current.is_none() => self.current = Some(unittest_name(name)),
                _ if line.starts_with("------") => {}
                _ => self.keep(line),
            }
            return;
        }
        // `test_x (m.C.test_x) ... ok`; with a docstring the name is on the line before, with output in between the
        // verdict on a line after.
        let (before, verdict) = line.rsplit_once(" ... ").unwrap_or(("", line));
        let is_name = |text: &str| text.contains(" (") && text.ends_with(')');
        if is_name(before) {
            self.current = Some(unittest_name(before));
        } else if is_name(line) && !line.starts_with(' ') {
            self.current = Some(unittest_name(line));
            return;
        }
        let (outcome, reason) = match verdict.trim() {
            "ok" => (CaseOutcome::Passed, ""),
            "FAIL" => (CaseOutcome::Failed, ""),
            "ERROR" => (CaseOutcome::Errored, ""),
            "expected failure" => (CaseOutcome::XFailed, ""),
            // unittest counts it against the run.
            "unexpected success" => (CaseOutcome::Failed, "unexpected success"),
            text => match text.strip_prefix("skipped ") {
                Some(reason) => (CaseOutcome::Skipped, reason.trim_matches(['\'', '"'])),
                None => return self.keep(line),
            },
        };
        if let Some(name) = self.current.clone().filter(|name| !self.index.contains_key(name)) {
            self.forget(&name);
            if let Some(case) = self.add(&name, outcome) {
                say(case, reason);
            }
            self.current = None;
        }
    }

    fn minitest(&mut self, line: &str) {
        // `TestX#test_y = 0.01 s = F`; between name and time comes whatever the test writes, lines and all.
        let name = line
            .split_once(" = ")
            .map(|(name, _)| name)
            .filter(|name| name.contains('#'));
        if let Some((before, seconds, outcome)) = minitest_end(line) {
            let whole = before.strip_suffix(" = ").filter(|name| name.contains('#'));
            let begun = self.begun.take();
            if let Some(name) = whole.or(name).map(str::to_owned).or(begun)
                && let Some(case) = self.add(&name, outcome)
            {
                case.duration = Some(seconds * 1000.0);
            }
            return;
        }
        if self.begun.is_none() {
            self.begun = name.map(str::to_owned);
        }
        if line.contains(" runs, ") && line.contains(" assertions, ") {
            self.current = None;
            self.counted |= line.starts_with("0 runs");
        } else if line.trim_end().ends_with([':']) && line.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
            self.current = None; // `  1) Failure:`
        } else if let Some(name) = blamed(line).filter(|name| self.index.contains_key(*name)) {
            self.current = Some(name.to_owned());
            self.keep(line);
        } else {
            self.keep(line);
        }
    }
}

/// What stands before the time of `… 0.01 s = F`, the time in seconds, and how the test ended.
fn minitest_end(line: &str) -> Option<(&str, f64, CaseOutcome)> {
    let (rest, mark) = line.trim_end().rsplit_once(" s = ")?;
    let outcome = match mark {
        "." => CaseOutcome::Passed,
        "F" => CaseOutcome::Failed,
        "E" => CaseOutcome::Errored,
        "S" => CaseOutcome::Skipped,
        _ => return None,
    };
    let before = rest.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    Some((before, rest[before.len()..].parse().ok()?, outcome))
}

/// The test of `TestX#test_y [file:3]:` or `TestX#test_y:`, which may have spaces in its name.
fn blamed(line: &str) -> Option<&str> {
    let name = line.strip_suffix(':')?;
    Some(
        name.rsplit_once(" [")
            .filter(|(_, place)| place.ends_with(']'))
            .map_or(name, |(name, _)| name),
    )
}

/// `test_x (m.C.test_x)`, `test_x (m.C)` and `test_x (m.C.test_x) (i=1)` → `C.test_x`, with the subtest's ` (i=1)`.
fn unittest_name(text: &str) -> String {
    let text = text.trim();
    let Some((method, rest)) = text.split_once(" (") else {
        return text.to_owned();
    };
    let (place, subtest) = rest.split_once(')').unwrap_or((rest, ""));
    let place = place
        .strip_suffix(method)
        .map_or(place, |place| place.trim_end_matches('.'));
    if place.ends_with("_FailedTest") {
        return method.to_owned();
    }
    let class = place.rsplit('.').next().unwrap_or(place);
    format!("{class}.{method}{subtest}")
}

/// Finds file and line of a failure in its text: libtest's `panicked at src/lib.rs:3:5`, Go's `x_test.go:3: why`,
/// Python's `File "x.py", line 3`.
pub(super) fn locate(case: &mut CaseResult) {
    let Some(text) = &case.message else { return };
    let numbered = |place: &str| {
        let mut parts = place.split(':');
        let (file, line) = (parts.next()?.trim(), parts.next()?.trim().parse().ok()?);
        Some((file.to_owned(), line))
    };
    let place = text.lines().rev().find_map(|line| {
        if let Some((_, place)) = line.split_once("panicked at ") {
            return numbered(place);
        }
        if let Some(rest) = line.trim().strip_prefix("File \"") {
            let (file, rest) = rest.split_once("\", line ")?;
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            return Some((file.to_owned(), rest[..digits].parse().ok()?));
        }
        let minitest = line
            .strip_suffix("]:")
            .and_then(|line| numbered(line.rsplit_once(" [")?.1));
        minitest.or_else(|| numbered(line).filter(|(file, _)| file.ends_with(".go")))
    });
    if let Some((file, line)) = place {
        (case.file, case.line) = (Some(file), Some(line));
    }
}
