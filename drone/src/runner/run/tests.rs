//! Real programs as test files, and the verdict that [`super`] must come to.

mod tools;

use super::*;
use crate::{process::is_on_path, runner::list};
use shared::{
    outcome::CaseOutcome::{Failed, Passed},
    settings::{Layer, Settings},
};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

struct Ran {
    report: Result<FileReport, SpawnError>,
    output: String,
}

struct Suite {
    dir: tempfile::TempDir,
    scratch: tempfile::TempDir,
    settings: Settings,
    env: BTreeMap<String, String>,
    mask: Arc<Mask>,
    timeout: Option<Duration>,
    cases: Option<Vec<String>>,
}

impl Suite {
    fn new(settings: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self {
            dir,
            scratch: tempfile::tempdir().unwrap(),
            settings: Settings::merge(&[Layer::from_toml(settings).unwrap()]).unwrap(),
            env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            mask: Arc::new(Mask::new(["hunter2hunter2".to_owned()])),
            timeout: None,
            cases: None,
        }
    }

    async fn run(&self, file: &str) -> Ran {
        let listing = list(self.dir.path(), &self.settings, None).unwrap();
        assert!(listing.files.contains(&file.to_owned()), "{:?}", listing.files);
        let (sender, mut receiver) = mpsc::channel(2);
        let cancel = CancellationToken::new();
        let running = async {
            let run = FileRun {
                tell: None,
                root: self.dir.path(),
                file,
                cases: self.cases.as_deref(),
                part: None,
                groups: false,
                env: &self.env,
                timeout: self.timeout,
                mask: &self.mask,
                output: &sender,
                cancel: &cancel,
                scratch: self.scratch.path(),
            };
            let report = listing.runner.run_file(run).await;
            drop(sender);
            report
        };
        let collecting = async {
            let mut output = String::new();
            while let Some(piece) = receiver.recv().await {
                output.push_str(&piece.text);
            }
            output
        };
        let both = async { tokio::join!(running, collecting) };
        let (report, output) = timeout(Duration::from_secs(60), both).await.expect("it ends");
        assert_eq!(
            fs::read_dir(self.scratch.path()).unwrap().count(),
            0,
            "no report is left"
        );
        Ran { report, output }
    }

    async fn outcome(&self, file: &str) -> FileReport {
        self.run(file).await.report.unwrap()
    }
}

fn cases(report: &FileReport) -> Vec<(&str, CaseOutcome)> {
    report
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.outcome))
        .collect()
}

#[tokio::test]
async fn a_plain_program_passes_or_fails_by_its_code() {
    let suite = Suite::new(
        "",
        &[
            ("tests/good", "#!/bin/sh\necho \"ok $SKEP_FILE\"\n"),
            ("tests/bad", "#!/bin/sh\necho why >&2\nexit 3\n"),
            ("tests/killed", "#!/bin/sh\nkill -9 $$\n"),
            ("tests/slow", "#!/bin/sh\nsleep 100\n"),
        ],
    );
    let good = suite.run("tests/good").await;
    assert_eq!(good.output, "ok tests/good\n");
    let good = good.report.unwrap();
    assert_eq!(
        (good.result.outcome, good.result.exit, good.cases.len()),
        (FileOutcome::Passed, Some(0), 0)
    );
    let bad = suite.outcome("tests/bad").await.result;
    assert_eq!(
        (bad.outcome, bad.exit, bad.died, bad.stderr_tail.as_str()),
        (FileOutcome::Failed, Some(3), false, "why\n")
    );
    let killed = suite.outcome("tests/killed").await.result;
    assert_eq!(
        (killed.outcome, killed.exit, killed.died),
        (FileOutcome::Failed, Some(137), true)
    );
    let limited = Suite {
        timeout: Some(Duration::from_millis(200)),
        ..suite
    };
    let slow = limited.outcome("tests/slow").await.result;
    assert_eq!(
        (slow.outcome, slow.exit, slow.died),
        (FileOutcome::TimedOut, Some(143), false)
    );
}

#[tokio::test]
async fn a_program_that_prints_tap_has_cases() {
    let suite = Suite::new(
        "",
        &[
            (
                "tests/tap",
                "#!/bin/sh\nprintf '1..2\\nok 1 - a\\nnot ok 2 - hunter2hunter2\\n# got hunter2hunter2\\n'\n",
            ),
            ("tests/short", "#!/bin/sh\nprintf '1..2\\nok 1 - a\\n'\n"),
            ("tests/none", "#!/bin/sh\necho 1..0\n"),
        ],
    );
    let ran = suite.run("tests/tap").await;
    assert_eq!(ran.output, "1..2\nok 1 - a\nnot ok 2 - [secret]\n# got [secret]\n");
    let report = ran.report.unwrap();
    assert_eq!(cases(&report), [("a", Passed), ("[secret]", Failed)]);
    assert_eq!(
        report.result.outcome,
        FileOutcome::Failed,
        "a bad case counts although the code is 0"
    );
    assert_eq!(report.result.failures[0].message.as_deref(), Some("got [secret]"));
    let short = suite.outcome("tests/short").await.result;
    assert_eq!((short.outcome, short.cases.errored), (FileOutcome::Failed, 1));
    assert_eq!(
        short.failures[0].message.as_deref(),
        Some("2 tests were planned, 1 ran")
    );
    assert_eq!(suite.outcome("tests/none").await.result.outcome, FileOutcome::Empty);
}

