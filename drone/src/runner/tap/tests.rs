//! TAP as programs write it, whole and broken, and the cases that [`super`] must find.

use super::*;
use CaseOutcome::{Failed, Passed, Skipped, XFailed, XPassed};

fn read(text: &str) -> Found {
    let mut tap = Tap::default();
    text.lines().for_each(|line| tap.line(line));
    tap.finish()
}

fn outcomes(found: &Found) -> Vec<(&str, CaseOutcome)> {
    found
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.outcome))
        .collect()
}

#[test]
fn node_announces_each_test_and_sums_suites_up() {
    let found = read(include_str!("../samples/node.tap"));
    assert_eq!(
        outcomes(&found),
        [
            ("top ok", Passed),
            ("top fail", Failed),
            ("skipped", Skipped),
            ("todo bad", XFailed),
            ("todo ok", XPassed),
            ("suite > one", Passed),
            ("suite > two # hash", Failed),
            ("suite > inner > deep", Passed),
            ("parent > child", Passed),
            ("parent > bad child", Failed),
        ]
    );
    let bad = &found.cases[1];
    assert_eq!((bad.file.as_deref(), bad.line), (Some("a.test.js"), Some(3)));
    assert!(bad.message.as_deref().unwrap().contains("error: '1 == 2'"));
    assert!(found.cases[0].duration.is_some());
    assert_eq!(found.cases[2].message.as_deref(), Some("why"));
    assert!(found.faults.is_empty(), "{:?}", found.faults);
}

#[test]
fn prove_passes_on_what_a_script_prints() {
    let found = read(include_str!("../samples/prove.txt"));
    assert_eq!(
        outcomes(&found),
        [
            ("first", Passed),
            ("second", Failed),
            ("third # odd", Failed),
            ("todo bad", XFailed),
            ("todo ok", XPassed),
            ("6", Skipped),
            ("inner > a", Passed),
            ("inner > b", Failed),
        ]
    );
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    let skipped = read(include_str!("../samples/prove_skip.txt"));
    assert_eq!(outcomes(&skipped), [("(all)", Skipped)]);
    assert_eq!(skipped.cases[0].message.as_deref(), Some("not here"));
    assert_eq!(read("t/x.t .. \nok 1\n1..1\nok\nAll tests successful.").cases.len(), 1);
}

#[test]
fn every_form_of_a_point_is_read() {
    for (line, name, outcome, message) in [
        ("ok", "", Passed, None),
        ("ok 7", "7", Passed, None),
        ("ok 1 - a name", "a name", Passed, None),
        ("ok 1 a name", "a name", Passed, None),
        ("not ok 1 - x", "x", Failed, None),
        ("ok 1 - x # SKIP no net", "x", Skipped, Some("no net")),
        ("ok 1 - x # skipped: no net", "x", Skipped, Some("no net")),
        ("not ok 1 - x # TODO later", "x", XFailed, Some("later")),
        ("ok 1 - x # todo", "x", XPassed, None),
        (r"ok 1 - a \# b # SKIP", "a # b", Skipped, None),
        ("ok 1 - issue #12 is closed", "issue #12 is closed", Passed, None),
        ("ok 1 - x\r", "x", Passed, None),
    ] {
        let found = read(line);
        let name = if name.is_empty() { "(no name)" } else { name };
        assert_eq!(outcomes(&found), [(name, outcome)], "{line}");
        assert_eq!(found.cases[0].message.as_deref(), message, "{line}");
    }
    for line in ["okay 1", "not okay", "oktopus", "# ok 1", "1..x", "not  ok 1"] {
        assert!(read(line).cases.is_empty(), "{line}");
    }
}

