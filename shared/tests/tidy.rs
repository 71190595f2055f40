//! Keeps ARCHITECTURE.md true: walks the repository and fails on what must never be.
//!
//! Reads text only and knows nothing of what the code does. The compiler and clippy keep most rules; what they cannot
//! see is here. Each failure names the file and the rule.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The most lines of a file that is no test.
const LONGEST: usize = 450;

/// A Rust file of the project.
struct Source {
    /// From the root, with `/`.
    path: String,
    /// Whole text.
    text: String,
    /// It is a test as a whole.
    test: bool,
}

impl Source {
    /// What is compiled into the programs: the text up to the first test module, without comments and strings' contents.
    fn code(&self) -> String {
        if self.test {
            return String::new();
        }
        let end = test_module(&self.text).unwrap_or(self.text.len());
        without_comments(&self.text[..end])
    }

    /// Rooms of its own crate that it names: `a` of `crate::a::b` and of `use crate::{a, c::d}`.
    fn rooms(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut rooms = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                None => rooms.extend(word(rest)),
                Some(group) => {
                    let mut depth = 0_u32;
                    let mut start = true;
                    for (at, c) in group.char_indices() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => start = true,
                            c if start && !c.is_whitespace() => {
                                rooms.extend(word(&group[at..]));
                                start = false;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        rooms
    }

    /// True if the code names the other crate, as the first part of a path.
    fn names_crate(&self, name: &str) -> bool {
        let code = self.code();
        let path = format!("{name}::");
        code.match_indices(&path).any(|(at, _)| {
            let before = &code[..at];
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '{')
                && !before.ends_with("mod ")
        })
    }
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Where a `#[cfg(test)]` module with a body begins; a test module in a file of its own is that file's matter.
fn test_module(text: &str) -> Option<usize> {
    text.match_indices("#[cfg(test)]")
        .find(|(at, _)| {
            let item = text[*at..].lines().find(|line| !line.starts_with("#[")).unwrap_or("");
            item.starts_with("mod ") && item.trim_end().ends_with('{')
        })
        .map(|(at, _)| at)
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| {
            line.find("//")
                .map_or(line, |at| if line[..at].ends_with(':') { line } else { &line[..at] })
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if path.is_dir() {
            if !name.starts_with('.')
                && !["target", "node_modules", "work", "examples", "corpus", "artifacts"].contains(&name.as_str())
            {
                walk(&path, files);
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["shared", "queen", "drone", "fuzz"] {
        walk(&root.join(folder), &mut files);
    }
    files.sort();
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let path = file
                .strip_prefix(&root)
                .expect("below the root")
                .to_string_lossy()
                .replace('\\', "/");
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let test = path.split('/').any(|part| part == "tests" || part == "benches")
                || stem == "tests"
                || stem.ends_with("_tests");
            let text = fs::read_to_string(file).expect("UTF-8 text");
            Source { path, text, test }
        })
        .collect();
    let declared: Vec<String> = sources.iter().flat_map(declared_tests).collect();
    for source in &mut sources {
        source.test |= declared
            .iter()
            .any(|test| source.path == *test || source.path == test.replace(".rs", "/mod.rs"));
    }
    assert!(sources.len() > 10, "the walk found only {} files", sources.len());
    sources
}

/// The files that a source declares as `#[cfg(test)] mod name;`.
fn declared_tests(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let below = if ["mod", "lib", "main"].contains(&stem) {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| **line == "#[cfg(test)]")
        .filter_map(|(at, _)| {
            let rest = &lines[at + 1..];
            let named = rest
                .iter()
                .take(3)
                .find_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
            let item = rest.iter().find(|line| !line.starts_with("#["))?;
            let name = item
                .strip_prefix("pub(crate) ")
                .unwrap_or(item)
                .strip_prefix("mod ")?
                .strip_suffix(';')?;
            Some(named.map_or_else(|| format!("{below}/{name}.rs"), |path| format!("{folder}/{path}")))
        })
        .collect()
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

fn offenders(rule: &str, bad: impl Fn(&Source) -> Option<String>) {
    let broken: Vec<String> = sources()
        .iter()
        .filter_map(|source| bad(source).map(|why| format!("{}: {why}", source.path)))
        .collect();
    report(rule, &broken);
}

#[test]
fn every_file_says_what_it_owns() {
    offenders("a file opens with //!", |source| {
        let first = source.text.lines().next().unwrap_or_default();
        (!first.starts_with("//! ") && !first.starts_with("#![")).then(|| format!("opens with {first:?}"))
    });
}

#[test]
fn no_file_is_a_warehouse() {
    offenders("a file that is no test has at most 450 lines", |source| {
        let lines = source.text.lines().count();
        (!source.test && lines > LONGEST).then(|| format!("{lines} lines: split it, or move its tests beside it"))
    });
}

#[test]
fn clocks_are_read_in_one_place() {
    offenders("clocks are read in clock.rs", |source| {
        let words = ["Instant::now", "SystemTime::now", "Zoned::now", "Timestamp::now"];
        let code = source.code();
        let word = words.into_iter().find(|word| code.contains(word))?;
        (!source.path.ends_with("/clock.rs")).then(|| format!("{word} outside clock.rs"))
    });
}

#[test]
fn nothing_unfinished_is_left() {
    offenders("no todo!, unimplemented!, dbg! or unwrap() outside tests", |source| {
        let code = source.code();
        ["todo!(", "unimplemented!(", "dbg!(", ".unwrap()"]
            .into_iter()
            .find(|word| code.contains(word))
            .map(|word| format!("has {word}"))
    });
}

#[test]
fn crates_know_only_those_below_them() {
    offenders("arrows between crates point one way", |source| {
        let above: &[&str] = match source.path.as_str() {
            path if path.starts_with("shared/") => &["queen", "scheduler", "drone"],
            path if path.starts_with("queen/scheduler/") => &["queen", "drone", "tokio", "sqlx", "axum", "rand"],
            path if path.starts_with("drone/") || path.starts_with("fuzz/") => &["queen", "scheduler"],
            path if path.starts_with("queen/src/cli/local") => &[],
            path if path.starts_with("queen/src/") => &["drone"],
            _ => &[],
        };
        above
            .iter()
            .find(|name| source.names_crate(name))
            .map(|name| format!("names the crate {name}"))
    });
}

#[test]
fn rooms_of_the_queen_know_only_those_below_them() {
    offenders("arrows between the queen's rooms point one way", |source| {
        let (room, never): (&str, &[&str]) = match source.path.as_str() {
            path if path.starts_with("queen/src/store/") => {
                ("store", &["engine", "api", "hub", "cli", "provider", "app"])
            }
            path if path.starts_with("queen/src/engine/") => ("engine", &["api", "hub", "cli", "provider", "app"]),
            path if path.starts_with("queen/src/hub/") => ("hub", &["api", "cli", "provider"]),
            path if path.starts_with("queen/src/api/") => ("api", &["cli"]),
            "queen/src/bus.rs" => ("bus", &["engine", "api", "hub", "cli", "provider", "app"]),
            _ => return None,
        };
        let rooms = source.rooms();
        never
            .iter()
            .find(|name| rooms.contains(**name))
            .map(|name| format!("{room} names crate::{name}"))
    });
}

#[test]
fn rooms_of_the_drone_know_only_those_below_them() {
    offenders("arrows between the drone's rooms point one way", |source| {
        let never: &[&str] = match source.path.as_str() {
            path if path.starts_with("drone/src/process/") => {
                &["agent", "job", "link", "runner", "plugin", "source", "phase"]
            }
            path if path.starts_with("drone/src/pool/") => &["agent", "job", "link", "plugin", "source", "phase"],
            path if path.starts_with("drone/src/runner/") => &["agent", "job", "link", "phase"],
            path if path.starts_with("drone/src/plugin/") => &["agent", "job", "link", "phase"],
            path if path.starts_with("drone/src/source/") => &["agent", "job", "link", "phase", "runner"],
            path if path.starts_with("drone/src/link/") => &["agent", "job", "phase", "runner", "plugin", "source"],
            _ => return None,
        };
        let rooms = source.rooms();
        never
            .iter()
            .find(|name| rooms.contains(**name))
            .map(|name| format!("names crate::{name}"))
    });
}

#[test]
fn the_scheduler_is_pure() {
    let manifest: toml::Table = fs::read_to_string(root().join("queen/scheduler/Cargo.toml"))
        .expect("its manifest")
        .parse()
        .expect("TOML");
    let broken: Vec<String> = manifest["dependencies"]
        .as_table()
        .expect("a table")
        .keys()
        .filter(|name| !["serde", "shared"].contains(&name.as_str()))
        .map(|name| format!("queen/scheduler/Cargo.toml: depends on {name}"))
        .collect();
    report("the scheduler depends on serde and shared only", &broken);
    offenders("the scheduler does no IO and is the same every time", |source| {
        let words = [
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
            "std::io",
            "async fn",
            "RandomState",
        ];
        let code = source.code();
        let pure = source.path.starts_with("queen/scheduler/");
        words
            .into_iter()
            .find(|word| pure && code.contains(word))
            .map(|word| format!("has {word}"))
    });
}

#[test]
fn shared_does_no_io() {
    offenders("shared does no IO and starts no task", |source| {
        let words = ["std::fs", "std::net", "std::process", "std::thread", "tokio::"];
        let code = source.code();
        let here = source.path.starts_with("shared/");
        words
            .into_iter()
            .find(|word| here && code.contains(word))
            .map(|word| format!("has {word}"))
    });
}

#[test]
fn the_checks_can_fail() {
    let source = |text: &str| Source {
        path: "queen/src/store/x.rs".into(),
        text: text.into(),
        test: false,
    };
    let nested = source("use crate::{\n    api::{View, Other},\n    bus,\n};\nfn f() { crate::hub::g(); }");
    assert_eq!(nested.rooms().into_iter().collect::<Vec<_>>(), ["api", "bus", "hub"]);
    assert!(source("use drone::agent;").names_crate("drone"));
    assert!(!source("use crate::drone::agent; // drone::x").names_crate("drone"));
    let split = source("fn f() {}\n#[cfg(test)]\nmod tests {\n fn g() { x.unwrap() }\n}");
    assert!(!split.code().contains("unwrap"));
    let beside = Source {
        path: "queen/src/a/mod.rs".into(),
        ..source("#[cfg(test)]\nmod checks;\n")
    };
    assert_eq!(declared_tests(&beside), ["queen/src/a/checks.rs"]);
}
