//! JUnit dialects as frameworks write them, and the cases that [`super`] must find.

use super::*;
use CaseOutcome::{Errored, Failed, Passed, Skipped, XFailed};

fn outcomes(found: &Found) -> Vec<(&str, CaseOutcome)> {
    found
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.outcome))
        .collect()
}

fn in_suite(cases: &str) -> Found {
    read(
        format!("<testsuites><testsuite name='s'>{cases}</testsuite></testsuites>").as_bytes(),
        "t/x.test.ts",
    )
}

#[test]
fn pytest_says_the_same_in_its_report_as_on_its_terminal() {
    let found = read(include_bytes!("../samples/pytest.xml"), "tests/test_kinds.py");
    assert_eq!(
        outcomes(&found),
        [
            ("test_ok", Passed),
            ("test_param[a]", Failed),
            ("test_param[b.c]", Passed),
            ("test_param[d[e]]", Passed),
            ("test_param[f::g]", Passed),
            (r"test_param[\x1b<&\n]", Passed),
            ("TestX::test_in_class", Passed),
            ("TestX::TestInner::test_deep", Failed),
            ("test_skip", Skipped),
            ("test_xfail", XFailed),
            ("test_xpass", Passed),
            ("test_xpass_strict", Failed),
            ("test_setup", Errored),
            ("test_teardown", Passed),
            ("test_teardown (teardown)", Errored),
            ("test_both", Failed),
            ("test_both (teardown)", Errored),
            ("TestUnit::test_u", Failed),
        ]
    );
    assert!(found.warnings.is_empty() && !found.says_none);
    let param = &found.cases[1];
    assert_eq!(
        (param.file.as_deref(), param.line),
        (Some("tests/test_kinds.py"), Some(5))
    );
    assert_eq!(param.duration, Some(1.0));
    let message = param.message.as_deref().unwrap();
    assert!(
        message.starts_with("x = 'a'") || message.contains("\nE   AssertionError: not <this> & "),
        "{message}"
    );
    assert_eq!(found.cases[9].message.as_deref(), Some("known"));
}

#[test]
fn a_file_that_does_not_load_is_an_error_and_one_without_tests_is_none() {
    let found = read(include_bytes!("../samples/pytest_load.xml"), "tests/test_load.py");
    assert_eq!(outcomes(&found), [("tests.test_load", Errored)]);
    let message = found.cases[0].message.as_deref().unwrap();
    assert!(
        message.starts_with("collection failure\nImportError while importing"),
        "{message}"
    );
    assert!(read(include_bytes!("../samples/pytest_none.xml"), "tests/test_none.py").says_none);
}

#[test]
fn node_names_cases_by_their_suites() {
    let found = read(include_bytes!("../samples/node.xml"), "a.test.js");
    assert_eq!(
        outcomes(&found),
        [
            ("top ok", Passed),
            ("top fail", Failed),
            ("skipped", Skipped),
            ("todo bad", XFailed),
            ("todo ok", XFailed),
            ("suite > one", Passed),
            ("suite > two # hash", Failed),
            ("suite > inner > deep", Passed),
            ("parent > child", Passed),
            ("parent > bad child", Failed),
        ]
    );
}

#[test]
fn dialects_are_read_as_their_writers_mean_them() {
    for (case, name, outcome, line) in [
        // surefire, with a test that passed when it was tried again
        (
            "<testcase classname='com.x.FooTest' name='bar' time='1,234.5'><flakyFailure message='m'/></testcase>",
            "com.x.FooTest.bar",
            Passed,
            None,
        ),
        // gtest
        (
            "<testcase name='Adds' classname='Math' status='notrun' result='suppressed' line='7' file='m.cc'/>",
            "Math.Adds",
            Skipped,
            Some(7),
        ),
        (
            "<testcase name='Adds' classname='Math' status='run'><failure message='a'/><failure message='b'/></testcase>",
            "Math.Adds",
            Failed,
            None,
        ),
        // vitest, jest-junit
        (
            "<testcase classname='t/x.test.ts' name='suite &gt; adds'/>",
            "suite > adds",
            Passed,
            None,
        ),
        (
            "<testcase classname='suite adds' name='suite adds'><failure>Error</failure></testcase>",
            "suite adds",
            Failed,
            None,
        ),
        // phpunit
        (
            "<testcase name='testA' class='Tests\\FooTest' classname='Tests.FooTest' file='/w/FooTest.php' line='12'><warning type='w'>x</warning></testcase>",
            "Tests\\FooTest::testA",
            Passed,
            Some(12),
        ),
        (
            "<testcase name='testB with data set #0' class='FooTest'><error type='E'>x</error></testcase>",
            "FooTest::testB with data set #0",
            Errored,
            None,
        ),
        ("<testcase><skipped/></testcase>", "(no name)", Skipped, None),
        ("<testcase name='&#0;&unknown; &'/>", "&#0;&unknown; &", Passed, None),
    ] {
        let found = in_suite(case);
        assert_eq!(outcomes(&found), [(name, outcome)], "{case}");
        assert_eq!(found.cases[0].line, line, "{case}");
    }
    assert_eq!(
        in_suite("<testcase name='x' time='1,234.5'/>").cases[0].duration,
        Some(1_234_500.0)
    );
    assert_eq!(
        in_suite("<testcase name='x'><failure message='a'/><error message='b'/></testcase>").cases[0]
            .message
            .as_deref(),
        Some("a\nb")
    );
}

