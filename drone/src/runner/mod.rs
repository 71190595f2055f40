//! Runners: which files a repository's tests are in, how a framework runs one of them, what came of it.
//!
//! Owns the choice of the runner (`detect.rs`), the presets (`presets.rs`), the run of a file (`run.rs`) and the reading of
//! results. Must not know jobs, phases or the link. Read next: [`list`], then `presets.rs`.

mod cargo;
mod detect;
mod files;
mod found;
mod json;
mod junit;
mod nextest;
mod part;
mod presets;
mod python;
mod run;
mod select;
mod tap;
#[cfg(test)]
mod tests;
mod text;
pub mod warm;

use crate::process::{self, Command, Ended, Mask, Output};
pub use part::describe;

use files::{Globs, Tree};
use presets::{Kind, Place, Results};
use shared::{
    nearest::nearest,
    outcome::{CaseResult, FileResult},
    protocol::to_drone::Part,
    settings::Settings,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Why no list of test files could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// Settings name a runner that does not exist. Kind `runner` of `job:errored`.
    #[error("unknown runner {name:?}{hint}; known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// "; did you mean …?" or nothing.
        hint: String,
        /// All names.
        known: String,
    },
    /// Settings that do not fit together. Kind `settings`.
    #[error("{0}")]
    Settings(String),
    /// Nothing to run. Kind `no-tests`.
    #[error("{0}")]
    NoTests(String),
    /// The folder cannot be read. Kind `internal`.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The folder or file.
        path: String,
        /// The system's word.
        why: String,
    },
}

impl RunnerError {
    /// The word for `job:errored`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "runner",
            Self::Settings(_) => "settings",
            Self::NoTests(_) => "no-tests",
            Self::Unreadable { .. } => "internal",
        }
    }
}

/// What is to be run, and by what.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Runs each of the files.
    pub runner: Runner,
    /// Paths from the root of the tests, sorted, each once.
    pub files: Vec<String>,
}

/// Knows how a framework runs one file and how its results are read.
#[derive(Debug, Clone)]
pub struct Runner {
    kind: Kind,
    /// More arguments, from `[test] args`.
    args: Vec<String>,
    /// `[test] command`.
    script: Option<String>,
}

/// The run of one file.
pub struct FileRun<'a> {
    /// The folder that all paths start from: the workspace, or `root` of the settings inside it.
    pub root: &'a Path,
    /// Path from [`Self::root`], as listed.
    pub file: &'a str,
    /// Only these of its cases, by the names that their results have; `None`: all.
    pub cases: Option<&'a [String]>,
    /// Only this part of it; its `file` is [`Self::file`].
    pub part: Option<&'a Part>,
    /// Tell what it can be split into, where the runner knows.
    pub groups: bool,
    /// The whole environment of the command.
    pub env: &'a BTreeMap<String, String>,
    /// The file's time limit.
    pub timeout: Option<Duration>,
    /// Hides secrets in the output and in the cases.
    pub mask: &'a Arc<Mask>,
    /// Takes the output.
    pub output: &'a mpsc::Sender<Output>,
    /// Takes cases as they end, where the runner can tell and the case is sure to stand; all of them are in the report as
    /// well, under the same names.
    pub tell: Option<&'a mpsc::Sender<CaseResult>>,
    /// Stops the run.
    pub cancel: &'a CancellationToken,
    /// An existing folder for the report, outside of the source.
    pub scratch: &'a Path,
}

/// What came of a file.
#[derive(Debug)]
pub struct FileReport {
    /// For `job:file:done`.
    pub result: FileResult,
    /// All cases, for `job:cases`; masked.
    pub cases: Vec<CaseResult>,
    /// How the process ended.
    pub ended: Ended,
    /// What a person should know and changes nothing: a report that could not be read, for example.
    pub warnings: Vec<String>,
}

