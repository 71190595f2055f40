//! A file that is far longer than the rest is run in parts.

use crate::world::{World, info, job_id, new_job, suite};
use scheduler::Action;
use shared::{
    outcome::FileOutcome,
    protocol::{JobEvent, ToDrone, to_drone::Part},
};

/// By the fake's history it has seven groups.
const LONG: u64 = 20_070;

fn world(slots: u32, long: u64, split: bool) -> World {
    let mut world = World::new(&[("a", info(100, slots))]);
    let mut suite = suite(3, 1_000);
    suite.files.insert(1, ("t/long".into(), Some(long)));
    suite.plan.split = split;
    world.submit(new_job("j"), suite);
    world
}

fn paths(world: &World) -> Vec<String> {
    world.files("j").iter().map(|file| file.path.clone()).collect()
}

/// The parts that were handed out, as they were handed out.
fn runs(world: &World) -> Vec<Part> {
    let actions = world.log.iter().flatten();
    let files = actions.filter_map(|action| match action {
        Action::Send {
            message: ToDrone::JobRun { files, .. },
            ..
        } => Some(files),
        _ => None,
    });
    files.flatten().filter_map(|file| file.part.clone()).collect()
}

#[test]
fn the_parts_stand_in_its_place_and_come_to_one_result() {
    let mut world = world(4, LONG, true);
    world.settle();
    let parts = ["t/long#1of4", "t/long#2of4", "t/long#3of4", "t/long#4of4"];
    let [first, rest @ ..] = ["t/000", "t/001", "t/002"];
    assert_eq!(paths(&world), [&[first], &parts[..], &rest].concat());
    let told = world.events[&job_id("j")].iter().find_map(|event| match event {
        JobEvent::Split { path, parts, .. } => Some((path.clone(), parts.clone())),
        _ => None,
    });
    assert_eq!(told.unwrap(), ("t/long".to_owned(), parts.map(str::to_owned).to_vec()));
    let runs = runs(&world);
    assert!(runs.iter().all(|part| part.file == "t/long"));
    let named = runs.iter().filter(|part| !part.rest).map(|part| part.groups.len());
    let rest = runs.iter().find(|part| part.rest).unwrap();
    assert_eq!((runs.len(), named.sum::<usize>()), (4, rest.groups.len()));
    let expected: Vec<_> = world.files("j").iter().map(|file| file.expect.unwrap()).collect();
    assert!((LONG - 4..=LONG).contains(&expected[1..5].iter().sum()), "{expected:?}");
    let wholes: Vec<_> = world.wholes.values().collect();
    assert_eq!(wholes.len(), 1);
    assert_eq!((&*wholes[0].path, wholes[0].outcome), ("t/long", FileOutcome::Passed));
    // The groups that the parts had, and the one that is new in the last.
    assert_eq!(wholes[0].groups.len(), rest.groups.len() + 1);
    assert!(wholes[0].duration.is_some());
}

#[test]
fn a_file_stays_whole_where_nobody_asked_or_nothing_is_won() {
    for (slots, long, split) in [
        (4, LONG, false),
        // One slot has to run it all anyway.
        (1, LONG, true),
        // Its fair share of the time.
        (2, 1_070, true),
        // One group is all that it has.
        (4, 20_010, true),
    ] {
        let mut world = world(slots, long, split);
        world.settle();
        assert_eq!(paths(&world).len(), 4, "{slots} {long} {split}");
        assert!(runs(&world).is_empty() && world.wholes.is_empty());
    }
}

#[test]
fn a_queen_that_starts_again_goes_on_with_the_same_parts() {
    let mut world = world(2, LONG, true);
    while paths(&world).len() < 5 {
        world.all_quiet();
    }
    let before = paths(&world);
    world.restart_queen();
    let said = world.log.len();
    world.connect(&crate::world::drone_id("a"), false);
    world.settle();
    assert_eq!(paths(&world), before);
    world.log.drain(..said);
    assert!(!runs(&world).is_empty());
    assert_eq!(world.wholes.len(), 1);
}