#[test]
fn names_that_repeat_are_told_apart() {
    let found = in_suite("<testcase name='x'/><testcase name='x'/><testcase name='y'/><testcase name='x'/>");
    assert_eq!(
        outcomes(&found).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["x", "x (2)", "y", "x (3)"]
    );
}

#[test]
fn a_broken_report_gives_what_it_has_and_a_warning() {
    let whole = include_str!("../samples/pytest.xml");
    for (text, cases, warning) in [
        (&whole[..whole.find("test_param[b.c]").unwrap()], 2, "broken"),
        (
            "<testsuites><testsuite><testcase name='a'><failure message='m'>te",
            1,
            "broken",
        ),
        ("<testsuite><testcase name='a'/></wrong>", 1, "broken at byte"),
        ("", 0, "holds no XML"),
        ("no xml at all", 0, "holds no XML"),
        ("<testsuite><testcase name='a'/>", 1, "before its end"),
    ] {
        let found = read(text.as_bytes(), "x.py");
        assert_eq!(found.cases.len(), cases, "{text}");
        assert!(found.warnings[0].contains(warning), "{text}: {:?}", found.warnings);
        assert!(!found.says_none);
    }
}

#[test]
fn invalid_bytes_do_not_hide_the_cases() {
    let found = read(b"\xef\xbb\xbf\n<?xml version='1.0'?><testsuite><testcase name='a\xff'><failure>\xfe\x1b[31m<![CDATA[<x>]]></failure></testcase></testsuite>", "x");
    assert_eq!(outcomes(&found), [("a\u{fffd}", Failed)]);
    assert_eq!(found.cases[0].message.as_deref(), Some("\u{fffd}\u{1b}[31m<x>"));
}

#[test]
fn very_long_messages_keep_beginning_and_end() {
    let long = "x".repeat(1_000_000);
    let found = in_suite(&format!(
        "<testcase name='{long}'><failure>begin{long}end</failure></testcase>"
    ));
    let message = found.cases[0].message.as_deref().unwrap();
    assert!(message.len() <= shared::outcome::MESSAGE_LIMIT && found.cases[0].name.len() <= 1000);
    assert!(message.starts_with("begin") && message.ends_with("end") && message.contains("bytes left out"));
}

proptest::proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), cut in 0usize..5000) {
        let _ = read(&bytes, "x");
        let sample = include_bytes!("../samples/pytest.xml");
        let mut sample = sample[..cut.min(sample.len())].to_vec();
        sample.extend(&bytes);
        let _ = read(&sample, "x");
    }
}

#[test]
fn suites_inside_of_suites_without_end_are_bounded() {
    let (depth, cases) = (3000, 2000);
    let report = format!(
        "{}{}{}<testcase name='after'/>",
        format!("<testsuite name='{}'>", "s".repeat(2000)).repeat(depth),
        "<testcase classname='test' name='t'/>".repeat(cases),
        "</testsuite>".repeat(depth)
    );
    let found = read(report.as_bytes(), "a.js");
    assert_eq!(found.cases.len(), cases + 1);
    assert!(found.cases.iter().all(|case| case.name.len() <= NAME_LIMIT + 10));
    assert_eq!(found.cases[cases].name, "after");
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

#[test]
fn the_last_line_number_is_no_overflow() {
    let found = read(
        br#"<testsuite name="pytest"><testcase name="t" line="4294967295"/></testsuite>"#,
        "a.py",
    );
    assert_eq!(found.cases[0].line, Some(u32::MAX));
}
