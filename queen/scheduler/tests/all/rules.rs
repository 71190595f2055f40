//! The rules one by one.

use crate::world::{World, drone_id, info, job_id, new_job, suite};
use scheduler::{Action, DroneInput, FileState, Input, JobInput};
use shared::{
    JobState, JobType, Num, Project,
    outcome::FileOutcome,
    protocol::{JobEvent, ToDrone, to_queen::Info},
};

fn two() -> World {
    World::new(&[("slow", info(100, 2)), ("fast", info(200, 4))])
}

fn words(world: &World, job: &str) -> Vec<String> {
    let word = |event: &JobEvent| match event {
        JobEvent::Phase { phase, edge, .. } => format!("{} {edge:?}", phase.as_str()).to_lowercase(),
        other => serde_json_type(other),
    };
    world.events[&job_id(job)].iter().map(word).collect()
}

fn serde_json_type(event: &JobEvent) -> String {
    format!("{event:?}")
        .split([' ', '{'])
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

/// Runs `name`'s messages and work until it has nothing more to do, `dice` deciding how it goes.
fn work(world: &mut World, name: &str, dice: u32) {
    let id = drone_id(name);
    loop {
        let fake = world.fakes.get_mut(&id).unwrap();
        let more = fake.receive() | fake.work(&world.suites, dice);
        if !(more | world.deliver(&id)) {
            return;
        }
    }
}

#[test]
fn a_job_goes_to_the_fastest_drone_then_to_the_next_then_to_the_shortest_queue() {
    let mut world = two();
    let long = || suite(1, 60_000);
    for at in 0..4 {
        world.submit(new_job(&format!("j{at}")), long());
        assert_eq!(world.home(&format!("j{at}")).as_deref(), Some("fast"));
    }
    for at in 4..6 {
        world.submit(new_job(&format!("j{at}")), long());
        assert_eq!(
            world.home(&format!("j{at}")).as_deref(),
            Some("slow"),
            "the fast one is full"
        );
    }
    let queued = |world: &World| ["fast", "slow"].map(|id| world.state.drone(&drone_id(id)).unwrap().queued);
    // (4+1)/4 against (2+1)/2 and so on: both are full, the shorter queue for its size gets the next.
    let mut seen = Vec::new();
    for at in 6..9 {
        world.submit(new_job(&format!("j{at}")), long());
        assert_eq!(world.home(&format!("j{at}")), None);
        seen.push(queued(&world));
    }
    assert_eq!(seen, [[1, 0], [1, 1], [2, 1]]);
    // The slow drone frees first: it takes the oldest, although that one queued at the fast drone.
    assert_eq!(world.state.queue(world.now)[0].backlog, Some(drone_id("fast")));
    work(&mut world, "slow", 0);
    let taker = world.events[&job_id("j6")].iter().find_map(|event| match event {
        JobEvent::Started { drone, .. } => drone.clone(),
        _ => None,
    });
    assert_eq!(taker, Some(drone_id("slow")));
    world.settle();
}

#[test]
fn a_drone_counts_only_once_it_has_said_what_it_can_do() {
    let mut world = World::empty();
    let id = drone_id("a");
    world.fakes.insert(id.clone(), crate::fake::Fake::new(info(100, 1)));
    let incarnation = shared::Incarnation::new("a.1").unwrap();
    world.drone(
        &id,
        DroneInput::Connected {
            incarnation,
            name: "a".into(),
            gap: false,
        },
    );
    world.submit(new_job("j"), suite(1, 1000));
    assert_eq!(world.live("j"), Vec::<String>::new());
    world.drone(&id, DroneInput::Info(info(100, 1)));
    assert_eq!(world.live("j"), ["a"]);
}

#[test]
fn a_job_says_why_it_waits() {
    let gpu = Info {
        labels: vec!["gpu".into()],
        ..info(100, 1)
    };
    let mut world = World::new(&[("a", gpu.clone()), ("b", gpu), ("c", info(100, 1))]);
    world.drone(&drone_id("a"), DroneInput::Drain(true));
    world.drone(&drone_id("b"), DroneInput::Drain(true));
    let mut new = new_job("j");
    new.labels = vec!["gpu".into()];
    world.submit(new, suite(1, 1000));
    let waits = |world: &World, id: &str| world.state.explain(&job_id(id), world.now).unwrap().waits;
    assert_eq!(
        waits(&world, "j").as_deref(),
        Some("for a drone with label gpu (2 are draining)")
    );
    world.submit(new_job("k"), suite(1, 1000));
    assert_eq!(waits(&world, "k"), None);
    world.submit(new_job("l"), suite(1, 1000));
    assert_eq!(waits(&world, "l").as_deref(), Some("for a free slot (1 of 1 are busy)"));
    let queue: Vec<_> = world
        .state
        .queue(world.now)
        .into_iter()
        .map(|waiting| waiting.job.to_string())
        .collect();
    assert_eq!(queue, ["j", "l"]);
    world.drone(&drone_id("a"), DroneInput::Drain(false));
    assert_eq!(world.home("j").as_deref(), Some("a"));
}

#[test]
fn the_stream_of_a_job_that_tests_and_deploys() {
    let mut world = World::new(&[("a", info(100, 2))]);
    let mut new = new_job("j");
    new.job_type = JobType::TestAndDeploy;
    world.submit(new, suite(2, 1000));
    world.settle();
    assert_eq!(world.row("j").state, JobState::Passed);
    let expected = [
        "queued",
        "started",
        "prepare start",
        "prepare done",
        "test done",
        "tested",
        "deploy start",
        "deploy done",
        "deployed",
        "cleanup start",
        "cleanup done",
        "done",
    ];
    assert_eq!(words(&world, "j"), expected);
    assert!(world.state.job(&job_id("j")).is_none(), "what is over is forgotten");
    world.says("a", "j", JobInput::Started);
    assert_eq!(world.drops["unknown-job"], 1);
}

#[test]
fn a_small_job_does_not_wait_behind_a_huge_one() {
    let mut world = World::new(&[("a", info(100, 4))]);
    world.submit(new_job("huge"), suite(300, 10_000));
    for _ in 0..40 {
        world.all_quiet();
    }
    let mut small = new_job("small");
    small.project = Project::new("c/d").unwrap();
    world.submit(small, suite(3, 10_000));
    for turn in 0..200 {
        world
            .fakes
            .get_mut(&drone_id("a"))
            .unwrap()
            .work(&world.suites, turn % 2);
        world.deliver_all();
    }
    assert!(world.row("small").state.is_final(), "{:?}", world.row("small"));
    assert!(world.row("huge").files_done < 150);
    world.settle();
}

#[test]
fn helpers_join_when_that_ends_the_job_sooner_and_no_more_than_its_spread() {
    for (spread, files, ms, drones) in [
        (None, 40, 60_000, 3),
        (Some(2), 40, 60_000, 2),
        (Some(1), 40, 60_000, 1),
        (None, 3, 500, 1),
    ] {
        let mut world = World::new(&[("a", info(200, 2)), ("b", info(100, 2)), ("c", info(100, 2))]);
        let mut new = new_job("j");
        new.spread = spread;
        world.submit(new, suite(files, ms));
        let fake = world.fakes.get_mut(&drone_id("a")).unwrap();
        fake.receive();
        world.deliver_all();
        world.pass(1000);
        let fake = world.fakes.get_mut(&drone_id("a")).unwrap();
        fake.work(&world.suites, 0);
        world.deliver_all();
        assert_eq!(
            world.live("j").len(),
            drones,
            "spread {spread:?}, {files} files of {ms} ms"
        );
        world.settle();
    }
}

#[test]
fn what_failed_before_goes_first_then_the_longest() {
    let mut world = World::new(&[("a", info(100, 1))]);
    let mut files = suite(0, 0);
    // The fake's history has a file as failed if its duration can be divided by 7.
    files.files = [
        ("x", Some(100)),
        ("new", None),
        ("y", Some(900)),
        ("bad", Some(70)),
        ("z", Some(500)),
    ]
    .map(|(path, ms)| (path.to_owned(), ms))
    .to_vec();
    world.submit(new_job("j"), files);
    world.settle();
    let mut order = world.files("j");
    order.sort_by_key(|file| file.num);
    let paths: Vec<&str> = order.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["bad", "y", "new", "z", "x"]);
}

