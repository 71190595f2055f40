//! The live socket: no gap and nothing twice, whoever is slow, and requests over it.

use super::*;
use harness::live::{Live, connect};

fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_at_any_event_misses_nothing() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["bad.sh", "good.sh"]).await;
    drone.acked().await;
    let so_far = stored(&queen, &id).await.len() as u64;
    // In mid-job, from every event on, also from those that are still to come.
    let mut clients = Vec::new();
    for from in 0..=so_far + 4 {
        let mut client = Live::open(&queen).await;
        client.subscribe(&id, from).await;
        let mut seen = client.until("live").await;
        let mark = seen.pop().unwrap();
        assert_eq!(mark["args"], json!([id, so_far]));
        assert_eq!(numbers(&seen), (from.max(1)..=so_far).collect::<Vec<_>>());
        clients.push((from, client, seen));
    }
    run_example(&mut drone, &mut work).await;
    ended(&queen, &id).await;
    let all = stored(&queen, &id).await;
    let wanted = |from: u64| &all[usize::try_from(from.max(1)).unwrap() - 1..];
    for (from, mut client, mut seen) in clients {
        seen.extend(client.until("job:done").await);
        assert_eq!(seen, wanted(from), "from {from}");
    }
    // After it.
    for from in 0..=all.len() as u64 {
        let mut client = Live::open(&queen).await;
        client.subscribe(&id, from).await;
        let mut seen = client.until("live").await;
        assert_eq!(seen.pop().unwrap()["args"], json!([id, all.len()]));
        assert_eq!(seen, wanted(from), "from {from}");
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_share_a_socket_and_end_alone() {
    let (queen, _drone, first) = with_failed_job().await;
    let second = queen.submit(json!({"labels": ["gpu"]})).await;
    let mut client = Live::open(&queen).await;
    client.subscribe(&second, 0).await;
    client.until("live").await;
    client.subscribe(&first, 0).await;
    let seen = client.until("live").await;
    assert_eq!(seen.last().unwrap()["args"][0], json!(first));
    // Again from the start: the old subscription gives way.
    client.subscribe(&second, 1).await;
    let seen = client.until("live").await;
    assert_eq!(numbers(&seen), [1]);
    client.say("unsubscribe", json!([{"job": second}])).await;
    client.say("job:cancel", json!([second])).await;
    ended(&queen, &second).await;
    client.subscribe(&first, 1000).await;
    let seen = client.until("live").await;
    assert_eq!(seen.len(), 1, "nothing of the job that was unsubscribed: {seen:?}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_browser_is_told_and_comes_back_and_slows_nobody() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let (num, path) = drone.begin(&mut work).await;
    drone.acked().await;
    let mut slow = Live::open(&queen).await;
    slow.subscribe(&id, 1).await;
    let mut seen = slow.until("live").await;
    seen.pop();
    // Far more than all buffers between the job and a client that does not read.
    let text = "x".repeat(8 * 1024);
    for _ in 0..3000 {
        drone.out(&work, num, &text).await;
    }
    drone.end(&work, (num, path), "passed", json!([]), json!({})).await;
    drone.finish(&work).await;
    assert_eq!(ended(&queen, &id).await, "passed");

    let mut lagged = 0;
    loop {
        let message = slow.next().await.unwrap();
        match message["type"].as_str().unwrap() {
            "lagged" => {
                lagged += 1;
                let last = message["args"][1].as_u64().unwrap();
                assert_eq!(numbers(&seen).last(), Some(&last));
                slow.subscribe(&id, last + 1).await;
            }
            "live" => {}
            "job:done" => {
                seen.push(message);
                break;
            }
            _ => seen.push(message),
        }
    }
    assert!(lagged > 0, "it was fast enough after all");
    let last = numbers(&seen).last().copied().unwrap();
    assert_eq!(numbers(&seen), (1..=last).collect::<Vec<_>>());
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn query_info_on_a_running_job_has_all_output_so_far() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let (num, _) = drone.begin(&mut work).await;
    drone.out(&work, num, "one\n").await;
    drone.say("job:cmd:stderr", json!([id, num, "two\n"])).await;
    drone.out(&work, num, "three\n").await;
    drone.acked().await;
    let mut client = Live::open(&queen).await;
    client.say("job:query-info", json!([id])).await;
    let info = client.next().await.unwrap();
    assert_eq!((&info["type"], &info["args"][0]), (&json!("job:info"), &json!(id)));
    let data = &info["args"][1];
    assert_eq!(data["job"]["state"], "running");
    assert_eq!(data["phases"]["prepare"]["exitCode"], 0);
    assert_eq!(data["phases"]["test"]["finished"], false);
    assert_eq!(data["truncated"], false);
    assert_eq!(data["commands"][0]["phase"], "prepare");
    assert_eq!(data["commands"][0]["exitCode"], 0);
    let command = &data["commands"][1];
    for (key, value) in [
        ("out", "one\nthree\n"),
        ("err", "two\n"),
        ("merged", "one\ntwo\nthree\n"),
        ("command", "run a.sh"),
    ] {
        assert_eq!(command[key], value);
    }

    // A lot of it is cut in the middle so that it stays one frame.
    let text = "\u{1b}[1m\"é\"\n".repeat(2000);
    for _ in 0..200 {
        drone.out(&work, num, &text).await;
    }
    drone.out(&work, num, "the end").await;
    drone.acked().await;
    client.say("job:query-info", json!([id])).await;
    let info = client.next().await.unwrap();
    let size = info.to_string().len();
    assert!((256 * 1024..1024 * 1024).contains(&size), "{size}");
    let data = &info["args"][1];
    assert_eq!(data["truncated"], true);
    let merged = data["commands"][1]["merged"].as_str().unwrap();
    assert!(merged.starts_with("one\ntwo\nthree\n") && merged.ends_with("the end"));
    assert!(merged.contains("bytes are left out here"));
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_and_cancelled_over_the_socket() {
    let queen = Queen::start().await;
    let mut client = Live::open(&queen).await;
    client.say("subscribe", json!([{"topic": "jobs"}])).await;
    assert_eq!(client.next().await.unwrap()["args"], json!([[]]), "the queue as it is");
    client
        .say("queue:new", json!([harness::job(json!({"job_id": "over-ws"}))]))
        .await;
    let seen = client.until("job:info").await;
    let info = seen.last().unwrap();
    assert_eq!(
        (&info["args"][0], &info["args"][1]["state"]),
        (&json!("over-ws"), &json!("queued"))
    );
    client.say("job:cancel", json!(["over-ws"])).await;
    loop {
        let seen = client.until("jobs:changed").await;
        if seen.last().unwrap()["args"][0]["state"] == "cancelled" {
            break;
        }
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_can_be_watched() {
    let queen = Queen::start().await;
    let mut client = Live::open(&queen).await;
    client.say("subscribe", json!([{"topic": "drones"}])).await;
    // An answer to anything later proves that the subscription stands.
    client.say("job:cancel", json!(["missing"])).await;
    client.until("error").await;
    let mut drone = FakeDrone::join(&queen, "fake", 2).await;
    let seen = client.until("drone:joined").await;
    assert_eq!(seen.last().unwrap()["args"][0]["name"], "fake");
    drone.acked().await;
    drop(drone);
    let seen = client.until("drone:left").await;
    assert_eq!(seen.last().unwrap()["args"][0]["connected"], false);
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_words_are_answered_and_the_connection_stays() {
    let (queen, _drone, id) = with_failed_job().await;
    let mut client = Live::open(&queen).await;
    for (text, about, message) in [
        ("{", Value::Null, "the frame is no message"),
        ("[1]", Value::Null, "a message is {\"type\""),
        (
            "{\"type\":\"subscribe\"}",
            json!("subscribe"),
            "bad arg 0 (what): it is missing",
        ),
        (
            "{\"type\":\"subscribe\",\"args\":[{\"job\":\"a b\"}]}",
            json!("subscribe"),
            "bad arg 0",
        ),
        (
            "{\"type\":\"subscribe\",\"args\":[{\"job\":\"missing\"}]}",
            json!("subscribe"),
            "there is no job missing",
        ),
        (
            "{\"type\":\"subscribe\",\"args\":[{\"topic\":\"project\"}]}",
            json!("subscribe"),
            "needs a project",
        ),
        (
            "{\"type\":\"job:cancel\",\"args\":[\"missing\"]}",
            json!("job:cancel"),
            "there is no job missing",
        ),
        (
            "{\"type\":\"job:cancel\",\"args\":[\"example\"]}",
            json!("job:cancel"),
            "has ended already (failed)",
        ),
        (
            "{\"type\":\"job:query-info\",\"args\":[\"missing\"]}",
            json!("job:query-info"),
            "there is no job missing",
        ),
        (
            "{\"type\":\"queue:new\",\"args\":[{}]}",
            json!("queue:new"),
            "missing field `project`",
        ),
        (
            "{\"type\":\"queue:new\"}",
            json!("queue:new"),
            "the job is not valid: invalid type: null",
        ),
    ] {
        client.text(text).await;
        let answer = client.next().await.unwrap();
        assert_eq!(
            (&answer["type"], &answer["args"][1]),
            (&json!("error"), &about),
            "{text}: {answer}"
        );
        assert!(
            answer["args"][0].as_str().unwrap().contains(message),
            "{text}: {answer}"
        );
    }
    // A type from the future is passed over.
    client.text("{\"type\":\"from:the:future\",\"args\":[1]}").await;
    client.subscribe(&id, 1000).await;
    assert_eq!(client.next().await.unwrap()["type"], "live");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_ends_the_connection_with_a_reason() {
    let queen = Queen::start().await;
    let mut client = Live::open(&queen).await;
    client.text(" ".repeat(1024 * 1024 + 1)).await;
    let reason = client.next().await.unwrap_err();
    assert!(reason.contains("the limit is 1048576"), "{reason}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_protocols_are_spoken() {
    let queen = Queen::start().await;
    for (path, protocol, ok) in [
        ("/api/v1/live", Some("skep.live.v1"), true),
        ("/api/v1/live", None, true),
        ("/api/v1/live", Some("skep.live.v9"), false),
        ("/api/v1/drone", Some("skep.drone.v1"), true),
        ("/api/v1/drone", Some("skep.drone.v9"), false),
        ("/api/v1/drone", None, false),
    ] {
        let socket = connect(&queen.addr, path, protocol, &[]).await;
        assert_eq!(socket.is_ok(), ok, "{path} {protocol:?}");
        if let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = socket {
            let body = String::from_utf8(response.body().clone().unwrap()).unwrap();
            assert!(body.contains("this queen speaks the subprotocol skep."), "{body}");
        }
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_says_when_the_queen_stops() {
    let queen = Queen::start().await;
    let mut client = Live::open(&queen).await;
    client.say("job:cancel", json!(["missing"])).await;
    client.until("error").await;
    queen.stop().await;
    assert_eq!(client.next().await.unwrap_err(), "the queen stops: connect again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_listen_but_not_change_anything() {
    let queen = Queen::start_with(|config| config.require_token = true).await;
    let minted = queen::api::tokens::mint("reader", queen::store::AccessRole::Read);
    queen.context.store.add_token(&minted.token, minted.hash).await.unwrap();
    let bearer = format!("Bearer {}", minted.value);
    let mut client = Live::open_with(&queen, &[("authorization", &bearer)]).await;
    for (kind, args) in [
        ("queue:new", json!([harness::job(json!({}))])),
        ("job:cancel", json!(["x"])),
    ] {
        client.say(kind, args).await;
        let answer = client.next().await.unwrap();
        assert_eq!((&answer["type"], &answer["args"][1]), (&json!("error"), &json!(kind)));
        assert!(
            answer["args"][0]
                .as_str()
                .unwrap()
                .contains("your token has the role read"),
            "{answer}"
        );
    }
    client.say("job:query-info", json!(["missing"])).await;
    assert!(
        client.next().await.unwrap()["args"][0]
            .as_str()
            .unwrap()
            .contains("there is no job")
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_up_no_stop() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let (num, _) = drone.begin(&mut work).await;
    let text = "x".repeat(16 * 1024);
    for _ in 0..1500 {
        drone.out(&work, num, &text).await;
    }
    drone.acked().await;
    let mut deaf = Live::open(&queen).await;
    deaf.subscribe(&id, 1).await;
    deaf.next().await.unwrap();
    // What is left is more than the sockets' buffers hold.
    queen.stop().await;
}
