//! Following over connections that break, against a queen that says what the test wants.

use super::*;
use crate::cli::Global;
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Streams to give, one a connection, and what was asked.
#[derive(Clone, Default)]
struct Fake {
    streams: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    view: Arc<Mutex<Value>>,
}

fn event(seq: u64, kind: &str, args: Value) -> String {
    let mut all = vec![json!("j")];
    all.extend(args.as_array().unwrap().iter().cloned());
    format!(
        "data: {}\n\n",
        json!({"seq": seq, "at": seq, "type": kind, "args": all})
    )
}

fn view(state: &str, last_seq: u64) -> Value {
    json!({
        "id": "j", "project": "a/b", "state": state, "job_type": "TEST", "branch": null, "commit": null, "repo": null,
        "trigger": {"type": "manual", "timestamp": 1}, "user_id": null, "priority": 0, "labels": [], "attempt": 1,
        "submitted": 1, "started": 2, "finished": 3, "test_code": 0, "deploy_code": null, "error": null,
        "cancel_reason": null, "runner": null, "files_total": 0, "files_done": 0, "files_bad": 0, "rerun_of": null,
        "last_seq": last_seq,
    })
}

async fn serve(fake: Fake) -> Client {
    let events = async |State(fake): State<Fake>, Query(query): Query<HashMap<String, String>>| {
        fake.asked.lock().unwrap().push(query["from"].clone());
        let mut streams = fake.streams.lock().unwrap();
        if streams.is_empty() {
            String::new()
        } else {
            streams.remove(0)
        }
    };
    let view = async |State(fake): State<Fake>| axum::Json(fake.view.lock().unwrap().clone());
    let router = Router::new()
        .route("/api/v1/jobs/j/events", get(events))
        .route("/api/v1/jobs/j", get(view))
        .with_state(fake);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::new(&url, None).unwrap()
}

async fn follow_it(fake: Fake) -> (Result<End, Failure>, Progress) {
    let client = serve(fake).await;
    let global = Global {
        queen: None,
        token: None,
        token_file: None,
        json: true,
        no_color: true,
        config: None,
    };
    let mut screen = Screen::new(&global, true);
    let mut progress = Progress::default();
    let mut interrupts = Interrupts::listen().unwrap();
    let job = JobId::new("j").unwrap();
    let following = follow(
        &client,
        &job,
        &mut progress,
        &mut screen,
        &mut interrupts,
        OnInterrupt::Leave,
    );
    let end = tokio::time::timeout(Duration::from_secs(30), following)
        .await
        .expect("following ends");
    (end, progress)
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_where_it_broke() {
    let fake = Fake::default();
    *fake.view.lock().unwrap() = view("passed", 4);
    *fake.streams.lock().unwrap() = vec![
        event(1, "job:queued", json!([1])) + &event(2, "job:started", json!([2, "d"])),
        // What was said before may come again.
        event(2, "job:started", json!([2, "d"])) + &event(3, "job:tested", json!([0, 3])),
        event(4, "job:done", json!([4])),
    ];
    let (end, progress) = follow_it(fake.clone()).await;
    assert!(matches!(end, Ok(End::Over(view)) if view.id == "j"));
    assert_eq!((progress.last, progress.test_code), (Seq(4), Some(0)));
    assert_eq!(*fake.asked.lock().unwrap(), ["1", "3", "4"]);
}

#[tokio::test]
async fn a_job_that_is_over_needs_no_last_word() {
    let fake = Fake::default();
    *fake.view.lock().unwrap() = view("cancelled", 1);
    *fake.streams.lock().unwrap() = vec![event(1, "job:queued", json!([1]))];
    let (end, _) = follow_it(fake).await;
    assert!(matches!(end, Ok(End::Over(view)) if view.state == shared::JobState::Cancelled));
}

#[tokio::test]
async fn an_answer_that_is_no_queens_ends_it() {
    let fake = Fake::default();
    *fake.view.lock().unwrap() = json!("no job");
    let (end, _) = follow_it(fake).await;
    assert!(end.is_err());
}