/// Chooses the runner and lists the test files below `root` (the workspace, or `root` of the settings inside it).
/// `only`: nothing but these. Blocking; runs no program.
pub fn list(root: &Path, settings: &Settings, only: Option<&[String]>) -> Result<Listing, RunnerError> {
    let test = &settings.test;
    let named = test.runner.as_deref().map(parse).transpose()?;
    if named == Some(Kind::Command) && test.command.is_none() {
        let what = "[test] runner is \"command\": say the command too, for example command = \"./run-test {file}\"";
        return Err(RunnerError::Settings(what.into()));
    }
    let mut wanted = test.files.clone();
    wanted.extend(only.into_iter().flatten().cloned());
    let tree = Tree::read(root, &wanted)?;
    let chosen = match (&test.command, named) {
        // A command that takes no file runs the suite as a whole.
        (Some(script), _) if test.files.is_empty() && !script.contains("{file}") => {
            (named.unwrap_or(Kind::Command), vec![".".to_owned()])
        }
        (_, Some(kind)) => (kind, select(&tree, kind, settings)?),
        (Some(_), None) if !test.files.is_empty() => (Kind::Command, select(&tree, Kind::Command, settings)?),
        (script, None) => {
            let (kind, files) = first_fit(&tree, settings)?;
            (if script.is_some() { Kind::Command } else { kind }, files)
        }
    };
    let (kind, mut files) = chosen;
    if files.is_empty() {
        return Err(no_files(root, kind, settings));
    }
    if let Some(only) = only {
        files.retain(|file| only.contains(file));
        if files.is_empty() {
            return Err(RunnerError::NoTests(format!(
                "none of the files that were asked for is a test file of {} here: {}",
                kind.name(),
                only.join(", ")
            )));
        }
    }
    let runner = Runner {
        kind,
        args: test.args.clone(),
        script: test.command.clone(),
    };
    Ok(Listing { runner, files })
}

fn parse(name: &str) -> Result<Kind, RunnerError> {
    let names = || Kind::ALL.into_iter().map(Kind::name);
    Kind::parse(name).ok_or_else(|| RunnerError::Unknown {
        name: name.to_owned(),
        hint: nearest(name, names())
            .map(|near| format!("; did you mean {near:?}?"))
            .unwrap_or_default(),
        known: names().collect::<Vec<_>>().join(", "),
    })
}

/// The first runner that fits what the repository holds and has files.
fn first_fit(tree: &Tree, settings: &Settings) -> Result<(Kind, Vec<String>), RunnerError> {
    let fits = detect::detect(tree);
    for kind in &fits {
        let files = select(tree, *kind, settings)?;
        if !files.is_empty() {
            return Ok((*kind, files));
        }
    }
    if !settings.test.files.is_empty() || !settings.test.exclude.is_empty() {
        return Err(no_files(
            &tree.root,
            fits.first().copied().unwrap_or(Kind::Command),
            settings,
        ));
    }
    Err(RunnerError::NoTests(
        "no test files were found: nothing here looks like tests of a framework that Skep knows. Say [test] runner, or \
         [test] files and command, in skep.toml"
            .into(),
    ))
}

