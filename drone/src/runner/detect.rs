//! Which runner a repository is made for, by the files that it holds. Nothing is run.
//!
//! The rules stand in order: what a repository says outright comes before what its files look like. A rule whose runner
//! finds no file is passed over.

#[cfg(test)]
mod tests;

use super::{
    files::{Globs, Tree, name},
    nextest,
    presets::Kind,
    python,
};
use serde_json::Value;

/// The runners that fit, the best first.
pub(super) fn detect(tree: &Tree) -> Vec<Kind> {
    let javascript = package_json(tree);
    let node_tests = has(tree, Kind::Node.globs());
    let python = python_tests(tree);
    [
        (Kind::Pytest, python::pytest(tree).configured),
        (Kind::Nextest, tree.has("Cargo.toml") && nextest::is_used(&tree.root)),
        (Kind::Cargo, tree.has("Cargo.toml")),
        (Kind::Go, tree.has("go.mod")),
        (Kind::Phpunit, tree.has("phpunit.xml") || tree.has("phpunit.xml.dist")),
        (Kind::Rspec, tree.has(".rspec") || has(tree, &["spec/**/*_spec.rb"])),
        (javascript.unwrap_or(Kind::Node), javascript.is_some()),
        (Kind::Minitest, has(tree, Kind::Minitest.globs())),
        (python.unwrap_or(Kind::Pytest), python.is_some()),
        (Kind::Node, node_tests),
        (Kind::Prove, has(tree, Kind::Prove.globs())),
        (Kind::Bats, has(tree, Kind::Bats.globs())),
        (Kind::Executable, true),
    ]
    .into_iter()
    .filter(|(_, fits)| *fits)
    .map(|(kind, _)| kind)
    .collect()
}

fn has(tree: &Tree, globs: &[&str]) -> bool {
    Globs::new(globs).is_ok_and(|globs| tree.matching(&globs).next().is_some())
}

/// unittest where the test files use it and nothing speaks of pytest; pytest also for plain functions, which only it
/// understands.
fn python_tests(tree: &Tree) -> Option<Kind> {
    let globs = Globs::new(Kind::Unittest.globs().iter().chain(Kind::Pytest.globs())).ok()?;
    let tests: Vec<_> = tree.matching(&globs).cloned().collect();
    if tests.is_empty() {
        return None;
    }
    let is_unittest = !python::mentions_pytest(tree, &tests) && python::mentions_unittest(tree, &tests);
    Some(if is_unittest { Kind::Unittest } else { Kind::Pytest })
}

/// What `package.json` says: first the test script, then settings, then what is installed for development.
fn package_json(tree: &Tree) -> Option<Kind> {
    let package: Value = serde_json::from_str(&tree.text("package.json")?).ok()?;
    let script = package["scripts"]["test"].as_str().unwrap_or_default();
    let says = |word: &str| {
        script
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .any(|part| part == word)
    };
    if says("node") && says("--test") {
        return Some(Kind::Node);
    }
    let frameworks = [Kind::Vitest, Kind::Jest, Kind::Mocha];
    let by_script = frameworks.into_iter().find(|kind| says(kind.name()));
    let has_settings = |kind: &Kind| {
        let name = kind.name();
        let is_settings = |file: &&String| {
            !file.contains('/')
                && (file.starts_with(&format!("{name}.config.")) || file.starts_with(&format!(".{name}rc")))
        };
        !package[name].is_null() || tree.files.iter().any(|file| is_settings(&file))
    };
    let depends = |kind: &Kind| {
        let sections = ["devDependencies", "dependencies"];
        sections
            .into_iter()
            .any(|section| !package[section][kind.name()].is_null())
    };
    let by_settings = || frameworks.into_iter().find(has_settings);
    let by_dependency = || frameworks.into_iter().find(depends);
    by_script.or_else(by_settings).or_else(by_dependency)
}

/// Files that programs for testing bring with them, which are not the repository's own tests.
pub(super) fn is_foreign(kind: Kind, file: &str) -> bool {
    match kind {
        Kind::Bats => file
            .split('/')
            .any(|part| part == "test_helper" || part == "bats" || part.starts_with("bats-")),
        Kind::Minitest => name(file) == "test_helper.rb",
        // Go leaves these out itself.
        Kind::Go => file.split('/').any(|part| part == "testdata" || part.starts_with('_')),
        Kind::Node => file.split('/').any(|part| part == "fixtures"),
        Kind::Executable => name(file).starts_with('.'),
        _ => false,
    }
}
