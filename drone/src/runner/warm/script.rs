//! The programs that keep frameworks warm: what the drone writes for a job, and how each is called.
//!
//! Owns the embedded files of `drone/runners` and the words that start them. Must not know frames or cases (`talk.rs`).

use crate::{
    process::Command,
    runner::presets::{Kind, Place},
};
use serde::Serialize;
use shared::settings::Isolation;
use std::{collections::BTreeMap, fs, io, path::Path};

/// Every program under the name that it is written by: none that a suite's own file would have.
const FILES: &[(&str, &str)] = &[
    ("skep_worker.py", include_str!("../../../runners/worker.py")),
    ("skep_bytecode.py", include_str!("../../../runners/bytecode.py")),
    ("skep_plugin.py", include_str!("../../../runners/plugin.py")),
    ("skep_pytest.py", include_str!("../../../runners/pytest.py")),
    ("skep_share.py", include_str!("../../../runners/share.py")),
    ("skep_ahead.py", include_str!("../../../runners/ahead.py")),
    ("skep_unittest.py", include_str!("../../../runners/unittest.py")),
    ("skep_worker.rb", include_str!("../../../runners/worker.rb")),
    ("skep_rspec.rb", include_str!("../../../runners/rspec.rb")),
    ("skep_testunit.rb", include_str!("../../../runners/testunit.rb")),
    ("skep_minitest.rb", include_str!("../../../runners/minitest.rb")),
    ("skep_node.mjs", include_str!("../../../runners/node.mjs")),
];

/// How a program is to serve; its `SKEP_WARM`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spec<'a> {
    /// Where to dial.
    pub socket: &'a Path,
    /// Run something trivial first, because there will be many files.
    pub prime: bool,
    /// Load the whole suite first.
    pub collect: bool,
    /// No template: the process itself is a worker.
    pub process: bool,
    /// A worker runs file after file.
    pub keep: bool,
    /// A worker may run some short files, one after the other.
    pub share: bool,
    /// Where to keep what was made of source.
    pub bytecode: &'a Path,
    /// `PYTHONPATH` of the job, which leads to the programs besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
}

/// Writes the programs into `folder`, which is made. Blocks.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    FILES
        .iter()
        .try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

/// How a framework is kept warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A template forks a worker for each file, or for each slot.
    Fork,
    /// Each worker is a process that was started ahead.
    Start,
}

/// Arguments of node that only its own command for tests understands.
const NODE_RUNNER: &[&str] = &[
    "--experimental-test-coverage",
    "--test-coverage",
    "--test-global-setup",
    "--test-isolation",
    "--experimental-test-isolation",
    "--test-reporter",
    "--test-rerun-failures",
    "--test-shard",
    "--watch",
];

/// The warm way of `kind` below `root`; none where each file needs a command of its own.
pub fn way(kind: Kind, root: &Path, args: &[String], isolation: Isolation) -> Option<Way> {
    let for_runner = |arg: &String| NODE_RUNNER.iter().any(|flag| arg.starts_with(flag));
    match kind {
        Kind::Node => (!args.iter().any(for_runner)).then_some(Way::Start),
        _ if isolation == Isolation::Process => None,
        // Rails has a way of its own to begin.
        Kind::Minitest if root.join("bin/rails").exists() => None,
        Kind::Pytest | Kind::Unittest | Kind::Rspec | Kind::Minitest => Some(Way::Fork),
        _ => None,
    }
}

/// What starts `kind`'s program, which is in `folder`.
pub fn command(
    kind: Kind,
    root: &Path,
    env: &BTreeMap<String, String>,
    args: &[String],
    folder: &Path,
    spec: Spec<'_>,
) -> Command {
    let place = Place { root, env };
    let mut env = env.clone();
    let own = |name: &str| folder.join(name).display().to_string();
    let mut spec = spec;
    let before = env.get("PYTHONPATH").cloned();
    let words: Vec<String> = match kind {
        Kind::Pytest => {
            spec.path = before.as_deref();
            let path = before
                .iter()
                .fold(folder.display().to_string(), |path, more| format!("{path}:{more}"));
            env.insert("PYTHONPATH".into(), path);
            let mut words = place.pytest();
            words.extend(["-p".into(), "skep_plugin".into()]);
            words
        }
        Kind::Node => {
            let program = own("skep_node.mjs");
            let mut words = vec!["node".into()];
            for reporter in ["spec", &program] {
                words.push(format!("--test-reporter={reporter}"));
                words.push("--test-reporter-destination=stdout".into());
            }
            words.extend_from_slice(args);
            words.push(program);
            words
        }
        Kind::Rspec | Kind::Minitest => {
            let program = format!("skep_{}.rb", kind.name());
            [place.ruby_tool("ruby"), vec![own(&program)]].concat()
        }
        _ => vec![place.python(), own("skep_unittest.py")],
    };
    // node has its arguments in front of the script.
    let args = if kind == Kind::Node { &[] } else { args };
    let text = serde_json::to_string(&spec).unwrap_or_default();
    env.insert("SKEP_WARM".into(), text);
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default(), root, env);
    command.args = words.chain(args.iter().cloned()).collect();
    command
}
