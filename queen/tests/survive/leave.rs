//! Drones that are told to leave: what was on its way to them goes elsewhere at once, and nobody waits for nothing.

use crate::{
    follower::Follower,
    proxy::{Proxy, Wire},
    world::{LOOK, Program, World},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_its_way_to_a_drone_that_leaves_goes_elsewhere_at_once() {
    let world = World::new();
    let repository = world.repository("", &[("one", "true")]);
    // Nothing here ends if somebody waits for the grace.
    let queen = world.queen(&["--grace", "6000"]).await;
    let proxy = Proxy::to(&world.addr).await;
    let fast = world.drone_at(&proxy.url, "fast", &["--speed", "300"]);
    let fast = Program::start("fast", fast);
    fast.says("connected").await;
    let slow = world.drone("slow", &["--speed", "100"]).await;
    queen.says("drone joined drone=fast").await;
    queen.says("drone joined drone=slow").await;
    proxy.set(Wire::Deaf);
    let job = world.submit(&repository, json!({})).await;
    let given = async {
        loop {
            let drones = world.get("/api/v1/drones").await.json();
            let holder = drones
                .as_array()
                .unwrap()
                .iter()
                .find(|drone| drone["jobs"] == json!([job]));
            match holder {
                Some(holder) => return assert_eq!(holder["name"], "fast"),
                None => sleep(LOOK).await,
            }
        }
    };
    timeout(crate::cli_support::LONG, given)
        .await
        .expect("the job is given");
    fast.stop().await;
    queen.says("it said goodbye").await;
    let mut client = Follower::new(&world.addr, &job);
    client.finished_with_loss().await;
    assert_eq!(world.job(&job).await["state"], "passed");
    slow.stop().await;
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drone_with_nothing_to_say_leaves_although_the_queen_is_away() {
    let world = World::new();
    let queen = world.queen(&[]).await;
    let mut drone = world.drone("drone", &[]).await;
    queen.kill().await;
    drone.says("not connected to the queen").await;
    drone.signal(libc::SIGTERM);
    assert_eq!(drone.end().await, 0);
    let waited = drone
        .lines()
        .iter()
        .any(|line| line.contains("left before the queen had everything"));
    assert!(!waited, "{:#?}", drone.lines());
}
