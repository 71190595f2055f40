//! Random histories: drones that obey, lose, restart, go away, return, fail; queens that restart. The world checks after
//! every step; at the end the fleet heals and every job must end.

use crate::{
    fake::Suite,
    world::{World, drone_id, info, job_id, new_job},
};
use proptest::{prelude::*, test_runner::RngSeed};
use scheduler::{DroneInput, Input};
use shared::{
    JobType, Project,
    protocol::{event::Plan, to_queen::Info},
};

const DRONES: [&str; 4] = ["a", "b", "c", "d"];

/// One thing that happens: what, and a number that decides the details.
type Op = (u8, u32);

fn fleet() -> Vec<(&'static str, Info)> {
    let gpu = |info: Info| Info {
        labels: vec!["gpu".into()],
        ..info
    };
    vec![
        ("a", info(100, 2)),
        ("b", gpu(info(200, 4))),
        ("c", gpu(info(100, 1))),
        ("d", info(50, 3)),
    ]
}

fn submit(world: &mut World, count: usize, dice: u32) {
    let pick = |shift: u32, sides: u32| (dice >> shift) % sides;
    let mut new = new_job(&format!("j{count}"));
    new.project = Project::new(format!("p/{}", pick(0, 3))).unwrap();
    new.job_type = [JobType::Test, JobType::Test, JobType::TestAndDeploy, JobType::Deploy][pick(2, 4) as usize];
    new.priority = i32::try_from(pick(4, 3)).unwrap() - 1;
    new.labels = if pick(6, 3) == 0 {
        vec!["gpu".into()]
    } else {
        Vec::new()
    };
    new.spread = [None, None, Some(1), Some(2)][pick(8, 4) as usize];
    new.retries = [0, 0, 1, 2][pick(10, 4) as usize];
    new.timeout = (pick(12, 8) == 0).then_some(60_000);
    new.delay_until = (pick(15, 8) == 0).then(|| world.now.plus(5_000));
    let files = pick(18, 14) as usize;
    let known = |at: usize| (!at.is_multiple_of(3)).then(|| 500 + 700 * at as u64);
    let plan = Plan {
        retries: pick(22, 3),
        spread: (pick(24, 4) == 0).then_some(3),
        fail_fast: pick(26, 6) == 0,
        prepare_commands: 1,
        cleanup_commands: 1,
        ..Plan::default()
    };
    let files = (0..files).map(|at| (format!("t/{at}"), known(at))).collect();
    world.submit(
        new,
        Suite {
            files,
            plan,
            tests: true,
        },
    );
}

fn happen(world: &mut World, (what, dice): Op, submitted: &mut usize) {
    let id = drone_id(DRONES[dice as usize % DRONES.len()]);
    let connected = world.fakes[&id].connected;
    match what {
        0..=7 => {
            submit(world, *submitted, dice);
            *submitted += 1;
        }
        8..=40 => {
            let fake = world.fakes.get_mut(&id).unwrap();
            fake.work(&world.suites, dice >> 2);
        }
        41..=65 => drop(world.deliver(&id)),
        66..=85 => {
            let fake = world.fakes.get_mut(&id).unwrap();
            let _ = fake.connected && fake.receive();
        }
        86..=88 if connected => world.disconnect(&id),
        86..=92 => world.connect(&id, dice >> 28 == 0),
        93 => {
            world.fakes.get_mut(&id).unwrap().restart();
            world.connect(&id, false);
        }
        94 => {
            let job = job_id(&format!("j{}", dice as usize % (*submitted).max(1)));
            world.input(Input::Cancel {
                job,
                reason: "enough".into(),
            });
        }
        95 => drop(world.drone(&id, DroneInput::Drain(dice & 4 == 0))),
        96..=98 => world.pass(u64::from(dice % 20_000)),
        _ => world.restart_queen(),
    }
}

fn run(ops: &[Op]) -> World {
    let mut world = World::new(&fleet());
    let mut submitted = 0;
    for op in ops {
        happen(&mut world, *op, &mut submitted);
    }
    for name in DRONES {
        let id = drone_id(name);
        world.drone(&id, DroneInput::Drain(false));
        // Only one drone that fits everything need stay.
        if name == "b" {
            world.connect(&id, false);
        } else {
            world.disconnect(&id);
        }
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_every_job_ends(ops in prop::collection::vec((0u8..100, any::<u32>()), 1..300)) {
        run(&ops);
    }

    #[test]
    fn the_same_inputs_give_the_same_actions(ops in prop::collection::vec((0u8..100, any::<u32>()), 1..80)) {
        prop_assert_eq!(run(&ops).log, run(&ops).log);
    }
}

/// Enough for every run of the tests; more when asked for by `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(96)
}

/// The same histories every time; others when asked for by `HISTORY_SEED`.
fn seed() -> u64 {
    std::env::var("HISTORY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1)
}
