//! A queen that is put back as she was some time ago: drones know more than she does, and nothing is counted that she has
//! forgotten.

use crate::{
    fleet::workspaces,
    follower::Follower,
    world::{World, names, until},
};
use serde_json::json;
use std::fs;

/// Each file says that it runs, and waits until it may end.
const FILE: &str = r#"
name=$(basename "$SKEP_FILE")
echo "$name begins"
echo x >> "$NOTES/$name.runs"
while [ -d "$NOTES" ] && [ ! -e "$NOTES/$name.may-end" ]; do sleep 0.05; done
echo "$name ends"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_drones_that_are_ahead_of_a_restored_queen_end_and_their_work_is_done_anew() {
    let world = World::new();
    let notes = world.beside("notes");
    fs::create_dir(&notes).unwrap();
    let settings = format!("[env]\nNOTES = '{}'\n[test]\norder = 'listed'\n", notes.display());
    let repository = world.repository(&settings, &[("a", FILE), ("b", FILE)]);
    let queen = world.queen(&[]).await;
    let drone = world.drone("one", &["--capacity", "1"]).await;
    let job = world.submit(&repository, json!({})).await;
    let runs =
        |name: &str| fs::read_to_string(notes.join(format!("{name}.runs"))).map_or(0, |text| text.lines().count());
    until("the first file to run", || (runs("a") == 1).then_some(())).await;

    // Beside the queen, while she runs; then the drone goes on, and the queen hears and acknowledges it.
    let data = world.beside("queen");
    let file = world.beside("queen.tar");
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let made = world.suite.queen(&["backup", file, "--data", data]).await.expect(0);
    assert!(
        made.stdout.contains("the database and 0 repositories"),
        "{}",
        made.stdout
    );
    assert!(made.stderr.contains("it holds secrets"), "{}", made.stderr);
    fs::write(notes.join("a.may-end"), "").unwrap();
    until("the second file to run", || (runs("b") == 1).then_some(())).await;
    let mut before = Follower::new(&world.addr, &job);
    before.event("job:file:done").await;
    let refused = world
        .suite
        .queen(&["restore", file, "--data", data, "--force"])
        .await
        .expect(1);
    assert!(
        refused.stderr.contains("is in use by another queen: stop it"),
        "{}",
        refused.stderr
    );
    queen.kill().await;

    let refused = world.suite.queen(&["restore", file, "--data", data]).await.expect(1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    let put = world
        .suite
        .queen(&["restore", file, "--data", data, "--force"])
        .await
        .expect(0);
    assert!(put.stdout.contains("restored as it was on"), "{}", put.stdout);
    assert!(put.stderr.contains("what was there before is in"), "{}", put.stderr);
    assert_eq!(
        names(data.as_ref())
            .iter()
            .filter(|name| name.starts_with("before-restore-"))
            .count(),
        1
    );

    let queen = world.queen(&[]).await;
    queen.says("its leases end").await;
    fs::write(notes.join("b.may-end"), "").unwrap();
    let mut client = Follower::new(&world.addr, &job);
    client.finished_with_loss().await;
    let view = world.job(&job).await;
    assert_eq!(
        (&view["state"], &view["files_done"]),
        (&json!("passed"), &json!(2)),
        "{view}"
    );
    let results = client.results();
    let paths: Vec<_> = results
        .iter()
        .map(|(path, _, outcome)| (path.as_str(), outcome.as_str()))
        .collect();
    assert_eq!(paths, [("tests/a", "passed"), ("tests/b", "passed")]);
    // The restored queen knows of no result of the first, and what the old lease ran of the second does not count.
    assert_eq!((runs("a"), runs("b")), (2, 2));
    assert_eq!(world.stored(&job).await, client.seen, "what is stored is what was told");
    drone.stop().await;
    assert_eq!(workspaces(&world.beside("one")), Vec::<std::path::PathBuf>::new());
    queen.stop().await;
}
