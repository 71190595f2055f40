//! The rules one by one.

use crate::world::{World, info, new_job, suite};

#[test]
fn a_job_runs_to_its_end() {
    let mut world = World::new(&[("a", info(100, 2))]);
    world.submit(new_job("j"), suite(5, 1000));
    world.settle();
    assert_eq!(world.row("j").state, shared::JobState::Passed);
}
