//! What is lost, and what comes of it: homes, deploys, workers, words. Much of it was found by [`sim`](crate::sim).

use crate::world::{World, drone_id, info, job_id, new_job, suite};
use scheduler::{Action, DroneInput, Input, JobInput, ListedFile};
use shared::{
    JobState, JobType, LeaseToken,
    outcome::FileOutcome,
    protocol::{
        ToDrone,
        event::{Edge, JobError, Phase},
        to_queen::{Info, Resume, ResumeJob},
    },
};

/// Rounds of everybody's work until `enough`.
fn until(world: &mut World, enough: impl Fn(&World) -> bool) {
    for _ in 0..1000 {
        if enough(world) {
            return;
        }
        world.all_quiet();
    }
    panic!("it does not come to that");
}

/// The process on `name` dies, and the next one connects.
fn lose(world: &mut World, name: &str) {
    let id = drone_id(name);
    world.fakes.get_mut(&id).unwrap().restart();
    world.connect(&id, false);
}

/// A job that tests and deploys, submitted to the drones `a` and `b`, of which `a` is the faster.
fn both(retries: u32) -> World {
    let mut world = World::new(&[("a", info(200, 1)), ("b", info(100, 1))]);
    let mut new = new_job("j");
    (new.job_type, new.retries, new.spread) = (JobType::TestAndDeploy, retries, Some(1));
    world.submit(new, suite(3, 1000));
    world
}

fn deploys(world: &World) -> usize {
    world.fakes.values().map(|fake| fake.deploys.len()).sum()
}

fn sent(actions: &[Action], to: &str, wanted: impl Fn(&ToDrone) -> bool) -> bool {
    actions.iter().any(|action| match action {
        Action::Send { drone, message } => *drone == drone_id(to) && wanted(message),
        _ => false,
    })
}

#[test]
fn a_home_that_is_lost_before_it_has_listed_all_is_followed_by_one_that_lists_anew() {
    let mut world = both(0);
    let partly = |world: &World| !world.files("j").is_empty();
    until(&mut world, partly);
    assert_eq!(
        (world.files("j").len(), &world.row("j").plan),
        (1, &None),
        "half of the list"
    );
    lose(&mut world, "a");
    assert!(world.files("j").is_empty() && world.row("j").lost == 1);
    world.settle();
    assert_eq!((world.row("j").state, world.files("j").len()), (JobState::Passed, 3));
    assert_eq!(deploys(&world), 1);
}

#[test]
fn a_home_that_is_lost_after_it_has_listed_is_followed_by_one_that_goes_on_from_there() {
    let mut world = both(0);
    until(&mut world, |world| world.row("j").files_done == 1);
    let first = world
        .files("j")
        .into_iter()
        .find(|file| file.outcome.is_some())
        .cloned();
    world.disconnect(&drone_id("a"));
    world.pass(31_000);
    assert_eq!(world.home("j").as_deref(), Some("b"));
    world.settle();
    let row = world.row("j");
    assert_eq!((row.state, row.attempt, row.lost), (JobState::Passed, 1, 1));
    let first = first.unwrap();
    assert_eq!(
        *world.files("j")[first.index as usize],
        first,
        "what is done stays done"
    );
    assert_eq!(deploys(&world), 1);
}

#[test]
fn a_deploy_whose_drone_is_lost_is_never_given_again_whatever_the_job_asks_for() {
    let mut world = both(3);
    until(&mut world, |world| deploys(world) == 1);
    lose(&mut world, "a");
    world.settle();
    let row = world.row("j");
    assert_eq!((row.state, row.attempt), (JobState::Errored, 1));
    assert!(
        row.error
            .as_ref()
            .unwrap()
            .message
            .contains("a deploy is never repeated by itself")
    );
    assert_eq!(row.test_code, Some(0), "what is known of the tests stays");
    assert_eq!(deploys(&world), 1);
}

