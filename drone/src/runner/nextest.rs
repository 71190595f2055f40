//! cargo-nextest: the targets of Cargo, each test in a process of its own, results in its JUnit report.
//!
//! Owns its settings for one run: those of the repository, with the report where the drone looks for it. Which targets there
//! are is `cargo.rs`'s business. Doc tests are not run: nextest has none.

use super::{cargo, found::Found, junit, text};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where a repository has its settings.
pub(super) const CONFIG: &str = ".config/nextest.toml";
const PROGRAM: &str = "cargo-nextest";

/// True if the repository at `root` uses it and this machine has it.
pub(super) fn is_used(root: &Path) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    root.join(CONFIG).is_file() && crate::process::is_on_path(PROGRAM, &path)
}

/// The command that tests the target of `file`; the results go to `report` by the settings beside it.
pub(super) fn words(root: &Path, file: &str, extra: &[String], report: Option<&str>, words: &mut Vec<String>) {
    words.extend(["cargo", "nextest", "run"].map(str::to_owned));
    words.extend(cargo::select(root, file));
    if let Some(report) = report {
        let settings = settings_of(Path::new(report)).display().to_string();
        words.extend(["--config-file".to_owned(), settings]);
    }
    let says = |flag: &str| extra.iter().any(|arg| arg.starts_with(flag));
    if !["--fail-fast", "--no-fail-fast", "--max-fail"].into_iter().any(says) {
        // As Cargo's own command: one failure is no reason to know nothing of the others.
        words.push("--no-fail-fast".into());
    }
    words.extend_from_slice(extra);
}

/// The expression that chooses tests by their whole names.
pub(super) fn filter<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let one = |name: &str| format!("test(={})", name.replace('\\', "\\\\").replace(')', "\\)"));
    names.map(one).collect::<Vec<_>>().join(" | ")
}

/// Where the settings for a run stand whose report is `report`.
pub(super) fn settings_of(report: &Path) -> PathBuf {
    report.with_extension("toml")
}

/// Writes the repository's settings with its report at `report`. What cannot be understood is left to nextest to complain of.
/// Blocks shortly.
pub(super) fn configure(root: &Path, report: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(root.join(CONFIG)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let text = with_report(&text, &report.display().to_string()).unwrap_or(text);
    fs::write(settings_of(report), text)
}

/// Nothing if `text` is not what settings look like.
fn with_report(text: &str, report: &str) -> Option<String> {
    let mut table: toml::Table = text.parse().ok()?;
    let below = |table: &mut toml::Table, name: &str| {
        table
            .entry(name)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    };
    below(&mut table, "profile");
    let profiles = table.get_mut("profile")?.as_table_mut()?;
    below(profiles, "default");
    // Whichever profile is chosen: a path of its own would win over the default one.
    for (_, profile) in profiles.iter_mut() {
        let profile = profile.as_table_mut()?;
        below(profile, "junit");
        let junit = profile.get_mut("junit")?.as_table_mut()?;
        junit.insert("path".into(), report.into());
    }
    toml::to_string(&table).ok()
}

/// Reads its report.
pub(super) fn read(bytes: &[u8], file: &str) -> Found {
    let mut found = junit::read_plain(bytes, file);
    found.cases.iter_mut().for_each(text::locate);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_writes_its_report_where_the_drone_looks() {
        let text = "nextest-version = '0.9.50'\n[profile.ci]\nretries = 2\n[profile.ci.junit]\npath = 'own.xml'\n\
                    store-success-output = true\n[[profile.ci.overrides]]\nfilter = 'test(a)'\nretries = 0\n";
        let table: toml::Table = with_report(text, "/x/report").unwrap().parse().unwrap();
        assert_eq!(table["nextest-version"].as_str(), Some("0.9.50"));
        let ci = &table["profile"]["ci"];
        assert_eq!(ci["junit"]["path"].as_str(), Some("/x/report"));
        assert_eq!(ci["junit"]["store-success-output"].as_bool(), Some(true));
        assert_eq!(ci["overrides"][0]["retries"].as_integer(), Some(0));
        assert_eq!(table["profile"]["default"]["junit"]["path"].as_str(), Some("/x/report"));
        assert!(with_report("profile = 3", "/x").is_none() && with_report("= =", "/x").is_none());
    }

    #[test]
    fn tests_are_chosen_by_their_whole_names() {
        assert_eq!(filter(["a::b", "c (d)"].into_iter()), "test(=a::b) | test(=c (d\\))");
    }

    #[test]
    fn a_report_is_read_with_the_names_of_the_tests() {
        // As version 0.9.143 writes it, shortened.
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" skipped="0" failures="1" errors="0" time="0.840">
    <testsuite name="x::it" tests="3" skipped="0" errors="0" failures="1">
        <testcase name="tests::adds" classname="x::it" timestamp="2026-11-22T12:17:29.278+00:00" time="0.051"/>
        <testcase name="flaky" classname="x::it" time="0.002">
            <flakyFailure time="0.017" message="panicked" type="test failure with exit code 101">panicked</flakyFailure>
        </testcase>
        <testcase name="tests::panics" classname="x::it" time="0.424">
            <failure message="thread &apos;tests::panics&apos; (23187) panicked at src/lib.rs:4:50" type="test failure with exit code 101">thread &apos;tests::panics&apos; (23187) panicked at src/lib.rs:4:50:
assertion `left == right` failed: it is 3</failure>
            <rerunFailure time="0.415" message="again" type="test failure with exit code 101">again</rerunFailure>
            <system-out>running 1 test</system-out>
        </testcase>
    </testsuite>
</testsuites>"#;
        let found = read(report.as_bytes(), "tests/it.rs");
        let told: Vec<_> = found
            .cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome.is_bad()))
            .collect();
        assert_eq!(
            told,
            [("tests::adds", false), ("flaky", false), ("tests::panics", true)]
        );
        let bad = &found.cases[2];
        assert_eq!((bad.file.as_deref(), bad.line), (Some("src/lib.rs"), Some(4)));
        assert!(bad.message.as_ref().unwrap().contains("it is 3"), "{bad:?}");
        assert!(found.warnings.is_empty());
    }
}
