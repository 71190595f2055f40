//! A connection that is lost, and what the queen decided meanwhile.

use super::fake_queen::{FakeQueen, TestDrone, id, processes, shell_job, story};
use serde_json::json;
use shared::{
    LeaseToken,
    protocol::{Role, ToDrone, event::Phase, to_drone::ResumeAnswer},
};

#[tokio::test]
async fn a_lost_connection_loses_nothing_and_work_goes_on_meanwhile() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let job = shell_job("TEST", json!({"test": ["echo one", "echo two"], "cleanup": "true"}));
    peer.start(&job, Role::Home, 5, 0).await;
    let mut all = peer.until("job:files").await;
    all.truncate(3);
    peer.say(&ToDrone::Ack { n: 3 }).await;
    peer.run("j1", 5, &[(10, "shell#1"), (11, "shell#2")]).await;
    peer.until("job:file:start").await;
    peer.cut();

    let mut peer = queen.accept().await;
    assert_eq!(peer.last, 3, "what was acknowledged does not come again");
    while all.iter().filter(|message| message["type"] == "job:file:done").count() < 2 {
        all.push(peer.next().await);
    }
    while all.iter().all(|message| message["type"] != "drone:resume") {
        all.push(peer.next().await);
    }
    let resume = all.iter().find(|message| message["type"] == "drone:resume").unwrap();
    assert_eq!(
        (
            &resume["args"][0]["jobs"][0]["id"],
            &resume["args"][0]["jobs"][0]["lease"]
        ),
        (&json!("j1"), &json!(5))
    );
    let numbers: Vec<u64> = all.iter().map(|message| message["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let answer = ResumeAnswer {
        id: id("j1"),
        lease: LeaseToken(5),
        go_on: true,
    };
    peer.say(&ToDrone::Resumed { jobs: vec![answer] }).await;
    // The queen had forgotten what it handed out: the drone has not.
    peer.run("j1", 5, &[(10, "shell#1")]).await;
    peer.phase("j1", 5, Phase::Cleanup, 20).await;
    let end = peer.until("job:done").await;
    assert_eq!(
        story(&end),
        ["cleanup start", "$20 true", "$20 =0", "cleanup done 0", "done"]
    );
    peer.ack().await;
    drone.leave(peer).await;
}

#[tokio::test]
async fn a_lease_that_was_given_away_is_dropped_without_a_word() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let marker = format!("gone-{}", std::process::id());
    peer.start(
        &shell_job("TEST", json!({"prepare": format!("sleep 1000; echo {marker}")})),
        Role::Home,
        1,
        0,
    )
    .await;
    peer.until("job:cmd:start").await;
    // Nothing of this is for the lease that is held.
    peer.phase("j1", 7, Phase::Cleanup, 0).await;
    peer.run("j2", 1, &[(1, "x")]).await;
    peer.cut();
    let mut peer = queen.accept().await;
    peer.until("drone:resume").await;
    let answer = ResumeAnswer {
        id: id("j1"),
        lease: LeaseToken(1),
        go_on: false,
    };
    peer.say(&ToDrone::Resumed { jobs: vec![answer] }).await;
    // The next lease of the same job is another matter.
    let job = shell_job("DEPLOY", json!({"deploy": "true"}));
    peer.start(&job, Role::Home, 2, 0).await;
    peer.start(&job, Role::Home, 2, 0).await;
    peer.start(&job, Role::Home, 1, 0).await;
    let all = peer.until("job:phase").await;
    assert!(all.iter().all(|message| message["lease"] == 2), "{all:?}");
    peer.cancel("j1").await;
    peer.until("job:cancelled").await;
    peer.ack().await;
    drone.leave(peer).await;
    assert_eq!(processes(&marker), Vec::<String>::new());
}
