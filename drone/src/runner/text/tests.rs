//! Plain output of test tools, and the cases that [`super`] must find.

use super::*;
use CaseOutcome::{Errored, Failed, Passed, Skipped, XFailed};

fn read(dialect: Dialect, stream: Stream, text: &str) -> Found {
    let mut lines = Lines::new(dialect);
    text.lines().for_each(|line| lines.line(stream, line));
    lines.finish()
}

fn outcomes(found: &Found) -> Vec<(&str, CaseOutcome)> {
    found
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.outcome))
        .collect()
}

#[test]
fn libtest() {
    let found = read(Dialect::Libtest, Stream::Stdout, include_str!("../samples/libtest.txt"));
    assert_eq!(
        outcomes(&found),
        [
            ("tests::good", Passed),
            ("tests::left", Skipped),
            ("tests::bad", Failed),
            ("tests::panics", Passed)
        ]
    );
    assert_eq!(found.cases[1].message.as_deref(), Some("slow"));
    let bad = &found.cases[2];
    assert_eq!((bad.file.as_deref(), bad.line), (Some("src/lib.rs"), Some(8)));
    let message = bad.message.as_deref().unwrap();
    assert!(
        message.starts_with("seen\n") && message.contains("failed: words"),
        "{message}"
    );
    assert!(
        read(
            Dialect::Libtest,
            Stream::Stdout,
            "\nrunning 0 tests\n\ntest result: ok."
        )
        .says_none
    );
    let doc = read(
        Dialect::Libtest,
        Stream::Stdout,
        "running 1 test\ntest src/lib.rs - two (line 1) ... ok",
    );
    assert_eq!(outcomes(&doc), [("src/lib.rs - two (line 1)", Passed)]);
    assert!(!read(Dialect::Libtest, Stream::Stdout, "error: could not compile").says_none);
}

#[test]
fn go() {
    let found = read(Dialect::Go, Stream::Stdout, include_str!("../samples/go.txt"));
    assert_eq!(
        outcomes(&found),
        [
            ("TestGood", Passed),
            ("TestBad", Failed),
            ("TestTable", Failed),
            ("TestTable/one", Passed),
            ("TestTable/two_words", Failed),
            ("TestLeftOut", Skipped),
        ]
    );
    let bad = &found.cases[1];
    assert_eq!(
        (bad.duration, bad.line, bad.file.as_deref()),
        (Some(250.0), Some(10), Some("bad_test.go"))
    );
    assert_eq!(
        bad.message.as_deref(),
        Some("    bad_test.go:9: before\n    bad_test.go:10: want 1, got 2")
    );
    assert_eq!(found.cases[4].line, Some(21));
    assert!(found.cases[5].message.as_deref().unwrap().contains("needs a network"));
    assert!(read(Dialect::Go, Stream::Stdout, "?   \texample.org/x\t[no test files]").says_none);
}

#[test]
fn unittest() {
    let found = read(
        Dialect::Unittest,
        Stream::Stderr,
        include_str!("../samples/unittest.txt"),
    );
    assert_eq!(
        outcomes(&found),
        [
            ("T.test_doc", Passed),
            ("T.test_err", Errored),
            ("T.test_fail", Failed),
            ("T.test_noise", Passed),
            ("T.test_ok", Passed),
            ("T.test_skip", Skipped),
            ("T.test_sub (i=1)", Failed),
            ("T.test_us", Failed),
            ("T.test_xf", XFailed),
        ]
    );
    let fail = &found.cases[2];
    assert_eq!((fail.file.as_deref(), fail.line), (Some("tests/test_u.py"), Some(6)));
    assert!(fail.message.as_deref().unwrap().ends_with("AssertionError: 1 != 2"));
    assert!(found.cases[6].message.as_deref().unwrap().contains("1 != 0"));
    let none = "\n------\nRan 0 tests in 0.000s\n\nOK";
    assert!(read(Dialect::Unittest, Stream::Stderr, none).says_none);
    let old = read(
        Dialect::Unittest,
        Stream::Stderr,
        "test_x (m.C) ... ok\nnope (unittest.loader._FailedTest.nope) ... ERROR",
    );
    assert_eq!(outcomes(&old), [("C.test_x", Passed), ("nope", Errored)]);
}

#[test]
fn minitest() {
    let found = read(
        Dialect::Minitest,
        Stream::Stdout,
        include_str!("../samples/minitest.txt"),
    );
    assert_eq!(
        outcomes(&found),
        [
            ("TestMeme#test_that_kitty_can_eat", Passed),
            ("TestMeme#test_it_fails", Failed),
            ("TestMeme#test_that_will_be_skipped", Skipped),
            ("TestMeme#test_it_raises", Errored),
        ]
    );
    assert!(
        found.cases[1]
            .message
            .as_deref()
            .unwrap()
            .contains("Expected: 1\n  Actual: 2")
    );
    assert!(found.cases[3].message.as_deref().unwrap().contains("RuntimeError: no"));
    let with_output = "TestA#test_a = to the end of its line\n0.25 s = F\nTestA#test_b = no end of line 0.00 s = .\nTestA#test_c = one\n\
        item #1 = 2\nno test: 0.00 s = ?\n two 0.00 s = E\n 0.00 s = .\nx - 0.00 s = .\nTestA#a = b = 0.00 s = S\n";
    let found = read(Dialect::Minitest, Stream::Stdout, with_output);
    assert_eq!(
        outcomes(&found),
        [
            ("TestA#test_a", Failed),
            ("TestA#test_b", Passed),
            ("TestA#test_c", Errored),
            ("TestA#a = b", Skipped),
        ]
    );
    assert_eq!(found.cases[0].duration, Some(250.0));
    assert!(
        read(
            Dialect::Minitest,
            Stream::Stdout,
            "0 runs, 0 assertions, 0 failures, 0 errors, 0 skips"
        )
        .says_none
    );
}
