//! What must hold of the result of a file, whatever the framework wrote.

use crate::is_same;
use drone::{
    process::{Ended, Mask, Output, Stream},
    runner::{FileReport, Runner},
};
use shared::{
    Attempt, JobId, Num,
    outcome::{CaseCounts, FAILURE_LIMIT, FileOutcome, MESSAGE_LIMIT},
    protocol::{Frame, JobEvent},
};
use std::{collections::HashSet, time::Duration};

/// What a report may hold that must not be shown.
const SECRET: &str = "hunter2hunter2";
/// The most bytes of a case's name, with the number that makes it unique and with every secret in it replaced.
const NAME: usize = 2100;

/// The file that every report is about.
pub const FILE: &str = "tests/test_a.py";

/// Reads `output` or `report` as the runner of that name does, and checks what it makes of it.
pub fn check(runner: &str, output: &[Output], report: &[u8]) {
    let runner = Runner::named(runner).expect("a runner");
    let judge = |code, mask: &Mask| runner.judge(FILE, output, report, ended(code), mask);
    let plain = Mask::default();
    let reports: Vec<_> = [0, 1, 5].into_iter().map(|code| judge(code, &plain)).collect();
    reports.iter().for_each(sound);
    let names: HashSet<_> = reports[0].cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), reports[0].cases.len(), "two cases have one name");
    assert!(reports[1].result.outcome == FileOutcome::Failed);
    let masked = judge(1, &Mask::new([SECRET.to_owned()]));
    sound(&masked);
    for event in events(&masked) {
        let text = serde_json::to_string(&event).expect("text and numbers");
        assert!(!text.contains(SECRET), "{text}");
    }
}

fn ended(code: i32) -> Ended {
    Ended {
        code,
        signal: None,
        timed_out: false,
        cancelled: false,
        wall: Duration::from_millis(20),
        cpu: Duration::from_millis(10),
        peak_memory: 1 << 20,
        stderr_tail: "the end of its standard error".into(),
    }
}

fn sound(report: &FileReport) {
    let result = &report.result;
    assert_eq!(result.cases, CaseCounts::of(&report.cases));
    assert_eq!(result.cases.total() as usize, report.cases.len());
    let bad = report.cases.iter().filter(|case| case.outcome.is_bad()).count();
    assert_eq!(result.failures.len(), bad.min(FAILURE_LIMIT));
    assert!(
        bad == 0 || result.outcome.is_bad(),
        "{bad} bad cases in a file that is {:?}",
        result.outcome
    );
    for case in report.cases.iter().chain(&result.failures) {
        assert!(
            !case.name.trim().is_empty() && case.name.len() <= NAME,
            "{:?}",
            case.name
        );
        // With secrets replaced by a mark that is at most twice as long.
        assert!(
            case.message
                .as_ref()
                .is_none_or(|text| !text.is_empty() && text.len() <= 2 * MESSAGE_LIMIT)
        );
        assert!(
            case.duration.is_none_or(|ms| ms.is_finite() && ms >= 0.0),
            "{:?} ms",
            case.duration
        );
        assert!(case.line != Some(0), "lines are counted from 1");
    }
    let warnings: usize = report.warnings.iter().map(String::len).sum();
    assert!(warnings < 4096, "{:?}", report.warnings);
    for event in events(report) {
        let text = serde_json::to_string(&event).expect("text and numbers");
        let frame = Frame::read(&text).expect("small inputs make small events");
        let again = JobEvent::read(&frame.0[0]).expect("what was written is read");
        assert!(again.is_some_and(|again| is_same(&again, &event)), "{text}");
    }
}

fn events(report: &FileReport) -> [JobEvent; 2] {
    let job = JobId::new("j").expect("an id");
    [
        JobEvent::FileDone {
            job: job.clone(),
            num: Num(0),
            path: FILE.into(),
            attempt: Attempt(1),
            result: report.result.clone(),
            drone: None,
        },
        JobEvent::Cases {
            job,
            num: Num(0),
            attempt: Attempt(1),
            cases: report.cases.clone(),
        },
    ]
}

/// Checks what a runner makes of lines, which must not depend on the pieces that they come in.
pub fn check_lines(runner: &str, stream: Stream, text: &str) {
    let pieces = |size: usize| -> Vec<Output> {
        let mut rest = text;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
            pieces.push(Output {
                stream,
                text: piece.to_owned(),
            });
            rest = after;
        }
        pieces
    };
    check(runner, &pieces(usize::MAX), b"");
    let runner = Runner::named(runner).expect("a runner");
    let judge = |size| runner.judge(FILE, &pieces(size), b"", ended(1), &Mask::default());
    let whole = judge(usize::MAX);
    for size in [1, 7] {
        let cut = judge(size);
        assert_eq!((&cut.result, &cut.cases), (&whole.result, &whole.cases));
    }
}
