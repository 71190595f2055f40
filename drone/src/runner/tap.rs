//! TAP in (versions 12 to 14): prove, bats, node, mocha and programs that print it by themselves.
//!
//! Reads line by line, so that output of any length can be followed as it comes. Subtests are the cases; the line that
//! sums them up is one too only if it has none. Must not know who prints it.

#[cfg(test)]
mod tests;

use super::found::{DEPTH_LIMIT, Found, NAME_LIMIT, case, cut, say};
use shared::outcome::{CaseOutcome, CaseResult, MESSAGE_LIMIT};
use std::collections::HashMap;

/// The most bytes that are kept of what standard error says of tests.
const BLAMES: usize = 1024 * 1024;

/// Reads TAP, one line after another.
#[derive(Debug, Default)]
pub(super) struct Tap {
    found: Found,
    /// Where points have been seen; the outermost first.
    levels: Vec<Level>,
    /// A `# Subtest:` line, its indent and name. What it announces may be deeper, or be the next point itself (node).
    announced: Option<(usize, String)>,
    /// The last test point, to which diagnostics belong.
    last: Option<CaseResult>,
    yaml: Option<Yaml>,
    bailed: bool,
    seen: bool,
    declared: bool,
    /// The test that standard error speaks of.
    blamed: Option<String>,
    /// What it has said of each.
    why: HashMap<String, String>,
    /// Bytes of that.
    blames: usize,
}

#[derive(Debug)]
struct Level {
    indent: usize,
    name: Option<String>,
    plan: Option<u64>,
    points: u64,
    /// How many cases there were before it.
    first: usize,
}

/// A level that has just ended; the next point sums it up.
struct Closed {
    first: usize,
    is_named: bool,
}

#[derive(Debug)]
struct Yaml {
    indent: usize,
    /// The lines, as far as they can be of use.
    text: Vec<String>,
    bytes: usize,
}

impl Tap {
    /// Takes the next line, without its end.
    pub fn line(&mut self, line: &str) {
        let line = line.trim_end_matches('\r');
        if self.bailed || self.in_yaml(line) {
            return;
        }
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if let Some(reason) = text.strip_prefix("Bail out!") {
            self.bailed = true;
            self.seen = true;
            self.found.fault(format!("bailed out: {}", reason.trim()));
        } else if let Some(name) = text.strip_prefix("# Subtest") {
            self.flush();
            self.open(indent);
            let name = unescape(name.trim_start_matches(':').trim());
            self.announced = Some((indent, cut(&name, NAME_LIMIT)));
        } else if let Some(plan) = Plan::read(text) {
            self.flush();
            self.plan(indent, plan);
        } else if let Some(point) = Point::read(text) {
            self.flush();
            self.point(indent, &point);
        } else if let Some((_, reason)) = text.split_once(" .. skipped: ") {
            // prove, of a whole file; it does not pass the plan on.
            self.skip_all(reason);
        } else if text.starts_with("TAP version ") {
            self.declared = true;
        } else if text == "---" && self.last.is_some() {
            self.yaml = Some(Yaml {
                indent,
                text: Vec::new(),
                bytes: 0,
            });
        } else if let (Some(note), Some(last)) = (text.strip_prefix('#'), &mut self.last)
            && last.outcome.is_bad()
            && !is_sum(note)
        {
            say(last, note.strip_prefix(' ').unwrap_or(note));
        }
    }

