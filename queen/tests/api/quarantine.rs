//! A project's quarantine: what it changes for a job, what the list tells, who may, and what is refused.

use super::*;
use harness::http::{Reply, Request};
use queen::store::{AccessRole, Quarantine};
use shared::Timestamp;

const PLACE: &str = "/api/v1/projects/acme/site/quarantine";

async fn put(queen: &Queen, path: &str, reason: &str) -> Reply {
    let request = Request::new("PUT", &format!("{PLACE}?path={path}"));
    queen.send(request.body(json!({"reason": reason}).to_string())).await
}

async fn lift(queen: &Queen, path: &str) -> Reply {
    queen
        .send(Request::new("DELETE", &format!("{PLACE}?path={path}")))
        .await
}

/// Runs a job of one file that ends like this, attempt by attempt; answers its id and how it ended.
async fn run(queen: &Queen, drone: &mut FakeDrone, outcomes: &[&str]) -> (String, String) {
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh", "b.sh"]).await;
    let mut left = outcomes.iter();
    for _ in 0..=outcomes.len() {
        let (num, path) = drone.begin(&mut work).await;
        let outcome = if path == "a.sh" { left.next().unwrap() } else { "passed" };
        let attempt = outcomes.len() - left.len();
        drone.say("job:cmd:done", json!([id, num, 0, 12])).await;
        let result = json!({"outcome": outcome, "exit": 0, "duration": 5.0});
        let attempt = if path == "a.sh" { attempt } else { 1 };
        drone
            .say("job:file:done", json!([id, num, path, attempt, result]))
            .await;
    }
    drone.finish(&work).await;
    let state = ended(queen, &id).await;
    (id, state)
}

