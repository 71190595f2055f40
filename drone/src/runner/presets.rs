//! The runners: what each is called, which files are its own, and how it runs one of them.
//!
//! A new framework is a new [`Kind`] here, a rule in `detect.rs`, and a reader if it writes results in a form of its own.

use super::{cargo, files, nextest, text::Dialect};
use crate::process;
use std::{collections::BTreeMap, path::Path};

/// A runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pytest,
    Unittest,
    Node,
    Vitest,
    Jest,
    Mocha,
    Cargo,
    Nextest,
    Go,
    Rspec,
    Minitest,
    Phpunit,
    Prove,
    Bats,
    Executable,
    Command,
}

/// Where a runner's results are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    JunitFile,
    NextestFile,
    TapFile,
    JestFile,
    RspecFile,
    /// JUnit or TAP, as a command likes.
    AnyFile,
    /// On standard output.
    Tap,
    /// In lines of its own kind.
    Text(Dialect),
}

impl Kind {
    pub const ALL: [Self; 16] = [
        Self::Pytest,
        Self::Unittest,
        Self::Node,
        Self::Vitest,
        Self::Jest,
        Self::Mocha,
        Self::Cargo,
        Self::Nextest,
        Self::Go,
        Self::Rspec,
        Self::Minitest,
        Self::Phpunit,
        Self::Prove,
        Self::Bats,
        Self::Executable,
        Self::Command,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
            Self::Node => "node",
            Self::Vitest => "vitest",
            Self::Jest => "jest",
            Self::Mocha => "mocha",
            Self::Cargo => "cargo",
            Self::Nextest => "nextest",
            Self::Go => "go",
            Self::Rspec => "rspec",
            Self::Minitest => "minitest",
            Self::Phpunit => "phpunit",
            Self::Prove => "prove",
            Self::Bats => "bats",
            Self::Executable => "executable",
            Self::Command => "command",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Programs of which a machine needs one to be of use for this runner; none for those that need nothing.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Pytest => &["pytest", "python3", "python"],
            Self::Unittest => &["python3", "python"],
            Self::Node | Self::Vitest | Self::Jest | Self::Mocha => &["node"],
            Self::Cargo => &["cargo"],
            Self::Nextest => &["cargo-nextest"],
            Self::Go => &["go"],
            Self::Rspec | Self::Minitest => &["ruby"],
            Self::Phpunit => &["php"],
            Self::Prove => &["prove"],
            Self::Bats => &["bats"],
            Self::Executable | Self::Command => &[],
        }
    }

    /// Globs of its test files. pytest has settings of its own for that, Cargo goes by targets.
    pub fn globs(self) -> &'static [&'static str] {
        match self {
            Self::Pytest => &["test_*.py", "*_test.py"],
            Self::Unittest => &["test*.py"],
            Self::Node => &[
                "*.test.{js,mjs,cjs}",
                "*-test.{js,mjs,cjs}",
                "*_test.{js,mjs,cjs}",
                "test-*.{js,mjs,cjs}",
                "test.{js,mjs,cjs}",
                "**/test/**/*.{js,mjs,cjs}",
            ],
            Self::Vitest => &["*.{test,spec}.{js,mjs,cjs,jsx,ts,mts,cts,tsx}"],
            Self::Jest => &[
                "*.{test,spec}.{js,mjs,cjs,jsx,ts,mts,cts,tsx}",
                "**/__tests__/**/*.{js,mjs,cjs,jsx,ts,mts,cts,tsx}",
            ],
            Self::Mocha => &["./test/*.{js,mjs,cjs}", "*.{test,spec}.{js,mjs,cjs,ts}"],
            Self::Cargo | Self::Nextest => &["tests/*.rs", "src/lib.rs", "src/main.rs"],
            Self::Go => &["*_test.go"],
            Self::Rspec => &["spec/**/*_spec.rb"],
            Self::Minitest => &["test/**/*_test.rb", "test/**/test_*.rb"],
            Self::Phpunit => &["tests/**/*Test.php", "test/**/*Test.php"],
            Self::Prove => &["t/**/*.t"],
            Self::Bats => &["*.bats"],
            Self::Executable => &["tests/**", "test/**"],
            Self::Command => &[],
        }
    }

    pub fn results(self) -> Results {
        match self {
            Self::Pytest | Self::Vitest | Self::Phpunit => Results::JunitFile,
            Self::Node => Results::TapFile,
            Self::Nextest => Results::NextestFile,
            Self::Jest => Results::JestFile,
            Self::Rspec => Results::RspecFile,
            Self::Mocha | Self::Prove | Self::Bats | Self::Executable | Self::Command => Results::Tap,
            Self::Cargo => Results::Text(Dialect::Libtest),
            Self::Go => Results::Text(Dialect::Go),
            Self::Unittest => Results::Text(Dialect::Unittest),
            Self::Minitest => Results::Text(Dialect::Minitest),
        }
    }

    /// The command for one file, or only some of its cases: program and arguments. With `report`, also those that write
    /// the results there.
    pub fn words(
        self,
        place: &Place<'_>,
        file: &str,
        cases: Option<&[String]>,
        extra: &[String],
        report: Option<&Path>,
    ) -> Vec<String> {
        let mut words = Words(Vec::new());
        let cases = cases.unwrap_or_default();
        let extra = &[&self.choice(cases), extra].concat();
        let report = report.map(|path| path.display().to_string());
        match self {
            Self::Pytest => {
                words.add(place.pytest());
                match cases {
                    [] => words.add([file]),
                    _ => words.add(self.node_ids(file, cases)),
                }
                .add(extra);
                if let Some(report) = report {
                    // The older family has file and line of each case.
                    words.add([&format!("--junitxml={report}"), "-o", "junit_family=xunit1"]);
                }
            }
            Self::Unittest => {
                words
                    .add([place.python().as_str(), "-m", "unittest", "-v", file])
                    .add(extra);
            }
            Self::Node => {
                words.add(["node", "--test"]);
                if let Some(report) = report {
                    words.add(["--test-reporter=spec", "--test-reporter-destination=stdout"]);
                    words.add(["--test-reporter=tap", &format!("--test-reporter-destination={report}")]);
                }
                words.add(extra).add([file]);
            }
            Self::Vitest => {
                words.add(place.node_tool("vitest")).add(["run", file]).add(extra);
                if let Some(report) = report {
                    words.add([
                        "--reporter=default",
                        "--reporter=junit",
                        &format!("--outputFile.junit={report}"),
                    ]);
                }
            }
            Self::Jest => {
                words
                    .add(place.node_tool("jest"))
                    .add(["--runTestsByPath", file])
                    .add(extra);
                if let Some(report) = report {
                    words.add(["--json", "--testLocationInResults", &format!("--outputFile={report}")]);
                }
            }
            Self::Mocha => {
                words.add(place.node_tool("mocha")).add(["--reporter", "tap"]);
                if report.is_some() {
                    // The newer version of TAP has the failures' messages in a form that can be told from output.
                    words.add(["--reporter-option", "tapVersion=13"]);
                }
                words.add([file]).add(extra);
            }
            Self::Cargo => cargo::words(place.root, file, cases, extra, &mut words.0),
            Self::Nextest => nextest::words(place.root, file, extra, report.as_deref(), &mut words.0),
            Self::Go => {
                let package = if file == "." {
                    ".".to_owned()
                } else {
                    format!("./{file}")
                };
                words.add(["go", "test", "-v"]).add(extra).add([package.as_str()]);
            }
            Self::Rspec => {
                words.add(place.ruby_tool("rspec")).add([file]).add(extra);
                if let Some(report) = report {
                    words.add(["--format", "progress", "--format", "json", "--out", &report]);
                }
            }
            Self::Minitest if place.has("bin/rails") => {
                words.add(["bin/rails", "test", "-v", file]).add(extra);
            }
            Self::Minitest => {
                words
                    .add(place.ruby_tool("ruby"))
                    .add(["-Ilib", "-Itest", file, "-v"])
                    .add(extra);
            }
            Self::Phpunit => {
                let local = place.has("vendor/bin/phpunit").then_some("vendor/bin/phpunit");
                words.add([local.unwrap_or("phpunit")]);
                if let Some(report) = report {
                    words.add(["--log-junit", &report]);
                }
                words.add(extra).add([file]);
            }
            Self::Prove => {
                words.add(["prove", "-v"]);
                if place.has("lib") {
                    words.add(["-l"]);
                }
                words.add(extra).add([file]);
            }
            Self::Bats => {
                let local = ["test/bats/bin/bats", "tests/bats/bin/bats"]
                    .into_iter()
                    .find(|path| place.has(path));
                words.add([local.unwrap_or("bats"), "--tap"]).add(extra).add([file]);
            }
            Self::Executable | Self::Command => {
                words.add([&format!("./{file}")]).add(extra);
            }
        }
        words.0
    }
}