    /// Takes the next line of standard error: where Perl's tests say which of them failed, and why.
    pub fn diagnostic(&mut self, line: &str) {
        let Some(note) = line.trim_start().strip_prefix('#') else {
            return;
        };
        let text = note.trim();
        if text.starts_with("Failed ") || text.starts_with("Looks like ") {
            let name = text.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\''));
            self.blamed = name.map(|(name, _)| cut(name, NAME_LIMIT));
        }
        if text.starts_with("Looks like ") {
            return;
        }
        let Some(name) = self.blamed.as_ref().filter(|_| self.blames < BLAMES) else {
            return;
        };
        self.blames += name.len() + note.len();
        let why = self.why.entry(name.clone()).or_default();
        why.push_str(note.strip_prefix(' ').unwrap_or(note));
        why.push('\n');
    }

    /// True after a version or a plan: what no other output looks like.
    pub fn is_declared(&self) -> bool {
        self.declared
    }

    /// The output has ended.
    pub fn finish(mut self) -> Found {
        self.end_yaml();
        self.flush();
        self.close_to(None);
        for case in &mut self.found.cases {
            let title = case.name.rsplit(" > ").next().unwrap_or(&case.name);
            if let Some(why) = self.why.get(title)
                && case.outcome.is_bad()
                && case.message.is_none()
            {
                say(case, why);
            }
        }
        self.found.says_none = self.seen && self.found.cases.is_empty() && self.found.faults.is_empty();
        self.found.finish()
    }

    /// Comes to the level at `indent`: ends deeper ones, answers with the outermost of these, opens one if need be.
    fn open(&mut self, indent: usize) -> Option<Closed> {
        let announced = self.announced.take();
        let closed = self.close_to(Some(indent));
        let is_deeper = self.levels.last().is_none_or(|level| level.indent < indent);
        if is_deeper && self.levels.len() < DEPTH_LIMIT {
            self.levels.push(Level {
                indent,
                name: announced.map(|(_, name)| name),
                plan: None,
                points: 0,
                first: self.found.cases.len(),
            });
        }
        closed
    }

    /// Ends the levels deeper than `indent`, or all.
    fn close_to(&mut self, indent: Option<usize>) -> Option<Closed> {
        let mut closed = None;
        while let Some(level) = self
            .levels
            .pop_if(|level| indent.is_none_or(|indent| level.indent > indent))
        {
            if let Some(plan) = level.plan.filter(|plan| *plan != level.points && !self.bailed) {
                let mut place = self.path();
                place.extend(level.name.as_deref());
                let place = place.join(" > ") + if place.is_empty() { "" } else { ": " };
                self.found
                    .fault(format!("{place}{plan} tests were planned, {} ran", level.points));
            }
            closed = Some(Closed {
                first: level.first,
                is_named: level.name.is_some(),
            });
        }
        closed
    }

    fn path(&self) -> Vec<&str> {
        self.levels
            .iter()
            .filter_map(|level| level.name.as_deref())
            .filter(|name| !name.is_empty())
            .collect()
    }

    fn plan(&mut self, indent: usize, plan: Plan) {
        self.seen = true;
        self.declared = true;
        self.open(indent);
        if let Some(level) = self.levels.last_mut() {
            level.plan = Some(plan.count);
        }
        if let (0, Some(reason)) = (plan.count, plan.skip) {
            self.skip_all(&reason);
        }
    }

    fn skip_all(&mut self, reason: &str) {
        let path = self.path().join(" > ");
        let mut skipped = case(if path.is_empty() { "(all)" } else { &path }, CaseOutcome::Skipped);
        say(&mut skipped, reason);
        self.found.add(skipped);
    }

    fn point(&mut self, indent: usize, point: &Point<'_>) {
        self.seen = true;
        let name = cut(&unescape(point.name), NAME_LIMIT);
        // node announces every test at the indent of its own point.
        self.announced
            .take_if(|(at, announced)| *at == indent && *announced == name);
        let closed = self.open(indent);
        let Some(level) = self.levels.last_mut() else { return };
        if point.number.is_empty() && name.is_empty() && level.plan == Some(level.points) {
            return; // prove's own verdict on the file
        }
        level.points += 1;
        let mut path = self.path().join(" > ");
        if !path.is_empty() && !name.is_empty() {
            path.push_str(" > ");
        }
        path.push_str(if name.is_empty() { point.number } else { &name });
        if let Some(closed) = closed.filter(|closed| closed.first < self.found.cases.len()) {
            let below = &mut self.found.cases[closed.first..];
            if !closed.is_named {
                below
                    .iter_mut()
                    .for_each(|case| case.name = cut(&format!("{path} > {}", case.name), NAME_LIMIT));
            }
            // A sum is no case, unless it is bad by itself.
            if !point.outcome().is_bad() || below.iter().any(|case| case.outcome.is_bad()) {
                return;
            }
        }
        let mut found = case(path, point.outcome());
        say(&mut found, point.reason);
        self.last = Some(found);
    }

    fn flush(&mut self) {
        if let Some(case) = self.last.take() {
            self.found.add(case);
        }
    }

    fn in_yaml(&mut self, line: &str) -> bool {
        let Some(yaml) = &mut self.yaml else { return false };
        let text = line.trim_start_matches(' ');
        if text == "..." && line.len() - text.len() <= yaml.indent {
            self.end_yaml();
        } else if yaml.bytes < MESSAGE_LIMIT {
            let line = line.get(yaml.indent.min(line.len() - text.len())..).unwrap_or(text);
            yaml.bytes += line.len() + 1;
            yaml.text.push(line.to_owned());
        }
        true
    }

    fn end_yaml(&mut self) {
        let (Some(yaml), Some(last)) = (self.yaml.take(), &mut self.last) else {
            return;
        };
        for line in &yaml.text {
            let value = |key: &str| {
                Some(
                    line.strip_prefix(key)?
                        .strip_prefix(':')?
                        .trim()
                        .trim_matches(['\'', '"']),
                )
            };
            if let Some(duration) = value("duration_ms").and_then(|text| text.parse().ok()) {
                last.duration = Some(duration);
            }
            // node: `location: 'file:line:column'`
            if let Some((place, line)) = value("location").and_then(|text| text.rsplit_once(':')?.0.rsplit_once(':')) {
                last.file = Some(place.to_owned());
                last.line = line.parse().ok();
            }
        }
        if last.outcome.is_bad() {
            say(last, &yaml.text.join("\n"));
        }
    }
}

