//! Warm pytest: each file of a made suite comes to what `pytest FILE` makes of it, whatever the others do. The suite is in
//! `suite/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must say where")]

mod harness;
mod jobs;
mod parts;
mod share;

use drone::runner::FileReport;
use harness::{Suite, cases, message};
use shared::{
    outcome::{CaseOutcome, FileOutcome},
    settings::Isolation,
};
use std::{fs, path::Path, time::Duration};
use tokio::sync::mpsc;

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
async fn a_child_for_some_files_says_of_each_what_pytest_says() {
    compare(Isolation::Auto).await;
}

#[tokio::test]
async fn a_child_for_all_files_says_of_each_what_pytest_says() {
    compare(Isolation::None).await;
}

#[tokio::test]
async fn an_old_pytest_is_kept_warm_as_well() {
    let mut suite = Suite::copy("", &[]);
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/old");
    assert!(old.join("pytest").exists(), "scripts/setup installs it");
    let path = format!("{}/bin:{}", old.display(), suite.env["PATH"]);
    suite.env.insert("PATH".into(), path);
    suite.env.insert("PYTHONPATH".into(), old.display().to_string());
    for isolation in [Isolation::Auto, Isolation::Fork, Isolation::None] {
        let warm = suite.warm(isolation);
        for file in [
            "tests/test_another.py",
            "tests/test_unittest_style.py",
            "tests/test_import.py",
        ] {
            let by_command = suite.run(None, file, None).await;
            let report = suite.run(Some(&warm), file, None).await;
            assert_eq!(cases(&report), cases(&by_command), "{file}");
            assert_eq!(report.warnings, [""; 0], "{file}");
        }
        warm.stop().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_is_the_fault_of_the_case_that_ran_and_of_no_other_file() {
    let suite = Suite::copy("", &[]);
    for isolation in [Isolation::Auto, Isolation::Fork, Isolation::None] {
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
    for isolation in [Isolation::Auto, Isolation::Fork, Isolation::None] {
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
