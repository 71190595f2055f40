//! A queen that is killed again and again while a job runs: every file ends once, and every line is there once.

use crate::{
    cli_support::Running,
    follower::Follower,
    postgres::Server,
    world::{Program, World},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{fs, time::Duration};

const LINES: u64 = 150;

/// Writes numbered lines; half-way one of the files waits until the last kill is over.
const FILE: &str = r#"
name=$(basename "$SKEP_FILE")
i=1
while [ $i -le 150 ]; do
    echo "$name line $i"
    [ $((i % 10)) = 0 ] && sleep 0.05
    if [ $i = 75 ] && [ $name = last ]; then
        while [ -d "$NOTES" ] && [ ! -e "$NOTES/over" ]; do sleep 0.05; done
    fi
    i=$((i + 1))
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_queen_killed_ten_times_loses_nothing_and_counts_nothing_twice() {
    is_killed_ten_times(World::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_with_a_database_server() {
    let server = Server::start();
    is_killed_ten_times(World::on(&server).await).await;
}

async fn is_killed_ten_times(world: World) {
    let seed = std::env::var("SKEP_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("SKEP_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let notes = world.beside("notes");
    fs::create_dir(&notes).unwrap();
    let names: Vec<String> = (1..12).map(|n| format!("f{n:02}")).chain(["last".into()]).collect();
    let scripts: Vec<_> = names.iter().map(|name| (name.as_str(), FILE)).collect();
    let repository = world.repository(&format!("[env]\nNOTES = '{}'\n", notes.display()), &scripts);
    let mut queen = world.queen(&[]).await;
    let one = world.drone("one", &["--capacity", "2"]).await;
    let two = world.drone("two", &["--capacity", "2"]).await;
    let job = world.submit(&repository, json!({"spread": 2})).await;
    let mut watch = world.suite.command(&["watch", &job, "--json"]);
    watch.env("QUEEN_URL", world.url());
    let watch = Running::start(watch);
    let mut client = Follower::new(&world.addr, &job);
    client.event("job:file:start").await;

    for kill in 0..10 {
        // In turns: after some more of the job, and wherever the new queen is just then, be it in the middle of its start.
        if kill % 2 == 0 {
            for _ in 0..dice.random_range(1..40) {
                client.until("the job to go on", |_| Some(())).await;
            }
        } else {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..600))).await;
        }
        queen.kill().await;
        queen = Program::start("queen", world.serve(&[]));
    }
    fs::write(notes.join("over"), "").unwrap();
    queen.says("listens on ").await;

    client.finished().await;
    let view = world.job(&job).await;
    assert_eq!(
        (&view["state"], &view["files_done"]),
        (&json!("passed"), &json!(12)),
        "{view}"
    );
    let expected: Vec<_> = names
        .iter()
        .map(|name| (format!("tests/{name}"), 1, "passed".to_owned()))
        .collect();
    assert_eq!(client.results(), expected);
    let output = client.output();
    assert_eq!(output.len(), names.len());
    for ((path, _), said) in output {
        let name = path.rsplit('/').next().unwrap();
        let known: String = (1..=LINES).map(|i| format!("{name} line {i}\n")).collect();
        assert_eq!(said, known, "the lines of {path}");
    }
    assert_eq!(world.stored(&job).await, client.seen, "what is stored is what was told");

    let (code, rest) = watch.end().await;
    assert_eq!(code, 0, "{rest}");
    let watched = rest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let numbers: Vec<u64> = watched.filter_map(|line| line["seq"].as_u64()).collect();
    let all: Vec<u64> = (1..=client.seen.len() as u64).collect();
    assert_eq!(numbers, all, "queen watch shows every event once");
    one.stop().await;
    two.stop().await;
    queen.stop().await;
}
