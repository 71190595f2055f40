//! Promises that are broken on purpose: each fault is found by some world, which is sound without it.

use super::{broken, queen::Slips, run::Sim};
use scheduler::Faults;
use shared::{JobState, outcome::FileOutcome};
use std::collections::BTreeMap;

/// Worlds in which a fault must show.
const WORLDS: u64 = 500;

/// Looks for the first world that a fault breaks; it must break what is named.
fn is_found(faults: Faults, slips: Slips, named: &[&str]) {
    let found = (0..WORLDS).find_map(|seed| Some((seed, broken(seed, faults, slips)?.0)));
    let Some((seed, why)) = found else {
        panic!("{faults:?}, {slips:?}: not found in {WORLDS} worlds");
    };
    assert!(
        named.iter().any(|name| why.contains(name)),
        "world {seed}: found otherwise: {why}"
    );
    let sound = broken(seed, Faults::default(), Slips::default());
    assert_eq!(sound, None, "world {seed} is broken without the fault too");
}

#[test]
fn a_result_that_counts_under_a_dead_lease_is_found() {
    let faults = Faults {
        unfenced: true,
        ..Faults::default()
    };
    is_found(
        faults,
        Slips::default(),
        &["nothing counts that is said under a lease that is over"],
    );
}

#[test]
fn a_lease_that_comes_back_with_its_old_token_is_found() {
    let faults = Faults {
        same_token: true,
        ..Faults::default()
    };
    is_found(faults, Slips::default(), &["a token is given once"]);
}

#[test]
fn what_was_handed_ahead_and_is_forgotten_is_found() {
    let faults = Faults {
        forget_ahead: true,
        ..Faults::default()
    };
    is_found(
        faults,
        Slips::default(),
        &["no file is lost with its lease", "slots are not given twice"],
    );
}

#[test]
fn an_acknowledgement_before_the_write_is_found() {
    let slips = Slips {
        early_ack: true,
        ..Slips::default()
    };
    is_found(Faults::default(), slips, &["nothing that was acknowledged is lost"]);
}

#[test]
fn a_word_to_a_drone_before_the_write_is_found() {
    let slips = Slips {
        early_word: true,
        ..Slips::default()
    };
    is_found(
        Faults::default(),
        slips,
        &[
            "a token is given once",
            "a number is one command",
            "a deploy begins once",
        ],
    );
}

/// Worlds in which nothing happens would all be sound.
#[test]
fn the_worlds_are_full() {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..200 {
        let mut sim = Sim::new(seed, Faults::default(), Slips::default(), false);
        sim.run();
        for saved in sim.written.saved.values() {
            let row = saved.row.as_ref().unwrap();
            *seen.entry(row.state.to_string()).or_default() += 1;
            *seen.entry("tried again".into()).or_default() += row.attempt - 1;
            *seen.entry("homes lost".into()).or_default() += row.lost;
            *seen.entry("deployed".into()).or_default() += u32::from(row.deploy_code == Some(0));
            let lost = row
                .error
                .as_ref()
                .is_some_and(|error| error.message.contains("during the deploy"));
            *seen.entry("deploy lost".into()).or_default() += u32::from(lost);
            *seen.entry("shared".into()).or_default() += u32::from(saved.leases.len() > 1);
        }
        *seen.entry("split".into()).or_default() += sim.written.wholes.len() as u32;
        for outcome in sim.written.results.values() {
            *seen.entry(outcome.as_str().into()).or_default() += 1;
        }
        for (why, count) in &sim.written.drops {
            *seen.entry(format!("dropped: {why}")).or_default() += count;
        }
    }
    let states = [
        JobState::Passed,
        JobState::Failed,
        JobState::Errored,
        JobState::Cancelled,
    ]
    .map(|state| state.to_string());
    let outcomes = [
        FileOutcome::Passed,
        FileOutcome::Failed,
        FileOutcome::Flaky,
        FileOutcome::Crashed,
    ];
    let others = [
        "tried again",
        "homes lost",
        "deployed",
        "deploy lost",
        "shared",
        "split",
        "dropped: stale",
        "dropped: unknown-job",
    ];
    let wanted = states
        .into_iter()
        .chain(outcomes.map(|outcome| outcome.as_str().to_owned()));
    for wanted in wanted.chain(others.map(str::to_owned)) {
        assert!(
            seen.get(&wanted).is_some_and(|count| *count > 0),
            "no world has {wanted:?}: {seen:#?}"
        );
    }
    println!("{seen:#?}");
}
