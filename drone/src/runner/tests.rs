//! Which files [`super`] lists, in which order, and what it says when there are none.

use super::*;
use shared::settings::Layer;
use std::fs;

fn repository(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for path in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "def test_a(): pass").unwrap();
    }
    dir
}

fn settings(text: &str) -> Settings {
    Settings::merge(&[Layer::from_toml(text).unwrap()]).unwrap()
}

const FILES: [&str; 6] = [
    "test_top.py",
    "tests/test_a.py",
    "tests/test_b.py",
    "tests/slow/test_c.py",
    "tests/helper.py",
    "vendor/test_v.py",
];

#[test]
fn settings_choose_the_files() {
    let dir = repository(&FILES);
    for (text, runner, files) in [
        (
            "",
            "pytest",
            &[
                "test_top.py",
                "tests/slow/test_c.py",
                "tests/test_a.py",
                "tests/test_b.py",
            ][..],
        ),
        (
            "[test]\nfiles = 'tests/*.py'",
            "pytest",
            &["tests/helper.py", "tests/test_a.py", "tests/test_b.py"],
        ),
        (
            "[test]\nfiles = ['tests']",
            "pytest",
            &["tests/slow/test_c.py", "tests/test_a.py", "tests/test_b.py"],
        ),
        (
            "[test]\nfiles = 'tests/**/test_*.py'\nexclude = 'slow'",
            "pytest",
            &["tests/test_a.py", "tests/test_b.py"],
        ),
        (
            "[test]\nexclude = ['tests/slow/', 'test_top.py']",
            "pytest",
            &["tests/test_a.py", "tests/test_b.py"],
        ),
        ("[test]\nfiles = ['vendor/*.py']", "pytest", &["vendor/test_v.py"]),
        (
            "[test]\nfiles = ['test_b.py', './test_top.py', 'tests/test_?.py']",
            "pytest",
            &["test_top.py", "tests/test_a.py", "tests/test_b.py"],
        ),
        (
            "[test]\nrunner = 'unittest'\nexclude = 'tests'",
            "unittest",
            &["test_top.py"],
        ),
        (
            "[test]\ncommand = 'x {file}'\nfiles = '*.py'\nexclude = 'tests'",
            "command",
            &["test_top.py"],
        ),
        (
            "[test]\ncommand = 'x {file}'\nexclude = 'tests'",
            "command",
            &["test_top.py"],
        ),
        ("[test]\ncommand = 'make test'", "command", &["."]),
        (
            "[test]\ncommand = 'x {file} {report}'\nrunner = 'pytest'\nexclude = 'tests'",
            "pytest",
            &["test_top.py"],
        ),
    ] {
        let listing = list(dir.path(), &settings(text), None).unwrap();
        assert_eq!(
            (
                listing.runner.name(),
                listing.files.iter().map(String::as_str).collect::<Vec<_>>()
            ),
            (runner, files.to_vec()),
            "{text}"
        );
    }
}

#[test]
fn only_what_is_asked_for_and_still_there_is_listed() {
    let dir = repository(&FILES);
    let only = ["tests/test_b.py".to_owned(), "tests/gone.py".to_owned()];
    assert_eq!(
        list(dir.path(), &Settings::default(), Some(&only)).unwrap().files,
        ["tests/test_b.py"]
    );
    let error = list(dir.path(), &Settings::default(), Some(&only[1..])).unwrap_err();
    assert_eq!(error.kind(), "no-tests");
    assert!(error.to_string().contains("tests/gone.py"), "{error}");
}

