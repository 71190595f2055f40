//! Behaviour of the reducer, event by event.

use super::*;
use serde_json::{Value, json};

/// Feeds events numbered from 1, each 10 ms after the one before.
fn feed(progress: &mut Progress, events: &[Value]) -> Vec<News> {
    let mut news = Vec::new();
    for event in events {
        let seq = progress.last.0 + 1;
        let mut event = event.clone();
        event["seq"] = seq.into();
        event["at"] = (1000 + seq * 10).into();
        let line = event.to_string();
        news.extend(progress.on_event(&read_line(&line).unwrap()));
    }
    news
}

fn event(kind: &str, args: Value) -> Value {
    let mut all = vec![json!("j1")];
    all.extend(args.as_array().unwrap().iter().cloned());
    json!({"type": kind, "args": all})
}

fn start(num: u32, path: &str, attempt: u32) -> Value {
    event("job:file:start", json!([num, path, 0, attempt, "d1"]))
}

fn done(num: u32, path: &str, attempt: u32, outcome: &str) -> Value {
    let result = json!({"outcome": outcome, "duration": 30.0, "cases": {"passed": 2, "failed": 1}});
    event("job:file:done", json!([num, path, attempt, result, "d1"]))
}

fn listed(paths: &[&str], retries: u32) -> Value {
    event(
        "job:files",
        json!([paths, null, {"runner": "command", "retries": retries}]),
    )
}

#[test]
fn a_whole_job_adds_up() {
    let mut progress = Progress::default();
    let news = feed(
        &mut progress,
        &[
            event("job:queued", json!([1])),
            event("job:started", json!([2, "d1"])),
            event("job:phase", json!(["test", "start", null, 3, "d1"])),
            event("job:files", json!([["a"], true])),
            listed(&["b", "c"], 0),
            start(1, "a", 1),
            start(2, "b", 1),
            done(1, "a", 1, "passed"),
            done(2, "b", 1, "failed"),
            event("job:tested", json!([1, 5])),
            event("job:done", json!([6])),
        ],
    );
    assert_eq!(
        (progress.total, progress.complete, progress.runner.as_str()),
        (3, true, "command")
    );
    assert_eq!((progress.ended.len(), progress.bad(), progress.not_run()), (2, 1, 1));
    assert_eq!((progress.cases().passed, progress.cases().failed), (4, 2));
    assert!((progress.sum() - 60.0).abs() < 0.001);
    assert_eq!(progress.wall(), 100);
    assert!(progress.done && progress.running.is_empty());
    let kinds: Vec<_> = news.iter().map(std::mem::discriminant).collect();
    let bad = news.iter().find_map(|news| match news {
        News::Bad(bad) => Some(bad.path.as_str()),
        _ => None,
    });
    assert_eq!((kinds.len(), bad), (5, Some("b")));
    assert_eq!(news.last(), Some(&News::Done));
}

#[test]
fn events_that_come_again_count_once() {
    let mut progress = Progress::default();
    feed(
        &mut progress,
        &[listed(&["a", "b"], 0), start(1, "a", 1), done(1, "a", 1, "failed")],
    );
    let mut again = listed(&["a", "b"], 0);
    again["seq"] = 1.into();
    again["at"] = 5.into();
    let line = again.to_string();
    assert_eq!(progress.on_event(&read_line(&line).unwrap()), None);
    assert_eq!((progress.total, progress.bad(), progress.last), (2, 1, Seq(3)));
}

#[test]
fn a_bad_file_with_tries_left_is_not_yet_bad() {
    let mut progress = Progress::default();
    let news = feed(
        &mut progress,
        &[listed(&["a"], 1), start(1, "a", 1), done(1, "a", 1, "failed")],
    );
    assert!(matches!(&news[..], [News::Listed, News::Again(file)] if file.attempt == Attempt(1)));
    assert_eq!((progress.bad(), progress.ended.len()), (0, 0));
    let news = feed(&mut progress, &[start(2, "a", 2), done(2, "a", 2, "flaky")]);
    assert_eq!(news, [News::Flaky("a".into())]);
    assert_eq!((progress.bad(), progress.count(FileOutcome::Flaky)), (0, 1));
}