#[test]
fn short_files_are_handed_ahead_for_a_round_trip_and_long_ones_hardly() {
    let out = |ms: u64| {
        let mut world = World::new(&[("a", info(100, 2))]);
        world.submit(new_job("j"), suite(1000, ms));
        let id = drone_id("a");
        let out = |world: &World| {
            world
                .files("j")
                .iter()
                .filter(|file| file.state == FileState::Out)
                .count()
        };
        while out(&world) == 0 {
            let fake = world.fakes.get_mut(&id).unwrap();
            fake.receive();
            fake.work(&world.suites, 0);
            world.deliver(&id);
        }
        out(&world)
    };
    assert_eq!([out(1), out(10), out(5000)], [62, 8, 3]);
}

#[test]
fn a_drone_that_is_away_too_long_loses_its_files_and_what_it_says_later_is_stale() {
    let mut world = World::new(&[("a", info(200, 1)), ("b", info(100, 1))]);
    let mut new = new_job("j");
    new.spread = Some(1);
    world.submit(new, suite(2, 1000));
    for _ in 0..6 {
        world.all_quiet();
    }
    assert_eq!(world.live("j"), ["a"]);
    world.disconnect(&drone_id("a"));
    world.pass(29_000);
    assert_eq!(world.live("j"), ["a"]);
    world.pass(2_000);
    assert_eq!(world.live("j"), ["b"]);
    assert!(!world.state.fence(&job_id("j"), &drone_id("a"), None));
    world.says("a", "j", JobInput::CmdStart { num: Num(9) });
    assert!(world.drops["stale"] >= 1);
    world.settle();
    assert_eq!(world.row("j").state, JobState::Passed);
}