#[tokio::test]
async fn a_command_may_write_either_report() {
    let settings = "[test]\nfiles = '*.x'\ncommand = 'sh {file} {report}'";
    let suite = Suite::new(
        settings,
        &[
            (
                "junit.x",
                "echo \"<testsuite><testcase name='a'/><testcase name='b'><error>hunter2hunter2</error></testcase></testsuite>\" > $1; exit 1",
            ),
            ("tap.x", "printf '1..1\\nok 1 - a\\n' > $1"),
            ("none.x", "true"),
            ("broken.x", "echo '<testsuite><testcase' > $1"),
            ("it's a name.x", "echo \"$0\""),
        ],
    );
    let junit = suite.outcome("junit.x").await;
    assert_eq!(
        (junit.result.outcome, junit.result.cases.errored),
        (FileOutcome::Failed, 1)
    );
    assert_eq!(junit.cases[1].message.as_deref(), Some("[secret]"));
    assert_eq!(cases(&suite.outcome("tap.x").await), [("a", Passed)]);
    let none = suite.outcome("none.x").await;
    assert_eq!(none.result.outcome, FileOutcome::Passed);
    assert_eq!(none.warnings, ["none.x wrote no report: its cases are not known"]);
    let broken = suite.outcome("broken.x").await;
    assert_eq!((broken.result.outcome, broken.warnings.len()), (FileOutcome::Passed, 1));
    assert_eq!(suite.run("it's a name.x").await.output, "it's a name.x\n");
}

/// Plays pytest: writes a stored report of a real run and ends with its code.
#[tokio::test]
async fn pytest_is_run_with_a_report_and_its_codes_are_understood() {
    let script = |report: &str, code: u32| {
        format!(
            "#!/bin/sh\nfor a; do case $a in --junitxml=*) f=${{a#--junitxml=}};; esac; done\necho \"$@\" | sed \"s#$f#F#\"\n\
             cat > \"$f\" <<'END'\n{report}\nEND\nexit {code}\n"
        )
    };
    for (report, code, outcome, failed) in [
        (include_str!("../samples/pytest.xml"), 1, FileOutcome::Failed, 5),
        (include_str!("../samples/pytest_load.xml"), 2, FileOutcome::Failed, 0),
        (include_str!("../samples/pytest_none.xml"), 5, FileOutcome::Empty, 0),
    ] {
        let suite = Suite::new(
            "[test]\nargs = '-x'",
            &[
                ("tests/test_kinds.py", ""),
                ("pytest.ini", ""),
                (".venv/bin/pytest", &script(report, code)),
            ],
        );
        let ran = suite.run("tests/test_kinds.py").await;
        assert_eq!(
            ran.output,
            "tests/test_kinds.py -x --junitxml=F -o junit_family=xunit1\n"
        );
        let result = ran.report.unwrap().result;
        assert_eq!((result.outcome, result.cases.failed), (outcome, failed));
    }
}

#[tokio::test]
async fn an_interpreter_that_is_missing_is_named() {
    let mut suite = Suite::new("", &[("test_a.py", "import unittest")]);
    suite.env.insert("PATH".into(), "/nowhere".into());
    let error = suite.run("test_a.py").await.report.unwrap_err().to_string();
    assert!(
        error.starts_with("python3 is not on PATH (/nowhere): install it on this drone"),
        "{error}"
    );
}

#[tokio::test]
async fn unittest_files_are_run_one_by_one() {
    let suite = Suite::new(
        "",
        &[
            ("tests/test_a.py", include_str!("../samples/test_u.py")),
            ("tests/test_none.py", "import unittest"),
        ],
    );
    let report = suite.outcome("tests/test_a.py").await;
    let counts = report.result.cases;
    assert_eq!(report.result.outcome, FileOutcome::Failed);
    assert_eq!(
        (
            counts.passed,
            counts.failed,
            counts.errored,
            counts.skipped,
            counts.xfailed
        ),
        (3, 3, 1, 1, 1)
    );
    assert_eq!(
        suite.outcome("tests/test_none.py").await.result.outcome,
        FileOutcome::Empty
    );
}

#[tokio::test]
async fn node_files_are_run_one_by_one() {
    if !is_on_path("node", &std::env::var("PATH").unwrap()) {
        assert!(std::env::var_os("CI").is_none(), "node is missing: install it");
        return;
    }
    let suite = Suite::new(
        "",
        &[
            (
                "a.test.js",
                "const {test} = require('node:test'); test('a', () => {}); test('b', () => { throw new Error('no') });",
            ),
            ("none.test.js", "1"),
            ("load.test.js", "throw new Error('at load')"),
        ],
    );
    let report = suite.outcome("a.test.js").await;
    assert_eq!(
        (report.result.outcome, cases(&report)),
        (FileOutcome::Failed, vec![("a", Passed), ("b", Failed)])
    );
    assert_eq!(suite.outcome("none.test.js").await.result.outcome, FileOutcome::Empty);
    let load = suite.run("load.test.js").await;
    assert!(load.output.contains("at load"), "{}", load.output);
    let load = load.report.unwrap().result;
    assert_eq!(
        (load.outcome, load.cases.errored, load.cases.total()),
        (FileOutcome::Failed, 1, 1)
    );
}

