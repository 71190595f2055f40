//! Warm pytest: each file of a made suite comes to what `pytest FILE` makes of it, whatever the others do. The suite is in
//! `warm_pytest/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must say where")]

use drone::{
    pool,
    process::Mask,
    runner::{
        self, FileReport, FileRun, Listing,
        warm::{Setting, Warm},
    },
};
use shared::{
    outcome::{CaseOutcome, CaseResult, FileOutcome},
    protocol::to_drone::Part,
    settings::{Isolation, Layer, Settings},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A copy of the suite, and everything that its files run with.
struct Suite {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    listing: Listing,
    mask: Arc<Mask>,
    cancel: CancellationToken,
    /// Bytes of output, and the end of it.
    said: Arc<Mutex<(usize, String)>>,
}

impl Suite {
    fn copy(settings: &str, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scratch")).unwrap();
        let root = folder.path().join("source");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/warm_pytest"), &root);
        for (path, text) in more {
            fs::write(root.join(path), text).unwrap();
        }
        let settings = Settings::merge(&[Layer::from_toml(settings).unwrap()]).unwrap();
        let listing = runner::list(&root, &settings, None).unwrap();
        assert_eq!(listing.runner.name(), "pytest");
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin");
        let path = format!("{}:{}", venv.display(), std::env::var("PATH").unwrap());
        let env = [
            ("PATH", path.as_str()),
            ("HOME", "/"),
            ("LANG", "C.UTF-8"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        Self {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            folder,
            listing,
            mask: Arc::default(),
            cancel: CancellationToken::new(),
            said: Arc::default(),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    fn warm(&self, isolation: Isolation) -> Arc<Warm> {
        self.warm_with(isolation, &self.folder.path().join("kept"))
    }

    fn warm_with(&self, isolation: Isolation, kept: &Path) -> Arc<Warm> {
        let setting = Setting {
            root: self.root(),
            env: self.env.clone(),
            scratch: self.scratch(),
            kept: kept.to_owned(),
            mask: Arc::clone(&self.mask),
            isolation,
            pool: pool::Options::new(2),
            capacity: 2,
            // With and without something run before the first fork.
            files: if isolation == Isolation::Fork { 1000 } else { 10 },
        };
        Warm::new(&self.listing.runner, setting).unwrap()
    }

    /// Runs a file, by command if there is no `warm`.
    async fn run(&self, warm: Option<&Warm>, file: &str, timeout: Option<Duration>) -> FileReport {
        self.run_telling(warm, file, timeout, None).await
    }

    async fn run_telling(
        &self,
        warm: Option<&Warm>,
        file: &str,
        timeout: Option<Duration>,
        tell: Option<&mpsc::Sender<CaseResult>>,
    ) -> FileReport {
        self.run_part(warm, file, timeout, tell, None).await
    }

    async fn run_part(
        &self,
        warm: Option<&Warm>,
        file: &str,
        timeout: Option<Duration>,
        tell: Option<&mpsc::Sender<CaseResult>>,
        part: Option<&Part>,
    ) -> FileReport {
        let mut env = self.env.clone();
        if warm.is_some() {
            env.insert("SKEP_WORKER_ID".into(), "1".into());
        }
        env.insert("SKEP_FILE".into(), file.into());
        let (output, mut pieces) = mpsc::channel::<drone::process::Output>(16);
        let said = Arc::clone(&self.said);
        *said.lock().unwrap() = (0, String::new());
        let listening = tokio::spawn(async move {
            while let Some(piece) = pieces.recv().await {
                let mut said = said.lock().unwrap();
                said.0 += piece.text.len();
                said.1 = piece.text;
            }
        });
        let (root, scratch) = (self.root(), self.scratch());
        let run = FileRun {
            tell,
            root: &root,
            file,
            cases: None,
            part,
            groups: true,
            env: &env,
            timeout,
            mask: &self.mask,
            output: &output,
            cancel: &self.cancel,
            scratch: &scratch,
        };
        let report = match warm {
            Some(warm) => warm.run_file(run).await.unwrap(),
            None => self.listing.runner.run_file(run).await.unwrap(),
        };
        drop(output);
        listening.await.unwrap();
        report
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// Names and outcomes, in order. A report of JUnit calls passed what passed unexpectedly.
fn cases(report: &FileReport) -> Vec<(String, CaseOutcome)> {
    let cases = report.cases.iter().map(|case| {
        let outcome = match case.outcome {
            CaseOutcome::XPassed => CaseOutcome::Passed,
            other => other,
        };
        (case.name.clone(), outcome)
    });
    cases.collect()
}

fn message<'a>(report: &'a FileReport, case: &str) -> &'a str {
    let case = report.cases.iter().find(|one| one.name == case).unwrap();
    case.message.as_deref().unwrap_or_default()
}

/// Those of the suite's files that pytest itself lives to report on, and that depend on no other.
const SOUND: [&str; 9] = [
    "tests/deep/test_p.py",
    "tests/test_another.py",
    "tests/test_empty.py",
    "tests/test_import.py",
    "tests/test_kinds.py",
    "tests/test_nofix.py",
    "tests/test_skipmod.py",
    "tests/test_syntax.py",
    "tests/test_unittest_style.py",
];

async fn compare(isolation: Isolation) {
    let suite = Suite::copy("", &[]);
    let warm = suite.warm(isolation);
    for file in SOUND {
        let by_command = suite.run(None, file, None).await;
        let report = suite.run(Some(&warm), file, None).await;
        assert_eq!(cases(&report), cases(&by_command), "{file}");
        let code = |report: &FileReport| (report.result.outcome, report.result.exit, report.ended.code);
        assert_eq!(code(&report), code(&by_command), "{file}");
        assert_eq!(report.warnings, [""; 0], "{file}");
        for (ours, theirs) in report.cases.iter().zip(&by_command.cases) {
            // A file that cannot be collected has no place in a report of JUnit.
            if theirs.file.is_some() {
                assert_eq!(
                    (&ours.file, ours.line),
                    (&theirs.file, theirs.line),
                    "{file} {}",
                    ours.name
                );
            }
        }
        if file == "tests/test_kinds.py" {
            let shown = message(&report, "test_shown");
            for text in ["assert 0", "Captured stdout call", "PRINTED", "ERRED", "LOGGED"] {
                assert!(shown.contains(text), "{text:?} is not in {shown}");
            }
            assert!(message(&report, "test_skip").ends_with("because"));
            assert_eq!(message(&report, "test_xfail"), "known");
            let passed = report.cases.iter().find(|case| case.name == "test_xpass").unwrap();
            assert_eq!(passed.outcome, CaseOutcome::XPassed);
        }
    }
    // A report of JUnit has a case without a name here.
    let report = suite.run(Some(&warm), "tests/test_pexit.py", None).await;
    assert_eq!(
        (report.result.outcome, report.result.exit),
        (FileOutcome::Failed, Some(9))
    );
    assert_eq!(cases(&report), [("test_a".to_owned(), CaseOutcome::Passed)]);
    warm.stop().await;
}

#[tokio::test]
async fn a_forked_child_says_of_a_file_what_pytest_says() {
    compare(Isolation::Fork).await;
}

#[tokio::test]
async fn a_child_for_all_files_says_of_each_what_pytest_says() {
    compare(Isolation::None).await;
}

#[tokio::test]
async fn a_process_that_dies_is_the_fault_of_the_case_that_ran_and_of_no_other_file() {
    let suite = Suite::copy("", &[]);
    for isolation in [Isolation::Fork, Isolation::None] {
        let warm = suite.warm(isolation);
        for (file, case, code, died, words) in [
            (
                "tests/test_kill.py",
                "test_kill",
                137,
                true,
                "ended by signal 9 while this case ran",
            ),
            (
                "tests/test_segv.py",
                "test_segv",
                139,
                true,
                "ended by signal 11 while this case ran",
            ),
            (
                "tests/test_leave.py",
                "test_kill",
                0,
                false,
                "ended by itself, with code 0 while this case ran",
            ),
        ] {
            let report = suite.run(Some(&warm), file, None).await;
            let found = cases(&report);
            let expected = [
                ("test_first".to_owned(), CaseOutcome::Passed),
                (case.to_owned(), CaseOutcome::Errored),
            ];
            assert_eq!(found, expected, "{file}");
            assert!(message(&report, case).contains(words), "{}", message(&report, case));
            let result = &report.result;
            assert_eq!(
                (result.outcome, result.exit, result.died),
                (FileOutcome::Failed, Some(code), died),
                "{file}"
            );
            let next = suite.run(Some(&warm), "tests/test_another.py", None).await;
            assert_eq!(
                (next.result.outcome, next.warnings.len()),
                (FileOutcome::Passed, 0),
                "after {file}"
            );
        }
        warm.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_hangs_is_stopped_at_its_time_limit_and_its_case_is_named() {
    let suite = Suite::copy("", &[]);
    let warm = suite.warm(Isolation::Fork);
    // Not before the template is there: the limit is for the file.
    suite.run(Some(&warm), "tests/test_another.py", None).await;
    let report = suite
        .run(Some(&warm), "tests/test_hang.py", Some(Duration::from_secs(5)))
        .await;
    assert_eq!(report.result.outcome, FileOutcome::TimedOut);
    let expected = [
        ("test_before".to_owned(), CaseOutcome::Passed),
        ("test_hang".to_owned(), CaseOutcome::Errored),
    ];
    assert_eq!(cases(&report), expected);
    assert!(message(&report, "test_hang").starts_with("it ran when the time limit was reached"));
    warm.stop().await;
}

#[tokio::test]
async fn fifty_megabytes_of_output_go_past_the_relay() {
    let suite = Suite::copy("[test]\nargs = ['-s']", &[]);
    let warm = suite.warm(Isolation::Fork);
    let report = suite.run(Some(&warm), "tests/test_big.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Passed);
    assert_eq!(report.result.cases.passed, 2);
    let (bytes, end) = suite.said.lock().unwrap().clone();
    assert!(bytes > 50 << 20, "{bytes} bytes of output");
    assert!(end.contains("2 passed"), "{end}");
    warm.stop().await;
}

#[tokio::test]
async fn a_file_that_needs_the_others_passes_with_a_warning_that_names_it() {
    let suite = Suite::copy("", &[]);
    let warm = suite.warm(Isolation::Fork);
    let report = suite.run(Some(&warm), "tests/test_order.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Passed);
    let warning = &report.warnings[0];
    assert!(
        warning.starts_with("tests/test_order.py failed when it was run by itself and passed"),
        "{warning}"
    );
    let bad = suite.run(Some(&warm), "tests/test_nofix.py", None).await;
    assert_eq!(
        (bad.result.outcome, bad.warnings.len()),
        (FileOutcome::Failed, 0),
        "it fails either way"
    );
    warm.stop().await;
    let kept = tempfile::tempdir().unwrap();
    let warm = suite.warm_with(Isolation::None, kept.path());
    let report = suite.run(Some(&warm), "tests/test_order.py", None).await;
    assert_eq!((report.result.outcome, report.warnings.len()), (FileOutcome::Passed, 0));
    warm.stop().await;
}

#[tokio::test]
async fn what_one_job_found_out_about_the_order_spares_the_next_one_the_detour() {
    let kept = tempfile::tempdir().unwrap();
    // What is said of the file that needs the others, in a job of its own.
    let warning = async |suite: Suite| {
        let warm = suite.warm_with(Isolation::Fork, kept.path());
        let report = suite.run(Some(&warm), "tests/test_order.py", None).await;
        let bad = suite.run(Some(&warm), "tests/test_nofix.py", None).await;
        warm.stop().await;
        assert_eq!((bad.result.outcome, bad.warnings.len()), (FileOutcome::Failed, 0));
        assert_eq!(report.result.outcome, FileOutcome::Passed);
        assert_eq!(report.warnings.len(), 1, "{report:?}");
        report.warnings[0].clone()
    };
    let found = "tests/test_order.py failed when it was run by itself and passed when the other files had been loaded";
    let known = "tests/test_order.py failed when an earlier job ran it by itself";
    let first = warning(Suite::copy("", &[])).await;
    assert!(first.starts_with(found), "{first}");
    let second = warning(Suite::copy("", &[])).await;
    assert!(second.starts_with(known), "{second}");
    let source = fs::read_to_string(Suite::copy("", &[]).root().join("tests/test_order.py")).unwrap();
    let changed = Suite::copy("", &[("tests/test_order.py", &format!("{source}\n# New.\n"))]);
    let third = warning(changed).await;
    assert!(third.starts_with(found), "what has changed is tried anew: {third}");
}

#[tokio::test]
async fn when_the_template_dies_its_child_goes_on_and_the_next_file_has_a_new_template() {
    let suite = Suite::copy("", &[]);
    let warm = suite.warm(Isolation::Fork);
    for file in ["tests/test_orphan.py", "tests/test_another.py", "tests/test_orphan.py"] {
        let report = suite.run(Some(&warm), file, None).await;
        assert_eq!(
            (report.result.outcome, report.result.exit),
            (FileOutcome::Passed, Some(0)),
            "{report:?}"
        );
        assert_eq!(report.warnings, [""; 0]);
    }
    warm.stop().await;
}

#[tokio::test]
async fn a_process_that_a_test_leaves_behind_ends_with_its_file() {
    let suite = Suite::copy("", &[]);
    let warm = suite.warm(Isolation::Fork);
    let report = suite.run(Some(&warm), "tests/test_zombie.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Passed);
    warm.stop().await;
    let pid = fs::read_to_string(suite.root().join("left.pid")).unwrap();
    assert!(!Path::new("/proc").join(&pid).exists(), "process {pid} is left");
}

#[tokio::test]
async fn a_suite_that_cannot_be_configured_is_what_pytest_says_of_each_file() {
    for (more, args) in [
        (&[("conftest.py", "raise RuntimeError('broken conftest')\n")][..], ""),
        (&[], "[test]\nargs = ['--no-such-option']"),
    ] {
        let suite = Suite::copy(args, more);
        let warm = suite.warm(Isolation::Fork);
        let report = suite.run(Some(&warm), "tests/test_another.py", None).await;
        let by_command = suite.run(None, "tests/test_another.py", None).await;
        assert_eq!(
            (report.result.outcome, report.result.exit),
            (FileOutcome::Failed, Some(4))
        );
        assert_eq!(cases(&report), cases(&by_command));
        assert!(
            report.warnings[0].starts_with(
                "pytest could not be kept warm, so each file is run by a command of its own: it ended with code 4"
            ),
            "{:?}",
            report.warnings
        );
        let second = suite.run(Some(&warm), "tests/test_another.py", None).await;
        assert_eq!(second.warnings, [""; 0], "it is said once");
        warm.stop().await;
    }
}

#[tokio::test]
async fn children_side_by_side_keep_out_of_each_others_files() {
    let args = "[test]\nargs = ['--junitxml=report.xml', '--basetemp=base', '-o', 'tmp_path_retention_policy=all']";
    let test = "def test_t(tmp_path):\n    assert not list(tmp_path.iterdir())\n    (tmp_path / 'mine').touch()\n    assert tmp_path.parts[-4:-2] == ('source', 'base')\n";
    let suite = Suite::copy(args, &[("tests/test_t1.py", test), ("tests/test_t2.py", test)]);
    let warm = suite.warm(Isolation::Fork);
    let (one, two) = tokio::join!(
        suite.run(Some(&warm), "tests/test_t1.py", None),
        suite.run(Some(&warm), "tests/test_t2.py", None)
    );
    for report in [one, two] {
        assert_eq!(report.result.outcome, FileOutcome::Passed, "{report:?}");
    }
    let bad = suite.run(Some(&warm), "tests/test_nofix.py", None).await;
    assert_eq!(bad.result.outcome, FileOutcome::Failed);
    warm.stop().await;
    assert!(!suite.root().join("report.xml").exists());
    assert!(!suite.root().join(".pytest_cache/v/cache/lastfailed").exists());
}

#[tokio::test]
async fn a_cancelled_file_and_its_template_leave_nothing() {
    let hang = "import os, time\ndef test_hang():\n    with open('pids', 'w') as pids:\n        pids.write('%d %d' % (os.getpid(), os.getppid()))\n    time.sleep(3600)\n";
    let suite = Suite::copy("", &[("tests/test_wait.py", hang)]);
    let warm = suite.warm(Isolation::Fork);
    // Reading it waits for the test to write.
    let pids = suite.root().join("pids");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pids, 0o600.into()).unwrap();
    let stop = async {
        let pids = tokio::task::spawn_blocking(|| fs::read_to_string(pids)).await;
        suite.cancel.cancel();
        pids.unwrap().unwrap()
    };
    let (report, pids) = tokio::join!(suite.run(Some(&warm), "tests/test_wait.py", None), stop);
    assert!(report.ended.cancelled);
    warm.stop().await;
    for pid in pids.split(' ') {
        assert!(!Path::new("/proc").join(pid).exists(), "process {pid} is left");
    }
    drop(warm);
    let left: Vec<_> = fs::read_dir(suite.scratch())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        left,
        ["warm"],
        "nothing but the programs, which go with the scratch folder"
    );
}

#[tokio::test]
async fn the_conftest_of_a_folder_is_loaded_once_for_all_its_files() {
    let suite = Suite::copy(
        "",
        &[
            (
                "tests/deep/conftest.py",
                "import os, pytest\n@pytest.fixture\ndef loaded_by(_pid=os.getpid()):\n    return _pid\n",
            ),
            (
                "tests/deep/test_q.py",
                "import os\ndef test_q(loaded_by):\n    assert loaded_by == os.getppid()\n",
            ),
            (
                "tests/deep/test_r.py",
                "def test_r(loaded_by):\n    assert loaded_by == 0\n",
            ),
        ],
    );
    let warm = suite.warm(Isolation::Fork);
    let report = suite.run(Some(&warm), "tests/deep/test_q.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Passed, "{report:?}");
    // It may fail all the same, and is what pytest says then.
    let report = suite.run(Some(&warm), "tests/deep/test_r.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Failed, "{report:?}");
    warm.stop().await;
}

#[tokio::test]
async fn a_conftest_that_is_broken_is_the_fault_of_its_folder_alone() {
    let broken = [("tests/deep/conftest.py", "raise RuntimeError('broken conftest')\n")];
    let suite = Suite::copy("", &broken);
    for isolation in [Isolation::Fork, Isolation::None] {
        let warm = suite.warm(isolation);
        let report = suite.run(Some(&warm), "tests/deep/test_p.py", None).await;
        assert_eq!(report.result.outcome, FileOutcome::Failed);
        // As one run of the suite says it; a run of the file alone would not even begin.
        assert_eq!(
            cases(&report),
            [("tests.deep".to_owned(), CaseOutcome::Errored)],
            "{isolation:?}"
        );
        assert!(message(&report, "tests.deep").contains("broken conftest"), "{report:?}");
        let report = suite.run(Some(&warm), "tests/test_another.py", None).await;
        assert_eq!(report.result.outcome, FileOutcome::Passed, "{report:?}");
        warm.stop().await;
    }
}

#[tokio::test]
async fn what_was_made_of_a_file_serves_a_later_job_and_names_that_jobs_files() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || -> Vec<(PathBuf, Vec<u8>)> {
        let read = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.path()).unwrap();
        let mut all: Vec<_> = fs::read_dir(folder.path().join("bytecode"))
            .unwrap()
            .map(read)
            .collect();
        all.sort();
        all.into_iter()
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    };
    let mut before = Vec::new();
    for turn in 0..3 {
        let helper = "import inspect\ndef place(): return inspect.currentframe().f_code.co_filename, __file__\n";
        let test = "import inspect, helper\ndef test_place():\n    assert inspect.currentframe().f_code.co_filename == __file__\n    own, file = helper.place()\n    assert own == file\ndef test_bad():\n    value = [1, 2]\n    assert value == [1, 3]\n";
        let mut suite = Suite::copy("", &[("tests/test_place.py", test), ("tests/helper.py", helper)]);
        // As it is where nobody has said otherwise: pytest writes beside the file as well.
        suite.env.remove("PYTHONDONTWRITEBYTECODE");
        let warm = suite.warm_with(Isolation::Fork, folder.path());
        let report = suite.run(Some(&warm), "tests/test_place.py", None).await;
        assert_eq!(report.cases[0].outcome, CaseOutcome::Passed, "{report:?}");
        let shown = message(&report, "test_bad");
        assert!(shown.contains("assert [1, 2] == [1, 3]"), "{shown}");
        warm.stop().await;
        match turn {
            0 => before = kept(),
            // The same again, and nothing was written: what is kept holds no place and no time.
            1 => assert_eq!(kept(), before),
            _ => assert_eq!(kept().len(), before.len()),
        }
        assert!(!before.is_empty());
        // What was damaged is made again.
        for (path, _) in before.iter().filter(|_| turn == 1) {
            fs::write(path, b"no bytecode").unwrap();
        }
    }
    assert_eq!(
        kept().iter().map(|(path, _)| path).collect::<Vec<_>>(),
        before.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_python_warns_of_in_a_source_file_it_warns_of_in_each_job() {
    let folder = tempfile::tempdir().unwrap();
    for (filter, expected) in [
        ("default", FileOutcome::Passed),
        ("error::SyntaxWarning", FileOutcome::Failed),
        ("default", FileOutcome::Passed),
    ] {
        let files = [
            ("tests/helper.py", "IS = 1 is 1\n"),
            (
                "tests/test_helper.py",
                "import helper\ndef test_is(): assert helper.IS\n",
            ),
        ];
        let mut suite = Suite::copy("", &files);
        suite.env.insert("PYTHONWARNINGS".into(), filter.into());
        let warm = suite.warm_with(Isolation::Fork, folder.path());
        let report = suite.run(Some(&warm), "tests/test_helper.py", None).await;
        assert_eq!(report.result.outcome, expected, "{filter}: {report:?}");
        warm.stop().await;
    }
}

#[tokio::test]
async fn cases_are_told_while_their_file_runs_and_a_bad_one_when_it_stands() {
    let test = "import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_good(x): pass\ndef test_bad(): assert 0\ndef test_waits():\n    open('gate').read()\n";
    let suite = Suite::copy("", &[("tests/test_long.py", test)]);
    let gate = suite.root().join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, 0o600.into()).unwrap();
    for (isolation, early) in [
        (Isolation::Fork, &["test_good[1]", "test_good[2]"][..]),
        (Isolation::None, &["test_good[1]", "test_good[2]", "test_bad"]),
    ] {
        let warm = suite.warm(isolation);
        let (tell, mut told) = mpsc::channel(8);
        let run = async {
            let tell = tell;
            suite
                .run_telling(Some(&warm), "tests/test_long.py", None, Some(&tell))
                .await
        };
        let watch = async {
            let mut names = Vec::new();
            while let Some(case) = told.recv().await {
                // The file goes on when its first cases have been told, and again in its second look.
                if case.name == early[early.len() - 1] {
                    let gate = gate.clone();
                    tokio::task::spawn_blocking(move || fs::write(&gate, "go").unwrap());
                }
                names.push(case.name);
            }
            names
        };
        let (report, names) = tokio::join!(run, watch);
        assert_eq!(names[..early.len()], *early, "{isolation:?}");
        let all: Vec<_> = report.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(all, ["test_good[1]", "test_good[2]", "test_bad", "test_waits"]);
        assert!(names.iter().all(|name| all.contains(&name.as_str())), "{names:?}");
        warm.stop().await;
    }
}

const PARTS: &str = r#"
import os
import pytest

assert os.environ.get("PYTHONPATH") is None and "SKEP_PART" not in os.environ

@pytest.fixture(scope="class")
def once():
    yield 1

@pytest.mark.parametrize("x", [1, 2, "a::b[c]"])
def test_a(x):
    assert x != 2

class TestB:
    def test_one(self, once): pass
    class TestInner:
        def test_two(self): pass

class TestD:
    @pytest.mark.parametrize("x", ["y::z", 2])
    def test_one(self, x): pass
    class TestInner:
        def test_two(self): pass

def test_ab(): pass
def test_c(): pass
"#;

/// Groups, cases and outcomes, as a part of [`PARTS`] has them.
async fn part_of(suite: &Suite, warm: Option<&Warm>, groups: &[&str], rest: bool) -> Vec<(String, CaseOutcome)> {
    let file = "tests/test_parts.py";
    let part = Part {
        file: file.into(),
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        rest,
    };
    let report = suite.run_part(warm, file, None, None, Some(&part)).await;
    assert_eq!(report.warnings, [""; 0]);
    cases(&report)
}

#[tokio::test]
async fn parts_of_a_file_have_each_of_its_cases_once_whoever_runs_them() {
    let suite = Suite::copy("", &[("tests/test_parts.py", PARTS)]);
    for isolation in [Some(Isolation::Fork), Some(Isolation::None), None] {
        let warm = isolation.map(|isolation| suite.warm(isolation));
        let warm = warm.as_deref();
        let whole = suite.run(warm, "tests/test_parts.py", None).await;
        let groups: Vec<_> = whole.result.groups.iter().map(|group| group.name.as_str()).collect();
        match warm {
            Some(_) => assert_eq!(
                groups,
                [
                    "test_a",
                    "TestB",
                    "TestD::test_one",
                    "TestD::TestInner::test_two",
                    "test_ab",
                    "test_c"
                ]
            ),
            None => assert!(groups.is_empty(), "a command does not know"),
        }
        assert!(whole.result.groups.iter().all(|group| group.duration >= 0.0));
        // One that is there no longer is no error; what nobody names is in the last one.
        let first = part_of(&suite, warm, &["gone", "test_a"], false).await;
        let second = part_of(&suite, warm, &["TestB"], false).await;
        let third = part_of(&suite, warm, &["TestD::test_one"], false).await;
        let rest = part_of(&suite, warm, &["gone", "test_a", "TestB", "TestD::test_one"], true).await;
        assert_eq!((first.len(), second.len(), third.len(), rest.len()), (3, 2, 2, 3));
        assert_eq!([first, second, third, rest].concat(), cases(&whole));
        assert_eq!(
            part_of(&suite, warm, &["TestD"], false).await.len(),
            3,
            "the whole class"
        );
        assert_eq!(part_of(&suite, warm, &["gone"], false).await, []);
        if let Some(warm) = warm {
            warm.stop().await;
        }
    }
}

#[tokio::test]
async fn a_part_that_fails_is_run_once_more_with_its_whole_file_which_stays_whole_then() {
    let test = "SEEN = []\ndef test_first():\n    SEEN.append(1)\ndef test_second():\n    assert SEEN\ndef test_third(): pass\n";
    let bad = "SEEN = []\ndef test_first():\n    SEEN.append(1)\ndef test_second():\n    assert SEEN\ndef test_third(): assert 0\n";
    let suite = Suite::copy("", &[("tests/test_state.py", test), ("tests/test_state_bad.py", bad)]);
    let folder = tempfile::tempdir().unwrap();
    let part = |file: &str, name: &str, rest| Part {
        file: file.into(),
        groups: vec![name.into()],
        rest,
    };
    for _ in 0..2 {
        let warm = suite.warm_with(Isolation::Fork, folder.path());
        let second = part("tests/test_state.py", "test_second", false);
        let report = suite
            .run_part(Some(&warm), &second.file, None, None, Some(&second))
            .await;
        assert_eq!(cases(&report), [("test_second".to_owned(), CaseOutcome::Passed)]);
        assert_eq!(report.result.outcome, FileOutcome::Passed);
        assert!(report.result.groups.is_empty(), "{report:?}");
        assert_eq!(
            report.warnings,
            [
                "a part of tests/test_state.py failed when it was run by itself and passed in a run of the whole file: it is \
                 counted as passed, but its tests depend on each other, or fail now and then; split = false in [test] keeps \
                 files whole"
            ]
        );
        let rest = part("tests/test_state.py", "test_second", true);
        let report = suite.run_part(Some(&warm), &rest.file, None, None, Some(&rest)).await;
        assert_eq!(report.cases.len(), 2, "{report:?}");
        assert_eq!((report.result.outcome, report.warnings.len()), (FileOutcome::Passed, 0));
        // What fails in the whole file too has failed in its part, as it did there.
        for (name, count) in [("test_second", 1), ("test_third", 1)] {
            let own = part("tests/test_state_bad.py", name, false);
            let report = suite.run_part(Some(&warm), &own.file, None, None, Some(&own)).await;
            assert_eq!(report.result.outcome, FileOutcome::Failed, "{report:?}");
            assert_eq!((report.cases.len(), report.warnings.len()), (count, 0));
        }
        warm.stop().await;
    }
    // The next job on this drone does not say that it could be split.
    let warm = suite.warm_with(Isolation::Fork, folder.path());
    let report = suite.run(Some(&warm), "tests/test_state.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Passed);
    assert!(report.result.groups.is_empty(), "{report:?}");
    warm.stop().await;
}

#[tokio::test]
async fn a_file_that_sets_something_up_once_for_all_cannot_be_split() {
    let fixture = |scope: &str| {
        format!(
            "import pytest\n@pytest.fixture(scope='{scope}')\ndef once(): yield 1\ndef test_a(once): pass\ndef test_b(): pass\n"
        )
    };
    let own = "import pytest\ndef setup_module(): pass\ndef test_a(): pass\ndef test_b(): pass\n";
    let late = format!(
        "{}def test_c(request): request.getfixturevalue('once')\n",
        fixture("module").replace("(once)", "()")
    );
    let style = "import unittest\ndef setUpModule(): pass\nclass A(unittest.TestCase):\n    def test_a(self): pass\nclass B(A): pass\n";
    let methods = "class TestA:\n    def test_a(self): pass\n    def test_b(self): pass\n";
    let set_up =
        "class TestA:\n    def setup_class(cls): pass\n    def test_a(self): pass\n    def test_b(self): pass\n";
    let class = "import unittest\nclass A(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): pass\n    def test_a(self): pass\nclass B(A): pass\n";
    let suite = Suite::copy(
        "",
        &[
            ("tests/test_module.py", &fixture("module")),
            ("tests/test_package.py", &fixture("package")),
            ("tests/test_class.py", &fixture("class")),
            ("tests/test_session.py", &fixture("session")),
            ("tests/test_setup.py", own),
            ("tests/test_late.py", &late),
            ("tests/test_style.py", style),
            ("tests/test_style_class.py", class),
            ("tests/test_methods.py", methods),
            ("tests/test_set_up.py", set_up),
        ],
    );
    let warm = suite.warm(Isolation::Fork);
    for (name, count) in [
        ("module", 0),
        ("package", 0),
        ("class", 2),
        ("session", 2),
        ("setup", 0),
        ("late", 0),
        ("style", 0),
        ("style_class", 2),
        ("methods", 2),
        ("set_up", 1),
    ] {
        let report = suite.run(Some(&warm), &format!("tests/test_{name}.py"), None).await;
        assert_eq!(report.result.outcome, FileOutcome::Passed, "{name}");
        assert_eq!(report.result.groups.len(), count, "{name}");
    }
    warm.stop().await;
}
