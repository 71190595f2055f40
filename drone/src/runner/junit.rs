//! JUnit XML in, as its many writers write it: pytest, surefire, gtest, jest, vitest, phpunit, node and others.
//!
//! Owns the dialects: how a case is named, what counts as expected to fail, which line numbers start at 0. Must not
//! know who started the writer. A report that breaks off gives what it has, and a warning.

#[cfg(test)]
mod tests;

use super::found::{DEPTH_LIMIT, Found, NAME_LIMIT, case, cut, say};
use quick_xml::{
    Reader, XmlVersion,
    escape::unescape,
    events::{BytesStart, Event},
};
use shared::outcome::{CaseOutcome, CaseResult};
use std::collections::HashMap;

type Attributes = HashMap<String, String>;

/// Reads a report. `file` is the test file that it is about, as listed.
pub(super) fn read(bytes: &[u8], file: &str) -> Found {
    parse(bytes, file, false)
}

/// Reads a report in which the name of a case says all, and its class only where it stands.
pub(super) fn read_plain(bytes: &[u8], file: &str) -> Found {
    parse(bytes, file, true)
}

fn parse(bytes: &[u8], file: &str, is_plain: bool) -> Found {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    reader.config_mut().allow_dangling_amp = true;
    let mut parser = Parser {
        file,
        is_plain,
        found: Found::default(),
        suites: Vec::new(),
        deeper: 0,
        open: None,
        teardown: None,
        verdict: None,
        text: String::new(),
        elements: 0,
    };
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => parser.start(&tag),
            Ok(Event::Empty(tag)) => {
                parser.start(&tag);
                parser.end(local_name(&tag));
            }
            Ok(Event::End(tag)) => parser.end(tag.local_name().as_ref()),
            Ok(Event::Text(part)) => parser.text(&part.xml_content(XmlVersion::Implicit1_0)),
            Ok(Event::CData(part)) => parser.text(&part.xml_content(XmlVersion::Implicit1_0)),
            Ok(Event::GeneralRef(entity)) => {
                let written = format!("&{};", &*entity);
                parser.text(&unescape(&written).unwrap_or((&*written).into()));
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) => {
                parser.broken(&format!("at byte {}: {error}", reader.error_position()));
                break;
            }
        }
    }
    parser.finish()
}

struct Parser<'a> {
    file: &'a str,
    is_plain: bool,
    found: Found,
    /// Names of the suites around; the outermost first.
    suites: Vec<Suite>,
    /// Suites inside of these that are open.
    deeper: usize,
    open: Option<CaseResult>,
    /// Its broken tear-down, a case of its own.
    teardown: Option<CaseResult>,
    /// What the element inside the case says, while it is open, and its message.
    verdict: Option<Verdict>,
    text: String,
    elements: usize,
}

struct Suite {
    name: String,
    file: Option<String>,
}

struct Verdict {
    outcome: CaseOutcome,
    message: Option<String>,
    kind: Option<String>,
}

fn local_name<'a>(tag: &'a BytesStart<'_>) -> &'a str {
    tag.local_name().into_inner()
}

