//! A part of a file: how a framework is told to run some cases only, by the names that its results give them.
//!
//! Owns the patterns and what counts as the same case. A name is never trusted to be found: `run.rs` runs the whole file
//! when one is not. Must not know how the rest of a command is put together (`presets.rs`).

use super::{nextest, presets::Kind};
use shared::outcome::{CaseOutcome, CaseResult};
use std::collections::BTreeSet;

impl Kind {
    /// True if the framework can run some cases of a file.
    pub fn can_select(self) -> bool {
        !matches!(self, Self::Prove | Self::Executable | Self::Command)
    }

    /// The case that has to run for `name` to be told: a subtest and a tear-down are results of their test.
    fn case_of(self, name: &str) -> &str {
        match self {
            Self::Unittest => name.split(' ').next().unwrap_or(name),
            Self::Pytest => name.strip_suffix(" (teardown)").unwrap_or(name),
            _ => name,
        }
    }

    /// The arguments that choose `cases`; none for all. What does not fit here stands in `presets.rs`: pytest names cases
    /// in place of the file, Cargo behind everything else.
    pub fn choice(self, cases: &[String]) -> Vec<String> {
        let names: BTreeSet<&str> = cases.iter().map(|name| self.case_of(name)).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let any = |pattern: fn(&str) -> String| {
            let all: Vec<_> = names.iter().map(|name| pattern(name)).collect();
            format!("^({})$", all.join("|"))
        };
        let each = |flag: &str, pattern: fn(&str) -> String| {
            let pairs = names.iter().map(|name| [flag.to_owned(), pattern(name)]);
            pairs.flatten().collect()
        };
        match self {
            Self::Jest | Self::Vitest => vec!["-t".into(), any(titles)],
            Self::Mocha => vec!["--grep".into(), any(literal)],
            Self::Node => each("--test-name-pattern", |name| format!("/^{}$/", any_depth(name))),
            Self::Rspec => each("--example", str::to_owned),
            Self::Minitest => vec!["-n".into(), format!("/{}/", any(literal))],
            Self::Phpunit => vec!["--filter".into(), format!("/{}/", any(literal))],
            Self::Bats => vec!["--filter".into(), any(literal)],
            Self::Unittest => each("-k", |name| format!("*.{name}")),
            Self::Go => vec!["-run".into(), go(&names)],
            Self::Nextest => vec!["-E".into(), nextest::filter(names.into_iter())],
            Self::Pytest | Self::Cargo | Self::Prove | Self::Executable | Self::Command => Vec::new(),
        }
    }

    /// What pytest is to run in place of the file.
    pub fn node_ids(self, file: &str, cases: &[String]) -> Vec<String> {
        let names: BTreeSet<&str> = cases.iter().map(|name| self.case_of(name)).collect();
        names.into_iter().map(|name| format!("{file}::{name}")).collect()
    }

    /// Those of `asked` that `found` says nothing of.
    pub fn missing<'a>(self, asked: &'a [String], found: &[CaseResult]) -> Vec<&'a str> {
        let found: BTreeSet<&str> = found
            .iter()
            .filter(|case| case.outcome != CaseOutcome::Skipped)
            .map(|case| self.case_of(&case.name))
            .collect();
        let names = asked.iter().map(|name| self.case_of(name));
        names.filter(|name| !found.contains(name)).collect()
    }
}

/// Some frameworks tell of the cases that were not chosen as skipped.
pub(super) fn is_left_out(case: &CaseResult, asked: &[String]) -> bool {
    case.outcome == CaseOutcome::Skipped && !asked.contains(&case.name)
}

/// The names level by level, as `go test -run` takes a pattern apart; before Go 1.20 it knows no alternatives but those
/// within a level. A test runs for each of its subtests anyway.
fn go(names: &BTreeSet<&str>) -> String {
    let is_parent = |name: &str| {
        let below = format!("{name}/");
        names.iter().any(|other| other.starts_with(&below))
    };
    let mut levels: Vec<BTreeSet<String>> = Vec::new();
    for name in names.iter().filter(|name| !is_parent(name)) {
        for (level, part) in name.split('/').enumerate() {
            if level == levels.len() {
                levels.push(BTreeSet::new());
            }
            levels[level].insert(literal(part));
        }
    }
    let level = |parts: &BTreeSet<String>| format!("^({})$", parts.iter().cloned().collect::<Vec<_>>().join("|"));
    levels.iter().map(level).collect::<Vec<_>>().join("/")
}

/// node holds the pattern against the title alone, since version 22 against those of the suites around it as well.
fn any_depth(name: &str) -> String {
    let mut pattern = String::new();
    for title in name.split(" > ") {
        if !pattern.is_empty() {
            pattern = format!("(?:{pattern}(?: > | ))?");
        }
        pattern.push_str(&literal(title));
    }
    pattern
}

/// Titles of suites and a test, which the frameworks themselves join by a space.
fn titles(name: &str) -> String {
    literal(name).replace(" > ", "( > | )")
}

/// A text as a regular expression that matches nothing else.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$/".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::{super::found::case, *};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_become_patterns_of_their_framework() {
        let choice = |kind: Kind, cases: &[&str]| kind.choice(&names(cases)).join(" ");
        assert_eq!(choice(Kind::Jest, &["a > b (1+1)"]), r"-t ^(a( > | )b \(1\+1\))$");
        assert_eq!(choice(Kind::Mocha, &["a b", "c"]), "--grep ^(a b|c)$");
        assert_eq!(choice(Kind::Rspec, &["A does x"]), "--example A does x");
        assert_eq!(
            choice(Kind::Minitest, &["TestA#test_x", "TestA#test_a/b"]),
            r"-n /^(TestA#test_a\/b|TestA#test_x)$/"
        );
        assert_eq!(
            choice(Kind::Unittest, &["C.test_x (i=1)", "C.test_x (i=2)", "C.test_y"]),
            "-k *.C.test_x -k *.C.test_y"
        );
        assert_eq!(
            choice(Kind::Go, &["TestA", "TestA/sub_x#01", "TestB"]),
            "-run ^(TestA|TestB)$/^(sub_x#01)$"
        );
        assert_eq!(
            choice(Kind::Node, &["a > b > c"]),
            "--test-name-pattern /^(?:(?:a(?: > | ))?b(?: > | ))?c$/"
        );
        assert_eq!(choice(Kind::Jest, &[]), "");
        assert_eq!(
            Kind::Pytest.node_ids("t/test_a.py", &names(&["T::test_x[1]", "T::test_x[1] (teardown)"])),
            ["t/test_a.py::T::test_x[1]"]
        );
    }

    #[test]
    fn what_was_not_run_is_missing() {
        let found = [
            case("C.test_x", CaseOutcome::Passed),
            case("C.test_y", CaseOutcome::Skipped),
        ];
        let asked = names(&["C.test_x (i=1)", "C.test_y", "C.test_z"]);
        assert_eq!(Kind::Unittest.missing(&asked, &found), ["C.test_y", "C.test_z"]);
        assert!(is_left_out(&found[1], &asked[2..]) && !is_left_out(&found[1], &asked));
    }
}