#[test]
fn subtests_of_all_versions_are_the_cases() {
    let bare = "    ok 1 - a\n    not ok 2 - b\n    1..2\nnot ok 1 - outer\n1..1";
    assert_eq!(outcomes(&read(bare)), [("outer > a", Passed), ("outer > b", Failed)]);
    let indented = "    # Subtest: outer\n    ok 1 - a\n    1..1\nok 1 - outer\n1..1";
    assert_eq!(outcomes(&read(indented)), [("outer > a", Passed)]);
    let two = "# Subtest: p\n    # Subtest: q\n        ok 1 - a\n        1..1\n    ok 1 - q\n    # Subtest: r\n        not ok 1 - a\n        1..1\n    not ok 2 - r\n    1..2\nnot ok 1 - p\n1..1";
    assert_eq!(outcomes(&read(two)), [("p > q > a", Passed), ("p > r > a", Failed)]);
    let own = "# Subtest: p\n    ok 1 - a\n    1..1\nnot ok 1 - p\n  ---\n  error: hook\n  ...\n1..1";
    assert_eq!(
        outcomes(&read(own)),
        [("p > a", Passed), ("p", Failed)],
        "a sum that is bad by itself is not lost"
    );
    let skipped = "# Subtest: p\n    1..0 # SKIP no net\nok 1 - p # SKIP no net\n1..1";
    assert_eq!(outcomes(&read(skipped)), [("p", Skipped)]);
}

#[test]
fn a_plan_that_is_not_kept_and_a_bail_out_are_faults() {
    for (text, fault) in [
        ("1..3\nok 1\nok 2", "3 tests were planned, 2 ran"),
        ("ok 1\nok 2\n1..1", "1 tests were planned, 2 ran"),
        (
            "# Subtest: p\n    ok 1 - a\n    1..2\nok 1 - p\n1..1",
            "p: 2 tests were planned, 1 ran",
        ),
        ("1..3\nok 1\nBail out! no database\nok 2", "bailed out: no database"),
    ] {
        let found = read(text);
        assert_eq!(found.faults, [fault], "{text}");
    }
    assert_eq!(read("1..3\nok 1\nBail out!\nok 2").cases.len(), 1);
}

#[test]
fn a_plan_of_nothing_is_empty_and_a_skipped_file_is_a_skipped_case() {
    assert!(read("TAP version 13\n1..0").says_none);
    let found = read("1..0 # SKIP needs a network");
    assert_eq!(outcomes(&found), [("(all)", Skipped)]);
    assert_eq!(found.cases[0].message.as_deref(), Some("needs a network"));
    assert!(
        !read("just words").says_none,
        "nothing is known of output that is no TAP"
    );
}

#[test]
fn diagnostics_belong_to_the_failed_point() {
    let found = read("not ok 1 - x\n# got 1\n#   want 2\nok 2 - y\n# words\n1..2");
    assert_eq!(found.cases[0].message.as_deref(), Some("got 1\n  want 2"));
    assert_eq!(found.cases[1].message, None);
    let cut = read("not ok 1 - x\n  ---\n  message: half");
    assert_eq!(cut.cases[0].message.as_deref(), Some("message: half"));
}

proptest::proptest! {
    #[test]
    fn no_input_panics(lines in proptest::collection::vec("( {0,8})(ok|not ok|1\\.\\.|# Subtest:|---|\\.\\.\\.|Bail out!|# |é)( ?[0-9]{0,3})( ?-? ?[a-c#\\\\é]{0,4})(# (SKIP|todo))?", 0..30)) {
        let _ = read(&lines.join("\n"));
    }
}

#[test]
fn what_never_ends_is_bounded() {
    let mut tap = Tap::default();
    tap.line("not ok 1 - a");
    tap.line("  ---");
    (0..10_000).for_each(|_| tap.line(&"x".repeat(1000)));
    assert!(tap.yaml.as_ref().is_some_and(|yaml| yaml.bytes < MESSAGE_LIMIT + 2000));
    let mut tap = Tap::default();
    for depth in 0..2000 {
        let indent = " ".repeat(depth);
        tap.line(&format!("{indent}# Subtest: {}", "s".repeat(500)));
        tap.line(&format!("{indent} ok 1 - {}", "p".repeat(2000)));
    }
    assert!(tap.levels.len() <= DEPTH_LIMIT);
    assert!(tap.finish().cases.iter().all(|case| case.name.len() <= NAME_LIMIT + 10));
}