#[test]
fn a_file_that_kills_three_workers_is_crashed_and_the_rest_of_the_job_goes_on() {
    let mut world = World::new(&[("a", info(100, 1))]);
    world.submit(new_job("j"), suite(3, 1000));
    until(&mut world, |world| {
        world.files("j").iter().any(|file| file.num.is_some())
    });
    let bad = world
        .files("j")
        .into_iter()
        .find(|file| file.num.is_some())
        .unwrap()
        .path
        .clone();
    for _ in 0..100 {
        let out = world
            .files("j")
            .into_iter()
            .find(|file| file.token.is_some() && file.outcome.is_none());
        let Some(file) = out.cloned() else { break };
        let (num, attempt) = (file.num.unwrap(), file.attempt);
        let (outcome, died) = match file.path == bad {
            true => (FileOutcome::Failed, true),
            false => (FileOutcome::Passed, false),
        };
        let duration = 1000;
        let done = JobInput::FileDone {
            num,
            attempt,
            outcome,
            died,
            duration,
            groups: Vec::new(),
        };
        world.says("a", "j", done);
    }
    let ends: Vec<_> = world
        .files("j")
        .iter()
        .map(|file| (file.outcome.unwrap(), file.lost))
        .collect();
    assert_eq!(ends.iter().filter(|end| **end == (FileOutcome::Crashed, 3)).count(), 1);
    assert_eq!(ends.iter().filter(|end| **end == (FileOutcome::Passed, 0)).count(), 2);
    assert_eq!(world.row("j").test_code, Some(1));
}

#[test]
fn an_expected_end_comes_nearer_and_is_never_before_the_least_that_is_left() {
    let mut world = World::new(&[("a", info(100, 2))]);
    world.submit(new_job("j"), suite(10, 4000));
    assert_eq!(world.state.explain(&job_id("j"), world.now).unwrap().expected_end, None);
    until(&mut world, |world| world.row("j").plan.is_some());
    let told = |world: &World| {
        let told = world.state.explain(&job_id("j"), world.now).unwrap();
        (
            told.expected_end.unwrap().since(world.now),
            told.lower_bound_ms.unwrap(),
        )
    };
    // Ten files of four seconds in two slots.
    assert_eq!(told(&world), (20_000, 20_000));
    until(&mut world, |world| world.row("j").files_done == 9);
    let (end, least) = told(&world);
    assert!(least <= end && end <= 4000, "{least}, {end}");
}

#[test]
fn files_of_a_helper_that_broke_down_go_to_the_drone_that_is_free() {
    let mut world = World::new(&[("a", info(200, 2)), ("b", info(100, 2))]);
    world.submit(new_job("j"), suite(20, 60_000));
    let on = |world: &World, name: &str| {
        let files = world.files("j").into_iter();
        let out = files.filter(|file| file.token.is_some() && file.outcome.is_none());
        out.filter(|file| file.drone == Some(drone_id(name))).count()
    };
    until(&mut world, |world| on(world, "b") == 2);
    let home = drone_id("a");
    for _ in 0..200 {
        let fake = world.fakes.get_mut(&home).unwrap();
        fake.receive();
        fake.work(&world.suites, 0);
        world.deliver(&home);
    }
    assert_eq!((on(&world, "a"), on(&world, "b")), (0, 2), "only the helper has files");
    let error = JobError::new("internal", "gone");
    world.says("b", "j", JobInput::Errored { error });
    assert_eq!((on(&world, "a"), on(&world, "b")), (2, 0));
}

#[test]
fn a_cancel_that_comes_with_half_a_list_leaves_no_file_without_an_end() {
    let mut world = both(0);
    until(&mut world, |world| !world.files("j").is_empty());
    let (job, reason) = (job_id("j"), "enough".to_owned());
    world.input(Input::Cancel { job, reason });
    let listed = |path: &str| ListedFile {
        path: path.into(),
        expect: None,
        quarantined: false,
    };
    for (path, more) in [("late", true), ("last", false)] {
        let (files, plan) = (vec![listed(path)], None);
        world.says("a", "j", JobInput::Files { files, more, plan });
    }
    world.fakes.get_mut(&drone_id("a")).unwrap().outbox.clear();
    world.says("a", "j", JobInput::Cancelled);
    let ends: Vec<_> = world.files("j").iter().map(|file| file.outcome).collect();
    assert_eq!(ends, [Some(FileOutcome::NotRun); 3]);
    assert_eq!(world.row("j").state, JobState::Cancelled);
}

