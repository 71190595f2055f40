//! Files that take their worker or their drone with them, and a deploy whose drone dies.

use crate::{
    follower::Follower,
    world::{Program, World},
};
use serde_json::{Value, json};
use std::fs;

/// How often something was begun.
fn count(world: &World, name: &str) -> usize {
    let text = fs::read_to_string(world.beside("notes").join(name)).unwrap_or_default();
    text.lines().count()
}

/// A world whose jobs can take notes and know their drone's process.
fn world() -> (World, String) {
    let world = World::new();
    let notes = world.beside("notes");
    fs::create_dir(&notes).unwrap();
    let settings = format!("[env]\nNOTES = '{}'\n", notes.display());
    (world, settings)
}

/// Starts the drone and lets its jobs know which process it is.
async fn drone(world: &World) -> Program {
    let drone = world.drone("drone", &["--capacity", "1"]).await;
    fs::write(world.beside("notes").join("drone"), drone.pid().to_string()).unwrap();
    drone
}

async fn files(world: &World, job: &str) -> Vec<(String, String, u64)> {
    let files = world.get(&format!("/api/v1/jobs/{job}/files")).await.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let file = |file: &Value| {
        (
            text(&file["path"]),
            text(&file["outcome"]),
            file["attempt"].as_u64().unwrap(),
        )
    };
    let mut files: Vec<_> = files.as_array().unwrap().iter().map(file).collect();
    files.sort();
    files
}

fn file(name: &str, outcome: &str, attempt: u64) -> (String, String, u64) {
    (format!("tests/{name}"), outcome.into(), attempt)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_kills_its_worker_three_times_has_crashed_and_the_rest_goes_on() {
    let (world, settings) = world();
    let queen = world.queen(&[]).await;
    let drone = drone(&world).await;
    let bad = "echo tried >> \"$NOTES/bad\"; kill -9 $$";
    let repository = world.repository(&settings, &[("bad", bad), ("good", "true"), ("well", "true")]);
    let job = world.submit(&repository, json!({})).await;
    let mut client = Follower::new(&world.addr, &job);
    client.finished().await;
    assert_eq!(count(&world, "bad"), 3);
    let view = world.job(&job).await;
    assert_eq!(
        (&view["state"], &view["files_bad"]),
        (&json!("failed"), &json!(1)),
        "{view}"
    );
    assert_eq!(
        files(&world, &job).await,
        [
            file("bad", "crashed", 3),
            file("good", "passed", 1),
            file("well", "passed", 1)
        ]
    );
    drone.stop().await;
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_kills_its_drone_three_times_has_crashed_and_the_rest_goes_on() {
    let (world, settings) = world();
    let queen = world.queen(&[]).await;
    let mut running = drone(&world).await;
    let bad =
        "echo tried >> \"$NOTES/bad\"; kill -9 $(cat \"$NOTES/drone\"); while [ -d \"$NOTES\" ]; do sleep 0.1; done";
    let repository = world.repository(&settings, &[("bad", bad), ("good", "true"), ("well", "true")]);
    let job = world.submit(&repository, json!({})).await;
    let mut client = Follower::new(&world.addr, &job);
    for _ in 0..3 {
        assert_eq!(running.end().await, -1);
        running = drone(&world).await;
    }
    client.finished_with_loss().await;
    assert_eq!(count(&world, "bad"), 3);
    let view = world.job(&job).await;
    assert_eq!(
        (&view["state"], &view["files_bad"]),
        (&json!("failed"), &json!(1)),
        "{view}"
    );
    let files = files(&world, &job).await;
    assert_eq!(files[0], file("bad", "crashed", 3));
    assert!(
        files[1..].iter().all(|(_, outcome, _)| outcome == "passed"),
        "{files:?}"
    );
    client.results();
    running.stop().await;
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_whose_drone_dies_is_never_run_again_by_itself() {
    let (world, settings) = world();
    let deploy = "#!/bin/sh\necho begun >> \"$NOTES/deploys\"; kill -9 $(cat \"$NOTES/drone\"); while [ -d \"$NOTES\" ]; do sleep 0.1; done\n";
    let repository = world.beside("repository");
    let settings = format!("{settings}[deploy]\nrun = './deploy.sh'\n");
    crate::fleet::repository(&repository, &[("skep.toml", &settings), ("deploy.sh", deploy)]);
    let mut queen = world.queen(&[]).await;
    // The second time the queen is killed too: what she gave away she has not forgotten.
    for begun in 1..=2 {
        let mut running = drone(&world).await;
        let job = world
            .submit(&repository, json!({"job_type": "DEPLOY", "retries": 2}))
            .await;
        assert_eq!(running.end().await, -1);
        if begun == 2 {
            queen.kill().await;
            queen = world.queen(&[]).await;
        }
        let again = drone(&world).await;
        let mut client = Follower::new(&world.addr, &job);
        client.finished_with_loss().await;
        let view = world.job(&job).await;
        assert_eq!(view["state"], "errored", "{view}");
        let message = view["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("was lost during the deploy")
                && message.contains("look at the target, then rerun the job"),
            "{message}"
        );
        let mut watch = world.suite.command(&["watch", &job]);
        watch.env("QUEEN_URL", world.url());
        let watched = crate::cli_support::ended(watch).await.expect(5);
        assert!(watched.stdout.contains("look at the target"), "{watched:?}");
        assert_eq!(count(&world, "deploys"), begun);
        again.stop().await;
    }
    queen.stop().await;
}
