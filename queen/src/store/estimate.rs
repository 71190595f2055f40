//! What is learned of a test file from its runs: how long it takes, how often it is bad.
//!
//! Pure arithmetic over one row of history; where that row lies is the database's business.

use super::AttemptResult;
use shared::{
    Timestamp,
    outcome::{FileOutcome, FileResult, Group},
};
use std::collections::{BTreeMap, HashMap};

/// What a new duration weighs once there are enough old ones.
const WEIGHT: f64 = 0.3;
/// A single run counts as at most this many times longer or shorter than the mean.
const CLIP: f64 = 4.0;
/// Milliseconds up to which a run is never an outlier.
const NOISE: f64 = 100.0;
/// A year: whatever a drone claims, no sum of durations runs over.
const LONGEST: f64 = 365.0 * 86_400_000.0;

/// What is known of one file of one project.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learned {
    /// Milliseconds at speed 100: a mean in which recent runs weigh more and outliers little.
    pub mean: f64,
    /// Runs that the mean is made of. At 0 it is only a guess, which the first real duration replaces.
    pub timed: u64,
    /// Runs counted.
    pub runs: u64,
    /// Runs that were bad.
    pub bad: u64,
    /// Runs that were flaky.
    pub flaky: u64,
    /// It was bad when it last ran.
    pub failed: bool,
    /// When it was bad the last time.
    pub failed_at: Option<Timestamp>,
}

impl Learned {
    /// Takes a run in that ended at `at`. `normal` is its duration in milliseconds at speed 100, if that says something.
    /// Answers false, and learns nothing, if the file was not run at all.
    pub fn add(&mut self, result: &FileResult, normal: Option<u64>, at: Timestamp) -> bool {
        if result.outcome == FileOutcome::NotRun {
            return false;
        }
        self.runs += 1;
        self.bad += u64::from(result.outcome.is_bad());
        self.flaky += u64::from(result.outcome == FileOutcome::Flaky);
        self.failed = result.outcome.is_bad();
        if self.failed {
            self.failed_at = Some(at);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds, far below 2^52")]
        match normal {
            Some(ms) => self.time((ms as f64).min(LONGEST)),
            None if self.timed == 0 && result.duration.is_finite() => self.mean = result.duration.clamp(0.0, LONGEST),
            None => {}
        }
        true
    }

    fn time(&mut self, ms: f64) {
        if self.timed == 0 {
            self.mean = ms;
        } else {
            // A plain mean while there are few runs, so that the first one does not weigh for ever.
            #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
            let weight = WEIGHT.max(1.0 / (self.timed + 1) as f64);
            let clipped = ms.clamp(self.mean / CLIP, (self.mean * CLIP).max(NOISE));
            self.mean += weight * (clipped - self.mean);
        }
        self.timed += 1;
    }

    /// The mean in whole milliseconds.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative, far below 2^63; a cast saturates"
    )]
    pub fn duration(&self) -> u64 {
        self.mean.round() as u64
    }
}

/// A file: its project's key and its path.
pub type File = (i64, String);

/// What is learned of a file, when it ran last, and what it can be split into, if that was said.
pub type Lesson<'a> = (Learned, Timestamp, Option<&'a Vec<Group>>);

/// What is learned of files by `results`, each with its file, beside what was `known` before. Parts of files teach nothing.
pub fn changed<'a>(
    known: &HashMap<File, Learned>,
    results: impl IntoIterator<Item = (&'a AttemptResult, &'a File)>,
) -> BTreeMap<&'a File, Lesson<'a>> {
    let mut changed: BTreeMap<&File, Lesson<'_>> = BTreeMap::new();
    for (one, file) in results.into_iter().filter(|(one, _)| !one.is_part) {
        let (earlier, splits) = changed
            .get(file)
            .map(|(learned, _, splits)| (*learned, *splits))
            .unzip();
        let mut learned: Learned = earlier.or_else(|| known.get(file).copied()).unwrap_or_default();
        if learned.add(&one.result, one.normal_duration, one.at) {
            changed.insert(file, (learned, one.at, one.splits().or(splits.flatten())));
        }
    }
    changed
}

impl AttemptResult {
    /// What the file can be split into, if this run says so or says that it cannot be.
    #[must_use]
    pub fn splits(&self) -> Option<&Vec<Group>> {
        self.normal_duration.map(|_| &self.result.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(durations: &[u64]) -> u64 {
        let mut learned = Learned::default();
        for &ms in durations {
            assert!(learned.add(&FileResult::bare(FileOutcome::Passed), Some(ms), Timestamp(1)));
        }
        learned.duration()
    }

    #[test]
    fn one_outlier_moves_it_little_and_a_lasting_change_wholly() {
        assert_eq!(after(&[100]), 100);
        assert_eq!(after(&[100, 200]), 150);
        let steady = [100; 10];
        let outlier = after(&[&steady[..], &[100_000]].concat());
        assert!((100..=190).contains(&outlier), "{outlier}");
        let lasting = after(&[&steady[..], &[1_000; 15]].concat());
        assert!((950..=1_000).contains(&lasting), "{lasting}");
        let faster = after(&[&steady[..], &[5; 20]].concat());
        assert!((5..=7).contains(&faster), "{faster}");
        assert!(after(&[0, 0, 500, 500, 500, 500, 500, 500, 500, 500]) > 300);
    }

    #[test]
    fn counts_what_ran_and_guesses_until_a_duration_is_known() {
        let mut learned = Learned::default();
        assert!(!learned.add(&FileResult::bare(FileOutcome::NotRun), None, Timestamp(1)));
        assert_eq!(learned, Learned::default());
        let mut crashed = FileResult::bare(FileOutcome::Crashed);
        crashed.duration = 70.0;
        assert!(learned.add(&crashed, None, Timestamp(2)));
        assert_eq!((learned.duration(), learned.failed, learned.bad), (70, true, 1));
        assert!(learned.add(&FileResult::bare(FileOutcome::Flaky), Some(9), Timestamp(3)));
        assert_eq!((learned.duration(), learned.failed), (9, false));
        assert_eq!(learned.failed_at, Some(Timestamp(2)), "a flaky run has passed");
        assert_eq!((learned.runs, learned.bad, learned.flaky), (2, 1, 1));
        assert!(learned.add(&crashed, None, Timestamp(4)));
        assert_eq!(learned.duration(), 9, "a guess never replaces a duration");
    }
}
