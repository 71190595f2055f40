//! JSON reports as frameworks write them, and the cases that [`super`] must find.

use super::*;
use CaseOutcome::{Errored, Failed, Passed, Skipped};
use serde_json::json;

fn outcomes(found: &Found) -> Vec<(&str, CaseOutcome)> {
    found
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.outcome))
        .collect()
}

#[test]
fn jest_names_cases_by_their_titles() {
    let test = |title: &str, status: &str| json!({"ancestorTitles": ["a", "b"], "title": title, "status": status, "duration": 3, "location": {"line": 7, "column": 1}, "failureMessages": if status == "failed" { json!(["Error: x\n  at y"]) } else { json!([]) }});
    let report = json!({"testResults": [
        {"status": "failed", "message": "", "assertionResults": [test("adds", "passed"), test("breaks", "failed"), test("later", "todo"), test("off", "pending")]},
        {"status": "failed", "message": "SyntaxError: no", "assertionResults": []},
    ]});
    let found = jest(report.to_string().as_bytes());
    assert_eq!(
        outcomes(&found),
        [
            ("a > b > adds", Passed),
            ("a > b > breaks", Failed),
            ("a > b > later", Skipped),
            ("a > b > off", Skipped),
            ("(loading the file)", Errored),
        ]
    );
    assert_eq!((found.cases[0].duration, found.cases[0].line), (Some(3.0), Some(7)));
    assert_eq!(found.cases[1].message.as_deref(), Some("Error: x\n  at y"));
    assert_eq!(found.cases[4].message.as_deref(), Some("SyntaxError: no"));
    assert!(jest(b"{}").says_none);
}

#[test]
fn rspec_says_where_and_why() {
    let report = json!({
        "examples": [
            {"full_description": "Cart adds", "status": "passed", "file_path": "./spec/cart_spec.rb", "line_number": 3, "run_time": 0.002},
            {"full_description": "Cart breaks", "status": "failed", "file_path": "./spec/cart_spec.rb", "line_number": 9, "run_time": 0.1,
             "exception": {"class": "RuntimeError", "message": "no", "backtrace": ["./spec/cart_spec.rb:10"]}},
            {"full_description": "Cart waits", "status": "pending", "pending_message": "not yet"},
            {"full_description": "Cart had begun when the run was ended", "status": null},
        ],
        "messages": ["An error occurred outside of examples"],
        "summary": {"errors_outside_of_examples_count": 1},
    });
    let found = rspec(report.to_string().as_bytes());
    assert_eq!(
        outcomes(&found),
        [
            ("Cart adds", Passed),
            ("Cart breaks", Failed),
            ("Cart waits", Skipped),
            ("(loading the file)", Errored)
        ]
    );
    let broken = &found.cases[1];
    assert_eq!(
        (broken.file.as_deref(), broken.line, broken.duration),
        (Some("spec/cart_spec.rb"), Some(9), Some(100.0))
    );
    assert_eq!(
        broken.message.as_deref(),
        Some("RuntimeError: no\n./spec/cart_spec.rb:10")
    );
    assert_eq!(found.cases[2].message.as_deref(), Some("not yet"));
}

#[test]
fn a_broken_report_is_a_warning() {
    for found in [jest(b"{\"testResults\": ["), rspec(b"\xff")] {
        assert!(found.cases.is_empty() && !found.says_none);
        assert!(
            found.warnings[0].contains("report cannot be read"),
            "{:?}",
            found.warnings
        );
    }
}
