//! Deterministic simulation: worlds made from a number, in which everything goes wrong that may.
//!
//! A world is a queen with its store, drones with their links, and jobs ([`seed`]). Messages are late, lost with their
//! connection and said again ([`link`]), the queen is killed between any two writes ([`queen`]), drones die, drain, lie
//! and come back, clocks jump ([`run`]). What SPEC promises is checked after every step (`checks.rs`, `ledger.rs`) and at
//! the end, when everything has come to rest.
//!
//! `SKEP_WORLDS=100000` makes so many worlds, `SKEP_WORLD=17` only this one, and says everything that happens in it.

mod faults;
mod link;
mod queen;
mod run;
mod seed;
mod trace;

use queen::Slips;
use run::Sim;
use scheduler::Faults;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// Worlds of every run of the tests.
const WORLDS: u64 = 1000;
/// Broken worlds after which no more are made.
const ENOUGH: usize = 10;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one world; answers what is broken in it, and what happened.
fn broken(seed: u64, faults: Faults, slips: Slips) -> Option<(String, String)> {
    let whole = asked("SKEP_WORLD") == Some(seed);
    let mut sim = Sim::new(seed, faults, slips, whole);
    let ended = catch_unwind(AssertUnwindSafe(|| sim.run()));
    sim.note_rest();
    if whole {
        println!("{}", sim.trace);
    }
    let why = ended.err()?;
    let text = why.downcast_ref::<String>().map(String::as_str);
    let text = text.or(why.downcast_ref::<&str>().copied()).unwrap_or("it broke down");
    Some((text.to_owned(), sim.trace.to_string()))
}

#[test]
fn in_all_worlds_nothing_is_lost_and_nothing_counts_twice() {
    let worlds = match asked("SKEP_WORLD") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("SKEP_WORLDS").unwrap_or(WORLDS),
    };
    let (next, found) = (AtomicU64::new(worlds.start), Mutex::new(BTreeMap::new()));
    let run = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds.end || found.lock().unwrap().len() >= ENOUGH {
                return;
            }
            if let Some(why) = broken(seed, Faults::default(), Slips::default()) {
                found.lock().unwrap().insert(seed, why);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(run);
        }
    });
    let found = found.into_inner().unwrap();
    let Some((seed, (_, trace))) = found.first_key_value() else {
        return;
    };
    let all: Vec<String> = found
        .iter()
        .map(|(seed, (why, _))| format!("world {seed}: {why}"))
        .collect();
    panic!(
        "what happened last in world {seed}:\n{trace}\n{}\n\nto see all of it: SKEP_WORLD={seed} cargo test -p scheduler \
         --test all in_all_worlds -- --nocapture",
        all.join("\n")
    );
}

#[test]
fn the_same_number_is_the_same_world() {
    let told = |seed| {
        let mut sim = Sim::new(seed, Faults::default(), Slips::default(), true);
        sim.run();
        sim.trace.to_string()
    };
    for seed in 0..10 {
        assert!(told(seed) == told(seed), "world {seed} is another one each time");
    }
}
