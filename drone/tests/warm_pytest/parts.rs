//! Files in parts: each case once, a second look at a part that failed, and what cannot be split.

use super::harness::{Suite, cases};
use drone::runner::warm::Warm;
use shared::{
    outcome::{CaseOutcome, FileOutcome},
    protocol::to_drone::Part,
    settings::Isolation,
};

const PARTS: &str = r#"
import os
import pytest

assert os.environ.get("PYTHONPATH") is None and "SKEP_PART" not in os.environ

@pytest.fixture(scope="class")
def once():
    yield 1

@pytest.mark.parametrize("x", [1, 2, "a::b[c]"])
def test_a(x):
    assert x != 2

class TestB:
    def test_one(self, once): pass
    class TestInner:
        def test_two(self): pass

class TestD:
    @pytest.mark.parametrize("x", ["y::z", 2])
    def test_one(self, x): pass
    class TestInner:
        def test_two(self): pass

def test_ab(): pass
def test_c(): pass
"#;

/// Groups, cases and outcomes, as a part of [`PARTS`] has them.
async fn part_of(suite: &Suite, warm: Option<&Warm>, groups: &[&str], rest: bool) -> Vec<(String, CaseOutcome)> {
    let file = "tests/test_parts.py";
    let part = Part {
        file: file.into(),
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        rest,
    };
    let report = suite.run_part(warm, file, None, None, Some(&part)).await;
    assert_eq!(report.warnings, [""; 0]);
    cases(&report)
}

#[tokio::test]
async fn parts_of_a_file_have_each_of_its_cases_once_whoever_runs_them() {
    let suite = Suite::copy("", &[("tests/test_parts.py", PARTS)]);
    for isolation in [Some(Isolation::Fork), Some(Isolation::None), None] {
        let warm = isolation.map(|isolation| suite.warm(isolation));
        let warm = warm.as_deref();
        let whole = suite.run(warm, "tests/test_parts.py", None).await;
        let groups: Vec<_> = whole.result.groups.iter().map(|group| group.name.as_str()).collect();
        match warm {
            Some(_) => assert_eq!(
                groups,
                [
                    "test_a",
                    "TestB",
                    "TestD::test_one",
                    "TestD::TestInner::test_two",
                    "test_ab",
                    "test_c"
                ]
            ),
            None => assert!(groups.is_empty(), "a command does not know"),
        }
        assert!(whole.result.groups.iter().all(|group| group.duration >= 0.0));
        // One that is there no longer is no error; what nobody names is in the last one.
        let first = part_of(&suite, warm, &["gone", "test_a"], false).await;
        let second = part_of(&suite, warm, &["TestB"], false).await;
        let third = part_of(&suite, warm, &["TestD::test_one"], false).await;
        let rest = part_of(&suite, warm, &["gone", "test_a", "TestB", "TestD::test_one"], true).await;
        assert_eq!((first.len(), second.len(), third.len(), rest.len()), (3, 2, 2, 3));
        assert_eq!([first, second, third, rest].concat(), cases(&whole));
        assert_eq!(
            part_of(&suite, warm, &["TestD"], false).await.len(),
            3,
            "the whole class"
        );
        assert_eq!(part_of(&suite, warm, &["gone"], false).await, []);
        if let Some(warm) = warm {
            warm.stop().await;
        }
    }
}