fn no_files(root: &Path, kind: Kind, settings: &Settings) -> RunnerError {
    let test = &settings.test;
    let quoted = |globs: &[String]| {
        globs
            .iter()
            .map(|glob| format!("{glob:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let globs: Vec<String> = match test.files.as_slice() {
        [] => kind.globs().iter().map(|glob| (*glob).to_owned()).collect(),
        files => files.to_vec(),
    };
    let without = match test.exclude.as_slice() {
        [] => String::new(),
        exclude => format!(", without {}", quoted(exclude)),
    };
    let place = root
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let place = settings.root.clone().unwrap_or(place);
    RunnerError::NoTests(format!(
        "no test files for {} in {place}: nothing matches {}{without}; set [test] files in skep.toml",
        kind.name(),
        quoted(&globs),
    ))
}

/// The files of `kind` that the settings leave.
fn select(tree: &Tree, kind: Kind, settings: &Settings) -> Result<Vec<String>, RunnerError> {
    let test = &settings.test;
    let own = Globs::new(kind.globs())?;
    let mut files: Vec<String> = if test.files.is_empty() {
        match kind {
            Kind::Pytest => python::pytest(tree).select(tree),
            Kind::Cargo | Kind::Nextest => cargo::targets(tree),
            _ => tree.matching(&own).cloned().collect(),
        }
    } else {
        let mut files: Vec<String> = Vec::new();
        for glob in &test.files {
            let globs = Globs::new([glob])?;
            let is_folder = tree.root.join(glob).is_dir();
            let found = tree
                .matching(&globs)
                .filter(|file| !is_folder || kind.globs().is_empty() || own.matches(file));
            files.extend(found.cloned());
        }
        let targets = matches!(kind, Kind::Cargo | Kind::Nextest).then(|| cargo::targets(tree));
        files.retain(|file| targets.as_ref().is_none_or(|targets| targets.contains(file)));
        files
    };
    let exclude = Globs::new(&test.exclude)?;
    files.retain(|file| !exclude.matches(file));
    if test.files.is_empty() {
        files.retain(|file| !detect::is_foreign(kind, file));
        if kind == Kind::Executable {
            files.retain(|file| process::is_executable(&tree.root.join(file)));
        }
    }
    if kind == Kind::Go {
        files = files.iter().map(|file| presets::go_package(file)).collect();
    }
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// The runners that this machine can use, for `drone:info`: those whose program is on the drone's PATH, and those that
/// need none.
#[must_use]
pub fn names() -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let usable = Kind::ALL.into_iter().filter(|kind| {
        let programs = kind.programs();
        programs.is_empty() || programs.iter().any(|program| process::is_on_path(program, &path))
    });
    usable.map(|kind| kind.name().to_owned()).collect()
}

impl Runner {
    /// The runner of that name with nothing set, for [`Self::judge`].
    #[doc(hidden)]
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Kind::parse(name).map(|kind| Self {
            kind,
            args: Vec::new(),
            script: None,
        })
    }

    /// Its name: `pytest`, `cargo`, `command`…
    #[must_use]
    pub fn name(&self) -> &str {
        self.kind.name()
    }

    /// True if it can run parts of a file, and tells what they may be.
    #[must_use]
    pub fn splits(&self) -> bool {
        self.script.is_none() && self.kind == Kind::Pytest
    }

    /// What runs `file`, or only `cases` of it, with the arguments that make it write its results to `report`.
    #[must_use]
    pub fn command(
        &self,
        root: &Path,
        env: &BTreeMap<String, String>,
        file: &str,
        cases: Option<&[String]>,
        report: &Path,
    ) -> Command {
        self.build(root, env, file, cases, Some(report))
    }

    /// The command line as a person would type it, without the arguments that are only there for the report. Not masked.
    #[must_use]
    pub fn display(&self, root: &Path, env: &BTreeMap<String, String>, file: &str, cases: Option<&[String]>) -> String {
        self.build(root, env, file, cases, None).display()
    }

    fn build(
        &self,
        root: &Path,
        env: &BTreeMap<String, String>,
        file: &str,
        cases: Option<&[String]>,
        report: Option<&Path>,
    ) -> Command {
        let mut env = env.clone();
        env.insert("SKEP_FILE".into(), file.to_owned());
        if let Some(script) = &self.script {
            let mut script = script.replace("{file}", &process::quote(file));
            let shown = report.map_or_else(
                || "{report}".to_owned(),
                |path| process::quote(&path.display().to_string()),
            );
            script = script.replace("{report}", &shown);
            for arg in &self.args {
                script.push(' ');
                script.push_str(&process::quote(arg));
            }
            return Command::shell(&script, root, env);
        }
        let mut words = self
            .kind
            .words(&Place { root, env: &env }, file, cases, &self.args, report)
            .into_iter();
        let mut command = Command::new(words.next().unwrap_or_default(), root, env);
        command.args = words.collect();
        command
    }

    fn results(&self) -> Results {
        match &self.script {
            Some(script) if script.contains("{report}") => Results::AnyFile,
            Some(_) if matches!(self.kind.results(), Results::Text(_)) => self.kind.results(),
            Some(_) => Results::Tap,
            None => self.kind.results(),
        }
    }
}
