//! A project's trend, badge and files, and the fleet at a glance.

use super::*;
use harness::http::Request;

/// Runs a job of one file on `branch`; answers its id.
async fn run(queen: &Queen, drone: &mut FakeDrone, project: &str, branch: &str, outcome: &str) -> String {
    let id = queen
        .submit(json!({"project": project, "ref": {"branch": branch}}))
        .await;
    let mut work = drone.take(&["a.sh"]).await;
    let file = drone.begin(&mut work).await;
    drone.end(&work, file, outcome, json!([]), json!({})).await;
    drone.finish(&work).await;
    ended(queen, &id).await;
    id
}

async fn cancelled(queen: &Queen, branch: &str) -> String {
    let id = queen
        .submit(json!({"ref": {"branch": branch}, "labels": ["gpu"]}))
        .await;
    queen.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).await;
    ended(queen, &id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trend_tells_the_jobs_that_have_ended_oldest_first() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let passed = run(&queen, &mut drone, "acme/site", "main", "passed").await;
    let failed = run(&queen, &mut drone, "acme/site", "topic", "failed").await;
    let stopped = cancelled(&queen, "main").await;
    run(&queen, &mut drone, "acme/other", "main", "passed").await;
    queen.submit(json!({"job_id": "again"})).await;
    let mut work = drone
        .take_with(&["a.sh", "b.sh"], json!({"runner": "command", "retries": 1}))
        .await;
    let mut tried = std::collections::HashMap::new();
    for _ in 0..3 {
        let (num, path) = drone.begin(&mut work).await;
        let attempt = tried.entry(path.clone()).or_insert(0);
        *attempt += 1;
        let outcome = if path == "a.sh" && *attempt == 1 {
            "failed"
        } else {
            "passed"
        };
        let result = json!({"outcome": outcome, "exit": i32::from(outcome == "failed"), "duration": 5.0});
        let args = json!([work.job, num, path, *attempt, result]);
        drone.say("job:file:done", args).await;
    }
    drone.finish(&work).await;
    assert_eq!(ended(&queen, "again").await, "passed");
    queen.submit(json!({"job_id": "waits", "labels": ["gpu"]})).await;

    let trend = async |query: &str| {
        let reply = queen.get(&format!("/api/v1/projects/acme/site/trend{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let jobs = reply.json()["jobs"].as_array().unwrap().clone();
        let told = |job: &Value| {
            let text = |key: &str| job[key].as_str().unwrap().to_owned();
            let number = |key: &str| job[key].as_u64().unwrap();
            (
                text("id"),
                text("state"),
                number("files"),
                number("bad"),
                number("flaky"),
            )
        };
        (jobs.iter().map(told).collect::<Vec<_>>(), jobs)
    };
    let row = |id: &str, state: &str, files, bad, flaky| (id.to_owned(), state.to_owned(), files, bad, flaky);
    let all = [
        row(&passed, "passed", 1, 0, 0),
        row(&failed, "failed", 1, 1, 0),
        row(&stopped, "cancelled", 0, 0, 0),
        row("again", "passed", 2, 0, 1),
    ];
    let (told, jobs) = trend("").await;
    assert_eq!(told, all);
    assert!(
        jobs[0]["duration"].is_u64() && jobs[0]["submitted"].is_i64(),
        "{}",
        jobs[0]
    );
    assert_eq!(jobs[2]["duration"], Value::Null, "it never started");
    assert_eq!(trend("?limit=2").await.0, all[2..], "the newest ones");
    assert_eq!(trend("?branch=topic").await.0, all[1..2]);
    assert_eq!(trend("?branch=").await.0, all);
    assert_eq!(trend("?branch=none").await.0, []);

    let project = queen.get("/api/v1/projects/acme/site").await.json();
    let paths = |key: &str| {
        let files = project[key].as_array().unwrap().iter();
        files.map(|file| file["path"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(paths("flaky"), ["a.sh"], "{project}");
    assert_eq!(paths("slowest"), paths("files"));
    let brief = queen.get("/api/v1/projects/acme/site?files=false").await.json();
    assert!(
        brief.get("files").is_none() && brief["slowest"] == project["slowest"],
        "{brief}"
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_shows_how_the_newest_job_ended_and_others_words_as_text() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let badge = async |query: &str| {
        let reply = queen.get(&format!("/api/v1/projects/acme/site/badge.svg{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.header("content-type"), "image/svg+xml");
        assert_eq!(reply.header("cache-control"), "no-cache");
        assert_eq!(reply.header("cross-origin-resource-policy"), "cross-origin");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        reply.body
    };
    let waits = queen.submit(json!({"labels": ["gpu"]})).await;
    assert!(badge("").await.contains(">no result<"));
    queen.post(&format!("/api/v1/jobs/{waits}/cancel"), &json!({})).await;
    run(&queen, &mut drone, "acme/site", "main", "passed").await;
    run(&queen, &mut drone, "acme/site", "topic", "failed").await;
    cancelled(&queen, "topic").await;
    assert!(badge("").await.contains("<title>acme/site: tests failed</title>"));
    assert!(
        badge("?branch=main")
            .await
            .contains("<title>acme/site main: tests passed</title>")
    );
    let evil = badge("?branch=%3Cscript%3Ealert(1)%3C/script%3E%22%20onload=%22x%1b%00").await;
    assert!(
        evil.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&quot;x: tests no result"),
        "{evil}"
    );
    assert!(
        !evil.contains("<script") && !evil.contains('\u{1b}') && !evil.contains('\0'),
        "{evil}"
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_below_a_project_refuse_what_they_do_not_take() {
    let queen = Queen::start().await;
    queen.submit(json!({"labels": ["gpu"]})).await;
    for (path, status, kind, message) in [
        (
            "acme/site/trend?limit=0",
            400,
            "bad-query",
            "limit is 0: choose 1 to 500",
        ),
        ("acme/site/trend?limit=501", 400, "bad-query", "choose 1 to 500"),
        (
            "acme/site/trend?path=x",
            400,
            "bad-query",
            "a trend takes no path: …/history takes path",
        ),
        (
            "acme/site/badge.svg?limit=3",
            400,
            "bad-query",
            "a badge takes no limit",
        ),
        ("acme/site?branch=x", 400, "bad-query", "a project takes no branch"),
        (
            "acme/site/history?path=x&branch=y",
            400,
            "bad-query",
            "a file's history takes no branch",
        ),
        ("acme/site/trend?colour=x", 400, "bad-query", "unknown field `colour`"),
        ("no/body/trend", 404, "not-found", "there is no project no/body"),
        ("no/body/badge.svg", 404, "not-found", "there is no project no/body"),
        ("acme/trend", 404, "not-found", "there is no project acme/trend"),
    ] {
        let reply = queen.get(&format!("/api/v1/projects/{path}")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        let (found, why) = reply.error();
        assert!(found == kind && why.contains(message), "{path}: {why}");
    }
    // A project may have such a name.
    queen
        .submit(json!({"project": "acme/site/trend", "labels": ["gpu"]}))
        .await;
    let named = queen.get("/api/v1/projects/acme/site/trend").await.json();
    assert_eq!(named["project"], "acme/site/trend");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_tells_its_last_hour_also_after_a_restart() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 3).await;
    let fleet = async |queen: &Queen| queen.get("/api/v1/fleet").await.json();
    let sum = |fleet: &Value| {
        let minutes = fleet["throughput"].as_array().unwrap();
        assert_eq!(minutes.len(), 60);
        for pair in minutes.windows(2) {
            assert_eq!(pair[1][0].as_i64().unwrap() - pair[0][0].as_i64().unwrap(), 60_000);
        }
        assert_eq!(minutes[0][0].as_i64().unwrap() % 60_000, 0);
        minutes.iter().map(|minute| minute[1].as_u64().unwrap()).sum::<u64>()
    };
    queen.submit(json!({"job_id": "waits", "labels": ["gpu"]})).await;
    queen.submit(json!({"job_id": "runs"})).await;
    let mut work = drone.take(&["a.sh", "b.sh", "c.sh"]).await;
    let first = drone.begin(&mut work).await;
    let second = drone.begin(&mut work).await;
    let num = second.0;
    drone.end(&work, first, "passed", json!([]), json!({})).await;
    drone.begin(&mut work).await;
    let mut live = harness::live::Live::open(&queen).await;
    live.say("subscribe", json!([{"topic": "drones"}])).await;
    // Everything that the drone has said is in when its last word is told.
    let (mut shown, mut running) = (Value::Null, Vec::new());
    while running.len() < 2 || running.iter().any(|slot: &Value| slot["since"].is_null()) {
        shown = live.until("drone:changed").await.pop().unwrap()["args"][0].clone();
        running = shown["running"].as_array().unwrap().clone();
    }
    assert_eq!(shown["id"], "fake");
    let told = |slot: &Value| (slot["job"].clone(), slot["path"].clone(), slot["attempt"].clone());
    assert_eq!(told(&running[0]), (json!("runs"), json!(second.1), json!(1)), "{shown}");
    assert_eq!(running[0]["num"], num);
    let listed = queen.get("/api/v1/drones/fake").await.json();
    assert_eq!(listed["running"], shown["running"]);

    let now = fleet(&queen).await;
    assert_eq!(sum(&now), 1);
    assert_eq!(
        (&now["slots"], &now["busy"], &now["running"], &now["waiting"]),
        (&json!(3), &json!(2), &json!(1), &json!(1))
    );
    drop((live, drone));
    let dir = queen.stop().await;
    let queen = Queen::start_with(|config| config.data = dir.path().join("queen")).await;
    let again = fleet(&queen).await;
    assert_eq!(sum(&again), 1, "{again}");
    assert_eq!((&again["slots"], &again["running"]), (&json!(0), &json!(1)));
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_sees_all_of_it_and_nobody_else() {
    let queen = Queen::start_with(|config| config.require_token = true).await;
    let mut tokens = vec![None];
    for role in [queen::store::AccessRole::Read, queen::store::AccessRole::Drone] {
        tokens.push(Some(access::token(&queen, role).await));
    }
    for path in [
        "/api/v1/fleet",
        "/api/v1/jobs/x/cases",
        "/api/v1/jobs/x/compare",
        "/api/v1/projects/a/b/trend",
        "/api/v1/projects/a/b/badge.svg",
    ] {
        let found = if path.ends_with("fleet") { 200 } else { 404 };
        for (token, status) in tokens.iter().zip([401, found, 403]) {
            let request = Request::new("GET", path);
            let request = match token {
                Some(token) => request.token(token),
                None => request,
            };
            assert_eq!(queen.send(request).await.status, status, "{path} with {token:?}");
        }
    }
    queen.stop().await;
}
