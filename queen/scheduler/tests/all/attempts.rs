//! What a file's result, or its loss, comes to; and the numbers of commands.

use crate::fake::Suite;
use crate::world::{World, drone_id, info, job_id, new_job, suite};
use scheduler::{Action, DroneInput, FileRow, FileState, JobInput};
use shared::{
    DroneId, JobState, Num,
    outcome::FileOutcome,
    protocol::{JobEvent, ToDrone, event::Phase},
};

/// A job of one file that `a` has begun.
fn begun(retries: u32) -> World {
    let mut suite = suite(1, 1000);
    suite.plan.retries = retries;
    started(suite)
}

/// The same under quarantine, in a job that is cut after the first bad file.
fn quarantined(retries: u32) -> World {
    let mut suite = suite(1, 1000);
    (suite.plan.retries, suite.plan.fail_fast) = (retries, true);
    suite.quarantine.insert(suite.files[0].0.clone());
    started(suite)
}

fn started(suite: Suite) -> World {
    let mut world = World::new(&[("a", info(100, 1))]);
    world.submit(new_job("j"), suite);
    for _ in 0..20 {
        if world.files("j").first().is_some_and(|file| file.num.is_some()) {
            break;
        }
        world.all_quiet();
    }
    world
}

fn done(world: &World, outcome: FileOutcome, died: bool) -> JobInput {
    let files = world.files("j");
    let (num, attempt) = (files[0].num.unwrap(), files[0].attempt);
    JobInput::FileDone {
        num,
        attempt,
        outcome,
        died,
        duration: 1000,
        groups: Vec::new(),
    }
}

#[test]
fn a_pass_after_a_bad_attempt_is_flaky() {
    let mut world = begun(1);
    let first = done(&world, FileOutcome::Failed, false);
    world.says("a", "j", first.clone());
    assert_eq!(world.files("j")[0].attempt.0, 2);
    world.says("a", "j", first);
    assert_eq!(world.drops["stale"], 1, "an attempt counts once");
    let second = done(&world, FileOutcome::Passed, false);
    let actions = world.says("a", "j", second);
    assert_eq!(
        actions[0],
        Action::Accept {
            outcome: Some(FileOutcome::Flaky)
        }
    );
    assert_eq!(world.row("j").test_code, Some(0));
}

#[test]
fn a_file_under_quarantine_has_two_more_tries_and_is_bad_if_it_fails_in_each() {
    for (ends, outcome, code) in [
        (vec![FileOutcome::Failed, FileOutcome::Passed], FileOutcome::Flaky, 0),
        (
            vec![FileOutcome::TimedOut, FileOutcome::Failed, FileOutcome::Passed],
            FileOutcome::Flaky,
            0,
        ),
        (vec![FileOutcome::Failed; 3], FileOutcome::Failed, 1),
        (vec![FileOutcome::Passed], FileOutcome::Passed, 0),
    ] {
        let mut world = quarantined(0);
        for (attempt, end) in (1..).zip(&ends) {
            assert_eq!(
                (world.files("j")[0].attempt.0, world.row("j").test_code),
                (attempt, None)
            );
            let end = done(&world, *end, false);
            world.says("a", "j", end);
        }
        assert_eq!(world.files("j")[0].outcome, Some(outcome), "{ends:?}");
        assert_eq!(world.row("j").test_code, Some(code), "{ends:?}");
    }
}

#[test]
fn a_quarantine_takes_no_retry_away_and_holds_the_cut_back() {
    let mut world = quarantined(4);
    for attempt in 2..=5 {
        let failed = done(&world, FileOutcome::Failed, false);
        world.says("a", "j", failed);
        assert_eq!((world.files("j")[0].attempt.0, world.row("j").files_bad), (attempt, 0));
    }
    let failed = done(&world, FileOutcome::Failed, false);
    world.says("a", "j", failed);
    assert_eq!(world.row("j").files_bad, 1);
}

