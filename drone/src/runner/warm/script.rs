//! The programs that keep frameworks warm: what the drone writes for a job, and how each is called.
//!
//! Owns the embedded files of `drone/runners` and the words that start them. Must not know frames or cases (`talk.rs`).

use crate::{
    process::Command,
    runner::presets::{Kind, Place},
};
use serde::Serialize;
use std::{collections::BTreeMap, fs, io, path::Path};

/// Every program under the name that it is written by: none that a suite's own file would have.
const FILES: &[(&str, &str)] = &[
    ("skep_worker.py", include_str!("../../../runners/worker.py")),
    ("skep_pytest.py", include_str!("../../../runners/pytest.py")),
    ("skep_unittest.py", include_str!("../../../runners/unittest.py")),
    ("skep_worker.rb", include_str!("../../../runners/worker.rb")),
    ("skep_rspec.rb", include_str!("../../../runners/rspec.rb")),
    ("skep_minitest.rb", include_str!("../../../runners/minitest.rb")),
    ("skep_node.mjs", include_str!("../../../runners/node.mjs")),
];

/// How a program is to serve; its `SKEP_WARM`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spec<'a> {
    /// Where to dial.
    pub socket: &'a Path,
    /// Load the whole suite first.
    pub collect: bool,
    /// No template: the process itself is a worker.
    pub process: bool,
    /// A worker runs file after file.
    pub keep: bool,
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

/// True if `kind` is kept warm by a template that forks.
pub fn forks(kind: Kind) -> bool {
    matches!(kind, Kind::Pytest | Kind::Unittest)
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
            words.extend(["-p".into(), "skep_pytest".into()]);
            words
        }
        _ => vec![place.python(), own("skep_unittest.py")],
    };
    let text = serde_json::to_string(&spec).unwrap_or_default();
    env.insert("SKEP_WARM".into(), text);
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default(), root, env);
    command.args = words.chain(args.iter().cloned()).collect();
    command
}
