//! What a Python repository says of its tests: pytest's settings, and whether it uses pytest at all.
//!
//! Reads files only; no Python is run. The order of the files is pytest's own.

use super::files::{Globs, Tree, name};

/// The part of pytest's settings that decides which files it collects.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pytest {
    /// Some file has settings for pytest.
    pub configured: bool,
    pub files: Vec<String>,
    pub paths: Vec<String>,
}

/// Reads the first file that has settings for pytest.
pub(super) fn pytest(tree: &Tree) -> Pytest {
    for (path, section) in [
        ("pytest.toml", "pytest"),
        (".pytest.toml", "pytest"),
        ("pytest.ini", "pytest"),
        (".pytest.ini", "pytest"),
        ("pyproject.toml", "tool.pytest"),
        ("tox.ini", "pytest"),
        ("setup.cfg", "tool:pytest"),
    ] {
        let Some(text) = tree.text(path) else { continue };
        let found = if path.ends_with(".toml") {
            from_toml(&text, section)
        } else {
            from_ini(&text, section)
        };
        // An ini file of that name counts even if it is empty.
        let counts = matches!(path, "pytest.ini" | ".pytest.ini" | "pytest.toml" | ".pytest.toml");
        if let Some(found) = found.or_else(|| counts.then(Pytest::default)) {
            return Pytest {
                configured: true,
                ..found
            };
        }
    }
    Pytest::default()
}

fn from_toml(text: &str, section: &str) -> Option<Pytest> {
    let table: toml::Table = text.parse().ok()?;
    let mut at = &toml::Value::Table(table);
    for part in section.split('.') {
        at = at.get(part)?;
    }
    let options = at.get("ini_options").unwrap_or(at);
    let list = |key: &str| match options.get(key) {
        Some(toml::Value::String(text)) => words(text),
        Some(toml::Value::Array(items)) => items
            .iter()
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect(),
        _ => Vec::new(),
    };
    Some(Pytest {
        configured: true,
        files: list("python_files"),
        paths: list("testpaths"),
    })
}

fn from_ini(text: &str, section: &str) -> Option<Pytest> {
    let header = format!("[{section}]");
    let mut inside = false;
    let mut found = None;
    let mut key = String::new();
    for line in text.lines() {
        let is_comment = line.trim_start().starts_with(['#', ';']);
        if line.starts_with('[') {
            inside = line.trim() == header;
            if inside {
                found.get_or_insert_with(Pytest::default);
            }
            key.clear();
            continue;
        }
        let Some(found) = found.as_mut().filter(|_| inside && !is_comment) else {
            continue;
        };
        let value = match line.split_once(['=', ':']) {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                key = name.trim().to_owned();
                value
            }
            _ => line,
        };
        let value = value.split(" #").next().unwrap_or_default();
        match key.as_str() {
            "python_files" => found.files.extend(words(value)),
            "testpaths" => found.paths.extend(words(value)),
            _ => {}
        }
    }
    found
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
        .collect()
}

impl Pytest {
    /// The files that `pytest` without arguments would collect.
    pub fn select(&self, tree: &Tree) -> Vec<String> {
        let default = ["test_*.py".to_owned(), "*_test.py".to_owned()];
        let globs = if self.files.is_empty() {
            &default[..]
        } else {
            &self.files
        };
        // A pattern with a folder is held against the end of the whole path, as pytest does.
        let names = globs.iter().map(|glob| {
            if glob.contains('/') {
                format!("**/{glob}")
            } else {
                glob.clone()
            }
        });
        let (Ok(names), Ok(paths)) = (
            Globs::new(names),
            Globs::new(self.paths.iter().map(|path| anchored(path))),
        ) else {
            return Vec::new();
        };
        let is_test = |file: &&String| file.ends_with(".py") && names.matches(file);
        let all: Vec<_> = tree.files.iter().filter(is_test).cloned().collect();
        let below: Vec<_> = all.iter().filter(|file| paths.matches(file)).cloned().collect();
        // pytest too falls back to everything when testpaths match nothing.
        if self.paths.is_empty() || below.is_empty() {
            all
        } else {
            below
        }
    }
}

/// `testpaths` start at the root: `tests` is not `a/tests`.
fn anchored(path: &str) -> String {
    match path.trim_start_matches("./").trim_end_matches('/') {
        "" | "." => "**".into(),
        path => format!("./{path}"),
    }
}

/// True if anything of the repository speaks of pytest.
pub(super) fn mentions_pytest(tree: &Tree, tests: &[String]) -> bool {
    let says = |path: &str| tree.text(path).is_some_and(|text| text.contains("pytest"));
    let is_plan = |path: &&String| {
        let file = name(path);
        let at_top = path.matches('/').count() <= 1;
        at_top && file.contains("requirements") && file.ends_with(".txt")
            || at_top && path.contains("requirements/")
            || !path.contains('/') && ["Pipfile", "environment.yml", "Makefile", "justfile"].contains(&file)
            || !path.contains('/')
                && ["pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py"].contains(&file)
    };
    tree.files.iter().any(|file| name(file) == "conftest.py")
        || tree.files.iter().filter(is_plan).any(|file| says(file))
        || tests.iter().take(50).any(|file| says(file))
}

/// True if a test file is made for unittest.
pub(super) fn mentions_unittest(tree: &Tree, tests: &[String]) -> bool {
    let says = |path: &String| {
        tree.text(path)
            .is_some_and(|text| text.contains("unittest") || text.contains("TestCase"))
    };
    tests.iter().take(50).any(says)
}