#[test]
fn a_file_stays_under_quarantine_when_the_queen_starts_again_and_is_told_as_such_once() {
    let mut world = quarantined(0);
    let failed = done(&world, FileOutcome::Failed, false);
    world.says("a", "j", failed);
    world.restart_queen();
    world.connect(&drone_id("a"), false);
    assert!(world.files("j")[0].quarantined);
    let failed = done(&world, FileOutcome::Failed, false);
    world.says("a", "j", failed);
    assert_eq!(world.files("j")[0].attempt.0, 3);
    let told: Vec<_> = world.events[&job_id("j")]
        .iter()
        .filter_map(|event| match event {
            JobEvent::Quarantined { paths, .. } => Some(paths.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [["t/000".to_owned()]]);
}

/// A job of six files with `fail_fast` on `a` (two slots) and a helper `b` (one), all slots at work; and the first file
/// that `a` runs.
fn cut(retries: u32) -> (World, JobInput) {
    let mut world = World::new(&[("a", info(100, 2)), ("b", info(100, 1))]);
    let mut suite = suite(6, 600_000);
    (suite.plan.fail_fast, suite.plan.retries) = (true, retries);
    world.submit(new_job("j"), suite);
    let at_work = |world: &World| {
        let out = |file: &&FileRow| file.state == FileState::Out;
        let mut drones: Vec<_> = world
            .files("j")
            .into_iter()
            .filter(out)
            .map(|file| file.drone.clone())
            .collect();
        drones.sort();
        drones.dedup();
        drones.len()
    };
    for _ in 0..40 {
        if at_work(&world) == 2 {
            break;
        }
        world.all_quiet();
    }
    assert_eq!(at_work(&world), 2, "the helper helps");
    let files = world.files("j");
    let file = files.iter().find(|file| file.drone == Some(drone_id("a"))).unwrap();
    let input = JobInput::FileDone {
        num: file.num.unwrap(),
        attempt: file.attempt,
        outcome: FileOutcome::Failed,
        died: false,
        duration: 1000,
        groups: Vec::new(),
    };
    (world, input)
}

fn stops(actions: &[Action]) -> Vec<(DroneId, usize)> {
    let stop = |action: &Action| match action {
        Action::Send {
            drone,
            message: ToDrone::TakeBack { nums, running, .. },
        } => (*running == Some(true)).then(|| (drone.clone(), nums.len())),
        _ => None,
    };
    actions.iter().filter_map(stop).collect()
}

#[test]
fn fail_fast_stops_what_runs_on_every_drone_and_says_what_was_not_run() {
    let (mut world, failed) = cut(0);
    let out = |world: &World| {
        world
            .files("j")
            .iter()
            .filter(|file| file.state == FileState::Out)
            .count()
    };
    let running = out(&world) - 1;
    let told = stops(&world.says("a", "j", failed));
    assert_eq!(
        told.iter().map(|(drone, _)| drone.clone()).collect::<Vec<_>>(),
        [drone_id("a"), drone_id("b")]
    );
    assert_eq!(
        told.iter().map(|(_, nums)| nums).sum::<usize>(),
        running,
        "each is told once"
    );
    world.settle();
    let row = world.row("j");
    assert_eq!(
        (row.state, row.test_code, row.files_done),
        (JobState::Failed, Some(1), 6)
    );
    let mut outcomes: Vec<_> = world.files("j").iter().map(|file| file.outcome.unwrap()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes[0], FileOutcome::Failed);
    assert_eq!(outcomes[1..], [FileOutcome::NotRun; 5]);
}

#[test]
fn a_drone_that_was_away_when_the_job_was_cut_is_told_when_it_is_back() {
    let (mut world, failed) = cut(0);
    world.disconnect(&drone_id("b"));
    let told = stops(&world.says("a", "j", failed));
    assert!(told.iter().all(|(drone, _)| *drone == drone_id("a")), "{told:?}");
    let before = world.log.len();
    world.connect(&drone_id("b"), false);
    world.deliver_all();
    let told: Vec<_> = world.log[before..].iter().flat_map(|actions| stops(actions)).collect();
    assert!(told.iter().any(|(drone, _)| *drone == drone_id("b")), "{told:?}");
    world.settle();
    assert_eq!(world.row("j").files_done, 6);
}

#[test]
fn a_retry_comes_before_the_cut() {
    let (mut world, failed) = cut(1);
    assert_eq!(stops(&world.says("a", "j", failed.clone())), [], "it may yet pass");
    assert!(world.files("j").iter().all(|file| file.outcome.is_none()));
}

#[test]
fn three_deaths_are_poison() {
    let mut world = begun(5);
    for _ in 0..2 {
        let death = done(&world, FileOutcome::Failed, true);
        world.says("a", "j", death);
    }
    let death = done(&world, FileOutcome::Failed, true);
    let actions = world.says("a", "j", death);
    assert_eq!(
        actions[0],
        Action::Accept {
            outcome: Some(FileOutcome::Crashed)
        }
    );
    assert_eq!(world.row("j").test_code, Some(1));
}

#[test]
fn a_job_in_which_no_test_ran_is_errored() {
    let mut world = begun(0);
    let empty = done(&world, FileOutcome::Empty, false);
    world.says("a", "j", empty);
    assert_eq!(world.row("j").error.as_ref().unwrap().kind, "no-tests");
}

#[test]
fn numbers_of_commands_never_clash_and_bad_ones_are_dropped() {
    let mut world = begun(0);
    world.says("a", "j", JobInput::CmdStart { num: Num(4_000_000) });
    assert_eq!(world.drops["bad-num"], 1);
    let num = world.files("j")[0].num.unwrap();
    assert!(world.state.started_num(&job_id("j"), &drone_id("a"), num));
    assert!(!world.state.started_num(&job_id("j"), &drone_id("a"), Num(num.0 + 1)));
    let passed = done(&world, FileOutcome::Passed, false);
    let told = world.says("a", "j", passed).iter().find_map(cleanup).unwrap();
    assert!(told < num, "kept for the home drone when the files were listed");
}

/// The number that a drone is told to clean up from.
fn cleanup(action: &Action) -> Option<Num> {
    match action {
        Action::Send {
            message:
                ToDrone::JobPhase {
                    phase: Phase::Cleanup,
                    num,
                    ..
                },
            ..
        } => Some(*num),
        _ => None,
    }
}

#[test]
fn numbers_that_are_kept_for_a_cleanup_are_kept_by_the_next_queen_too() {
    let told = |restart: bool| {
        let mut world = begun(0);
        if restart {
            world.restart_queen();
            world.connect(&drone_id("a"), false);
        }
        let passed = done(&world, FileOutcome::Passed, false);
        world.says("a", "j", passed).iter().find_map(cleanup)
    };
    // Taken anew, one could be the number that a deploy was told to go on from.
    assert_eq!(told(true), told(false));
}

#[test]
fn a_file_that_loses_three_drones_is_reported_as_crashed() {
    let mut world = begun(5);
    let id = drone_id("a");
    let mut crashed = None;
    for _ in 0..3 {
        assert_eq!(crashed, None);
        world.fakes.get_mut(&id).unwrap().restart();
        world.connect(&id, false);
        crashed = world.events[&job_id("j")].iter().find_map(|event| match event {
            JobEvent::FileDone { result, .. } => Some(result.outcome),
            _ => None,
        });
        for _ in 0..4 {
            // Far enough for the file to begin, not to end.
            let out = world.files("j")[0].token.is_some();
            let fake = world.fakes.get_mut(&id).unwrap();
            if fake.busy() == 0 || !out {
                fake.work(&world.suites, 0);
            }
            world.deliver_all();
        }
    }
    assert_eq!(crashed, Some(FileOutcome::Crashed));
    assert_eq!(world.row("j").test_code, Some(1));
}

#[test]
fn a_drone_that_comes_back_in_time_goes_on_and_is_told_again_what_it_never_had() {
    let mut world = begun(0);
    let id = drone_id("a");
    world.fakes.get_mut(&id).unwrap().disconnect();
    world.drone(&id, DroneInput::Disconnected);
    assert!(world.state.fence(&job_id("j"), &id, None), "suspended is not over");
    world.pass(10_000);
    world.connect(&id, false);
    let resumed = |action: &&Action| matches!(action, Action::Send { message: ToDrone::Resumed { jobs }, .. } if jobs.iter().any(|answer| answer.go_on));
    assert!(world.log.iter().flatten().any(|action| resumed(&action)));
    let before = world.files("j")[0].num;
    world.settle();
    assert_eq!(
        (world.files("j")[0].num, world.files("j")[0].attempt.0),
        (before, 1),
        "the same attempt"
    );
    assert_eq!(world.row("j").state, JobState::Passed);
}

#[test]
fn a_drone_that_says_goodbye_costs_its_files_no_grace() {
    let mut world = begun(0);
    let id = drone_id("a");
    world.fakes.get_mut(&id).unwrap().disconnect();
    world.drone(&id, DroneInput::Left);
    assert!(!world.state.fence(&job_id("j"), &id, None), "its lease is over");
    world.fakes.get_mut(&id).unwrap().restart();
    world.connect(&id, false);
    world.settle();
    assert_eq!(world.row("j").state, JobState::Passed);
}