#[tokio::test]
async fn a_part_that_fails_is_run_once_more_with_its_whole_file_which_stays_whole_then() {
    let test = "SEEN = []\ndef test_first():\n    SEEN.append(1)\ndef test_second():\n    assert SEEN\ndef test_third(): pass\n";
    let bad = "SEEN = []\ndef test_first():\n    SEEN.append(1)\ndef test_second():\n    assert SEEN\ndef test_third(): assert 0\n";
    let suite = Suite::copy("", &[("tests/test_state.py", test), ("tests/test_state_bad.py", bad)]);
    let folder = tempfile::tempdir().unwrap();
    let part = |file: &str, name: &str, rest| Part {
        file: file.into(),
        groups: vec![name.into()],
        rest,
    };
    for _ in 0..2 {
        let warm = suite.warm_with(Isolation::Fork, folder.path());
        let second = part("tests/test_state.py", "test_second", false);
        let report = suite
            .run_part(Some(&warm), &second.file, None, None, Some(&second))
            .await;
        assert_eq!(cases(&report), [("test_second".to_owned(), CaseOutcome::Passed)]);
        assert_eq!(report.result.outcome, FileOutcome::Passed);
        assert!(report.result.groups.is_empty(), "{report:?}");
        assert_eq!(
            report.warnings,
            [
                "a part of tests/test_state.py failed when it was run by itself and passed in a run of the whole file: it is \
                 counted as passed, but its tests depend on each other, or fail now and then; split = false in [test] keeps \
                 files whole"
            ]
        );
        let rest = part("tests/test_state.py", "test_second", true);
        let report = suite.run_part(Some(&warm), &rest.file, None, None, Some(&rest)).await;
        assert_eq!(report.cases.len(), 2, "{report:?}");
        assert_eq!((report.result.outcome, report.warnings.len()), (FileOutcome::Passed, 0));
        // What fails in the whole file too has failed in its part, as it did there.
        for (name, count) in [("test_second", 1), ("test_third", 1)] {
            let own = part("tests/test_state_bad.py", name, false);
            let report = suite.run_part(Some(&warm), &own.file, None, None, Some(&own)).await;
            assert_eq!(report.result.outcome, FileOutcome::Failed, "{report:?}");
            assert_eq!((report.cases.len(), report.warnings.len()), (count, 0));
        }
        warm.stop().await;
    }
    // The next job on this drone does not say that it could be split.
    let warm = suite.warm_with(Isolation::Fork, folder.path());
    let report = suite.run(Some(&warm), "tests/test_state.py", None).await;
    assert_eq!(report.result.outcome, FileOutcome::Passed);
    assert!(report.result.groups.is_empty(), "{report:?}");
    warm.stop().await;
}

#[tokio::test]
async fn a_file_that_sets_something_up_once_for_all_cannot_be_split() {
    let fixture = |scope: &str| {
        format!(
            "import pytest\n@pytest.fixture(scope='{scope}')\ndef once(): yield 1\ndef test_a(once): pass\ndef test_b(): pass\n"
        )
    };
    let own = "import pytest\ndef setup_module(): pass\ndef test_a(): pass\ndef test_b(): pass\n";
    let late = format!(
        "{}def test_c(request): request.getfixturevalue('once')\n",
        fixture("module").replace("(once)", "()")
    );
    let style = "import unittest\ndef setUpModule(): pass\nclass A(unittest.TestCase):\n    def test_a(self): pass\nclass B(A): pass\n";
    let methods = "class TestA:\n    def test_a(self): pass\n    def test_b(self): pass\n";
    let set_up =
        "class TestA:\n    def setup_class(cls): pass\n    def test_a(self): pass\n    def test_b(self): pass\n";
    let class = "import unittest\nclass A(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): pass\n    def test_a(self): pass\nclass B(A): pass\n";
    let suite = Suite::copy(
        "",
        &[
            ("tests/test_module.py", &fixture("module")),
            ("tests/test_package.py", &fixture("package")),
            ("tests/test_class.py", &fixture("class")),
            ("tests/test_session.py", &fixture("session")),
            ("tests/test_setup.py", own),
            ("tests/test_late.py", &late),
            ("tests/test_style.py", style),
            ("tests/test_style_class.py", class),
            ("tests/test_methods.py", methods),
            ("tests/test_set_up.py", set_up),
        ],
    );
    let warm = suite.warm(Isolation::Fork);
    for (name, count) in [
        ("module", 0),
        ("package", 0),
        ("class", 2),
        ("session", 2),
        ("setup", 0),
        ("late", 0),
        ("style", 0),
        ("style_class", 2),
        ("methods", 2),
        ("set_up", 1),
    ] {
        let report = suite.run(Some(&warm), &format!("tests/test_{name}.py"), None).await;
        assert_eq!(report.result.outcome, FileOutcome::Passed, "{name}");
        assert_eq!(report.result.groups.len(), count, "{name}");
    }
    warm.stop().await;
}