impl Parser<'_> {
    fn start(&mut self, tag: &BytesStart<'_>) {
        self.elements += 1;
        match local_name(tag) {
            "testsuite" if self.suites.len() == DEPTH_LIMIT => self.deeper += 1,
            "testsuite" => {
                let mut attributes = attributes(tag);
                self.suites.push(Suite {
                    name: cut(&attributes.remove("name").unwrap_or_default(), NAME_LIMIT),
                    file: attributes.remove("file").or_else(|| attributes.remove("filepath")),
                });
            }
            "testcase" => {
                let attributes = attributes(tag);
                self.open = Some(self.begin(&attributes));
            }
            name => {
                if let (Some(outcome), Some(_)) = (outcome_of(name), &self.open) {
                    let mut attributes = attributes(tag);
                    self.text.clear();
                    self.verdict = Some(Verdict {
                        outcome,
                        message: attributes.remove("message"),
                        kind: attributes.remove("type"),
                    });
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        if self.verdict.is_some() {
            self.text.push_str(text);
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "testsuite" if self.deeper > 0 => self.deeper -= 1,
            "testsuite" => drop(self.suites.pop()),
            "testcase" => {
                let case = self.open.take();
                let teardown = self.teardown.take();
                // After a call that failed, the tear-down has an element of its own that repeats the name.
                let is_repeated = teardown.is_some()
                    && self.found.cases.last().map(|last| &last.name) == case.as_ref().map(|c| &c.name);
                for case in case.filter(|_| !is_repeated).into_iter().chain(teardown) {
                    self.found.add(case);
                }
            }
            name if outcome_of(name).is_some() => {
                if let (Some(verdict), Some(case)) = (self.verdict.take(), &mut self.open) {
                    // pytest reports the call and the tear-down; both count.
                    let is_teardown = verdict
                        .message
                        .as_deref()
                        .is_some_and(|m| m.starts_with("failed on teardown"));
                    if is_teardown {
                        let mut teardown = CaseResult {
                            name: format!("{} (teardown)", case.name),
                            message: None,
                            duration: None,
                            outcome: CaseOutcome::Passed,
                            ..case.clone()
                        };
                        apply(&mut teardown, &verdict, &self.text);
                        self.teardown = Some(teardown);
                    } else {
                        apply(case, &verdict, &self.text);
                    }
                }
            }
            _ => {}
        }
    }

    fn begin(&self, attributes: &Attributes) -> CaseResult {
        let get = |name: &str| {
            attributes
                .get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        let is_pytest = self.suites.iter().any(|suite| suite.name == "pytest");
        let mut found = case(cut(&self.name(attributes, is_pytest), NAME_LIMIT), CaseOutcome::Passed);
        // A comma separates thousands; a decimal comma does not occur.
        let seconds = get("time").and_then(|time| time.replace(',', "").parse::<f64>().ok());
        found.duration = seconds.map(|seconds| seconds * 1000.0);
        let suite_file = self.suites.iter().rev().find_map(|suite| suite.file.as_deref());
        found.file = get("file").or(suite_file).map(str::to_owned);
        let line = get("line").or(get("lineno")).and_then(|line| line.parse::<u32>().ok());
        found.line = if is_pytest {
            line.map(|line| line.saturating_add(1))
        } else {
            line
        };
        let not_run = get("status").is_some_and(|status| matches!(status, "notrun" | "skipped" | "disabled"));
        if not_run || get("result") == Some("suppressed") {
            found.outcome = CaseOutcome::Skipped;
        }
        found
    }

    /// The name that a person would look for, as the framework itself says it.
    fn name(&self, attributes: &Attributes, is_pytest: bool) -> String {
        let get = |name: &str| attributes.get(name).map(String::as_str).unwrap_or_default();
        let (name, class) = (get("name"), get("classname"));
        if self.is_plain {
            return name.to_owned();
        }
        if is_pytest {
            // `tests.test_x.TestY` + `test_z[1]` → `TestY::test_z[1]`
            let file = attributes.get("file").map_or(self.file, String::as_str);
            let module = file.strip_suffix(".py").unwrap_or(file).replace('/', ".");
            let inner = class.strip_prefix(&module).unwrap_or(class).trim_start_matches('.');
            return match inner {
                "" => name.to_owned(),
                inner => format!("{}::{name}", inner.replace('.', "::")),
            };
        }
        if !get("class").is_empty() {
            return format!("{}::{name}", get("class")); // phpunit
        }
        if class == "test" || class == "suite" {
            // node: suites are the parts of the name.
            let suites = self.suites.iter().map(|suite| suite.name.as_str());
            return suites
                .chain([name])
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" > ");
        }
        let is_file = class.contains('/') || class == self.file || self.file.ends_with(&format!("/{class}"));
        if class.is_empty() || is_file || name.starts_with(class) {
            return name.to_owned();
        }
        format!("{class}.{name}")
    }

    fn broken(&mut self, why: &str) {
        self.found.warnings.push(format!(
            "the JUnit report of {} is broken {why}; {} cases could be read",
            self.file,
            self.found.cases.len()
        ));
    }

    fn finish(mut self) -> Found {
        if let Some(case) = self.open.take() {
            if self.found.warnings.is_empty() {
                self.broken("off in the middle of a case");
            }
            if let Some(verdict) = self.verdict.take() {
                let mut case = case;
                apply(&mut case, &verdict, &self.text);
                self.found.add(case);
            }
        } else if !self.suites.is_empty() && self.found.warnings.is_empty() {
            self.broken("off before its end");
        }
        if self.elements == 0 && self.found.warnings.is_empty() {
            self.broken("and holds no XML");
        }
        self.found.says_none = self.found.cases.is_empty() && self.found.warnings.is_empty();
        self.found.finish()
    }
}

fn outcome_of(element: &str) -> Option<CaseOutcome> {
    Some(match element {
        "failure" => CaseOutcome::Failed,
        "error" => CaseOutcome::Errored,
        "skipped" | "ignored" => CaseOutcome::Skipped,
        // `warning` (phpunit), `flakyFailure` and `rerunFailure` (surefire): the case itself ended otherwise.
        _ => return None,
    })
}

fn apply(case: &mut CaseResult, verdict: &Verdict, text: &str) {
    let outcome = match (verdict.outcome, verdict.kind.as_deref()) {
        (CaseOutcome::Skipped, Some("pytest.xfail")) => CaseOutcome::XFailed,
        // node: a test that is marked `todo`.
        (CaseOutcome::Skipped, Some("todo")) => CaseOutcome::XFailed,
        (outcome, _) => outcome,
    };
    // A failure is stronger than a broken tear-down, and both are stronger than a skip.
    let strength = |outcome| match outcome {
        CaseOutcome::Failed => 3,
        CaseOutcome::Errored => 2,
        CaseOutcome::Passed => 0,
        _ => 1,
    };
    let was_expected = case.outcome == CaseOutcome::XFailed && outcome == CaseOutcome::Failed;
    if strength(outcome) > strength(case.outcome) && !was_expected {
        case.outcome = outcome;
    }
    let text = text.trim_matches('\n');
    if let Some(message) = verdict.message.as_deref()
        // Most writers begin the text with the message.
        && !text.contains(message.lines().next().unwrap_or_default())
    {
        say(case, message);
    }
    say(case, text);
}

fn attributes(tag: &BytesStart<'_>) -> Attributes {
    let mut all = tag.attributes();
    let pairs = all.with_checks(false).flatten().map(|attribute| {
        let value = unescape(&attribute.value).map_or_else(|_| attribute.value.to_string(), |value| value.into_owned());
        (attribute.key.as_ref().to_owned(), value)
    });
    pairs.collect()
}