struct Words(Vec<String>);

impl Words {
    fn add<S: AsRef<str>>(&mut self, words: impl IntoIterator<Item = S>) -> &mut Self {
        self.0.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }
}

/// Where a command will run: what is installed there decides how a framework is called.
pub(super) struct Place<'a> {
    pub root: &'a Path,
    pub env: &'a BTreeMap<String, String>,
}

impl Place<'_> {
    fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    fn is_on_path(&self, program: &str) -> bool {
        process::is_on_path(program, self.env.get("PATH").map_or("", String::as_str))
    }

    /// A virtual environment in the repository comes first: a prepare command has made it for the tests.
    pub(super) fn python(&self) -> String {
        let local = [".venv/bin/python", "venv/bin/python"]
            .into_iter()
            .find(|path| self.has(path));
        let name = if !self.is_on_path("python3") && self.is_on_path("python") {
            "python"
        } else {
            "python3"
        };
        local.unwrap_or(name).to_owned()
    }

    /// `pytest` itself where it is installed as a program: `python3 -m pytest` would add the folder to `sys.path`.
    pub(super) fn pytest(&self) -> Vec<String> {
        let local = [".venv/bin/pytest", "venv/bin/pytest"]
            .into_iter()
            .find(|path| self.has(path));
        if let Some(program) = local.or_else(|| self.is_on_path("pytest").then_some("pytest")) {
            return vec![program.to_owned()];
        }
        vec![self.python(), "-m".into(), "pytest".into()]
    }

    fn node_tool(&self, name: &str) -> Vec<String> {
        let local = format!("node_modules/.bin/{name}");
        if self.has(&local) {
            return vec![local];
        }
        // Not from the registry: what is not installed is an error, not a download.
        vec!["npx".into(), "--no-install".into(), name.to_owned()]
    }

    pub(super) fn ruby_tool(&self, name: &str) -> Vec<String> {
        if self.has("Gemfile") && self.is_on_path("bundle") {
            return ["bundle", "exec", name].map(str::to_owned).to_vec();
        }
        vec![name.to_owned()]
    }
}

/// The package folder of a Go test file: what `go test` runs.
pub(super) fn go_package(file: &str) -> String {
    match files::parent(file) {
        "" => ".".to_owned(),
        folder => folder.to_owned(),
    }
}