#[tokio::test]
async fn prove_files_are_run_one_by_one() {
    if !is_on_path("prove", &std::env::var("PATH").unwrap()) {
        assert!(std::env::var_os("CI").is_none(), "prove is missing: install perl");
        return;
    }
    let suite = Suite::new(
        "",
        &[
            ("t/a.t", "use Test::More; ok 1, 'a'; ok 0, 'b'; done_testing;"),
            ("t/skip.t", "use Test::More skip_all => 'not here';"),
            ("t/plan.t", "use Test::More tests => 2; ok 1, 'a';"),
        ],
    );
    let report = suite.outcome("t/a.t").await;
    assert_eq!(
        (report.result.outcome, cases(&report)),
        (FileOutcome::Failed, vec![("a", Passed), ("b", Failed)])
    );
    let why = report.cases[1].message.as_deref().unwrap_or_default();
    assert!(why.contains("Failed test 'b'"), "standard error says why: {why:?}");
    let skipped = suite.outcome("t/skip.t").await.result;
    assert_eq!((skipped.outcome, skipped.cases.skipped), (FileOutcome::Passed, 1));
    let plan = suite.outcome("t/plan.t").await.result;
    assert_eq!((plan.outcome, plan.exit), (FileOutcome::Failed, Some(1)));
}

#[tokio::test]
async fn cargo_targets_are_run_one_by_one() {
    let suite = Suite::new(
        "[test]\nargs = '--offline'",
        &[
            (
                "Cargo.toml",
                "[package]\nname = 'x'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n",
            ),
            (
                "src/lib.rs",
                "/// ```\n/// assert!(x::yes());\n/// ```\npub fn yes() -> bool { true }\n#[test]\nfn a() {}\n",
            ),
            ("tests/b.rs", "#[test]\nfn b() { assert_eq!(1, 2) }\n"),
        ],
    );
    let mut suite = suite;
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        suite
            .env
            .extend(std::env::var(name).map(|value| (name.to_owned(), value)));
    }
    let lib = suite.outcome("src/lib.rs").await;
    assert_eq!(
        (lib.result.outcome, cases(&lib)),
        (
            FileOutcome::Passed,
            vec![("a", Passed), ("src/lib.rs - yes (line 1)", Passed)]
        ),
        "{}",
        lib.result.stderr_tail
    );
    let bad = suite.outcome("tests/b.rs").await;
    assert_eq!(
        (bad.result.outcome, cases(&bad)),
        (FileOutcome::Failed, vec![("b", Failed)])
    );
    assert_eq!(
        (bad.cases[0].file.as_deref(), bad.cases[0].line),
        (Some("tests/b.rs"), Some(2))
    );
}

#[tokio::test]
async fn nextest_runs_the_same_targets_by_its_own_settings() {
    if !is_on_path("cargo-nextest", &std::env::var("PATH").unwrap()) {
        // No distribution brings it: `nextest.rs` has a report of it.
        return;
    }
    let mut suite = Suite::new(
        "[test]\nargs = '--offline'",
        &[
            (
                "Cargo.toml",
                "[package]\nname = 'x'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n",
            ),
            (".config/nextest.toml", "[profile.default.junit]\npath = 'own.xml'\n"),
            (
                "src/lib.rs",
                "#[test]\nfn a() {}\nmod deep {\n#[test]\nfn c() { assert_eq!(1, 2) }\n#[test]\n#[ignore]\nfn d() {}\n}\n",
            ),
            ("tests/none.rs", ""),
        ],
    );
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        suite
            .env
            .extend(std::env::var(name).map(|value| (name.to_owned(), value)));
    }
    let listing = list(suite.dir.path(), &suite.settings, None).unwrap();
    assert_eq!(listing.runner.name(), "nextest");
    let bad = suite.outcome("src/lib.rs").await;
    let mut told = cases(&bad);
    told.sort_by_key(|(name, _)| *name);
    assert_eq!(
        (bad.result.outcome, told),
        (FileOutcome::Failed, vec![("a", Passed), ("deep::c", Failed)]),
        "{}",
        bad.result.stderr_tail
    );
    let case = bad.cases.iter().find(|case| case.name == "deep::c").unwrap();
    assert_eq!((case.file.as_deref(), case.line), (Some("src/lib.rs"), Some(5)));
    let none = suite.outcome("tests/none.rs").await;
    assert_eq!((none.result.outcome, none.cases.len()), (FileOutcome::Empty, 0));
    assert_eq!(none.warnings, [""; 0]);
}
