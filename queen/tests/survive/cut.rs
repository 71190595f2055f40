//! A connection that is cut, held and slowed down while files run: the drone works on, and everything arrives, in order,
//! once.

use crate::{
    follower::Follower,
    proxy::{Proxy, Wire},
    world::{Program, World, until},
};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};

const FILES: [&str; 2] = ["a", "b"];
const LINES: usize = 250;

/// Writes numbered lines, each part of fifty when the test says so, and keeps a note of each line beside the job, which
/// tells how far it is while nobody hears it.
const FILE: &str = r#"
name=$(basename "$SKEP_FILE")
i=1
while [ $i -le 250 ]; do
    if [ $((i % 50)) = 1 ]; then
        while [ -d "$NOTES" ] && [ ! -e "$NOTES/part$((i / 50))" ]; do sleep 0.02; done
    fi
    echo "$name line $i"
    echo $i >> "$NOTES/$name"
    i=$((i + 1))
done
"#;

/// How many lines all files have written.
fn written(notes: &Path) -> usize {
    let count = |name: &str| fs::read_to_string(notes.join(name)).unwrap_or_default().lines().count();
    FILES.map(count).iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_while_the_connection_is_cut_or_held_arrives_in_order_once() {
    let world = World::new();
    let notes = world.beside("notes");
    fs::create_dir(&notes).unwrap();
    let settings = format!("[env]\nNOTES = '{}'\n", notes.display());
    let repository = world.repository(&settings, &FILES.map(|name| (name, FILE)));
    // The grace is far off: nothing may be given away here.
    let queen = world.queen(&["--grace", "600"]).await;
    let proxy = Proxy::to(&world.addr).await;
    let drone = Program::start("drone", world.drone_at(&proxy.url, "drone", &["--capacity", "2"]));
    drone.says("connected").await;
    let job = world.submit(&repository, json!({})).await;
    let mut client = Follower::new(&world.addr, &job);
    for _ in FILES {
        client.event("job:file:start").await;
    }

    let late = Duration::from_millis(20);
    for (part, wire) in [Wire::Open, Wire::Cut, Wire::Held, Wire::Cut, Wire::Slow(late)]
        .into_iter()
        .enumerate()
    {
        let said = drone.lines().len();
        proxy.set(wire);
        if wire == Wire::Cut {
            drone.says_after(said, "not connected to the queen").await;
            assert_eq!(world.get("/api/v1/drones").await.json()[0]["connected"], false);
        }
        fs::write(notes.join(format!("part{part}")), "").unwrap();
        let all = FILES.len() * 50 * (part + 1);
        until("the drone to work on", || (written(&notes) == all).then_some(())).await;
        proxy.set(Wire::Open);
        for name in FILES {
            let last = format!("{name} line {}\n", 50 * (part + 1));
            let mut text = String::new();
            let mut ends = |event: &Value| {
                text.push_str(event["args"][2].as_str().unwrap_or_default());
                text.ends_with(&last).then_some(())
            };
            if !client.seen.iter().any(|event| ends(event).is_some()) {
                client.until(&last, ends).await;
            }
        }
    }

    client.finished().await;
    assert_eq!(world.job(&job).await["state"], "passed");
    assert_eq!(
        client.results(),
        FILES.map(|name| (format!("tests/{name}"), 1, "passed".to_owned()))
    );
    for ((path, _), said) in client.output() {
        let name = path.rsplit('/').next().unwrap();
        let known: String = (1..=LINES).map(|i| format!("{name} line {i}\n")).collect();
        assert_eq!(said, known, "the lines of {path}");
    }
    drone.stop().await;
    queen.stop().await;
}
