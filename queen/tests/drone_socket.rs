//! What a drone is told that says the wrong things, and what of it harms nobody.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use futures_util::{SinkExt, StreamExt};
use harness::{
    Queen,
    drone::FakeDrone,
    live::{Socket, connect},
    soon,
};
use serde_json::json;
use shared::protocol::FRAME_LIMIT;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn open(queen: &Queen) -> Socket {
    connect(&queen.addr, "/api/v1/drone", Some("skep.drone.v1"), &[])
        .await
        .unwrap()
}

/// The code and reason with which the queen closes, or `None` if the connection just ends.
async fn closed(socket: &mut Socket) -> Option<(u16, String)> {
    loop {
        match soon("the queen to close", socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => return Some((frame.code.into(), frame.reason.to_string())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_a_proper_hello_ends_the_connection_with_a_reason() {
    let queen = Queen::start().await;
    for (first, reason) in [
        (
            json!({"type": "drone:hello", "args": [{"id": "d", "incarnation": "i", "name": "d", "protocols": [99]}]})
                .to_string(),
            "this queen speaks protocol version 1, the drone [99]: update the older of them",
        ),
        (
            json!({"type": "drone:info", "args": [{}]}).to_string(),
            "say drone:hello before anything else",
        ),
        (json!([]).to_string(), "the first frame is empty: say drone:hello"),
        ("{not json".to_owned(), "the frame is no message"),
        (
            json!({"type": "drone:hello", "args": [{"id": "a b"}]}).to_string(),
            "drone:hello has a bad arg 0",
        ),
    ] {
        let mut socket = open(&queen).await;
        socket.send(Message::text(first.clone())).await.unwrap();
        let (code, said) = closed(&mut socket).await.expect("a close frame");
        assert_eq!(code, 1008, "{first}: {said}");
        assert!(said.contains(reason), "{first}: {said}");
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drone_without_the_subprotocol_is_told_so() {
    let queen = Queen::start().await;
    match connect(&queen.addr, "/api/v1/drone", None, &[]).await {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 400);
            let body = String::from_utf8(response.body().clone().unwrap_or_default()).unwrap();
            assert!(body.contains("skep.drone.v1"), "{body}");
        }
        other => panic!("it was let in: {other:?}"),
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_mid_connection_harms_nobody() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "d1", 2).await;
    for nonsense in [
        "{not json".to_owned(),
        json!({"type": "job:cmd:stdout", "args": ["no-such-job", 0, "x"], "n": 2}).to_string(),
        json!({"type": "job:cmd:stdout", "args": ["no-such-job", -1, 7], "n": 3}).to_string(),
        json!({"type": "job:from-the-future", "args": [1, 2, 3], "n": 4}).to_string(),
        json!({"type": "job:done", "n": 5}).to_string(),
    ] {
        drone.socket.send(Message::text(nonsense)).await.unwrap();
    }
    // What was numbered is acknowledged, however little it meant, and the drone can still work.
    for _ in 2..=5 {
        drone.count();
    }
    drone.acked().await;
    let job = queen.submit(json!({})).await;
    assert_eq!(drone.expect("queue:new").await[0]["job_id"], job);
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_ends_that_connection_only() {
    let queen = Queen::start().await;
    let mut good = FakeDrone::join(&queen, "good", 1).await;
    let mut bad = FakeDrone::join(&queen, "bad", 1).await;
    let long = json!({"type": "drone:info", "args": [{"version": "x".repeat(FRAME_LIMIT + 1)}], "n": 2}).to_string();
    // The queen may hang up before all of it is sent.
    let _ = bad.socket.send(Message::text(long)).await;
    closed(&mut bad.socket).await;
    queen.submit(json!({})).await;
    good.expect("queue:new").await;
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_left_out_means_that_the_drone_has_to_start_over() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "d1", 1).await;
    drone.send(json!({"type": "drone:info", "args": [{}], "n": 9})).await;
    closed(&mut drone.socket).await;
    queen.stop().await;
}
