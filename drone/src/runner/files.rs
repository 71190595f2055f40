//! Which files a repository holds, and which of them match globs.
//!
//! Owns the walk and the meaning of a glob. Must not know frameworks.

use super::RunnerError;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders in which nobody keeps tests of their own. Hidden ones are left out too.
const IGNORED: [&str; 9] = [
    "node_modules",
    "venv",
    "target",
    "vendor",
    "build",
    "dist",
    "__pycache__",
    "bower_components",
    "CVS",
];

/// The files below a folder.
pub(super) struct Tree {
    pub root: PathBuf,
    /// Paths from the root with `/`, sorted. Names that are no UTF-8 are left out: no message could carry them.
    pub files: Vec<String>,
}

impl Tree {
    /// Walks `root`. Folders that hold no tests as a rule are left out, unless `wanted` names them.
    pub fn read(root: &Path, wanted: &[String]) -> Result<Self, RunnerError> {
        let is_wanted = |name: &str| wanted.iter().any(|glob| glob.split('/').any(|part| part == name));
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = if folder.is_empty() {
                root.to_owned()
            } else {
                root.join(&folder)
            };
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                // One that nobody may read holds no tests that could be run.
                Err(_) if !folder.is_empty() => continue,
                Err(error) => {
                    return Err(RunnerError::Unreadable {
                        path: path.display().to_string(),
                        why: error.to_string(),
                    });
                }
            };
            for entry in entries.flatten() {
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let Ok(kind) = entry.file_type() else { continue };
                let inner = if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                };
                if kind.is_dir() {
                    let ignored =
                        name.starts_with('.') || IGNORED.contains(&name.as_str()) || name.ends_with(".egg-info");
                    let is_virtualenv = entry.path().join("pyvenv.cfg").exists();
                    if name != ".git" && (!(ignored || is_virtualenv) || is_wanted(&name)) {
                        folders.push(inner);
                    }
                } else if kind.is_file() || entry.path().is_file() {
                    files.push(inner);
                }
            }
        }
        files.sort_unstable();
        Ok(Self {
            root: root.to_owned(),
            files,
        })
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.binary_search_by(|file| file.as_str().cmp(path)).is_ok()
    }

    /// The text of a file; nothing if it is not there. Bytes that are no UTF-8 do not matter here.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.root.join(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub fn matching<'a>(&'a self, globs: &'a Globs) -> impl Iterator<Item = &'a String> {
        self.files.iter().filter(|file| globs.matches(file))
    }
}

/// A set of globs: `*` stays inside a folder, `**` does not; a glob without `/` matches names anywhere; one that names a
/// folder, with or without `/` at its end, matches all that is in it.
pub(super) struct Globs(GlobSet);

impl Globs {
    pub fn new<S: AsRef<str>>(globs: impl IntoIterator<Item = S>) -> Result<Self, RunnerError> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let glob = glob.as_ref();
            let bad = |error: globset::Error| RunnerError::Settings(format!("bad glob {glob:?}: {}", error.kind()));
            // `./x` is x in the root, `x` is x anywhere.
            let anywhere = if glob.trim_end_matches('/').contains('/') {
                ""
            } else {
                "**/"
            };
            let path = glob.strip_prefix("./").unwrap_or(glob);
            let folder = path.trim_end_matches('/');
            for form in [format!("{anywhere}{path}"), format!("{anywhere}{folder}/**")] {
                set.add(GlobBuilder::new(&form).literal_separator(true).build().map_err(bad)?);
            }
        }
        set.build()
            .map(Self)
            .map_err(|error| RunnerError::Settings(error.to_string()))
    }

    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

/// The folder that a path from the root is in; empty for the root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The name at the end of a path.
pub(super) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
