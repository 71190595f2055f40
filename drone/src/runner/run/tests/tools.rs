//! The frameworks themselves: what each says of a small suite, whole and of the failed cases alone.
//!
//! `scripts/setup` installs them. One that is not there is passed over with a word, but never in CI.

use super::*;
use shared::outcome::CaseOutcome::{Errored, Failed, Passed, Skipped};

struct Tool {
    program: &'static str,
    settings: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// The file that is run, and what its cases come to, by name.
    file: &'static str,
    cases: &'static [(&'static str, CaseOutcome)],
    /// A file that does not load.
    broken: &'static str,
    /// A word of a failed case's message.
    why: &'static str,
}

impl Tool {
    async fn holds(self) {
        let path = std::env::var("PATH").unwrap();
        if !is_on_path(self.program, &path) {
            assert!(
                std::env::var_os("CI").is_none(),
                "{} is missing: run scripts/setup",
                self.program
            );
            println!("{} is not installed here: run scripts/setup to try it", self.program);
            return;
        }
        let mut suite = Suite::new(self.settings, self.files);
        let home = tempfile::tempdir().unwrap();
        suite.env.insert("HOME".into(), home.path().to_str().unwrap().into());
        suite.env.insert("LANG".into(), "C.UTF-8".into());
        let whole = suite.outcome(self.file).await;
        let mut told = cases(&whole);
        told.sort_unstable();
        assert_eq!(told, self.cases, "{whole:#?}");
        assert_eq!(whole.result.outcome, FileOutcome::Failed);
        let bad: Vec<_> = whole.cases.iter().filter(|case| case.outcome.is_bad()).collect();
        let says = bad
            .iter()
            .any(|case| case.message.as_ref().is_some_and(|text| text.contains(self.why)));
        assert!(says, "{bad:#?}");
        assert!(
            bad.iter()
                .all(|case| case.file.as_ref().is_none_or(|file| !file.starts_with('/'))),
            "{bad:#?}"
        );
        let broken = suite.outcome(self.broken).await;
        assert_eq!(
            (broken.result.outcome, broken.result.cases.passed),
            (FileOutcome::Failed, 0),
            "{broken:#?}"
        );

        suite.cases = Some(bad.iter().map(|case| case.name.clone()).collect());
        let part = suite.run(self.file).await;
        let report = part.report.unwrap();
        let mut told: Vec<_> = report.cases.iter().map(|case| case.name.as_str()).collect();
        told.sort_unstable();
        let mut asked: Vec<_> = bad.iter().map(|case| case.name.as_str()).collect();
        asked.sort_unstable();
        assert_eq!(told, asked, "{}", part.output);
        assert_eq!(report.result.cases.total() as usize, asked.len());
        assert!(!part.output.contains("could not be run"), "{}", part.output);

        // A name that nobody knows runs the whole file.
        suite.cases = Some(vec!["NoSuch.case".into()]);
        let part = suite.run(self.file).await;
        let word = "the case \"NoSuch.case\" could not be run by its name: the whole file runs\n";
        assert!(part.output.contains(word), "{}", part.output);
        assert_eq!(part.report.unwrap().cases.len(), self.cases.len());
    }
}

#[tokio::test]
async fn bats() {
    Tool {
        program: "bats",
        settings: "",
        files: &[
            (
                "t/a.bats",
                "@test \"adds (1+1)\" { true; }\n@test \"größer fails\" { echo why; false; }\n@test \"later\" { skip \"not now\"; }\n",
            ),
            ("t/b.bats", "@test \"x\" {\n"),
        ],
        file: "t/a.bats",
        cases: &[("adds (1+1)", Passed), ("größer fails", Failed), ("later", Skipped)],
        broken: "t/b.bats",
        why: "why",
    }
    .holds()
    .await;
}

