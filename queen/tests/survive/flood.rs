//! The queen is away while a job pours out text: the drone stays small, keeps what it may keep, stops reading the job's
//! pipes at its bound, and loses nothing.

use crate::{
    cli_support::LONG,
    harness::http::Request,
    world::{LOOK, World, until},
};
use serde_json::json;
use std::{fs, path::Path};
use tokio::time::{sleep, timeout};

/// Each block is 1,000,000 bytes in 10,000 numbered lines.
const BLOCKS: u64 = 100;
const FILE: &str = r#"
echo $$ > "$NOTES/pid"
i=0
while [ $i -lt 100 ]; do
    seq -f "%07.0f $PADDING" $((i * 10000)) $((i * 10000 + 9999))
    i=$((i + 1))
    echo $i > "$NOTES/blocks"
done
"#;
const PADDING: usize = 91;

const MEMORY: u64 = 2 << 20;
const DISK: u64 = 16 << 20;

fn bytes_in(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

fn blocks(notes: &Path) -> u64 {
    let text = fs::read_to_string(notes.join("blocks")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The most memory that a process ever had, in bytes.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_while_the_queen_is_away_is_held_back_and_nothing_of_it_is_lost() {
    let world = World::new();
    let notes = world.beside("notes");
    fs::create_dir(&notes).unwrap();
    let padding = "x".repeat(PADDING);
    let settings = format!("[env]\nNOTES = '{}'\nPADDING = '{padding}'\n", notes.display());
    let repository = world.repository(&settings, &[("flood", FILE)]);
    let flags = ["--grace", "600"];
    let queen = world.queen(&flags).await;
    let (memory, disk) = (MEMORY.to_string(), DISK.to_string());
    let drone = world
        .drone(
            "drone",
            &["--outbox-memory", &memory, "--outbox-disk", &disk, "--log-limit", "1G"],
        )
        .await;
    let job = world.submit(&repository, json!({})).await;
    until("the flood to begin", || (blocks(&notes) >= 1).then_some(())).await;
    queen.kill().await;
    let before = blocks(&notes);

    let outbox = world.beside("drone").join("outbox");
    // A segment is an eighth of the memory bound, and one piece of text 32 KiB at most.
    until("the disk bound", || {
        (bytes_in(&outbox) + MEMORY / 8 > DISK).then_some(())
    })
    .await;
    // Long enough for the drone to look for its queen again and again: what it would go on reading would show.
    let said = drone.lines().len();
    drone.says_after(said, "not connected to the queen").await;
    let kept = bytes_in(&outbox);
    assert!(kept <= DISK, "{kept} bytes on disk");
    let held = blocks(&notes) - before;
    assert!(
        held * 1_000_000 <= MEMORY + DISK + 2_000_000,
        "{held} blocks were read from the pipe"
    );
    let pid = fs::read_to_string(notes.join("pid")).unwrap();
    assert!(crate::cli_support::is_alive(pid.trim()), "the child waits");
    assert_eq!(blocks(&notes) - before, held, "the child went on");

    let queen = world.queen(&flags).await;
    let over = async {
        while world.job(&job).await["state"] == "running" {
            sleep(LOOK * 10).await;
        }
    };
    timeout(LONG * 2, over).await.expect("the job ends");
    let view = world.job(&job).await;
    assert_eq!(view["state"], "passed", "{view}");
    let most = peak(drone.pid());
    assert!(most < 160 << 20, "the drone had {most} bytes");
    assert_eq!(bytes_in(&outbox), 0);

    let num = world.get(&format!("/api/v1/jobs/{job}/files")).await.json()[0]["num"].clone();
    let path = format!("/api/v1/jobs/{job}/log?num={num}&stream=stdout");
    let mut log = Request::new("GET", &path).open(&world.addr).await;
    for number in 0..BLOCKS * 10_000 {
        let line = log.line().await;
        assert_eq!(line.as_deref(), Some(format!("{number:07} {padding}").as_str()));
    }
    assert_eq!(log.line().await, None);
    drone.stop().await;
    queen.stop().await;
}
