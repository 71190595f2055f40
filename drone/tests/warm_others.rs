//! Warm unittest, node, rspec and minitest: each file of a made suite comes to what the framework's own command says of
//! it. The suites are in `warm_others/`.

use drone::{
    process::Mask,
    runner::{self, FileReport, FileRun},
};
use shared::{outcome::CaseOutcome, settings::Settings};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn suite(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/warm_others")
        .join(name)
}

/// What a suite's files come to, by command.
async fn by_command(name: &str) -> BTreeMap<String, FileReport> {
    let root = suite(name);
    let listing = runner::list(&root, &Settings::default(), None).unwrap();
    assert_eq!(listing.runner.name(), name);
    let mut found = BTreeMap::new();
    let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
    for file in listing.files {
        let scratch = tempfile::tempdir().unwrap();
        let (output, mut said) = mpsc::channel(16);
        tokio::spawn(async move { while said.recv().await.is_some() {} });
        let run = FileRun {
            root: &root,
            file: &file,
            cases: None,
            env: &env,
            timeout: file.contains("hang").then_some(Duration::from_secs(3)),
            mask: &Arc::new(Mask::new([])),
            output: &output,
            cancel: &CancellationToken::new(),
            scratch: scratch.path(),
        };
        let report = listing.runner.run_file(run).await.unwrap();
        found.insert(file, report);
    }
    found
}

/// Names and outcomes, in no order.
fn cases(report: &FileReport) -> Vec<(String, CaseOutcome)> {
    let mut cases: Vec<_> = report
        .cases
        .iter()
        .map(|case| (case.name.clone(), case.outcome))
        .collect();
    cases.sort();
    cases
}

#[tokio::test]
async fn show() {
    for name in ["unittest", "node", "rspec", "minitest"] {
        for (file, report) in by_command(name).await {
            println!(
                "== {file} {:?} {:?} died {}",
                report.result.outcome, report.result.exit, report.result.died
            );
            for (case, outcome) in cases(&report) {
                println!("  {outcome:?} {case:?}");
            }
        }
    }
}