#[test]
fn what_cannot_be_listed_says_what_to_do() {
    let dir = repository(&FILES);
    for (text, kind, words) in [
        (
            "[test]\nrunner = 'pytes'",
            "runner",
            "unknown runner \"pytes\"; did you mean \"pytest\"?; known are pytest, unittest, ",
        ),
        ("[test]\nrunner = 'command'", "settings", "say the command too"),
        ("[test]\nrunner = 'go'", "no-tests", "no test files for go in "),
        (
            "[test]\nfiles = 'spec/*.rb'\nexclude = 'x'",
            "no-tests",
            "nothing matches \"spec/*.rb\", without \"x\"; set [test] files in skep.toml",
        ),
    ] {
        let error = list(dir.path(), &settings(text), None).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let error = list(empty.path(), &Settings::default(), None).unwrap_err();
    assert!(
        error.kind() == "no-tests" && error.to_string().contains("Say [test] runner, or"),
        "{error}"
    );
    let error = list(&empty.path().join("gone"), &Settings::default(), None).unwrap_err();
    assert!(
        error.kind() == "internal" && error.to_string().contains("gone cannot be read"),
        "{error}"
    );
}

fn runner(kind: &str, script: Option<&str>) -> Runner {
    Runner {
        kind: Kind::parse(kind).unwrap(),
        args: vec!["-k".into(), "it's".into()],
        script: script.map(str::to_owned),
    }
}

#[test]
fn a_command_line_is_shown_as_a_person_would_type_it() {
    let dir = repository(&["Cargo.toml", "node_modules/.bin/vitest", "bin/rails", "tests/other.rs"]);
    fs::write(
        dir.path().join("Cargo.toml"),
        "[package]\nname='x'\n[[test]]\nname='named'\npath='tests/other.rs'",
    )
    .unwrap();
    let env = BTreeMap::from([("PATH".to_owned(), "/nowhere".to_owned())]);
    for (kind, script, file, shown) in [
        ("pytest", None, "t/a b.py", "python3 -m pytest 't/a b.py' -k 'it'\\''s'"),
        ("unittest", None, "a.py", "python3 -m unittest -v a.py -k 'it'\\''s'"),
        ("node", None, "a.js", "node --test -k 'it'\\''s' a.js"),
        (
            "vitest",
            None,
            "a.ts",
            "node_modules/.bin/vitest run a.ts -k 'it'\\''s'",
        ),
        (
            "jest",
            None,
            "a.ts",
            "npx --no-install jest --runTestsByPath a.ts -k 'it'\\''s'",
        ),
        (
            "cargo",
            None,
            "tests/a.rs",
            "cargo test --manifest-path Cargo.toml --test a -k 'it'\\''s'",
        ),
        (
            "cargo",
            None,
            "tests/other.rs",
            "cargo test --manifest-path Cargo.toml --test named -k 'it'\\''s'",
        ),
        (
            "cargo",
            None,
            "src/main.rs",
            "cargo test --manifest-path Cargo.toml --bins -k 'it'\\''s'",
        ),
        (
            "cargo",
            None,
            "src/lib.rs",
            "cargo test --manifest-path Cargo.toml --lib -k 'it'\\''s' && cargo test --manifest-path Cargo.toml --doc -k 'it'\\''s'",
        ),
        (
            "nextest",
            None,
            "tests/a.rs",
            "cargo nextest run --manifest-path Cargo.toml --test a --no-fail-fast -k 'it'\\''s'",
        ),
        ("go", None, ".", "go test -v -k 'it'\\''s' ."),
        ("go", None, "pkg/x", "go test -v -k 'it'\\''s' ./pkg/x"),
        (
            "minitest",
            None,
            "test/a.rb",
            "bin/rails test -v test/a.rb -k 'it'\\''s'",
        ),
        ("executable", None, "tests/x", "./tests/x -k 'it'\\''s'"),
        (
            "command",
            Some("run {file} > {report}"),
            "a b",
            "run 'a b' > {report} -k 'it'\\''s'",
        ),
    ] {
        assert_eq!(runner(kind, script).display(dir.path(), &env, file, None), shown);
    }
}

#[test]
fn this_machine_can_run_commands_and_python_files_only_with_python() {
    let names = names();
    assert!(
        names.contains(&"command".into()) && names.contains(&"cargo".into()),
        "{names:?}"
    );
    assert!(names.iter().all(|name| Kind::parse(name).is_some()));
}
