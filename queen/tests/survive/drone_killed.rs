//! A drone that is killed in the middle of its files: they end elsewhere, and its next life clears up after it.

use crate::{
    cli_support::is_alive,
    fleet,
    follower::Follower,
    world::{Program, World, names, until},
};
use serde_json::json;
use std::{collections::BTreeSet, fs, path::Path, process::Stdio};
use tokio::process::Command;

/// Each file starts, on the drone `first`, processes that outlive it in every way there is, and then waits for ever
/// while it pours out text; anywhere else it passes.
const FILE: &str = r#"
name=$(basename "$SKEP_FILE")
case "$PWD" in
*/first/*)
    setsid sh -c 'echo $$ >> "$0/pids"; while [ -d "$0" ]; do sleep 0.1; done' "$NOTES" > /dev/null 2>&1 &
    (setsid env -i /bin/sh -c 'echo $$ >> "$0/bare"; while [ -d "$0" ]; do /bin/sleep 0.1; done' "$NOTES" > /dev/null 2>&1 &)
    echo $$ >> "$NOTES/pids"
    echo "$name" >> "$NOTES/begun"
    while [ -d "$NOTES" ]; do seq 1 2000; sleep 0.05; done ;;
*)
    echo "$name is well" ;;
esac
"#;

/// The lines of a file that other programs append to.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn workspaces(data: &Path) -> Vec<String> {
    let mut left = names(&data.join("workspaces"));
    left.retain(|name| name != ".gate");
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_killed_drone_end_elsewhere_and_its_next_life_clears_up() {
    let world = World::new();
    let notes = world.beside("notes");
    fs::create_dir(&notes).unwrap();
    let settings = format!("[env]\nNOTES = '{}'\n", notes.display());
    let scripts = ["a", "b", "c", "d", "e", "f"].map(|name| (name, FILE));
    let repository = world.repository(&settings, &scripts);
    let queen = world.queen(&["--grace", "1"]).await;
    let first_flags = [
        "--capacity",
        "2",
        "--speed",
        "300",
        "--label",
        "first",
        "--outbox-memory",
        "64K",
    ];
    let first = world.drone("first", &first_flags).await;
    let second = world.drone("second", &["--capacity", "2"]).await;
    let job = world.submit(&repository, json!({"spread": 2})).await;
    let mut client = Follower::new(&world.addr, &job);
    until("two files to begin on the first drone", || {
        (lines(&notes.join("begun")).len() >= 2).then_some(())
    })
    .await;
    until("their processes", || {
        (lines(&notes.join("pids")).len() >= 4 && lines(&notes.join("bare")).len() >= 2).then_some(())
    })
    .await;

    // Nobody takes what the drone says, so it spills.
    queen.signal(libc::SIGSTOP);
    let data = world.beside("first");
    until("the drone to spill", || {
        (!names(&data.join("outbox")).is_empty()).then_some(())
    })
    .await;
    let (marked, bare) = (lines(&notes.join("pids")), lines(&notes.join("bare")));
    first.kill().await;
    queen.signal(libc::SIGCONT);
    // The marked ones any drone clears up that starts on this machine, also one of another test.
    assert!(bare.iter().all(|pid| is_alive(pid)), "nothing is left to clear up");
    assert!(!workspaces(&data).is_empty() && !names(&data.join("outbox")).is_empty());

    let outline = client.finished_with_loss().await;
    assert!(outline.contains(&"tested 0".into()), "{outline:?}");
    assert_eq!(world.job(&job).await["state"], "passed");
    let results = client.results();
    let passed: BTreeSet<&str> = results.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!((results.len(), passed.len()), (6, 6), "{results:#?}");
    assert!(results.iter().all(|(.., outcome)| outcome == "passed"), "{results:#?}");
    let begun: BTreeSet<String> = lines(&notes.join("begun")).into_iter().collect();
    for (path, attempt, _) in &results {
        // A second attempt says that the first was lost; what never began on the killed drone lost nothing.
        let name = path.rsplit('/').next().unwrap();
        assert_eq!(*attempt > 1, begun.contains(name), "{path} {attempt} {begun:?}");
    }

    // Ours, but not the drone's: in no workspace, of no command, one with the marker of a drone that lives.
    let mut strangers = Vec::new();
    for (name, marker) in [("plain", None), ("kin", Some(marker_of(&second)))] {
        let mut command = Command::new("sh");
        command
            .args(["-c", "while [ -d \"$0\" ]; do sleep 0.1; done"])
            .arg(&notes);
        command
            .current_dir(world.beside(""))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.envs(marker.map(|marker| ("SKEP_COMMAND_ID", marker)));
        strangers.push((name, command.spawn().unwrap()));
    }

    let first = world.drone("first", &first_flags).await;
    first.says("processes of a dead drone were killed").await;
    first.says("workspaces of a dead drone were removed").await;
    for pid in marked.iter().chain(&bare) {
        assert!(!is_alive(pid), "{pid} is left of {marked:?} and {bare:?}");
    }
    for (name, stranger) in &mut strangers {
        assert!(
            stranger.try_wait().unwrap().is_none(),
            "{name} was killed and is nobody's of the drone"
        );
    }
    assert_eq!(names(&data.join("outbox")), Vec::<String>::new());
    let left = workspaces(&data);
    let own = left.iter().filter(|name| !name.ends_with(".lock")).count();
    assert_eq!((left.len(), own), (2, 1), "more than its own folder and lock: {left:?}");

    // It takes work again, the same queen's.
    let again = fleet::suite(&world.beside("again"), "", &[("one", "echo again")]);
    let job = world.submit(&again, json!({"labels": ["first"]})).await;
    let mut client = Follower::new(&world.addr, &job);
    client.finished().await;
    assert_eq!(world.job(&job).await["state"], "passed");
    for drone in [first, second] {
        drone.stop().await;
    }
    assert_eq!(workspaces(&data), Vec::<String>::new());
    queen.stop().await;
}

/// A marker as the commands of a running drone carry it.
fn marker_of(drone: &Program) -> String {
    use std::os::unix::fs::MetadataExt;
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let stat = fs::read_to_string(format!("/proc/{}/stat", drone.pid())).unwrap();
    let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
    format!("{namespace}.{}.{start}.0", drone.pid())
}
