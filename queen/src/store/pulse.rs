//! How many files drones ran to their end, minute by minute of the last day: the places that both databases keep them in.
//!
//! Pure arithmetic; where the places lie is the database's business.

use super::{
    AttemptResult, Minute, StoreError,
    value::{Cells, get_uint},
};
use shared::{Timestamp, outcome::FileOutcome};
use std::collections::BTreeMap;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;
/// Places: minutes of a day.
const PLACES: i64 = 1_440;

/// One place: what a batch adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which one.
    pub place: i64,
    /// The minute that it counts, from 1970 on.
    pub minute: i64,
    /// Files.
    pub files: i64,
}

/// The number of the minute that `at` is in.
pub fn minute(at: Timestamp) -> i64 {
    at.0.div_euclid(MINUTE)
}

/// What `results` add, each place once.
pub fn counted(results: &[AttemptResult]) -> Vec<Place> {
    let mut places: BTreeMap<i64, Place> = BTreeMap::new();
    let run = results
        .iter()
        .filter(|one| one.drone.is_some() && one.result.outcome != FileOutcome::NotRun);
    for minute in run.map(|one| minute(one.at)) {
        let place = minute.rem_euclid(PLACES);
        let none = Place {
            place,
            minute,
            files: 0,
        };
        let counted = places.entry(place).or_insert(none);
        if counted.minute < minute {
            *counted = none;
        }
        counted.files += i64::from(counted.minute == minute);
    }
    places.into_values().collect()
}

/// A minute, read.
pub fn read(row: &impl Cells) -> Result<Minute, StoreError> {
    Ok(Minute {
        start: Timestamp(row.int("minute")?.saturating_mul(MINUTE)),
        files: get_uint(row, "files")?,
    })
}
