//! The stream of every kind of job, held against the grammar and an outline.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fleet;
mod grammar;
mod harness;

#[path = "flow/again.rs"]
mod again;
#[path = "flow/hooks.rs"]
mod hooks;

use fleet::{Fleet, suite};
use serde_json::{Value, json};

const SETTINGS: &str = "[prepare]\nrun = 'echo prepared'\n[deploy]\nrun = ['echo deploying', './deploy.sh']\n[cleanup]\nrun = 'echo cleaned'\n";

struct Case {
    settings: String,
    scripts: Vec<(&'static str, &'static str)>,
    job: Value,
    state: &'static str,
    outline: &'static str,
}

fn case(job_type: &str, state: &'static str, outline: &'static str) -> Case {
    Case {
        settings: SETTINGS.replace("./deploy.sh", "true"),
        scripts: vec![("a", "echo one"), ("b", "echo two")],
        job: json!({"job_type": job_type}),
        state,
        outline,
    }
}

async fn holds(case: Case) -> Vec<Value> {
    let fleet = Fleet::with_drone().await;
    let repo = suite(&fleet.dir.path().join("repo"), &case.settings, &case.scripts);
    let job = fleet.submit(&repo, case.job).await;
    let events = fleet.finished(&job).await;
    let outline = grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
    assert_eq!(outline.join(", "), case.outline, "{events:#?}");
    assert_eq!(fleet.state(&job).await, case.state);
    fleet.stop().await;
    events
}

macro_rules! outline {
    ($($rest:literal),*) => {
        concat!("queued, started, environment start, environment done 0, prepare start, ", $($rest),*)
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_job_that_passes() {
    let events = holds(case(
        "TEST",
        "passed",
        outline!("prepare done 0, test start, files, test done 0, tested 0, cleanup start, cleanup done 0, done"),
    ))
    .await;
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "job:cmd:stdout")
        .map(|event| event["args"][2].as_str().unwrap())
        .collect();
    for said in ["prepared\n", "one\n", "two\n", "cleaned\n"] {
        assert!(text.contains(said), "{said:?} is missing in {text:?}");
    }
    assert!(!text.contains("deploying"), "a TEST job does not deploy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails() {
    let mut case = case(
        "TEST&DEPLOY",
        "failed",
        outline!("prepare done 0, test start, files, test done 1, tested 1, cleanup start, cleanup done 0, done"),
    );
    case.scripts.push(("c", "echo broken >&2; exit 3"));
    let events = holds(case).await;
    let bad: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "job:file:done" && event["args"][4]["outcome"] == "failed")
        .collect();
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0]["args"][4]["exit"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_job() {
    holds(case(
        "DEPLOY",
        "passed",
        outline!("prepare done 0, deploy start, deploy done 0, deployed 0, cleanup start, cleanup done 0, done"),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_and_then_a_deploy() {
    holds(case(
        "TEST&DEPLOY",
        "passed",
        outline!(
            "prepare done 0, test start, files, test done 0, tested 0, deploy start, deploy done 0, deployed 0, ",
            "cleanup start, cleanup done 0, done"
        ),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_fails() {
    let mut case = case(
        "TEST&DEPLOY",
        "failed",
        outline!(
            "prepare done 0, test start, files, test done 0, tested 0, deploy start, deploy done 9, deployed 9, ",
            "cleanup start, cleanup done 0, done"
        ),
    );
    case.settings = SETTINGS.replace("./deploy.sh", "exit 9");
    holds(case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preparation_that_fails() {
    let mut case = case(
        "TEST",
        "failed",
        outline!("prepare done 4, cleanup start, cleanup done 0, done"),
    );
    case.settings = SETTINGS.replace("echo prepared", "exit 4");
    let events = holds(case).await;
    assert!(!events.iter().any(|event| event["type"] == "job:file:start"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_settings_are_wrong_is_errored() {
    let mut case = case(
        "TEST",
        "errored",
        outline!("prepare done null, cleanup start, cleanup done 0, errored settings, done"),
    );
    case.settings = "[test]\nruner = 'x'\n".into();
    let events = holds(case).await;
    let error = events.iter().find(|event| event["type"] == "job:errored").unwrap();
    let message = error["args"][1]["message"].as_str().unwrap();
    assert!(message.contains("did you mean \"runner\"?"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_cleans_up() {
    let fleet = Fleet::with_drone().await;
    let repo = suite(
        &fleet.dir.path().join("repo"),
        SETTINGS,
        &[("slow", "echo begun; exec sleep 600")],
    );
    let job = fleet.submit(&repo, json!({})).await;
    fleet.event(&job, "job:cmd:stdout").await;
    fleet.event(&job, "job:file:start").await;
    fleet.context.engine.cancel(job.clone(), "enough".into()).await.unwrap();
    let events = fleet.finished(&job).await;
    let outline = grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
    assert_eq!(
        outline[outline.len() - 4..].join(", "),
        "cleanup start, cleanup done 0, cancelled, done",
        "{events:#?}"
    );
    assert_eq!(fleet.state(&job).await, "cancelled");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_source_runs_what_its_config_says() {
    let fleet = Fleet::with_drone().await;
    let job = shared::JobData::parse(
        &json!({
            "project": "test/bare",
            "job_type": "DEPLOY",
            "trigger": {"type": "manual", "timestamp": 1},
            "config": {"deploy": {"run": "echo from nowhere"}},
        })
        .to_string(),
    )
    .unwrap();
    let job = fleet.context.engine.submit(job).await.unwrap().job;
    let events = fleet.finished(&job).await;
    grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
    assert_eq!(fleet.state(&job).await, "passed");
    fleet.stop().await;
}