async fn told(queen: &Queen, id: &str) -> Vec<Value> {
    let events = stored(queen, id).await;
    let told = events.iter().filter(|event| event["type"] == "job:quarantine");
    told.map(|event| event["args"][1].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_under_quarantine_is_tried_again_and_a_consistent_one_is_never_hidden() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let (first, state) = run(&queen, &mut drone, &["failed"]).await;
    assert_eq!(state, "failed", "nothing is tried again by itself");
    assert_eq!(told(&queen, &first).await, Vec::<Value>::new());
    let started = queen::clock::now().0;
    assert_eq!(put(&queen, "a.sh", "  races with the clock ").await.status, 204);

    let (id, state) = run(&queen, &mut drone, &["failed", "failed", "passed"]).await;
    assert_eq!(state, "passed", "two more tries, and the last one passes");
    assert_eq!(told(&queen, &id).await, [json!(["a.sh"])]);
    let files = queen.get(&format!("/api/v1/jobs/{id}/files")).await.json();
    let (a, b) = (&files[0], &files[1]);
    assert_eq!(
        (&a["path"], &a["outcome"], &a["quarantined"]),
        (&json!("a.sh"), &json!("flaky"), &json!(true))
    );
    assert!(b.get("quarantined").is_none(), "{b}");

    let (id, state) = run(&queen, &mut drone, &["failed", "timedout", "failed"]).await;
    assert_eq!(state, "failed", "it fails each time");
    let job = queen.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!((&job["files_bad"], &job["test_code"]), (&json!(1), &json!(1)), "{job}");

    let (_, state) = run(&queen, &mut drone, &["passed"]).await;
    assert_eq!(state, "passed");
    let list = queen.get(PLACE).await.json();
    let file = &list[0];
    assert_eq!(
        (&file["path"], &file["reason"], &file["by"]),
        (&json!("a.sh"), &json!("races with the clock"), &Value::Null),
        "{list}"
    );
    let runs = file["runs"].as_array().unwrap();
    let outcomes: Vec<_> = runs.iter().map(|run| run["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        outcomes,
        [
            "passed", "failed", "timedout", "failed", "flaky", "failed", "failed", "failed"
        ]
    );
    assert_eq!(file["failed_at"], runs[1]["at"], "when it failed last");
    assert!(file["since"].as_i64().unwrap() >= started, "{file}");

    assert_eq!(put(&queen, "a.sh", "ticket 7").await.status, 204);
    let again = queen.get(PLACE).await.json();
    assert_eq!(
        (&again[0]["reason"], &again[0]["since"]),
        (&json!("ticket 7"), &file["since"])
    );
    assert_eq!(lift(&queen, "a.sh").await.status, 204);
    assert_eq!(queen.get(PLACE).await.json(), json!([]));
    let (_, state) = run(&queen, &mut drone, &["failed"]).await;
    assert_eq!(state, "failed", "it counts at once");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_on_after_a_restart_still_knows_what_is_under_quarantine() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    run(&queen, &mut drone, &["passed"]).await;
    assert_eq!(put(&queen, "a.sh", "chance").await.status, 204);
    let id = queen.submit(json!({"labels": ["fake"]})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let file = drone.begin(&mut work).await;
    drone.end(&work, file, "failed", json!([]), json!({})).await;
    drone.acked().await;
    drop(drone);
    let dir = queen.stop().await;
    let queen = Queen::start_with(|config| config.data = dir.path().join("queen")).await;
    let files = queen.get(&format!("/api/v1/jobs/{id}/files")).await.json();
    assert_eq!(
        (&files[0]["quarantined"], &files[0]["outcome"]),
        (&json!(true), &Value::Null),
        "{files}"
    );
    let list = queen.get(PLACE).await.json();
    assert_eq!(list[0]["reason"], "chance");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_refuses_what_makes_no_sense_and_says_what_to_do() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    run(&queen, &mut drone, &["passed"]).await;
    let (why, long) = (
        json!({"reason": "x"}).to_string(),
        json!({"reason": "ü".repeat(501)}).to_string(),
    );
    #[rustfmt::skip]
    let table = [
        ("GET", "no/body/quarantine", "", 404, "not-found", "there is no project no/body"),
        ("GET", "acme/site/quarantine?path=a.sh", "", 400, "bad-query", "a quarantine takes no path"),
        ("PUT", "no/body/quarantine?path=a.sh", &why, 404, "not-found", "there is no project no/body"),
        ("PUT", "acme/site?path=a.sh", &why, 404, "not-found", "PUT and DELETE …/quarantine?path=FILE"),
        ("PUT", "one/quarantine?path=a.sh", &why, 400, "bad-query", "use owner/name"),
        ("PUT", "acme/site/quarantine", &why, 400, "bad-query", "missing field `path`"),
        ("PUT", "acme/site/quarantine?path=a.sh&x=1", &why, 400, "bad-query", "unknown field `x`"),
        ("PUT", "acme/site/quarantine?path=c.sh", &why, 422, "unknown-file", "no test file \"c.sh\" of acme/site has run: GET /api/v1/projects/acme/site lists"),
        ("PUT", "acme/site/quarantine?path=a.sh", "{\"reason\": \" \"}", 422, "bad-body", "reason must have 1 to 500 characters: say why"),
        ("PUT", "acme/site/quarantine?path=a.sh", &long, 422, "bad-body", "reason must have 1 to 500 characters"),
        ("PUT", "acme/site/quarantine?path=a.sh", "", 422, "bad-body", "missing field `reason`"),
        ("PUT", "acme/site/quarantine?path=a.sh", "{\"why\": 1}", 422, "bad-body", "unknown field `why`"),
        ("POST", "acme/site/quarantine?path=a.sh", &why, 405, "method-not-allowed", "does not take POST"),
        ("DELETE", "no/body/quarantine?path=a.sh", "", 404, "not-found", "there is no project no/body"),
        ("DELETE", "acme/site?path=a.sh", "", 404, "not-found", "nothing is changed at"),
        ("DELETE", "acme/site/quarantine?path=a.sh", "", 404, "not-found", "\"a.sh\" of acme/site is not under quarantine: GET /api/v1/projects/acme/site/quarantine lists"),
    ];
    for (method, path, body, status, kind, message) in table {
        let request = Request::new(method, &format!("/api/v1/projects/{path}"));
        let reply = queen.send(request.body(body.as_bytes())).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        let (found, why) = reply.error();
        assert!(found == kind && why.contains(message), "{method} {path}: {why}");
    }
    let site = "acme/site".parse().unwrap();
    for n in 0..queen::api::quarantine::LIMIT {
        let entry = Quarantine {
            path: format!("t/{n}.sh"),
            reason: "chance".into(),
            who: None,
            since: Timestamp(1),
        };
        queen
            .context
            .store
            .put_in_quarantine(&site, &entry, usize::MAX)
            .await
            .unwrap();
    }
    let full = put(&queen, "a.sh", "chance").await;
    assert_eq!(
        (full.status, full.error().0.as_str()),
        (409, "quarantine-full"),
        "{}",
        full.body
    );
    assert!(
        full.error()
            .1
            .contains("acme/site has 1000 files under quarantine, which is the most: lift some")
    );
    assert_eq!(lift(&queen, "t/7.sh").await.status, 204);
    assert_eq!(put(&queen, "a.sh", "chance").await.status, 204);
    assert_eq!(queen.get(PLACE).await.json().as_array().unwrap().len(), 1_000);

    // A project may have such a name; its own quarantine is one part further.
    queen
        .submit(json!({"project": "acme/site/quarantine", "labels": ["gpu"]}))
        .await;
    assert_eq!(queen.get(PLACE).await.json()["project"], "acme/site/quarantine");
    let own = queen.get(&format!("{PLACE}/quarantine")).await.json();
    assert_eq!(own, json!([]));
    assert_eq!(
        lift(&queen, "a.sh").await.status,
        204,
        "what is changed is never that project"
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_makes_jobs_may_put_files_there_and_is_named() {
    let queen = Queen::start_with(|config| config.require_token = true).await;
    let mut tokens = Vec::new();
    for role in [
        AccessRole::Drone,
        AccessRole::Read,
        AccessRole::Trigger,
        AccessRole::Admin,
    ] {
        tokens.push(access::token(&queen, role).await);
    }
    let submit = Request::new("POST", "/api/v1/jobs").token(&tokens[2]);
    let submitted = queen
        .send(submit.body(harness::job(json!({"job_id": "j"})).to_string()))
        .await;
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let mut result = shared::outcome::FileResult::bare(shared::outcome::FileOutcome::Passed);
    result.duration = 5.0;
    let learned = queen::store::AttemptResult {
        job: "j".parse().unwrap(),
        project: "acme/site".parse().unwrap(),
        num: shared::Num(1),
        path: "a.sh".into(),
        attempt: shared::Attempt(1),
        drone: None,
        at: Timestamp(1),
        normal_duration: None,
        is_part: false,
        result,
    };
    let batch = queen::store::Batch {
        results: vec![learned],
        ..queen::store::Batch::default()
    };
    queen.context.store.commit(batch).await.unwrap();
    let place = format!("{PLACE}?path=a.sh");
    let ask = async |method: &str, token: &str| {
        let request = Request::new(method, &place).token(token);
        queen
            .send(request.body(json!({"reason": "x"}).to_string()))
            .await
            .status
    };
    for (token, statuses) in tokens.iter().zip([[403, 403], [403, 403], [204, 204], [204, 204]]) {
        assert_eq!(ask("PUT", token).await, statuses[0]);
        if statuses[0] == 204 {
            let list = queen.send(Request::new("GET", PLACE).token(&tokens[1])).await.json();
            assert_eq!(list[0]["by"], "test", "what the token is for");
        }
        assert_eq!(ask("DELETE", token).await, statuses[1]);
    }
    queen.stop().await;
}