#[test]
fn a_lost_deploy_ends_the_job_as_errored() {
    let mut world = World::new(&[("a", info(100, 1)), ("b", info(50, 1))]);
    let mut new = new_job("j");
    new.job_type = JobType::Deploy;
    new.retries = 3;
    world.submit(new, suite(0, 0));
    world.deliver_all();
    world.fakes.get_mut(&drone_id("a")).unwrap().work(&world.suites, 0);
    world.deliver_all();
    assert!(world.row("j").deploy_given);
    world.fakes.get_mut(&drone_id("a")).unwrap().restart();
    world.connect(&drone_id("a"), false);
    assert_eq!(world.row("j").state, JobState::Errored);
    let error = world.row("j").error.clone().unwrap();
    assert_eq!(error.kind, "lost");
    assert!(
        error.message.contains("a deploy is never repeated by itself"),
        "{}",
        error.message
    );
}

#[test]
fn cancel_ends_a_waiting_job_at_once_and_a_running_one_when_its_drone_says_so() {
    let mut world = World::new(&[("a", info(100, 1))]);
    for id in ["j", "k"] {
        world.submit(new_job(id), suite(2, 1000));
    }
    let cancel = |world: &mut World, id: &str| {
        world.input(Input::Cancel {
            job: job_id(id),
            reason: "enough".into(),
        })
    };
    cancel(&mut world, "k");
    assert_eq!(world.row("k").state, JobState::Cancelled);
    assert_eq!(words(&world, "k"), ["queued", "cancelled", "done"]);
    let actions = cancel(&mut world, "j");
    let told = |action: &Action| {
        matches!(
            action,
            Action::Send {
                message: ToDrone::JobCancel { .. },
                ..
            }
        )
    };
    assert!(actions.iter().any(told) && !world.row("j").state.is_final());
    world.settle();
    assert_eq!(world.row("j").state, JobState::Cancelled);
}

#[test]
fn a_job_is_tried_again_after_a_pause_as_often_as_it_asks_for() {
    let mut world = World::new(&[("a", info(100, 1))]);
    world.submit(new_job("j"), suite(1, 1000));
    // With this dice the fake's files fail.
    work(&mut world, "a", 11 << 8);
    assert_eq!((world.row("j").state, world.row("j").attempt), (JobState::Failed, 1));

    let mut world = World::new(&[("a", info(100, 1))]);
    let mut new = new_job("j");
    new.retries = 1;
    world.submit(new, suite(1, 1000));
    while world.row("j").state == JobState::Queued {
        world.all_quiet();
    }
    let error = shared::protocol::event::JobError::new("source", "gone");
    let actions = world.says("a", "j", JobInput::Errored { error });
    let retried = actions.iter().find_map(|action| match action {
        Action::Emit(JobEvent::Retried { retry, .. }) => Some(retry.clone()),
        _ => None,
    });
    let pause = retried.unwrap().at.since(world.now);
    assert!((1000..=1500).contains(&pause), "{pause}");
    assert_eq!((world.row("j").state, world.row("j").attempt), (JobState::Running, 2));
    world.fakes.get_mut(&drone_id("a")).unwrap().restart();
    world.connect(&drone_id("a"), false);
    world.settle();
    assert_eq!(world.row("j").state, JobState::Passed);
}

#[test]
fn a_job_over_its_time_limit_is_stopped() {
    let mut world = World::new(&[("a", info(100, 1))]);
    let mut new = new_job("j");
    new.timeout = Some(5_000);
    world.submit(new, suite(50, 1000));
    for _ in 0..6 {
        world.all_quiet();
    }
    world.pass(5_000);
    world.settle();
    assert_eq!(world.row("j").error.as_ref().unwrap().kind, "timeout");
    assert!(
        world
            .files("j")
            .iter()
            .any(|file| file.outcome == Some(FileOutcome::NotRun))
    );
}

#[test]
fn a_waiting_job_rises_with_time() {
    let mut world = World::empty();
    let mut low = new_job("low");
    low.priority = -1;
    world.submit(low, suite(1, 1));
    world.pass(20 * 60_000);
    world.submit(new_job("high"), suite(1, 1));
    let order: Vec<_> = world
        .state
        .queue(world.now)
        .into_iter()
        .map(|waiting| waiting.job.to_string())
        .collect();
    assert_eq!(order, ["low", "high"]);
}
