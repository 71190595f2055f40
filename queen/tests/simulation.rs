//! Nothing is lost and nothing counted twice, in as many simulated worlds as there is time for.
//!
//! The real queen (engine, writer, bus, hub, HTTP) and the real link and outbox of drones, on a simulated network with a
//! simulated disk and clock, all from one seed. Read next: `sim/world.rs` for what happens, `sim/checks.rs` for what must
//! hold.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod grammar;
mod sim {
    pub mod chance;
    pub mod checks;
    mod contract;
    pub mod disk;
    pub mod lease;
    pub mod ledger;
    pub mod machine;
    pub mod memory;
    pub mod net;
    pub mod people;
    pub mod plan;
    pub mod world;

    use super::grammar;
}

use sim::world::{Manner, run};
use std::{
    collections::BTreeMap,
    env,
    process::{Command, Output},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Worlds, if nothing else is asked for by `SKEP_WORLDS`. Their seeds begin at `SKEP_FIRST`, or 0.
const WORLDS: u64 = 100;
/// What a world says of itself at its end, before its numbers.
const SUM: &str = "summary";

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Half of the worlds lose nothing at all.
fn manner(seed: u64) -> Manner {
    match env::var("SKEP_MANNER").ok().as_deref() {
        Some("lying") => Manner::Lying,
        _ if seed.is_multiple_of(2) => Manner::Gentle,
        _ => Manner::Rough,
    }
}

/// Runs one world in a process of its own: libraries count things for the whole process, so that only the first world in
/// it is the seed's alone.
fn world(seed: u64, lying: bool) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "one_world", "--ignored", "--nocapture"])
        .env("SKEP_SEED", seed.to_string());
    if lying {
        command.env("SKEP_MANNER", "lying");
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
#[ignore = "the others run it, one process each; by hand: SKEP_SEED=7 cargo test -p queen --test simulation one_world -- --ignored --nocapture"]
fn one_world() {
    let seed = number("SKEP_SEED").unwrap_or(0);
    let report = run(seed, manner(seed));
    for line in &report.history {
        println!("{line}");
    }
    println!(
        "{SUM} faults={} commits={} reconnects={} results={} splits={} lines={} seconds={}",
        report.faults,
        report.commits,
        report.reconnects,
        report.results,
        report.splits,
        report.lines,
        report.time.as_secs()
    );
    assert!(
        report.violations.is_empty(),
        "world {seed} ({:?}):\n  {}",
        manner(seed),
        report.violations.join("\n  ")
    );
}

#[test]
fn nothing_is_lost_and_nothing_counted_twice_in_any_world() {
    let first = number("SKEP_FIRST").unwrap_or(0);
    let count = number("SKEP_WORLDS").unwrap_or(WORLDS);
    let next = AtomicU64::new(first);
    let work = || {
        let (mut bad, mut sums) = (Vec::new(), BTreeMap::<String, u64>::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || bad.len() > 3 {
                return (bad, sums);
            }
            let ran = world(seed, false);
            let said = text(&ran.stdout);
            if !ran.status.success() {
                let why = text(&ran.stderr);
                let why: Vec<_> = why
                    .lines()
                    .filter(|line| !line.starts_with("stack backtrace"))
                    .take(25)
                    .collect();
                let story = format!(
                    "{}\nalone: SKEP_SEED={seed} cargo test -p queen --test simulation one_world -- --ignored --nocapture",
                    why.join("\n")
                );
                // At once: a run of many thousands is not waited for.
                eprintln!("{story}");
                bad.push(story);
            }
            let sum = said.lines().rev().find_map(|line| line.strip_prefix(SUM));
            for (name, value) in sum
                .unwrap_or_default()
                .split(' ')
                .filter_map(|part| part.split_once('='))
            {
                *sums.entry(name.to_owned()).or_default() += value.parse::<u64>().unwrap();
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (mut bad, mut sums) = (Vec::new(), BTreeMap::<String, u64>::new());
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for one in all {
            let (more, sum) = one.join().unwrap();
            bad.extend(more);
            for (name, value) in sum {
                *sums.entry(name).or_default() += value;
            }
        }
    });
    println!("{count} worlds: {sums:?}");
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
    // A world in which nothing happens proves nothing.
    let some = ["faults", "commits", "reconnects", "results", "splits", "lines"];
    assert!(some.iter().all(|name| sums[*name] > 0), "{sums:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_same_seed_gives_the_same_history() {
    for seed in [2, 3] {
        let history = || {
            let said = text(&world(seed, false).stdout);
            let end = said.find(SUM).unwrap();
            said[..end].lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (one, two) = (history(), history());
        assert!(one.len() > 100, "{one:?}");
        let differ = one.iter().zip(&two).position(|(a, b)| a != b);
        assert_eq!(
            differ,
            None,
            "{:?} {:?}",
            one.get(differ.unwrap()),
            two.get(differ.unwrap())
        );
        assert_eq!(one.len(), two.len());
    }
}

#[test]
fn an_acknowledgement_before_the_write_is_noticed() {
    let noticed = (0..20).map(|seed| world(seed, true)).find(|ran| !ran.status.success());
    let why = text(&noticed.expect("a disk that lies was believed in 20 worlds").stderr);
    assert!(
        why.contains("durable") || why.contains("not written") || why.contains("was shown event"),
        "{why}"
    );
}
