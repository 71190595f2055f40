//! A drone whose disk is full: what it cannot do it says, what it cannot keep it holds back, and nothing is lost.

use crate::{
    disk::{Disk, on_disk},
    follower::Follower,
    world::{Program, World, until},
};
use serde_json::json;
use std::fs;

/// 4 MB in numbered lines, and a note of how far they are.
const FILE: &str = r#"
i=0
while [ $i -lt 40 ]; do
    seq -f "%099.0f" $((i * 1000)) $((i * 1000 + 999))
    i=$((i + 1))
    echo $i > "$NOTES/blocks"
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_drone_with_a_full_disk_loses_nothing_and_works_on_when_there_is_room() {
    let world = World::new();
    let (notes, data) = (world.beside("notes"), world.beside("drone"));
    fs::create_dir(&notes).unwrap();
    let settings = format!("[env]\nNOTES = '{}'\n", notes.display());
    let repository = world.repository(&settings, &[("file", FILE)]);
    let queen = world.queen(&["--grace", "600"]).await;
    let start = world.drone_at(&world.url(), "drone", &["--outbox-memory", "64K"]);
    let drone = Program::start("drone", on_disk(&world.suite, &start, &data, "size=16m"));
    drone.says("connected").await;
    let disk = Disk::of(&drone, &data);

    disk.fill();
    let job = world.submit(&repository, json!({})).await;
    let mut client = Follower::new(&world.addr, &job);
    client.finished().await;
    let view = world.job(&job).await;
    assert_eq!(view["state"], "errored", "{view}");
    let message = view["error"]["message"].as_str().unwrap();
    let full = ["No space left on device", "File too large"];
    assert!(full.iter().any(|words| message.contains(words)), "{message}");
    disk.free();

    let job = world.submit(&repository, json!({})).await;
    let mut client = Follower::new(&world.addr, &job);
    client.event("job:file:start").await;
    queen.kill().await;
    disk.fill();
    drone.says("the outbox cannot spill to disk").await;
    // Also what the drone says of itself when the queen is back has no room, and must not be lost.
    let queen = world.queen(&["--grace", "600"]).await;
    client.finished().await;
    assert_eq!(world.job(&job).await["state"], "passed");
    assert_eq!(client.results(), [("tests/file".to_owned(), 1, "passed".to_owned())]);
    let said: String = client.output().into_values().collect();
    let known: String = (0..40_000).map(|i| format!("{i:099}\n")).collect();
    assert!(said == known, "{} bytes of {}", said.len(), known.len());
    until("the disk to be as it was", || {
        fs::read_dir(disk.dir().join("outbox"))
            .unwrap()
            .next()
            .is_none()
            .then_some(())
    })
    .await;
    disk.free();
    drone.stop().await;
    queen.stop().await;
}
