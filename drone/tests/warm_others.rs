//! Warm unittest, node, rspec and minitest: each file of a made suite comes to what the framework's own command says of
//! it. The suites are in `warm_others/`. Needs node and Ruby with rspec and minitest; `scripts/setup` installs them.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use drone::{
    pool,
    process::{Mask, Output},
    runner::{
        self, FileReport, FileRun, Runner,
        warm::{Setting, Warm},
    },
};
use shared::{
    outcome::{CaseOutcome, FileOutcome},
    settings::{Isolation, Settings},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A made suite, in a folder of its own.
struct Suite {
    dir: tempfile::TempDir,
    runner: Runner,
    files: Vec<String>,
    /// The only cases that are asked for.
    only: Option<Vec<String>>,
}

/// What became of a file, and what it printed.
struct Told {
    report: FileReport,
    output: Vec<Output>,
}

impl Suite {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/warm_others")
                .join(name),
            dir.path(),
        );
        let listing = runner::list(dir.path(), &Settings::default(), None).unwrap();
        assert_eq!(listing.runner.name(), name);
        assert!(listing.files.len() > 8, "{:?}", listing.files);
        Self {
            dir,
            runner: listing.runner,
            files: listing.files,
            only: None,
        }
    }

    /// Runs `files` one after the other, by commands or in the workers of `isolation`.
    async fn run<'a>(&'a self, files: &[&'a str], isolation: Option<Isolation>) -> BTreeMap<&'a str, Told> {
        let scratch = tempfile::tempdir().unwrap();
        let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        let warm = isolation.map(|isolation| {
            let setting = Setting {
                root: self.dir.path().to_owned(),
                env: env.clone(),
                scratch: scratch.path().to_owned(),
                kept: scratch.path().join("kept"),
                mask: Arc::new(Mask::new([])),
                isolation,
                pool: pool::Options::new(1),
                capacity: 1,
                files: files.len(),
            };
            Warm::new(&self.runner, setting).expect("it can be kept warm")
        });
        let mut told = BTreeMap::new();
        for file in files {
            let mut env = env.clone();
            env.insert("SKEP_FILE".into(), (*file).to_owned());
            let (sender, mut pieces) = mpsc::channel(16);
            let reading = tokio::spawn(async move {
                let mut output = Vec::new();
                while let Some(piece) = pieces.recv().await {
                    output.push(piece);
                }
                output
            });
            let run = FileRun {
                tell: None,
                root: self.dir.path(),
                file,
                cases: self.only.as_deref(),
                part: None,
                groups: false,
                env: &env,
                timeout: Some(Duration::from_secs(if file.contains("hang") { 5 } else { 60 })),
                mask: &Arc::new(Mask::new([])),
                output: &sender,
                cancel: &CancellationToken::new(),
                scratch: scratch.path(),
            };
            let report = match &warm {
                Some(warm) => warm.run_file(run).await,
                None => self.runner.run_file(run).await,
            };
            drop(sender);
            let (report, output) = (report.unwrap(), reading.await.unwrap());
            told.insert(*file, Told { report, output });
        }
        if let Some(warm) = warm {
            warm.stop().await;
        }
        told
    }

    /// All files but those with one of these words in their names.
    fn but(&self, words: &[&str]) -> Vec<&str> {
        let is_wanted = |file: &&str| !words.iter().any(|word| file.contains(word));
        self.files.iter().map(String::as_str).filter(is_wanted).collect()
    }

    /// Holds what warm workers say of all these files against what their commands do.
    async fn compare(&self, files: &[&str], isolation: Isolation) {
        let (cold, warm) = (self.run(files, None).await, self.run(files, Some(isolation)).await);
        for (file, cold) in &cold {
            let warm = &warm[file];
            assert!(warm.report.warnings.is_empty(), "{file}: {:?}", warm.report.warnings);
            assert_eq!(
                (warm.report.result.outcome, warm.report.result.exit, cases(&warm.report)),
                (cold.report.result.outcome, cold.report.result.exit, cases(&cold.report)),
                "{file} with {isolation:?}: {}",
                text(warm)
            );
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Names and outcomes, in no order.
fn cases(report: &FileReport) -> Vec<(&str, CaseOutcome)> {
    let cases = report.cases.iter();
    let mut cases: Vec<_> = cases.map(|case| (case.name.as_str(), case.outcome)).collect();
    cases.sort_unstable();
    cases
}

fn text(told: &Told) -> String {
    let text: String = told.output.iter().map(|piece| piece.text.as_str()).collect();
    text.chars().take(4000).collect()
}

/// That a file whose process was killed, one that hung and one that ended early are known by it, and that the file after
/// them is none the worse.
async fn accidents(name: &str, isolation: Isolation, files: [&str; 4], early: &str) {
    let suite = Suite::new(name);
    let told = suite.run(&files, Some(isolation)).await;
    let result = |file: &str| &told[file].report.result;
    let [killed, hang, exit, loud] = files;
    assert_eq!(
        (result(killed).outcome, result(killed).exit, result(killed).died),
        (FileOutcome::Failed, Some(137), true)
    );
    assert_eq!(result(hang).outcome, FileOutcome::TimedOut);
    assert_eq!(result(exit).outcome, FileOutcome::Failed);
    let bad: Vec<_> = told[exit]
        .report
        .cases
        .iter()
        .filter(|case| case.outcome.is_bad())
        .collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0].name, early);
    assert!(bad[0].message.as_ref().unwrap().contains("code 7"), "{bad:?}");
    assert_eq!(result(loud).outcome, FileOutcome::Passed, "{}", text(&told[loud]));
    let bytes: usize = told[loud].output.iter().map(|piece| piece.text.len()).sum();
    assert!(bytes >= 5_000_000, "only {bytes} bytes of the output came");
}

/// In these the process ends before its results are told.
const ACCIDENTS: [&str; 3] = ["killed", "hang", "exit"];

#[tokio::test]
async fn unittest_says_the_same_in_forked_children() {
    let suite = Suite::new("unittest");
    suite
        .compare(&suite.but(&["killed", "hang", "test_exit"]), Isolation::Fork)
        .await;
}

#[tokio::test]
async fn unittest_says_the_same_in_one_child_for_all_files() {
    let suite = Suite::new("unittest");
    suite
        .compare(&suite.but(&["killed", "hang", "test_exit"]), Isolation::None)
        .await;
}

#[tokio::test]
async fn unittest_survives_what_its_files_do() {
    let files = ["killed", "hang", "exit", "loud"].map(|word| format!("tests/test_{word}.py"));
    let files = files.each_ref().map(String::as_str);
    accidents("unittest", Isolation::Fork, files, "C.test_b").await;
    accidents("unittest", Isolation::None, files, "C.test_b").await;
}

#[tokio::test]
async fn node_says_the_same_in_a_process_that_waits() {
    let suite = Suite::new("node");
    suite.compare(&suite.but(&["killed", "hang"]), Isolation::Fork).await;
}

#[tokio::test]
async fn node_says_the_same_in_one_process_for_all_files() {
    let suite = Suite::new("node");
    // What is declared when all tests have ended, what fails after the last one and what never ends are not seen there.
    let files = suite.but(&["killed", "hang", "exit", "late", "pending", "module", "life"]);
    suite.compare(&files, Isolation::None).await;
}

#[tokio::test]
async fn node_survives_what_its_files_do() {
    let files = ["killed", "hang", "exit", "loud"].map(|word| format!("test/{word}.test.js"));
    let files = files.each_ref().map(String::as_str);
    accidents("node", Isolation::Fork, files, "(the file as a whole)").await;
    accidents("node", Isolation::None, files, "(the file as a whole)").await;
}

#[tokio::test]
async fn rspec_says_the_same_in_forked_children() {
    let suite = Suite::new("rspec");
    suite
        .compare(&suite.but(&["killed", "hang", "/exit"]), Isolation::Fork)
        .await;
}

#[tokio::test]
async fn rspec_says_the_same_in_one_child_for_all_files() {
    let suite = Suite::new("rspec");
    suite
        .compare(&suite.but(&["killed", "hang", "/exit"]), Isolation::None)
        .await;
}

#[tokio::test]
async fn rspec_survives_what_its_files_do() {
    let files = ["killed", "hang", "exit", "loud"].map(|word| format!("spec/{word}_spec.rb"));
    let files = files.each_ref().map(String::as_str);
    accidents("rspec", Isolation::Fork, files, "exit b").await;
    accidents("rspec", Isolation::None, files, "exit b").await;
}

#[tokio::test]
async fn minitest_says_the_same_in_forked_children() {
    let suite = Suite::new("minitest");
    let [killed, hang, exit] = ACCIDENTS;
    // test-unit's own lines tell no cases, and a line of output hides one of minitest's.
    let files = suite.but(&[killed, hang, exit, "unit_test", "loud"]);
    suite.compare(&files, Isolation::Fork).await;
}

#[tokio::test]
async fn minitest_says_the_same_in_one_child_for_all_files() {
    let suite = Suite::new("minitest");
    let [killed, hang, exit] = ACCIDENTS;
    // What a file wants to be done at the end of its process would be done at the end of all.
    std::fs::remove_file(suite.dir.path().join("test/late_test.rb")).unwrap();
    let files = suite.but(&[killed, hang, exit, "unit_test", "loud", "late"]);
    suite.compare(&files, Isolation::None).await;
}

#[tokio::test]
async fn minitest_survives_what_its_files_do() {
    let files = ["killed", "hang", "exit", "loud"].map(|word| format!("test/{word}_test.rb"));
    let files = files.each_ref().map(String::as_str);
    accidents("minitest", Isolation::Fork, files, "ExitTest#test_b").await;
    accidents("minitest", Isolation::None, files, "ExitTest#test_b").await;
}

#[tokio::test]
async fn test_unit_tells_its_cases() {
    let suite = Suite::new("minitest");
    for isolation in [Isolation::Fork, Isolation::None] {
        let told = suite.run(&["test/unit_test.rb"], Some(isolation)).await;
        let report = &told["test/unit_test.rb"].report;
        assert_eq!(
            (report.result.outcome, report.result.exit),
            (FileOutcome::Failed, Some(1))
        );
        assert_eq!(
            cases(report),
            [
                ("UnitTest#test_data[one]", CaseOutcome::Passed),
                ("UnitTest#test_data[two]", CaseOutcome::Failed),
                ("UnitTest#test_omits", CaseOutcome::Skipped),
                ("UnitTest#test_pends", CaseOutcome::Skipped),
                ("UnitTest#test_raises", CaseOutcome::Errored),
            ]
        );
    }
}

/// node has no way to run some cases of a loaded file by their names: its own command does.
#[tokio::test]
async fn some_cases_of_a_file_are_run_alone() {
    for (name, file) in [
        ("unittest", "tests/test_life.py"),
        ("rspec", "spec/life_spec.rb"),
        ("minitest", "test/life_test.rb"),
        ("node", "test/module.test.mjs"),
    ] {
        let mut suite = Suite::new(name);
        let whole = suite.run(&[file], Some(Isolation::Fork)).await;
        let all = cases(&whole[file].report);
        let is_passed = |case: &&(&str, CaseOutcome)| case.1 == CaseOutcome::Passed;
        let wanted = all.iter().find(is_passed).unwrap().0.to_owned();
        assert!(all.len() > 1, "{name}: {all:?}");
        suite.only = Some(vec![wanted.clone()]);
        let some = suite.run(&[file], Some(Isolation::Fork)).await;
        let report = &some[file].report;
        assert!(report.warnings.is_empty(), "{name}: {:?}", report.warnings);
        assert_eq!(
            report.result.outcome,
            FileOutcome::Passed,
            "{name}: {}",
            text(&some[file])
        );
        let ran = cases(report).into_iter().filter(|case| case.1 != CaseOutcome::Skipped);
        assert_eq!(ran.collect::<Vec<_>>(), [(&*wanted, CaseOutcome::Passed)], "{name}");
    }
}

/// A suite whose configuration does not load says so for each of its files, as the command does.
#[tokio::test]
async fn a_broken_configuration_is_each_files_result() {
    for (name, file, text) in [
        ("rspec", "spec/spec_helper.rb", "raise 'the helper broke'\n"),
        ("minitest", "test/test_helper.rb", "raise 'the helper broke'\n"),
    ] {
        let suite = Suite::new(name);
        std::fs::write(suite.dir.path().join(file), text).unwrap();
        let files = suite.but(&["killed", "hang", "exit", "loud", "syntax", "unit_test"]);
        suite.compare(&files, Isolation::Fork).await;
    }
}

/// What a file does before it imports something, it finds done.
#[tokio::test]
async fn nothing_is_imported_ahead_that_a_file_wants_to_prepare() {
    let suite = Suite::new("unittest");
    let write = |path: &str, text: &str| std::fs::write(suite.dir.path().join(path), text).unwrap();
    write("setting.py", "import os\nVALUE = os.environ.get('VALUE')\n");
    let case = |value: &str| {
        format!(
            "class C(unittest.TestCase):\n    def test_x(self):\n        self.assertEqual(setting.VALUE, {value})\n"
        )
    };
    write(
        "tests/test_first.py",
        &format!("import unittest\nimport setting\n{}", case("None")),
    );
    write(
        "tests/test_second.py",
        &format!(
            "import os\nimport unittest\nos.environ['VALUE'] = 'x'\nimport setting\n{}",
            case("'x'")
        ),
    );
    let files = ["tests/test_first.py", "tests/test_second.py"];
    for told in suite.run(&files, Some(Isolation::Fork)).await.values() {
        assert_eq!(told.report.result.outcome, FileOutcome::Passed, "{}", text(told));
        assert!(told.report.warnings.is_empty(), "{:?}", told.report.warnings);
    }
}