#[tokio::test]
async fn go() {
    Tool {
        program: "go",
        settings: "",
        files: &[
            ("go.mod", "module x\n\ngo 1.19\n"),
            (
                "sub/a_test.go",
                "package sub\nimport \"testing\"\nfunc TestGood(t *testing.T) {}\nfunc TestTable(t *testing.T) {\n\
                 \tfor _, n := range []string{\"one two\", \"größer\", \"a/b\"} {\n\
                 \t\tt.Run(n, func(t *testing.T) { if n != \"one two\" { t.Errorf(\"no: %s\", n) } })\n\t}\n}\n\
                 func TestSkip(t *testing.T) { t.Skip(\"later\") }\nfunc TestBad(t *testing.T) { t.Fatal(\"bad\") }\n",
            ),
            (
                "bad/b_test.go",
                "package bad\nimport \"testing\"\nfunc TestX(t *testing.T) { undefined() }\n",
            ),
        ],
        file: "sub",
        cases: &[
            ("TestBad", Failed),
            ("TestGood", Passed),
            ("TestSkip", Skipped),
            ("TestTable", Failed),
            ("TestTable/a/b", Failed),
            ("TestTable/größer", Failed),
            ("TestTable/one_two", Passed),
        ],
        broken: "bad",
        why: "no: größer",
    }
    .holds()
    .await;
}

#[tokio::test]
async fn phpunit() {
    Tool {
        program: "phpunit",
        settings: "",
        files: &[
            ("phpunit.xml", "<phpunit/>"),
            (
                "tests/ATest.php",
                "<?php\nnamespace App;\nuse PHPUnit\\Framework\\TestCase;\nfinal class ATest extends TestCase {\n\
                 public function testGood(): void { $this->assertTrue(true); }\n\
                 public function testBad(): void { $this->assertSame(1, 2, 'größer'); }\n\
                 public function testSkip(): void { $this->markTestSkipped('later'); }\n\
                 public function testError(): void { throw new \\RuntimeException('boom'); }\n\
                 /** @dataProvider rows */\n\
                 public function testRows(int $n): void { $this->assertSame(1, $n); }\n\
                 public static function rows(): array { return ['one' => [1], 'two größer' => [2], [3]]; }\n}\n",
            ),
            ("tests/BTest.php", "<?php\nthis is broken(\n"),
        ],
        file: "tests/ATest.php",
        cases: &[
            ("App\\ATest::testBad", Failed),
            ("App\\ATest::testError", Errored),
            ("App\\ATest::testGood", Passed),
            ("App\\ATest::testRows with data set \"one\"", Passed),
            ("App\\ATest::testRows with data set \"two größer\"", Failed),
            ("App\\ATest::testRows with data set #0", Failed),
            ("App\\ATest::testSkip", Skipped),
        ],
        broken: "tests/BTest.php",
        why: "größer",
    }
    .holds()
    .await;
}

#[tokio::test]
async fn rspec() {
    Tool {
        program: "rspec",
        settings: "[test]\nrunner = 'rspec'\n",
        files: &[
            (
                "spec/a_spec.rb",
                "RSpec.describe 'Ü sums' do\n  it('adds (1+1)') { expect(2).to eq 2 }\n  it('fails') { expect(1).to eq 2 }\n  \
                 it('errors') { raise 'boom' }\n  it('later') { skip 'now' }\nend\n",
            ),
            ("spec/b_spec.rb", "raise 'at load'\n"),
        ],
        file: "spec/a_spec.rb",
        cases: &[
            ("Ü sums adds (1+1)", Passed),
            ("Ü sums errors", Failed),
            ("Ü sums fails", Failed),
            ("Ü sums later", Skipped),
        ],
        broken: "spec/b_spec.rb",
        why: "boom",
    }
    .holds()
    .await;
}

