//! The newest of jobs that are found in another order: that of their keys, in which they came.
//!
//! The two orders are nearly the same, for a job is submitted when it comes. How far they are apart is on the disk: a job
//! is at most so many milliseconds older than one that came before it (`arrivals.late`, 0 unless a clock went back).

use super::{StoreError, model::Cursor, value::Cells};
use std::cmp::Reverse;

/// Jobs of the list that are looked at one by one for a text before it is looked up: a text that many have is found so.
/// The second time is for one that would fill the page by then.
pub const WALKS: [u32; 2] = [500, 2_500];

/// A page that fills.
#[derive(Debug)]
pub struct Newest {
    limit: usize,
    late: i64,
    /// Times, ids and keys, newest first.
    found: Vec<(i64, String, i64)>,
}

impl Newest {
    /// A page of at most `limit` jobs, of a store in which jobs came at most `late` milliseconds late.
    pub fn new(limit: u32, late: i64) -> Self {
        Self {
            limit: limit as usize,
            late,
            found: Vec::new(),
        }
    }

    /// Takes the columns `submitted`, `id` and `key` of a job.
    pub fn add(&mut self, row: &impl Cells) -> Result<(), StoreError> {
        let job = (row.int("submitted")?, row.text("id")?.to_owned(), row.int("key")?);
        let place = self.found.partition_point(|other| Reverse(other) < Reverse(&job));
        self.found.insert(place, job);
        self.found.truncate(self.limit);
        Ok(())
    }

    /// True if the page has as many jobs as it may have.
    pub fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// True if so few were found by the first walk that the second is of no use.
    pub fn is_sparse(&self) -> bool {
        self.found.len() * (WALKS[1] / WALKS[0]) as usize <= self.limit
    }

    /// True if no job that came before one of `submitted` can have a place in the page.
    pub fn is_done(&self, submitted: i64) -> bool {
        let last = self.found.last().map_or(i64::MIN, |job| job.0);
        self.is_full() && last > submitted.saturating_add(self.late)
    }

    /// The keys of the jobs, newest first.
    pub fn keys(&self) -> Vec<i64> {
        self.found.iter().map(|job| job.2).collect()
    }
}

/// A job that was submitted after this time came after all jobs of the page that ends `before`: all that can be in it.
pub fn after(before: Option<&Cursor>, late: i64) -> i64 {
    before.map_or(i64::MAX, |before| before.submitted.0.saturating_add(late))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Job(i64, &'static str, i64);

    impl Cells for Job {
        fn int(&self, column: &'static str) -> Result<i64, StoreError> {
            Ok(if column == "key" { self.2 } else { self.0 })
        }
        fn text(&self, _: &'static str) -> Result<&str, StoreError> {
            Ok(self.1)
        }
        fn maybe_int(&self, _: &'static str) -> Result<Option<i64>, StoreError> {
            unreachable!()
        }
        fn real(&self, _: &'static str) -> Result<f64, StoreError> {
            unreachable!()
        }
        fn maybe_real(&self, _: &'static str) -> Result<Option<f64>, StoreError> {
            unreachable!()
        }
        fn flag(&self, _: &'static str) -> Result<bool, StoreError> {
            unreachable!()
        }
        fn maybe_text(&self, _: &'static str) -> Result<Option<&str>, StoreError> {
            unreachable!()
        }
        fn bytes(&self, _: &'static str) -> Result<&[u8], StoreError> {
            unreachable!()
        }
        fn maybe_bytes(&self, _: &'static str) -> Result<Option<&[u8]>, StoreError> {
            unreachable!()
        }
    }

    #[test]
    fn a_page_is_done_when_nothing_that_came_before_can_be_newer() {
        let mut page = Newest::new(2, 5);
        page.add(&Job(100, "a", 9)).unwrap();
        assert!(!page.is_full() && !page.is_done(0) && !page.is_sparse());
        page.add(&Job(90, "b", 8)).unwrap();
        assert!(page.is_full());
        assert!(!page.is_done(85), "a job that came before may be of 90");
        assert!(page.is_done(84));
        page.add(&Job(90, "c", 7)).unwrap();
        page.add(&Job(80, "d", 6)).unwrap();
        assert_eq!(page.keys(), [9, 7], "at the same time the greater id comes first");
        page.add(&Job(101, "e", 5)).unwrap();
        assert_eq!(page.keys(), [5, 9]);
    }
}
