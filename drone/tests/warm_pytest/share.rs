//! Short files in a row that share a child: who does, who does not, and what then comes of them.

use super::harness::{Suite, cases};
use drone::runner::{FileReport, warm::Warm};
use shared::{
    outcome::{CaseOutcome, FileOutcome},
    settings::Isolation,
};
use std::fs;

/// A file that notes who ran it, and does something more.
fn noting(more: &str) -> String {
    format!("import os\ndef test_a(): open('by', 'w').write(str(os.getpid()))\n{more}\n")
}

/// The process that runs `file`, and what came of it.
async fn by(suite: &Suite, warm: &Warm, file: &str) -> (String, FileReport) {
    let report = suite.run(Some(warm), file, None).await;
    let pid = fs::read_to_string(suite.root().join("by")).unwrap();
    fs::remove_file(suite.root().join("by")).unwrap();
    (pid, report)
}

#[tokio::test]
async fn short_files_that_pass_share_a_child_and_each_is_told_of_as_if_it_were_alone() {
    let (one, two) = (noting(""), noting("def test_b(): pass"));
    let suite = Suite::copy("", &[("tests/test_p1.py", &one), ("tests/test_p2.py", &two)]);
    let warm = suite.warm(Isolation::Auto);
    let (first, report) = by(&suite, &warm, "tests/test_p1.py").await;
    assert_eq!(
        (report.result.outcome, report.result.exit),
        (FileOutcome::Passed, Some(0))
    );
    let said = suite.said.lock().unwrap().1.clone();
    assert!(said.contains("1 passed in"), "{said}");
    let (second, report) = by(&suite, &warm, "tests/test_p2.py").await;
    assert_eq!(second, first);
    let passed = |name: &str| (name.to_owned(), CaseOutcome::Passed);
    assert_eq!(cases(&report), [passed("test_a"), passed("test_b")]);
    assert_eq!((report.result.exit, report.warnings.len()), (Some(0), 0));
    let said = suite.said.lock().unwrap().1.clone();
    assert!(said.contains("2 passed in"), "not the first file's with it: {said}");
    let result = report.result;
    assert!(result.cpu.unwrap() > 0.0 && result.cpu.unwrap() < 5000.0 && result.peak_memory.unwrap() > 1 << 20);
    warm.stop().await;
}

#[tokio::test]
async fn with_isolation_fork_each_file_has_a_child_of_its_own() {
    let text = noting("");
    let suite = Suite::copy("", &[("tests/test_p1.py", &text), ("tests/test_p2.py", &text)]);
    let warm = suite.warm(Isolation::Fork);
    let (first, _) = by(&suite, &warm, "tests/test_p1.py").await;
    let (second, _) = by(&suite, &warm, "tests/test_p2.py").await;
    assert_ne!(first, second);
    warm.stop().await;
}