#[test]
fn the_last_try_makes_it_bad() {
    let mut progress = Progress::default();
    feed(
        &mut progress,
        &[listed(&["a"], 1), start(1, "a", 1), done(1, "a", 1, "failed")],
    );
    let news = feed(&mut progress, &[start(2, "a", 2), done(2, "a", 2, "timedout")]);
    assert!(matches!(&news[..], [News::Bad(_)]));
    assert_eq!(progress.bad(), 1);
}

#[test]
fn the_end_of_the_output_comes_with_a_bad_file() {
    let mut progress = Progress::default();
    let news = feed(
        &mut progress,
        &[
            listed(&["a"], 0),
            start(1, "a", 1),
            event("job:cmd:start", json!([1, "./a", null, {"phase": "test"}])),
            event("job:cmd:stdout", json!([1, "ü".repeat(20_000)])),
            event("job:cmd:stderr", json!([1, "the end\n"])),
            event("job:cmd:done", json!([1, 1, 5])),
            done(1, "a", 1, "failed"),
        ],
    );
    let Some(News::Bad(bad)) = news.last() else {
        panic!("{news:?}")
    };
    assert!(bad.tail.ends_with("üthe end\n"));
    assert!(bad.tail.len() <= 2 * TAIL_LIMIT);
    assert!(progress.commands.is_empty());
}

#[test]
fn a_command_of_a_phase_that_fails_is_news() {
    let mut progress = Progress::default();
    let news = feed(
        &mut progress,
        &[
            event(
                "job:cmd:start",
                json!([0, "make x", "make [secret]", {"phase": "prepare"}]),
            ),
            event("job:cmd:stderr", json!([0, "no rule\n"])),
            event("job:cmd:done", json!([0, 2])),
        ],
    );
    let expected = BadCommand {
        phase: Some(Phase::Prepare),
        command: "make [secret]".into(),
        code: 2,
        tail: "no rule\n".into(),
    };
    assert_eq!(news, [News::Command(expected)]);
}

#[test]
fn a_retry_of_the_job_begins_anew() {
    let mut progress = Progress::default();
    let retry = json!({"attempt": 2, "at": 9, "reason": "1 file failed"});
    let news = feed(
        &mut progress,
        &[
            listed(&["a"], 0),
            done(1, "a", 1, "failed"),
            event("job:tested", json!([1, 5])),
            event("job:retry", json!([retry])),
            listed(&["a"], 0),
            done(2, "a", 1, "passed"),
        ],
    );
    assert!(
        news.iter()
            .any(|news| matches!(news, News::Retried(retry) if retry.attempt == 2))
    );
    assert_eq!((progress.total, progress.bad(), progress.test_code), (1, 0, None));
    assert_eq!(progress.last, Seq(6));
}

#[test]
fn what_is_not_known_changes_nothing() {
    let mut progress = Progress::default();
    let news = feed(
        &mut progress,
        &[
            event("job:of-the-future", json!([1])),
            event("job:files", json!(["not a list"])),
        ],
    );
    assert!(news.is_empty());
    assert_eq!((progress.last, progress.total), (Seq(2), 0));
    assert!(read_line("{}").is_none() && read_line("no json").is_none());
}

#[test]
fn errors_and_cancels_are_told() {
    let mut progress = Progress::default();
    let error = json!({"kind": "no-tests", "message": "nothing matches"});
    let news = feed(
        &mut progress,
        &[event("job:errored", json!([error])), event("job:cancelled", json!([3]))],
    );
    assert_eq!(
        news,
        [
            News::Errored(JobError::new("no-tests", "nothing matches")),
            News::Cancelled
        ]
    );
    assert!(progress.cancelled && progress.error.is_some());
}
