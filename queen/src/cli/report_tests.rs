//! The words for people, without colours.

use super::*;
use shared::{Attempt, Num, Timestamp, outcome::FileResult, protocol::event::Phase};

const PLAIN: Paint = Paint(false);

fn bad(failures: Vec<CaseResult>, tail: &str) -> Bad {
    let mut result = FileResult::bare(FileOutcome::Failed);
    result.exit = Some(1);
    result.duration = 210.0;
    result.cases = CaseCounts::of(&failures);
    result.failures = failures;
    Bad {
        path: "tests/a".into(),
        num: Num(3),
        attempt: Attempt(1),
        drone: Some("d1".into()),
        result,
        tail: tail.into(),
    }
}

fn case(name: &str, message: &str) -> CaseResult {
    CaseResult {
        name: name.into(),
        outcome: CaseOutcome::Failed,
        duration: None,
        message: Some(message.into()),
        file: Some("tests/a".into()),
        line: Some(7),
    }
}

#[test]
fn a_bad_file_shows_its_cases() {
    let text = bad_block(
        &bad(vec![case("adds", "\u{1b}[31mexpected 3\u{1b}[0m\r\ngot 4")], "noise"),
        true,
        PLAIN,
    );
    assert_eq!(
        text,
        "failed tests/a (exit 1, 210 ms, on d1): 1 of 1 case\n  fail adds  tests/a:7\n    expected 3\n    got 4"
    );
}

#[test]
fn a_bad_file_without_cases_shows_the_end_of_its_output() {
    let output: String = (0..50).map(|n| format!("line {n}\n")).collect();
    let text = bad_block(&bad(Vec::new(), &output), true, PLAIN);
    assert!(text.ends_with("  │ line 48\n  │ line 49"), "{text}");
    assert!(!text.contains("line 29\n"), "{text}");
}

#[test]
fn many_cases_and_long_messages_are_cut() {
    let long: String = (0..100).map(|n| format!("m{n}\n")).collect();
    let cases = (0..15).map(|n| case(&format!("c{n}"), &long)).collect();
    let text = bad_block(&bad(cases, ""), true, PLAIN);
    assert!(text.contains("… 60 lines before") && text.contains("    m99"), "{text}");
    assert!(
        !text.contains("m59\n") && text.ends_with("… and 5 more; see the log"),
        "{text}"
    );
}

#[test]
fn signals_have_their_number() {
    let mut file = bad(Vec::new(), "");
    file.result.exit = Some(139);
    file.attempt = Attempt(3);
    assert_eq!(
        bad_line(&file, true, PLAIN),
        "failed tests/a (ended by signal 11, 210 ms, on d1, attempt 3)"
    );
}

#[test]
fn no_test_can_move_the_cursor() {
    assert_eq!(plain("a\u{1b}[2Jb\u{7}\u{1b}]0;title\u{7}c\td\r\ne\rf"), "abc\td\ne\nf");
}

#[test]
fn durations_are_said_as_people_do() {
    for (ms, text) in [
        (0.4, "0 ms"),
        (340.0, "340 ms"),
        (2400.0, "2.40 s"),
        (59_900.0, "1 min 00 s"),
        (185_000.0, "3 min 05 s"),
        (7_620_000.0, "2 h 07 min"),
    ] {
        assert_eq!(duration(ms), text);
    }
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let error = |kind: &str| JobError::new(kind, "");
    for (state, kind, code) in [
        (JobState::Passed, None, 0),
        (JobState::Failed, None, 1),
        (JobState::Errored, Some("source"), 2),
        (JobState::Errored, Some("settings"), 3),
        (JobState::Errored, Some("no-tests"), 3),
        (JobState::Errored, Some("plugin"), 3),
        (JobState::Errored, Some("runner"), 3),
        (JobState::Cancelled, None, 4),
        (JobState::Errored, Some("lost"), 5),
        (JobState::Errored, None, 5),
    ] {
        assert_eq!(exit_code(state, kind.map(error).as_ref()), code, "{state} {kind:?}");
    }
}

#[test]
fn a_failed_command_names_its_phase() {
    let bad = BadCommand {
        phase: Some(Phase::Prepare),
        command: "make".into(),
        code: 2,
        tail: "no rule\n".into(),
    };
    assert_eq!(command_block(&bad, PLAIN), "failed prepare: make (exit 2)\n  │ no rule");
}

fn view(state: &str) -> JobView {
    serde_json::from_value(serde_json::json!({
        "id": "j", "project": "a/b", "state": state, "job_type": "TEST", "branch": null, "commit": null, "repo": null,
        "trigger": {"type": "manual", "timestamp": 1}, "user_id": null, "priority": 0, "labels": [], "attempt": 1,
        "submitted": 1, "started": 2, "finished": 3, "test_code": 0, "deploy_code": null,
        "error": {"kind": "no-tests", "message": "no file matches"}, "cancel_reason": null, "runner": null,
        "files_total": 0, "files_done": 0, "files_bad": 0, "rerun_of": null, "last_seq": 9,
    }))
    .unwrap()
}

#[test]
fn the_summary_says_why_and_where() {
    let mut progress = Progress::default();
    (progress.first_at, progress.last_at) = (Some(Timestamp(0)), Some(Timestamp(2500)));
    let links = Links {
        live: "http://q/jobs/j".into(),
        log: "queen logs j".into(),
    };
    let text = summary(&view("errored"), &progress, &links, PLAIN);
    let expected =
        "errored in 2.50 s\n    why no file matches (no-tests)\n   live http://q/jobs/j\n    log queen logs j";
    assert_eq!(text, expected);
}

#[test]
fn the_summary_counts_files_bad_ones_first() {
    use crate::cli::progress::Ended;
    let mut progress = Progress::default();
    progress.total = 3;
    (progress.first_at, progress.last_at) = (Some(Timestamp(0)), Some(Timestamp(1000)));
    for (path, outcome) in [("a", FileOutcome::Passed), ("b", FileOutcome::Crashed)] {
        let cases = CaseCounts {
            passed: 2,
            ..CaseCounts::default()
        };
        progress.ended.insert(
            path.into(),
            Ended {
                outcome,
                cases,
                duration: 750.0,
            },
        );
    }
    let mut job = view("failed");
    job.error = None;
    let text = summary(&job, &progress, &Links::default(), PLAIN);
    let expected = "failed in 1.00 s\n  files 3 files: 1 crashed · 1 passed · 1 not run\n  cases 4 cases: 4 passed\n   \
                    time 1.00 s wall, 1.50 s in files: 1.5 at once";
    assert_eq!(text, expected);
}
