//! What one job leaves for the next: what its files need of each other, and bytecode.

use super::harness::{Suite, message};
use shared::{
    outcome::{CaseOutcome, FileOutcome},
    settings::Isolation,
};
use std::{fs, path::PathBuf};

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