#[tokio::test]
async fn minitest() {
    Tool {
        program: "ruby",
        settings: "[test]\nrunner = 'minitest'\n",
        files: &[
            (
                "test/a_test.rb",
                "require 'minitest/autorun'\nclass TestA < Minitest::Test\n  def test_good; puts 'of its own'; assert true; end\n  \
                 def test_bad; assert_equal 1, 2, 'größer'; end\n  def test_skip; skip 'later'; end\n  \
                 def test_error; raise 'boom'; end\nend\ndescribe 'spec ü' do\n  it('does (x)') { _(1).must_equal 2 }\nend\n",
            ),
            ("test/b_test.rb", "raise 'at load'\n"),
        ],
        file: "test/a_test.rb",
        cases: &[
            ("TestA#test_bad", Failed),
            ("TestA#test_error", Errored),
            ("TestA#test_good", Passed),
            ("TestA#test_skip", Skipped),
            ("spec ü#test_0001_does (x)", Failed),
        ],
        broken: "test/b_test.rb",
        why: "größer",
    }
    .holds()
    .await;
}

#[tokio::test]
async fn node() {
    Tool {
        program: "node",
        settings: "[test]\nrunner = 'node'\n",
        files: &[
            (
                "test/a.test.mjs",
                "import {test, describe, it} from 'node:test';\ndescribe('Ü sums', () => {\n  it('adds (1+1)', () => {});\n  \
                 it('fails > deep', () => { throw new Error('no: größer'); });\n  it.skip('later', () => {});\n  \
                 describe('inner', () => { it('also fails $x', () => { throw new Error('in'); }); });\n});\n",
            ),
            ("test/b.test.mjs", "throw new Error('at load');\n"),
        ],
        file: "test/a.test.mjs",
        cases: &[
            ("Ü sums > adds (1+1)", Passed),
            ("Ü sums > fails > deep", Failed),
            ("Ü sums > inner > also fails $x", Failed),
            ("Ü sums > later", Skipped),
        ],
        broken: "test/b.test.mjs",
        why: "no: größer",
    }
    .holds()
    .await;
}

#[tokio::test]
async fn unittest() {
    Tool {
        program: "python3",
        settings: "[test]\nrunner = 'unittest'\n",
        files: &[
            (
                "tests/test_a.py",
                "import unittest\nclass T(unittest.TestCase):\n    def test_good(self): pass\n    \
                 def test_größer(self): self.fail('why not')\n    def test_error(self): raise RuntimeError('boom')\n    \
                 @unittest.skip('later')\n    def test_later(self): pass\n",
            ),
            ("tests/test_b.py", "import nothing_of_this_name\n"),
        ],
        file: "tests/test_a.py",
        cases: &[
            ("T.test_error", Errored),
            ("T.test_good", Passed),
            ("T.test_größer", Failed),
            ("T.test_later", Skipped),
        ],
        broken: "tests/test_b.py",
        why: "why not",
    }
    .holds()
    .await;
}

/// prove runs files and nothing smaller: asked for cases, it runs the whole file and says nothing of it.
#[tokio::test]
async fn prove() {
    let suite = Suite {
        cases: Some(vec!["größer".into()]),
        ..Suite::new(
            "",
            &[(
                "t/a.t",
                "use Test::More;\nok(1, 'good');\nis(1, 2, 'größer');\nSKIP: { skip 'later', 1; ok(1); }\n\
                 subtest deep => sub { ok(0, 'in'); done_testing; };\ndone_testing;\n",
            )],
        )
    };
    if !is_on_path("prove", &suite.env["PATH"]) {
        assert!(std::env::var_os("CI").is_none(), "prove is missing: run scripts/setup");
        println!("prove is not installed here: run scripts/setup to try it");
        return;
    }
    let report = suite.outcome("t/a.t").await;
    assert_eq!(
        cases(&report),
        [
            ("good", Passed),
            ("größer", Failed),
            ("3", Skipped),
            ("deep > in", Failed)
        ]
    );
    let why = |at: usize| report.cases[at].message.clone().unwrap_or_default();
    assert!(
        why(1).contains("got: '1'") && !why(1).contains("Looks like"),
        "{:?}",
        why(1)
    );
    assert!(why(3).contains("Failed test 'in'"), "{:?}", why(3));
}
