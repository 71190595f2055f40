//! Events and output over plain HTTP.

use super::*;
use harness::http::Request;

async fn sse(queen: &Queen, id: &str, query: &str, last: Option<&str>) -> Vec<(Option<u64>, String, String)> {
    let mut request = Request::new("GET", &format!("/api/v1/jobs/{id}/events{query}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut stream = request.open(&queen.addr).await;
    assert_eq!(stream.status, 200);
    let mut events = Vec::new();
    while let Some(event) = stream.event().await {
        events.push(event);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_from_any_event_without_gap() {
    let (queen, _drone, id) = with_failed_job().await;
    let all = stored(&queen, &id).await;
    let count = all.len() as u64;
    assert_eq!(all.last().unwrap()["type"], "job:done");
    for last in 0..count {
        for events in [
            sse(&queen, &id, "", Some(&last.to_string())).await,
            sse(&queen, &id, &format!("?from={}", last + 1), None).await,
        ] {
            let (marks, events): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.1 == "live");
            assert_eq!(marks.len(), 1, "{marks:?}");
            let numbers: Vec<_> = events.iter().map(|event| event.0.unwrap()).collect();
            assert_eq!(numbers, (last + 1..=count).collect::<Vec<_>>());
            for (number, kind, data) in events {
                let event = &all[usize::try_from(number.unwrap()).unwrap() - 1];
                assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), *event);
                assert_eq!(event["type"], kind);
            }
        }
    }
    let path = format!("/api/v1/jobs/{id}/events");
    let done = queen
        .send(Request::new("GET", &path).header("last-event-id", &count.to_string()))
        .await;
    assert_eq!(
        done.status, 204,
        "a browser that has everything is told not to come again"
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_a_running_job_to_its_end() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["bad.sh", "good.sh"]).await;
    drone.acked().await;
    let mut stream = Request::new("GET", &format!("/api/v1/jobs/{id}/events"))
        .open(&queen.addr)
        .await;
    while stream.event().await.unwrap().1 != "live" {}
    run_example(&mut drone, &mut work).await;
    let mut kinds = Vec::new();
    while let Some((_, kind, _)) = stream.event().await {
        kinds.push(kind);
    }
    assert_eq!(kinds.last().unwrap(), "job:done");
    assert!(kinds.iter().any(|kind| kind == "job:tested"), "{kinds:?}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_queen_stops() {
    let queen = Queen::start().await;
    let id = queen.submit(json!({})).await;
    let mut stream = Request::new("GET", &format!("/api/v1/jobs/{id}/events"))
        // Packing would hold events back.
        .header("accept-encoding", "gzip")
        .open(&queen.addr)
        .await;
    while stream.event().await.unwrap().1 != "live" {}
    queen.stop().await;
    assert_eq!(stream.event().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_each_command_whole_however_they_ran() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 2).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh", "b.sh"]).await;
    let (a, path_a) = drone.begin(&mut work).await;
    let (b, path_b) = drone.begin(&mut work).await;
    for turn in 0..3 {
        drone.out(&work, a, &format!("a{turn}\n")).await;
        drone.out(&work, b, &format!("b{turn}\n")).await;
    }
    drone.say("job:cmd:stderr", json!([id, a, "bad end"])).await;
    drone.acked().await;
    let log = |query: &str| {
        let path = format!("/api/v1/jobs/{id}/log{query}");
        let queen = &queen;
        async move { queen.get(&path).await.body }
    };
    // While it runs.
    assert_eq!(log(&format!("?num={b}")).await, "b0\nb1\nb2\n");
    drone
        .end(&work, (a, path_a.clone()), "failed", json!([]), json!({}))
        .await;
    drone
        .end(&work, (b, path_b.clone()), "passed", json!([]), json!({}))
        .await;
    drone.finish(&work).await;
    ended(&queen, &id).await;
    assert_eq!(
        log("").await,
        format!(
            "[0] $ git fetch\nfetched\n[0] exit 0 after 5 ms\n\
             [{a}] $ run {path_a}\na0\na1\na2\nbad end\n[{a}] exit 1 after 12 ms\n\
             [{b}] $ run {path_b}\nb0\nb1\nb2\n[{b}] exit 0 after 12 ms\n"
        )
    );
    assert_eq!(log(&format!("?num={a}&stream=stderr")).await, "bad end");
    assert_eq!(log(&format!("?num={a}&stream=stdout")).await, "a0\na1\na2\n");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_comes_whole() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let (num, _) = drone.begin(&mut work).await;
    let mut wanted = String::new();
    for piece in 0..100 {
        let text = format!("{piece:>1023}\n").repeat(30);
        drone.out(&work, num, &text).await;
        wanted.push_str(&text);
    }
    drone.acked().await;
    let log = queen.get(&format!("/api/v1/jobs/{id}/log?num={num}")).await;
    assert!(
        log.body == wanted,
        "{} bytes in place of {}",
        log.body.len(),
        wanted.len()
    );
    let info = queen
        .get(&format!("/api/v1/jobs/{id}/events?follow=false&from=5"))
        .await;
    assert_eq!(
        serde_json::from_str::<Value>(info.body.lines().next().unwrap()).unwrap()["seq"],
        5
    );
    queen.stop().await;
}
