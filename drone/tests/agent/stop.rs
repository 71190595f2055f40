//! Jobs and drones that are told to end before they are done.

use super::fake_queen::{FakeQueen, SOON, TestDrone, output, processes, shell_job, story};
use serde_json::json;
use shared::protocol::{Role, ToDrone, event::Phase};

#[tokio::test]
async fn a_cancelled_job_leaves_no_process_and_no_workspace() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let marker = format!("mark-{}", std::process::id());
    let script = format!("setsid sleep 1000 & echo {marker} > here; sleep 1000");
    let mut job = shell_job("TEST", json!({"test": script, "cleanup": "echo cleaned; ls"}));
    job["config"]["env"] = json!({"MARKER": marker});
    peer.start(&job, Role::Home, 1, 0).await;
    peer.until("job:files").await;
    peer.run("j1", 1, &[(100, "shell#1")]).await;
    peer.until("job:cmd:start").await;
    let all_run = async {
        while processes(&marker).len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, all_run)
        .await
        .expect("the processes of the test");
    peer.cancel("j1").await;
    let all = peer.until("job:cancelled").await;
    assert_eq!(
        story(&all),
        [
            "$100 =143",
            "test done",
            "cleanup start",
            "$0 echo cleaned; ls",
            "$0 =0",
            "cleanup done 0",
            "cancelled",
        ]
    );
    assert!(output(&all, 0).contains("cleaned\nhere\n"));
    assert_eq!(processes(&marker), Vec::<String>::new());
    drone.assert_clean();
    peer.ack().await;
    drone.leave(peer).await;
}

#[tokio::test]
async fn the_cleanup_of_a_deploy_that_is_stopped_has_numbers_of_its_own() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 1);
    let mut peer = queen.accept().await;
    let commands = json!({"prepare": "true", "deploy": ["true", "sleep 1000"], "cleanup": "echo cleaned"});
    peer.start(&shell_job("DEPLOY", commands), Role::Home, 1, 0).await;
    // Environment and prepare, from their starts to their ends.
    for _ in 0..4 {
        peer.until("job:phase").await;
    }
    peer.phase("j1", 1, Phase::Deploy, 1).await;
    for _ in 0..2 {
        peer.until("job:cmd:start").await;
    }
    peer.cancel("j1").await;
    let all = peer.until("job:cancelled").await;
    let told = story(&all);
    assert!(
        told.contains(&"$2 =143".into()) && told.contains(&"$3 echo cleaned".into()),
        "{told:?}"
    );
    assert_eq!(output(&all, 3), "cleaned\n");
    peer.ack().await;
    drone.leave(peer).await;
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_can_be_taken_back() {
    let queen = FakeQueen::start().await;
    let mut drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let job = shell_job("DEPLOY", json!({"deploy": "true"}));
    peer.start(&job, Role::Home, 1, 0).await;
    while story(&peer.until("job:phase").await).last().unwrap() != "prepare done 0" {}
    for (on, capacity) in [(true, 0), (false, 2), (true, 0)] {
        peer.say(&ToDrone::Drain { on: Some(on) }).await;
        let info = peer.expect("drone:info").await;
        assert_eq!(info["args"][0]["capacity"], capacity);
    }
    peer.phase("j1", 1, Phase::Deploy, 5).await;
    peer.until("job:deployed").await;
    peer.phase("j1", 1, Phase::Cleanup, 6).await;
    peer.until("job:done").await;
    peer.ack().await;
    peer.finish().await;
    drone.ended().await.unwrap();
    drone.assert_clean();
}

#[tokio::test]
async fn a_drone_that_is_told_to_go_at_once_leaves_nothing() {
    let queen = FakeQueen::start().await;
    let mut drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let marker = format!("now-{}", std::process::id());
    peer.start(
        &shell_job("TEST", json!({"prepare": format!("sleep 1000; echo {marker}")})),
        Role::Home,
        1,
        0,
    )
    .await;
    peer.until("job:cmd:start").await;
    drone.stop.now.cancel();
    drone.ended().await.unwrap();
    assert_eq!(processes(&marker), Vec::<String>::new());
    drone.assert_clean();
}

#[tokio::test]
async fn a_queen_that_does_not_know_the_token_ends_the_drone_with_words_that_help() {
    let queen = FakeQueen::start().await;
    let mut drone = TestDrone::start(&queen, 2);
    queen.refuse("503".parse().unwrap()).await;
    queen.refuse("401".parse().unwrap()).await;
    let error = drone.ended().await.unwrap_err().to_string();
    assert!(
        error.contains("does not know this drone's token") && error.contains("queen token"),
        "{error}"
    );
    assert!(!error.contains("t0ken"), "{error}");
}