#[tokio::test]
async fn nothing_shares_a_child_with_a_file_that_was_long_or_failed_or_left_something_behind() {
    for leaves in [
        "import time\ndef test_b(): time.sleep(0.3)",
        "def test_b(): assert 0",
        "def test_b(): os.environ['LEFT'] = '1'",
        "def test_b(): os.chdir('/')",
        "def test_b(tmp_path): os.chdir(tmp_path); tmp_path.rmdir()",
        "import threading\ndef test_b(): threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import subprocess\ndef test_b(): subprocess.Popen(['sleep', '60'])",
        "import signal\ndef test_b(): signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ] {
        let (one, two) = (noting(leaves), noting(""));
        let suite = Suite::copy("", &[("tests/test_p1.py", &one), ("tests/test_p2.py", &two)]);
        let warm = suite.warm(Isolation::Auto);
        let (first, _) = by(&suite, &warm, "tests/test_p1.py").await;
        let (second, report) = by(&suite, &warm, "tests/test_p2.py").await;
        assert_ne!(first, second, "{leaves}");
        assert_eq!((report.result.outcome, report.warnings.len()), (FileOutcome::Passed, 0));
        warm.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_fails_after_another_one_is_run_once_more_by_itself() {
    let leaves = noting("def test_b(): import json; json.left = 1");
    let sees = noting("def test_b(): import json; assert not hasattr(json, 'left')");
    let bad = "import os\ndef test_b(): assert 0\n";
    let suite = Suite::copy(
        "",
        &[
            ("tests/test_p1.py", &leaves),
            ("tests/test_p2.py", &sees),
            ("tests/test_p3.py", bad),
        ],
    );
    let warm = suite.warm(Isolation::Auto);
    let (first, _) = by(&suite, &warm, "tests/test_p1.py").await;
    let (second, report) = by(&suite, &warm, "tests/test_p2.py").await;
    assert_ne!(first, second);
    assert_eq!(report.result.outcome, FileOutcome::Passed);
    let warning = "tests/test_p2.py failed in a process that had run other short files and passed in one of its own";
    assert!(report.warnings[0].starts_with(warning), "{:?}", report.warnings);
    let next = suite.warm(Isolation::Auto);
    let (first, _) = by(&suite, &next, "tests/test_p1.py").await;
    let (second, report) = by(&suite, &next, "tests/test_p2.py").await;
    assert!(
        second != first && report.warnings.is_empty(),
        "the next job knows: {report:?}"
    );
    let said = suite.said.lock().unwrap().1.clone();
    assert!(!said.contains("once more"), "{said}");
    next.stop().await;
    let bad = suite.run(Some(&warm), "tests/test_p3.py", None).await;
    assert_eq!((bad.result.outcome, bad.warnings.len()), (FileOutcome::Failed, 0));
    assert_eq!(cases(&bad), [("test_b".to_owned(), CaseOutcome::Failed)]);
    warm.stop().await;
}

#[tokio::test]
async fn files_whose_modules_have_one_name_do_not_meet() {
    let text = noting("");
    let suite = Suite::copy("", &[("tests/test_p1.py", &text), ("tests/deep/test_p1.py", &text)]);
    let _ = fs::remove_file(suite.root().join("tests/deep/__init__.py"));
    let warm = suite.warm(Isolation::Auto);
    let (first, _) = by(&suite, &warm, "tests/test_p1.py").await;
    let (second, report) = by(&suite, &warm, "tests/deep/test_p1.py").await;
    assert_ne!(first, second);
    assert_eq!((report.result.outcome, report.warnings.len()), (FileOutcome::Passed, 0));
    let said = suite.said.lock().unwrap().1.clone();
    assert!(!said.contains("once more"), "{said}");
    warm.stop().await;
}

#[tokio::test]
async fn who_has_a_last_word_in_each_session_has_a_session_for_each_file() {
    let text = noting("");
    let ends = "def pytest_sessionfinish(session):\n    if session.testscollected == 1: session.exitstatus = 3\n";
    let suite = Suite::copy(
        "",
        &[
            ("tests/test_p1.py", &text),
            ("tests/test_p2.py", &text),
            ("conftest.py", ends),
        ],
    );
    let warm = suite.warm(Isolation::Auto);
    let mut pids = Vec::new();
    for file in ["tests/test_p1.py", "tests/test_p2.py"] {
        let (pid, report) = by(&suite, &warm, file).await;
        assert_eq!(
            (report.result.outcome, report.result.exit),
            (FileOutcome::Failed, Some(3))
        );
        pids.push(pid);
    }
    assert_ne!(pids[0], pids[1]);
    warm.stop().await;
}

#[tokio::test]
async fn what_pytest_makes_of_a_session_at_its_end_is_made_of_each_file() {
    let warns = noting("import warnings\ndef test_b(): warnings.warn('old')");
    let files = [
        ("tests/test_p1.py", noting("")),
        ("tests/test_p2.py", warns),
        ("tests/test_p3.py", noting("")),
    ];
    let more = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let suite = Suite::copy("[test]\nargs = ['--max-warnings=0']", &more);
    let warm = suite.warm(Isolation::Auto);
    let mut came = Vec::new();
    for (file, _) in &files {
        came.push(by(&suite, &warm, file).await.1.result);
    }
    let exits: Vec<_> = came.iter().map(|result| (result.outcome, result.exit)).collect();
    let passed = (FileOutcome::Passed, Some(0));
    assert_eq!(
        exits,
        [passed, (FileOutcome::Failed, Some(6)), passed],
        "only who warned has too many warnings"
    );
    warm.stop().await;
}
