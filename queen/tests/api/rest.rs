//! What the endpoints answer when all is well.

use super::*;
use harness::http::Request;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_taken_run_and_read() {
    let (queen, _drone, id) = with_failed_job().await;
    let job = queen.get(&format!("/api/v1/jobs/{id}")).await.json();
    for (key, value) in [
        ("id", json!("example")),
        ("project", json!("acme/site")),
        ("state", json!("failed")),
        ("files_total", json!(2)),
        ("files_done", json!(2)),
        ("files_bad", json!(1)),
        ("test_code", json!(1)),
        ("runner", json!("command")),
    ] {
        assert_eq!(job[key], value, "{key} of {job}");
    }
    assert!(job.get("now").is_none(), "{job}");

    let files = queen.get(&format!("/api/v1/jobs/{id}/files")).await.json();
    let bad = &files[0];
    assert_eq!((&bad["path"], &bad["outcome"]), (&json!("bad.sh"), &json!("failed")));
    assert_eq!(bad["cases"]["failed"], 1);
    assert_eq!(bad["drone"], "fake");
    let num = bad["num"].as_u64().unwrap();

    let cases = queen.get(&format!("/api/v1/jobs/{id}/files/{num}/cases")).await.json();
    assert_eq!(cases.as_array().unwrap().len(), 3);
    assert_eq!(cases[0]["name"], "adds");
    let same = queen
        .get(&format!("/api/v1/jobs/{id}/files/{num}/cases?attempt=1"))
        .await
        .json();
    assert_eq!(cases, same);

    let xml = queen.get(&format!("/api/v1/jobs/{id}/junit.xml")).await;
    assert!(xml.header("content-type").starts_with("application/xml"));
    for part in [
        "<testsuite name=\"bad.sh\" tests=\"3\"",
        "<testcase name=\"adds\" classname=\"bad.sh\" time=\"0.002\" file=\"bad.sh\" line=\"4\"",
        "<failure message=\"1 + 1 != 3\" type=\"failed\">",
        "<skipped message=\"bug 7\" type=\"xfail\"",
        "<testcase name=\"holds\" classname=\"good.sh\"",
        "<testsuites name=\"acme/site\" tests=\"4\" skipped=\"2\" failures=\"1\" errors=\"0\"",
    ] {
        assert!(xml.body.contains(part), "{part}\n{}", xml.body);
    }

    let projects = queen.get("/api/v1/projects").await.json();
    assert_eq!(projects[0]["project"], "acme/site");
    assert_eq!(projects[0]["last_state"], "failed");
    for name in ["acme/site", "acme%2Fsite"] {
        let project = queen.get(&format!("/api/v1/projects/{name}")).await.json();
        assert_eq!(project["files"].as_array().unwrap().len(), 2, "{project}");
        let runs = queen
            .get(&format!("/api/v1/projects/{name}/history?path=bad.sh"))
            .await
            .json();
        assert_eq!(
            (&runs[0]["job"], &runs[0]["outcome"]),
            (&json!("example"), &json!("failed"))
        );
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_answers_the_same_job_and_other_data_clash() {
    let queen = Queen::start().await;
    let body = harness::job(json!({"job_id": "twice", "ref": {"branch": "main"}}));
    let first = queen.post("/api/v1/jobs", &body).await;
    assert_eq!((first.status, first.header("location")), (201, "/api/v1/jobs/twice"));
    assert_eq!(first.json()["url"], format!("http://{}/jobs/twice", queen.addr));
    let again = queen.post("/api/v1/jobs", &body).await;
    assert_eq!((again.status, &again.json()["repeated"]), (200, &json!(true)));
    let other = queen
        .post("/api/v1/jobs", &harness::job(json!({"job_id": "twice"})))
        .await;
    let (kind, message) = other.error();
    assert_eq!((other.status, kind.as_str()), (409, "clash"));
    assert!(message.contains("leave job_id out"), "{message}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_in_pages_and_by_filter() {
    let queen = Queen::start().await;
    for n in 0..5 {
        let branch = if n % 2 == 0 { "even" } else { "odd" };
        let trigger = json!({"type": "push", "timestamp": 1, "message": format!("change {n}"), "author": {"name": format!("ann{n}")}});
        queen
            .submit(json!({"job_id": format!("j{n}"), "ref": {"branch": branch}, "trigger": trigger}))
            .await;
    }
    queen.submit(json!({"job_id": "other", "project": "acme/other"})).await;

    let ids = |page: &Value| -> Vec<String> {
        let jobs = page["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut path = "/api/v1/jobs?limit=2".to_owned();
    loop {
        let page = queen.get(&path).await.json();
        assert_eq!(page["jobs"].as_array().unwrap().len(), 2);
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/jobs?limit=2&before={next}");
    }
    assert_eq!(seen, ["other", "j4", "j3", "j2", "j1", "j0"]);

    for (query, wanted) in [
        ("branch=odd", vec!["j3", "j1"]),
        ("project=acme/other", vec!["other"]),
        ("author=ann2", vec!["j2"]),
        ("trigger=manual", vec!["other"]),
        ("text=change%203", vec!["j3"]),
        ("state=passed,failed", vec![]),
        ("state=queued&branch=even&limit=1", vec!["j4"]),
    ] {
        assert_eq!(
            ids(&queen.get(&format!("/api/v1/jobs?{query}")).await.json()),
            wanted,
            "{query}"
        );
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_says_why() {
    let queen = Queen::start().await;
    let id = queen.submit(json!({"labels": ["gpu"]})).await;
    let job = queen.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert!(job["now"]["waits"].as_str().unwrap().contains("drone"), "{job}");
    let queue = queen.get("/api/v1/queue").await.json();
    assert_eq!(queue[0]["job"], id);
    assert!(!queue[0]["waits"].as_str().unwrap().is_empty());
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_once() {
    let queen = Queen::start().await;
    let id = queen.submit(json!({})).await;
    let path = format!("/api/v1/jobs/{id}/cancel");
    assert_eq!(
        queen.post(&path, &json!({"reason": "changed my mind"})).await.status,
        202
    );
    assert_eq!(ended(&queen, &id).await, "cancelled");
    let again = queen.send(Request::new("POST", &path)).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(again.json()["cancel_reason"], "changed my mind");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_again_whole_or_where_it_failed() {
    let (queen, _drone, id) = with_failed_job().await;
    let path = format!("/api/v1/jobs/{id}/rerun");
    for (body, only) in [
        (json!({}), None),
        (json!({"failed": true}), Some(vec!["bad.sh".to_owned()])),
        (
            json!({"only": ["good.sh", "good.sh"]}),
            Some(vec!["good.sh".to_owned()]),
        ),
        // In the order of the job, whatever that of the wish.
        (
            json!({"only": ["good.sh", "bad.sh"]}),
            Some(vec!["bad.sh".to_owned(), "good.sh".to_owned()]),
        ),
        (
            json!({"only": ["good.sh", "bad.sh"], "failed": true}),
            Some(vec!["bad.sh".to_owned()]),
        ),
    ] {
        let reply = queen.post(&path, &body).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let again = reply.json()["id"].as_str().unwrap().to_owned();
        assert_ne!(again, id);
        let job = queen.get(&format!("/api/v1/jobs/{again}")).await.json();
        assert_eq!(job["rerun_of"], json!(id));
        assert_eq!(job["trigger"]["source"], json!({"type": "API", "app": "skep"}));
        let data = queen
            .context
            .store
            .job_data(&again.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(data.only, only);
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drones_are_shown_and_drained() {
    let queen = Queen::start().await;
    assert_eq!(queen.get("/api/v1/drones").await.json(), json!([]));
    let mut drone = FakeDrone::join(&queen, "fake", 3).await;
    drone.acked().await;
    let all = queen.get("/api/v1/drones").await.json();
    let one = queen.get("/api/v1/drones/fake").await.json();
    assert_eq!(all, json!([one]));
    assert_eq!(
        (&one["capacity"], &one["connected"], &one["labels"]),
        (&json!(3), &json!(true), &json!(["fake"]))
    );
    for on in [true, false] {
        let drained = queen.post("/api/v1/drones/fake/drain", &json!({"on": on})).await.json();
        assert_eq!(drained["draining"], on);
        assert_eq!(drone.expect("drone:drain").await[0], on);
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_ask_whether_it_is_well() {
    let (queen, _drone, _) = with_failed_job().await;
    assert_eq!(queen.get("/healthz").await.status, 200);
    let ready = queen.get("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    queen.submit(json!({"labels": ["gpu"]})).await;
    let metrics = queen.get("/metrics").await.body;
    for line in [
        "skep_jobs{state=\"queued\"} 1",
        "skep_jobs{state=\"running\"} 0",
        "skep_queue_length 1",
        "skep_drones_connected 1",
        "skep_slots 1",
        "skep_slots_busy 0",
        "skep_http_requests_total{method=\"POST\",route=\"/api/v1/jobs\",status=\"201\"}",
        "skep_events_recorded_total ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_address_is_there_and_every_address_is_documented() {
    let queen = Queen::start().await;
    let document = queen.get("/api/v1/openapi.json").await.json();
    let mut addresses = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            addresses.push(format!("{method} {path}"));
            let named = path
                .replace("{id}", "x")
                .replace("{num}", "0")
                .replace("{project}", "a/b");
            let reply = queen.send(Request::new(&method, &named)).await;
            assert_ne!(reply.status, 405, "{method} {path}");
            if reply.status == 404 {
                assert!(
                    !reply.error().1.starts_with("there is nothing at"),
                    "{method} {path}: {}",
                    reply.body
                );
            }
        }
    }
    addresses.sort();
    assert_eq!(
        addresses,
        [
            "DELETE /api/v1/projects/{project}/quarantine",
            "DELETE /api/v1/session",
            "DELETE /api/v1/tokens/{id}",
            "GET /api/v1/drones",
            "GET /api/v1/drones/{id}",
            "GET /api/v1/fleet",
            "GET /api/v1/jobs",
            "GET /api/v1/jobs/{id}",
            "GET /api/v1/jobs/{id}/cases",
            "GET /api/v1/jobs/{id}/compare",
            "GET /api/v1/jobs/{id}/events",
            "GET /api/v1/jobs/{id}/files",
            "GET /api/v1/jobs/{id}/files/{num}/cases",
            "GET /api/v1/jobs/{id}/junit.xml",
            "GET /api/v1/jobs/{id}/log",
            "GET /api/v1/jobs/{id}/log/lines",
            "GET /api/v1/jobs/{id}/log/search",
            "GET /api/v1/projects",
            "GET /api/v1/projects/{project}",
            "GET /api/v1/projects/{project}/badge.svg",
            "GET /api/v1/projects/{project}/history",
            "GET /api/v1/projects/{project}/quarantine",
            "GET /api/v1/projects/{project}/trend",
            "GET /api/v1/queue",
            "GET /api/v1/session",
            "GET /api/v1/tokens",
            "POST /api/v1/drones/{id}/drain",
            "POST /api/v1/jobs",
            "POST /api/v1/jobs/{id}/cancel",
            "POST /api/v1/jobs/{id}/rerun",
            "POST /api/v1/session",
            "POST /api/v1/tokens",
            "PUT /api/v1/projects/{project}/quarantine",
        ]
    );
    // What the document refers to is in it.
    let text = document.to_string();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    queen.stop().await;
}
