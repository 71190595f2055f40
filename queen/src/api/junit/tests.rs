//! Whatever cases are called and say, the report is XML, and a reader of JUnit finds them all in it.

use super::*;
use drone::{
    process::{Ended, Mask},
    runner::Runner,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use scheduler::{FileRow, FileState, JobRow};
use serde_json::json;
use shared::{Attempt, JobData, JobId, Num, Seq, Timestamp, protocol::event::JobError};

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
            quarantined: false,
            part: None,
        },
        at: Some(Timestamp(1)),
        result: Some(result),
    }
}

proptest! {
    #[test]
    fn the_report_is_read_again(cases in vec(case(), 0..8), path in "[a-z]{1,8}/[a-z.]{1,8}", tail in text()) {
        let mut report = Report::new("o/n");
        report.add_test_suite(suite(&stored(&path, tail), &cases, &[]));
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
        let reader = Runner::named("phpunit").unwrap();
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

fn said(name: &str, outcome: CaseOutcome, message: &str) -> CaseResult {
    CaseResult {
        name: name.into(),
        outcome,
        duration: Some(2.0),
        message: Some(message.into()),
        file: None,
        line: None,
    }
}

fn xml(suite: TestSuite) -> String {
    let mut report = Report::new("o/n");
    report.add_test_suite(suite);
    report.to_string().unwrap()
}

fn ended(outcome: FileOutcome) -> StoredFile {
    let mut file = stored("t.py", String::new());
    file.row.outcome = Some(outcome);
    file
}

#[test]
fn earlier_attempts_are_told_as_surefire_tells_them() {
    let failed = |cases: Vec<CaseResult>| Earlier {
        result: FileResult {
            exit: Some(3),
            stderr_tail: "no case said why".into(),
            ..FileResult::bare(FileOutcome::Failed)
        },
        cases,
    };
    let bad = |message: &str| {
        vec![
            said("a", CaseOutcome::Failed, message),
            said("b", CaseOutcome::Passed, ""),
        ]
    };
    let passed = [said("a", CaseOutcome::Passed, ""), said("b", CaseOutcome::Passed, "")];
    let flaky = xml(suite(
        &ended(FileOutcome::Flaky),
        &passed,
        &[failed(bad("why\nat line 3"))],
    ));
    assert!(
        flaky.contains("tests=\"2\" skipped=\"0\" failures=\"0\" errors=\"0\""),
        "{flaky}"
    );
    let told = "<flakyFailure time=\"0.002\" message=\"why\" type=\"failed\">";
    assert!(
        flaky.contains(told) && flaky.contains("<stackTrace>why\nat line 3</stackTrace>"),
        "{flaky}"
    );
    assert_eq!(
        flaky.matches("flakyFailure").count(),
        2,
        "only the case that failed is flaky: {flaky}"
    );

    let again = xml(suite(
        &ended(FileOutcome::Failed),
        &bad("at last"),
        &[failed(bad("at first"))],
    ));
    assert!(
        again.contains("<failure message=\"at last\" type=\"failed\">at last</failure>"),
        "{again}"
    );
    assert!(
        again.contains("<rerunFailure time=\"0.002\" message=\"at first\" type=\"failed\">"),
        "{again}"
    );

    // An attempt of which no case of the last one tells.
    let silent = xml(suite(&ended(FileOutcome::Flaky), &passed, &[failed(Vec::new())]));
    assert!(
        silent.contains("<testcase name=\"t.py\" classname=\"t.py\"") && silent.contains("message=\"exit code 3\""),
        "{silent}"
    );
    assert!(silent.contains("<stackTrace>no case said why</stackTrace>"), "{silent}");
}

#[test]
fn what_was_not_run_is_skipped_and_the_job_says_why() {
    let mut file = ended(FileOutcome::NotRun);
    (file.row.num, file.result) = (None, None);
    let report = xml(suite(&file, &[], &[]));
    assert!(
        report.contains("tests=\"1\" skipped=\"1\"") || report.contains("skipped=\"1\""),
        "{report}"
    );
    assert!(
        report.contains("message=\"this file was not run: the job ended first\" type=\"notrun\""),
        "{report}"
    );

    let mut row = JobRow::new(JobId::new("j").unwrap());
    let job = |row: &JobRow| {
        let data = json!({"project": "o/n", "trigger": {"type": "manual", "timestamp": 1}});
        StoredJob {
            data: JobData::parse(&data.to_string()).unwrap(),
            submitted: Timestamp(1),
            row: row.clone(),
            last_seq: Seq(1),
            digest: [0; 32],
            log_removed: None,
        }
    };
    let told = |row: &JobRow| whole(&job(row)).map(xml).unwrap_or_default();
    row.state = JobState::Passed;
    assert_eq!(told(&row), "");
    (row.state, row.cancel) = (JobState::Cancelled, Some("enough".into()));
    assert!(
        told(&row).contains("<error message=\"cancelled: enough\" type=\"cancelled\">"),
        "{}",
        told(&row)
    );
    (row.state, row.error) = (JobState::Errored, Some(JobError::new("source", "no such branch")));
    assert!(
        told(&row).contains("<error message=\"source: no such branch\" type=\"errored\">"),
        "{}",
        told(&row)
    );
    (row.state, row.error, row.test_code) = (JobState::Failed, None, Some(4));
    assert!(
        told(&row).contains("a command before the tests ended with code 4"),
        "{}",
        told(&row)
    );
    row.deploy_code = Some(9);
    assert!(told(&row).contains("the deploy ended with code 9"), "{}", told(&row));
    (row.deploy_code, row.files_bad) = (None, 1);
    assert_eq!(told(&row), "", "a file says it");
}
