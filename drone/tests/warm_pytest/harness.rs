//! A copy of the suite in `suite/` and what it takes to run its files.

use drone::{
    pool,
    process::Mask,
    runner::{
        self, FileReport, FileRun, Listing,
        warm::{Setting, Warm},
    },
};
use shared::{
    outcome::{CaseOutcome, CaseResult},
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
pub struct Suite {
    pub folder: tempfile::TempDir,
    pub env: BTreeMap<String, String>,
    pub listing: Listing,
    pub mask: Arc<Mask>,
    pub cancel: CancellationToken,
    /// Bytes of output, and the end of it.
    pub said: Arc<Mutex<(usize, String)>>,
}

impl Suite {
    pub fn copy(settings: &str, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scratch")).unwrap();
        let root = folder.path().join("source");
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/warm_pytest/suite"),
            &root,
        );
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

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    pub fn warm(&self, isolation: Isolation) -> Arc<Warm> {
        self.warm_with(isolation, &self.folder.path().join("kept"))
    }

    pub fn warm_with(&self, isolation: Isolation, kept: &Path) -> Arc<Warm> {
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
    pub async fn run(&self, warm: Option<&Warm>, file: &str, timeout: Option<Duration>) -> FileReport {
        self.run_telling(warm, file, timeout, None).await
    }

    pub async fn run_telling(
        &self,
        warm: Option<&Warm>,
        file: &str,
        timeout: Option<Duration>,
        tell: Option<&mpsc::Sender<CaseResult>>,
    ) -> FileReport {
        self.run_part(warm, file, timeout, tell, None).await
    }

    pub async fn run_part(
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
pub fn cases(report: &FileReport) -> Vec<(String, CaseOutcome)> {
    let cases = report.cases.iter().map(|case| {
        let outcome = match case.outcome {
            CaseOutcome::XPassed => CaseOutcome::Passed,
            other => other,
        };
        (case.name.clone(), outcome)
    });
    cases.collect()
}

pub fn message<'a>(report: &'a FileReport, case: &str) -> &'a str {
    let case = report.cases.iter().find(|one| one.name == case).unwrap();
    case.message.as_deref().unwrap_or_default()
}
