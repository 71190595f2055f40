//! The newest of jobs that are found in another order: that of their keys, in which they came.
//!
//! The two orders are nearly the same, for a job is submitted when it comes. Those that came before one of an earlier time are
//! noted on the disk (`ahead`; none unless a clock went back): without them, the order of the keys is that of the times.

use super::{
    StoreError,
    model::Cursor,
    value::{Cells, corrupt},
};
use shared::{JobId, Timestamp};
use std::cmp::Reverse;

/// Where a job stands in the list, and its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was submitted, in milliseconds.
    pub submitted: i64,
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: i64,
}

impl Place {
    /// Takes the columns `submitted`, `id` and `key`.
    pub fn of(row: &impl Cells) -> Result<Self, StoreError> {
        Ok(Self {
            submitted: row.int("submitted")?,
            id: row.text("id")?.to_owned(),
            key: row.int("key")?,
        })
    }

    /// The jobs that come after this one are those before the cursor.
    pub fn cursor(self) -> Result<Cursor, StoreError> {
        Ok(Cursor {
            submitted: Timestamp(self.submitted),
            id: JobId::new(self.id).map_err(|error| corrupt("the id of a job", error))?,
        })
    }
}

/// A page that fills.
#[derive(Debug)]
pub struct Newest {
    limit: usize,
    /// Newest first.
    found: Vec<Place>,
}

impl Newest {
    /// A page of at most `limit` jobs.
    pub fn new(limit: u32) -> Self {
        Self {
            limit: limit as usize,
            found: Vec::new(),
        }
    }

    /// Puts a job into its place; one that is there already changes nothing.
    pub fn add(&mut self, job: Place) {
        let place = self.found.partition_point(|other| Reverse(other) < Reverse(&job));
        if self.found.get(place) != Some(&job) {
            self.found.insert(place, job);
            self.found.truncate(self.limit);
        }
    }

    /// How many jobs it may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// True if the page has as many jobs as it may have.
    pub fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// True if so few were found in `walked` jobs that it will not be full after `more`.
    pub fn is_sparse(&self, walked: u32, more: u32) -> bool {
        self.found.len() * ((walked + more) / walked) as usize <= self.limit
    }

    /// True if no job of `submitted` or older can have a place in the page.
    pub fn is_done(&self, submitted: i64) -> bool {
        self.is_full() && self.found.last().is_some_and(|job| job.submitted > submitted)
    }

    /// Leaves those jobs away that come after `end`: not all of them are known.
    pub fn keep_to(&mut self, end: &Cursor) {
        let end = (end.submitted.0, end.id.as_str());
        self.found.retain(|job| (job.submitted, job.id.as_str()) >= end);
    }

    /// The keys of the jobs, newest first.
    pub fn keys(&self) -> Vec<i64> {
        self.found.iter().map(|job| job.key).collect()
    }

    /// Where the page ends.
    pub fn last(self) -> Result<Option<Cursor>, StoreError> {
        self.found.into_iter().next_back().map(Place::cursor).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(submitted: i64, id: &str, key: i64) -> Place {
        Place {
            submitted,
            id: id.to_owned(),
            key,
        }
    }

    #[test]
    fn a_page_is_done_when_nothing_that_came_before_can_be_newer() {
        let mut page = Newest::new(2);
        page.add(job(100, "a", 9));
        assert!(!page.is_full() && !page.is_done(0) && !page.is_sparse(500, 1_000));
        assert!(page.is_sparse(500, 500));
        page.add(job(90, "b", 8));
        assert!(page.is_full());
        assert!(!page.is_done(90), "another job of that time may stand above");
        assert!(page.is_done(89));
        page.add(job(90, "c", 7));
        page.add(job(80, "d", 6));
        assert_eq!(page.keys(), [9, 7], "at the same time the greater id comes first");
        page.add(job(101, "e", 5));
        page.add(job(101, "e", 5));
        assert_eq!(page.keys(), [5, 9]);
        page.keep_to(&job(100, "b", 0).cursor().unwrap());
        assert_eq!(page.keys(), [5]);
        assert_eq!(page.last().unwrap(), Some(job(101, "e", 5).cursor().unwrap()));
    }
}