#[test]
fn what_a_drone_said_of_itself_before_an_older_word_was_heard_changes_nothing() {
    let mut world = both(0);
    until(&mut world, |world| {
        world.files("j").iter().any(|file| file.num.is_some())
    });
    let (id, lease, running) = (job_id("j"), LeaseToken(1), Vec::new());
    let jobs = vec![ResumeJob { id, lease, running }];
    let actions = world.drone(&drone_id("a"), DroneInput::Resume(Resume { jobs }));
    let again = |message: &ToDrone| matches!(message, ToDrone::JobRun { .. });
    assert!(!sent(&actions, "a", again), "it may have given it back since");
}

#[test]
fn a_drone_that_takes_up_a_lease_that_is_over_is_told_to_drop_it() {
    let mut world = both(0);
    world.settle();
    let actions = world.drone(
        &drone_id("a"),
        DroneInput::Job {
            job: job_id("j"),
            lease: Some(LeaseToken(1)),
            what: JobInput::Receipt,
        },
    );
    let dropped = |message: &ToDrone| matches!(message, ToDrone::Resumed { jobs } if jobs.len() == 1 && !jobs[0].go_on);
    assert!(sent(&actions, "a", dropped));
}

#[test]
fn a_drone_that_was_away_when_its_drain_was_taken_back_is_told_so() {
    let mut world = World::new(&[("a", info(100, 1))]);
    let id = drone_id("a");
    world.drone(&id, DroneInput::Drain(true));
    world.disconnect(&id);
    world.drone(&id, DroneInput::Drain(false));
    world.connect(&id, false);
    let draining = Info {
        capacity: 0,
        ..info(100, 1)
    };
    let actions = world.drone(&id, DroneInput::Info(draining));
    assert!(sent(&actions, "a", |message| *message == ToDrone::Drain { on: Some(false) }));
}

#[test]
fn a_drone_that_drains_finishes_what_it_holds_also_for_a_queen_that_starts_anew() {
    let mut world = World::new(&[("a", info(100, 2))]);
    world.submit(new_job("j"), suite(6, 1000));
    until(&mut world, |world| world.row("j").plan.is_some());
    let id = drone_id("a");
    world.fakes.get_mut(&id).unwrap().info.capacity = 0;
    world.restart_queen();
    world.connect(&id, false);
    world.settle();
    assert_eq!(world.row("j").state, JobState::Passed);
}

#[test]
fn what_still_runs_when_a_job_cannot_pass_any_more_is_stopped() {
    let mut world = World::new(&[("a", info(200, 2)), ("b", info(100, 2))]);
    let mut new = new_job("j");
    new.job_type = JobType::TestAndDeploy;
    world.submit(new, suite(20, 60_000));
    let helped = |world: &World| {
        let out = world
            .files("j")
            .into_iter()
            .filter(|file| file.token.is_some() && file.outcome.is_none());
        out.filter(|file| file.drone == Some(drone_id("b"))).count() > 0
    };
    until(&mut world, helped);
    world.drone(&drone_id("b"), DroneInput::Drain(true));
    lose(&mut world, "a");
    assert_eq!(
        world.home("j").as_deref(),
        Some("a"),
        "nobody else is left to take files"
    );
    let (phase, edge, code) = (Phase::Prepare, Edge::Done, Some(2));
    let actions = world.says("a", "j", JobInput::Phase { phase, edge, code });
    assert!(sent(&actions, "b", |message| matches!(
        message,
        ToDrone::JobCancel { .. }
    )));
    assert_eq!(world.row("j").test_code, Some(2));
}