struct Plan {
    count: u64,
    skip: Option<String>,
}

impl Plan {
    /// `1..N`, or `1..0 # SKIP why`.
    fn read(text: &str) -> Option<Self> {
        let (range, comment) = text.split_once('#').unwrap_or((text, ""));
        let count = range.trim().strip_prefix("1..")?.parse().ok()?;
        let comment = comment.trim();
        let is_skip = comment.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("skip"));
        let skip = is_skip.then(|| {
            comment[4..]
                .trim_start_matches(|c: char| c.is_alphabetic())
                .trim()
                .to_owned()
        });
        Some(Self { count, skip })
    }
}

struct Point<'a> {
    ok: bool,
    number: &'a str,
    name: &'a str,
    directive: Directive,
    reason: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum Directive {
    None,
    Skip,
    Todo,
}

impl<'a> Point<'a> {
    /// `ok 3 - name # SKIP why`; number, dash, name and directive may be absent.
    fn read(text: &'a str) -> Option<Self> {
        let (ok, rest) = match text.strip_prefix("not ok") {
            Some(rest) => (false, rest),
            None => (true, text.strip_prefix("ok")?),
        };
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return None;
        }
        let rest = rest.trim();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, rest) = rest.split_at(digits);
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("- ").unwrap_or(if rest == "-" { "" } else { rest });
        let (name, directive, reason) = directive(rest);
        Some(Self {
            ok,
            number,
            // TAP 14: a buffered subtest follows in braces; `\#` is a `#` of the name.
            name: name.trim().trim_end_matches(" {").trim(),
            directive,
            // mocha gives none, and says so.
            reason: reason.trim().trim_start_matches("-").trim_start(),
        })
    }

    fn outcome(&self) -> CaseOutcome {
        match (self.directive, self.ok) {
            (Directive::Skip, _) => CaseOutcome::Skipped,
            (Directive::Todo, false) => CaseOutcome::XFailed,
            (Directive::Todo, true) => CaseOutcome::XPassed,
            (Directive::None, true) => CaseOutcome::Passed,
            (Directive::None, false) => CaseOutcome::Failed,
        }
    }
}

/// `# pass 3`, as mocha and node end their output: no note on the last test.
fn is_sum(note: &str) -> bool {
    let words = [
        "tests",
        "suites",
        "pass",
        "fail",
        "cancelled",
        "skipped",
        "todo",
        "duration_ms",
    ];
    note.trim()
        .split_once(' ')
        .is_some_and(|(word, count)| words.contains(&word) && count.parse::<f64>().is_ok())
}

/// `\#` and `\\` of a name.
fn unescape(name: &str) -> String {
    name.replace("\\#", "#").replace("\\\\", "\\")
}

/// Splits the name from `# SKIP why` or `# TODO why`; any other `#` belongs to the name.
fn directive(text: &str) -> (&str, Directive, &str) {
    for (at, _) in text.match_indices('#') {
        if text[..at].ends_with('\\') {
            continue;
        }
        let after = text[at + 1..].trim_start();
        let word = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let kind = match after[..word].to_ascii_lowercase().as_str() {
            "skip" | "skipped" => Directive::Skip,
            "todo" => Directive::Todo,
            _ => continue,
        };
        return (&text[..at], kind, after[word..].trim_start_matches(':'));
    }
    (text, Directive::None, "")
}
