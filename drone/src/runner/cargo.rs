//! The test targets of a Cargo package or workspace, found in its manifests without running Cargo.
//!
//! A target is named by its source file: `tests/x.rs` is `--test x`, `src/lib.rs` is the library with its doc tests,
//! `src/main.rs` the binaries.

use super::files::{Globs, Tree, name, parent};
use std::path::Path;

struct Manifest {
    /// Folder of the package; empty for the root.
    folder: String,
    table: toml::Table,
}

/// The source files of all test targets.
pub(super) fn targets(tree: &Tree) -> Vec<String> {
    let mut targets: Vec<_> = members(tree)
        .iter()
        .flat_map(|manifest| targets_of(tree, manifest))
        .collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// The command that tests the target of `file`, or only `cases` of it.
pub(super) fn words(root: &Path, file: &str, cases: &[String], extra: &[String], words: &mut Vec<String>) {
    let target = select(root, file);
    let command = |flags: &[String], cases: &[String]| {
        let mut command: Vec<String> = ["cargo", "test"].map(str::to_owned).to_vec();
        command.extend_from_slice(flags);
        command.extend_from_slice(extra);
        if !cases.is_empty() {
            // Whatever follows the first `--` goes to the program of the tests.
            let more = ["--", "--exact"]
                .into_iter()
                .filter(|flag| *flag != "--" || !extra.iter().any(|arg| arg == "--"));
            command.extend(more.map(str::to_owned));
            command.extend_from_slice(cases);
        }
        command
    };
    if target.last().is_none_or(|flag| flag != "--lib") {
        return words.extend(command(&target, cases));
    }
    // The doc tests belong to the library; Cargo runs them only by themselves.
    let is_doc = |name: &&String| name.contains(" - ") && name.contains("(line ");
    let (docs, units): (Vec<_>, Vec<_>) = cases.iter().cloned().partition(|name| is_doc(&name));
    let line = |flag: &str, cases: &[String]| {
        let flags = [&target[..2], &[flag.to_owned()]].concat();
        let words: Vec<_> = command(&flags, cases)
            .iter()
            .map(|word| crate::process::quote(word))
            .collect();
        words.join(" ")
    };
    let lines: Vec<String> = [("--lib", &units), ("--doc", &docs)]
        .into_iter()
        .filter(|(_, chosen)| cases.is_empty() || !chosen.is_empty())
        .map(|(flag, chosen)| line(flag, chosen))
        .collect();
    words.extend(["sh".to_owned(), "-c".to_owned(), lines.join(" && ")]);
}

/// The arguments of `cargo test` for the target of `file`.
pub(super) fn select(root: &Path, file: &str) -> Vec<String> {
    let mut folder = parent(file);
    // Up to the package that the file belongs to.
    while !folder.is_empty() && !root.join(folder).join("Cargo.toml").is_file() {
        folder = parent(folder);
    }
    let manifest = join(folder, "Cargo.toml");
    let text = std::fs::read_to_string(root.join(&manifest)).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let mut args = vec!["--manifest-path".to_owned(), manifest];
    let inner = file.strip_prefix(folder).unwrap_or(file).trim_start_matches('/');
    let declared = tests(&table).find(|(_, path)| path == inner).map(|(name, _)| name);
    let lib = table
        .get("lib")
        .and_then(|lib| lib.get("path")?.as_str())
        .unwrap_or("src/lib.rs");
    if inner == lib {
        args.push("--lib".into());
    } else if let Some(name) = declared {
        args.extend(["--test".into(), name]);
    } else if inner.starts_with("src/") {
        args.push("--bins".into());
    } else {
        let stem = match name(inner) {
            "main.rs" => name(parent(inner)),
            file => file.strip_suffix(".rs").unwrap_or(file),
        };
        args.extend(["--test".into(), stem.to_owned()]);
    }
    args
}

fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() {
        file.to_owned()
    } else {
        format!("{folder}/{file}")
    }
}

/// The packages of the root: itself, and the members of its workspace.
fn members(tree: &Tree) -> Vec<Manifest> {
    let read = |folder: &str| {
        let table = tree.text(&join(folder, "Cargo.toml"))?.parse().ok()?;
        Some(Manifest {
            folder: folder.to_owned(),
            table,
        })
    };
    let Some(root) = read("") else { return Vec::new() };
    let list = |key: &str| {
        let items = root
            .table
            .get("workspace")
            .and_then(|workspace| workspace.get(key)?.as_array());
        let items = items.into_iter().flatten().filter_map(|item| item.as_str());
        items
            .map(|item| join(item.trim_end_matches('/').trim_start_matches("./"), "Cargo.toml"))
            .collect::<Vec<_>>()
    };
    let (Ok(inside), Ok(outside)) = (Globs::new(list("members")), Globs::new(list("exclude"))) else {
        return vec![root];
    };
    let manifests = tree
        .files
        .iter()
        .filter(|file| name(file) == "Cargo.toml" && *file != "Cargo.toml");
    let members = manifests.filter(|file| inside.matches(file) && !outside.matches(file));
    let mut all: Vec<_> = members.filter_map(|file| read(parent(file))).collect();
    all.push(root);
    all.retain(|manifest| manifest.table.contains_key("package"));
    all
}

fn tests(table: &toml::Table) -> impl Iterator<Item = (String, String)> {
    let tests = table.get("test").and_then(toml::Value::as_array).into_iter().flatten();
    tests.filter_map(|test| {
        let name = test.get("name")?.as_str()?.to_owned();
        let path = test.get("path").and_then(toml::Value::as_str).map(str::to_owned);
        Some((name.clone(), path.unwrap_or_else(|| format!("tests/{name}.rs"))))
    })
}

fn targets_of(tree: &Tree, manifest: &Manifest) -> Vec<String> {
    let table = &manifest.table;
    let is_on = |section: &str, key: &str| {
        table
            .get(section)
            .and_then(|section| section.get(key)?.as_bool())
            .unwrap_or(true)
    };
    let mut found: Vec<String> = tests(table).map(|(_, path)| path).collect();
    if is_on("lib", "test") {
        let lib = table.get("lib").and_then(|lib| lib.get("path")?.as_str());
        found.push(lib.unwrap_or("src/lib.rs").to_owned());
    }
    found.push("src/main.rs".into());
    if is_on("package", "autotests") {
        let prefix = join(&manifest.folder, "tests/");
        let inner = tree.files.iter().filter_map(|file| file.strip_prefix(&prefix));
        let is_target = |path: &&str| match path.split_once('/') {
            None => path.ends_with(".rs"),
            Some((_, file)) => file == "main.rs",
        };
        found.extend(inner.filter(is_target).map(|path| format!("tests/{path}")));
    }
    let paths = found.iter().map(|path| join(&manifest.folder, path));
    paths.filter(|path| tree.has(path)).collect()
}
