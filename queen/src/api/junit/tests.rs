//! Whatever cases are called and say, the report is XML, and a reader of JUnit finds them all in it.

use super::*;
use drone::{
    process::{Ended, Mask},
    runner::Runner,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use scheduler::{FileRow, FileState};
use shared::{Attempt, JobId, Num, Timestamp};

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        select(vec![
            "]]>",
            "<![CDATA[",
            "&amp;",
            "&#x0;",
            "\u{1b}[31m",
            "\r\n",
            "\0",
            "\u{fffe}",
            "--",
            "\"'<>"
        ])
        .prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn case() -> impl Strategy<Value = CaseResult> {
    use CaseOutcome::{Errored, Failed, Passed, Skipped, XFailed, XPassed};
    let outcome = select(vec![Passed, Failed, Errored, Skipped, XFailed, XPassed]);
    let duration = option::of(prop_oneof![any::<f64>(), 0.0..1e6]);
    let parts = (
        text(),
        outcome,
        duration,
        option::of(text()),
        option::of(text()),
        option::of(1..u32::MAX),
    );
    parts.prop_map(|(name, outcome, duration, message, file, line)| CaseResult {
        name,
        outcome,
        duration,
        message,
        file,
        line,
    })
}

fn stored(path: &str, tail: String) -> StoredFile {
    let mut result = FileResult::bare(FileOutcome::Failed);
    result.stderr_tail = tail;
    StoredFile {
        row: FileRow {
            job: JobId::new("j").unwrap(),
            index: 0,
            path: path.to_owned(),
            state: FileState::Done,
            attempt: Attempt(2),
            num: Some(Num(0)),
            token: None,
            drone: None,
            outcome: Some(FileOutcome::Failed),
            bad: 1,
            lost: 0,
            expect: None,
            failed_before: false,
        },
        at: Some(Timestamp(1)),
        result: Some(result),
    }
}

proptest! {
    #[test]
    fn the_report_is_read_again(cases in vec(case(), 0..8), path in "[a-z]{1,8}/[a-z.]{1,8}", tail in text()) {
        let mut report = Report::new("o/n");
        report.add_test_suite(suite(&stored(&path, tail), &cases));
        let xml = report.to_string().unwrap();
        let ended = Ended {
            code: 1,
            signal: None,
            timed_out: false,
            cancelled: false,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: 0,
            stderr_tail: String::new(),
        };
        let reader = Runner::named("vitest").unwrap();
        let read = reader.judge(&path, &[], xml.as_bytes(), ended, &Mask::default());
        prop_assert_eq!(&read.warnings, &[] as &[String], "{}", xml);
        let outcomes: Vec<_> = read.cases.iter().map(|case| case.outcome).collect();
        let mut expected: Vec<_> = cases.iter().map(|case| match case.outcome {
            // JUnit has no words for these.
            CaseOutcome::XPassed => CaseOutcome::Passed,
            CaseOutcome::XFailed => CaseOutcome::Skipped,
            outcome => outcome,
        }).collect();
        if !cases.iter().any(|case| case.outcome.is_bad()) {
            expected.push(CaseOutcome::Failed);
        }
        prop_assert_eq!(outcomes, expected, "{}", xml);
        for (case, read) in cases.iter().zip(&read.cases) {
            // The writer takes whole escape sequences out, letters and all.
            if !case.name.contains('\u{1b}') {
                let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
                let name = letters(&case.name);
                prop_assert!(letters(&read.name).contains(&name), "{:?} is read as {:?}", case.name, read.name);
            }
        }
    }
}
