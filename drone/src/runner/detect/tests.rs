//! Repositories in small, and the runner that [`super`] must choose for each.

use super::super::list;
use shared::settings::Settings;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// The runner, the files with their text, and the listed ones.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    dir
}

fn listed(root: &Path) -> (String, Vec<String>) {
    let listing = list(root, &Settings::default(), None).unwrap();
    (listing.runner.name().to_owned(), listing.files)
}

#[test]
fn a_repository_says_by_its_files_what_runs_it() {
    const fn package(text: &str) -> (&str, &str) {
        ("package.json", text)
    }
    const PYTEST: (&str, &str) = ("tests/test_a.py", "def test_a(): pass");
    const UNITTEST: (&str, &str) = ("tests/test_a.py", "import unittest");
    let table: &[Row] = &[
        ("pytest", &[("pytest.ini", ""), UNITTEST], &["tests/test_a.py"]),
        (
            "pytest",
            &[
                ("pyproject.toml", "[tool.pytest.ini_options]"),
                UNITTEST,
                ("Cargo.toml", ""),
            ],
            &["tests/test_a.py"],
        ),
        (
            "pytest",
            &[("setup.cfg", "[tool:pytest]"), UNITTEST],
            &["tests/test_a.py"],
        ),
        ("pytest", &[("tox.ini", "[pytest]"), UNITTEST], &["tests/test_a.py"]),
        ("pytest", &[("tests/conftest.py", ""), UNITTEST], &["tests/test_a.py"]),
        (
            "pytest",
            &[("requirements-dev.txt", "pytest>=8"), UNITTEST],
            &["tests/test_a.py"],
        ),
        ("pytest", &[PYTEST], &["tests/test_a.py"]),
        ("unittest", &[UNITTEST], &["tests/test_a.py"]),
        ("unittest", &[("tests.py", "from unittest import TestCase")], &[]),
        (
            "unittest",
            &[("setup.py", "setup()"), UNITTEST, ("test_b.py", "")],
            &["test_b.py", "tests/test_a.py"],
        ),
        (
            "vitest",
            &[
                package(r#"{"devDependencies": {"vitest": "1", "jest": "1"}}"#),
                ("src/a.test.ts", ""),
            ],
            &["src/a.test.ts"],
        ),
        (
            "jest",
            &[
                package(r#"{"scripts": {"test": "jest --ci"}, "devDependencies": {"vitest": "1"}}"#),
                ("__tests__/a.js", ""),
            ],
            &["__tests__/a.js"],
        ),
        ("jest", &[package(r#"{"jest": {}}"#), ("a.spec.js", "")], &["a.spec.js"]),
        (
            "mocha",
            &[package("{}"), (".mocharc.yml", ""), ("test/a.js", "")],
            &["test/a.js"],
        ),
        (
            "node",
            &[
                package(r#"{"scripts": {"test": "node --test"}, "devDependencies": {"mocha": "1"}}"#),
                ("test/a.js", ""),
            ],
            &["test/a.js"],
        ),
        (
            "node",
            &[("lib/a.test.mjs", ""), ("lib/a.mjs", "")],
            &["lib/a.test.mjs"],
        ),
        (
            "cargo",
            &[
                ("Cargo.toml", "[package]\nname='x'"),
                ("src/lib.rs", ""),
                ("tests/a.rs", ""),
                ("tests/common/mod.rs", ""),
                ("tests/big/main.rs", ""),
            ],
            &["src/lib.rs", "tests/a.rs", "tests/big/main.rs"],
        ),
        (
            "cargo",
            &[
                ("Cargo.toml", "[workspace]\nmembers=['crates/*']\nexclude=['crates/c']"),
                ("crates/a/Cargo.toml", "[package]\nname='a'"),
                ("crates/a/src/lib.rs", ""),
                ("crates/b/Cargo.toml", "[package]\nname='b'"),
                ("crates/b/src/main.rs", ""),
                ("crates/c/Cargo.toml", "[package]\nname='c'"),
                ("crates/c/src/lib.rs", ""),
            ],
            &["crates/a/src/lib.rs", "crates/b/src/main.rs"],
        ),
        (
            "go",
            &[
                ("go.mod", ""),
                ("a_test.go", ""),
                ("pkg/x/a_test.go", ""),
                ("pkg/x/b_test.go", ""),
                ("pkg/testdata/c_test.go", ""),
                ("pkg/y/a.go", ""),
            ],
            &[".", "pkg/x"],
        ),
        (
            "phpunit",
            &[
                ("phpunit.xml.dist", ""),
                ("tests/Unit/ATest.php", ""),
                ("tests/Helper.php", ""),
            ],
            &["tests/Unit/ATest.php"],
        ),
        (
            "rspec",
            &[(".rspec", ""), ("spec/a/b_spec.rb", ""), ("spec/spec_helper.rb", "")],
            &["spec/a/b_spec.rb"],
        ),
        (
            "minitest",
            &[
                ("test/a_test.rb", ""),
                ("test/test_b.rb", ""),
                ("test/test_helper.rb", ""),
            ],
            &["test/a_test.rb", "test/test_b.rb"],
        ),
        (
            "prove",
            &[("t/a.t", ""), ("t/x/b.t", ""), ("lib/A.pm", "")],
            &["t/a.t", "t/x/b.t"],
        ),
        (
            "bats",
            &[
                ("test/a.bats", ""),
                ("test/bats/test/b.bats", ""),
                ("test/test_helper/c.bats", ""),
            ],
            &["test/a.bats"],
        ),
    ];
    for (runner, files, expected) in table {
        let dir = repository(files);
        let (found, listed) = listed(dir.path());
        assert_eq!(found, *runner, "{files:?}");
        if !expected.is_empty() {
            assert_eq!(listed, *expected, "{files:?}");
        }
    }
}

#[test]
fn executables_in_tests_are_run_as_they_are() {
    let dir = repository(&[
        ("tests/a.sh", "#!/bin/sh"),
        ("tests/data.txt", ""),
        ("test/b", "#!/bin/sh"),
    ]);
    for path in ["tests/a.sh", "test/b"] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(
        listed(dir.path()),
        ("executable".into(), vec!["test/b".into(), "tests/a.sh".into()])
    );
}

#[test]
fn what_brings_its_own_tests_is_left_out() {
    let test = "def test_a(): pass";
    let mut files = vec![
        ("tests/test_a.py", test),
        ("env/pyvenv.cfg", ""),
        ("env/lib/test_x.py", test),
    ];
    let left_out = [
        "node_modules/x/test_x.py",
        ".venv/test_x.py",
        "venv/test_x.py",
        "target/test_x.py",
        "vendor/test_x.py",
        "a/build/test_x.py",
        "a/b/dist/test_x.py",
        ".hidden/test_x.py",
        "a/.git/test_x.py",
        "x.egg-info/test_x.py",
    ];
    files.extend(left_out.map(|path| (path, test)));
    assert_eq!(listed(repository(&files).path()).1, ["tests/test_a.py"]);
}

#[test]
fn pytest_settings_decide_what_is_collected() {
    let files = [
        ("a/check_x.py", ""),
        ("a/test_x.py", ""),
        ("b/x_test.py", ""),
        ("b/sub/test_y.py", ""),
        ("test_top.py", ""),
    ];
    for (name, text, expected) in [
        (
            "pytest.ini",
            "[pytest]\n",
            &["a/test_x.py", "b/sub/test_y.py", "b/x_test.py", "test_top.py"][..],
        ),
        (
            "pytest.ini",
            "[pytest]\npython_files = check_*.py\n  test_*.py\n",
            &["a/check_x.py", "a/test_x.py", "b/sub/test_y.py", "test_top.py"],
        ),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\ntestpaths = ['b']",
            &["b/sub/test_y.py", "b/x_test.py"],
        ),
        (
            "pyproject.toml",
            "[tool.pytest]\ntestpaths = ['b/sub', './a']",
            &["a/test_x.py", "b/sub/test_y.py"],
        ),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\ntestpaths = 'test_top.py'",
            &["test_top.py"],
        ),
        (
            "setup.cfg",
            "[metadata]\nname = x\n[tool:pytest]\n# words\ntestpaths =\n    a\n    # b\n[other]\ntestpaths = b\n",
            &["a/test_x.py"],
        ),
        (
            "tox.ini",
            "[tox]\n[pytest]\ntestpaths: b/*\npython_files: *.py\n",
            &["b/sub/test_y.py", "b/x_test.py"],
        ),
        (
            "pytest.ini",
            "[pytest]\ntestpaths = nowhere\n",
            &["a/test_x.py", "b/sub/test_y.py", "b/x_test.py", "test_top.py"],
        ),
        ("pytest.ini", "[pytest]\npython_files = b/*.py\n", &["b/x_test.py"]),
    ] {
        let mut files = files.to_vec();
        files.push((name, text));
        let (runner, listed) = listed(repository(&files).path());
        assert_eq!(
            (runner.as_str(), listed.iter().map(String::as_str).collect::<Vec<_>>()),
            ("pytest", expected.to_vec()),
            "{text}"
        );
    }
}
