//! A page of the jobs that have a text: bounded work, whatever the text and however many jobs there are.
//!
//! Owns in which order jobs are looked at, and when a page ends. It ends when it is full, when there are no more jobs, or
//! when it has cost enough: then it may be short, and says where to go on. Many jobs have most texts that are looked for,
//! so the newest jobs of the list are looked at one by one; where few of them have it, the index of texts names the
//! candidates among the others, in the order of their keys, range by range. It must not know SQL: a database answers
//! ([`Texts`]). Read next: `newest`, which puts what is found into the order of the list.

use super::{
    Cursor, JobFilter, StoreError,
    newest::{Newest, Place},
    rows::page_limit,
};
use std::{cmp::Ordering, ops::Range};

/// Jobs of the list that are looked at one by one before candidates are asked for.
const WALK: u32 = 500;
/// As many again, if they are likely to fill the page, or the index has nothing to say.
const LONG_WALK: u32 = 1_500;
/// Candidates that are looked at for one page, about.
const LOOKS: u32 = 700;
/// The fewest jobs that are looked at together.
const PART: usize = 100;
/// Keys that are searched for candidates for one page, about.
pub const SPAN: i64 = 1 << 17;
/// Ranges of keys that are searched begin at multiples of a power of two. PostgreSQL's index has it: it never changes.
pub const BLOCK: u32 = 11;
/// The most that a range is larger than the one before.
const GROWTH: i64 = 16;

/// Which jobs may have a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// No job.
    None,
    /// Those that [`Texts::candidates`] names.
    Some,
    /// All: the index has nothing to say.
    All,
}

/// What a database says of the texts of its jobs: of those that one filter asks for.
pub trait Texts {
    /// Keys that are searched for candidates at first: as many as cost little even if all of them are some.
    const WIDTH: i64;

    /// The first `count` jobs of the list, whatever their texts, newest first; of those after `before`, if it says so.
    async fn first(&mut self, before: Option<&Cursor>, count: u32) -> Result<Vec<Place>, StoreError>;
    /// Those of the jobs with these keys that have the text and all else that is asked for, in any order.
    async fn look(&mut self, before: Option<&Cursor>, keys: &[i64]) -> Result<Vec<Place>, StoreError>;
    /// Asks the index about the text.
    async fn index(&mut self) -> Result<Candidates, StoreError>;
    /// The keys within `keys` of jobs that may have the text, greatest first, at most `most`.
    async fn candidates(&mut self, keys: Range<i64>, most: u32) -> Result<Vec<i64>, StoreError>;
    /// The first `count` jobs of the list that came before one of an earlier time, whatever their texts, newest first.
    /// The keys of all others are in the order of their times.
    async fn ahead(&mut self, before: Option<&Cursor>, count: u32) -> Result<Vec<Place>, StoreError>;
    /// Between which keys the others are that were submitted at `latest` or earlier.
    async fn keys(&mut self, latest: i64) -> Result<Range<i64>, StoreError>;
    /// When the one of the others with the least key from `key` on was submitted.
    async fn submitted(&mut self, key: i64) -> Result<Option<i64>, StoreError>;
}

/// What is found: keys of jobs, newest first, and where to go on if there may be more.
pub type Found = (Vec<i64>, Option<Cursor>);

/// The page that `filter` asks for, text and all.
pub async fn page(texts: &mut impl Texts, filter: &JobFilter) -> Result<Found, StoreError> {
    let mut search = Search {
        texts,
        page: Newest::new(page_limit(filter.limit)),
        before: filter.before.clone(),
    };
    if search.walk(WALK).await? {
        return search.end();
    }
    let candidates = match search.page.is_sparse(WALK, LONG_WALK) {
        true => search.texts.index().await?,
        false => Candidates::All,
    };
    match candidates {
        Candidates::None => search.before = None,
        Candidates::Some => return search.look_up().await,
        Candidates::All => drop(search.walk(LONG_WALK).await?),
    }
    search.end()
}

struct Search<'a, T> {
    texts: &'a mut T,
    page: Newest,
    /// All jobs before this one are still to be looked at; none once there are no more.
    before: Option<Cursor>,
}

impl<T: Texts> Search<'_, T> {
    /// Looks at the next `count` jobs of the list; true if the page is at its end.
    async fn walk(&mut self, count: u32) -> Result<bool, StoreError> {
        let places = self.texts.first(self.before.as_ref(), count).await?;
        for part in self.parts(&keys(&places)) {
            self.look(part).await?;
            if self.page.is_full() {
                return Ok(true);
            }
        }
        self.before = after(places, count)?;
        Ok(self.before.is_none())
    }

    /// Looks at candidates until the page is at its end.
    async fn look_up(mut self) -> Result<Found, StoreError> {
        let early = self.texts.ahead(self.before.as_ref(), LOOKS).await?;
        self.look(&keys(&early)).await?;
        let early_end = after(early, LOOKS)?;
        let latest = self.before.as_ref().map_or(i64::MAX, |before| before.submitted.0);
        let Range { start: oldest, mut end } = self.texts.keys(latest).await?;
        let begin = end;
        let (mut width, mut looked) = (T::WIDTH, 0);
        while end > oldest {
            let start = ((end - width) >> BLOCK << BLOCK).max(oldest);
            let keys = self.texts.candidates(start..end, LOOKS).await?;
            end = match keys.last() {
                Some(last) if keys.len() == LOOKS as usize => *last,
                _ => start,
            };
            looked += keys.len();
            for part in self.parts(&keys) {
                self.look(part).await?;
                if self.page.is_full()
                    && let Some(last) = part.last()
                    && let Some(submitted) = self.texts.submitted(*last).await?
                    && self.page.is_done(submitted)
                {
                    return self.end_at(early_end);
                }
            }
            let enough = looked >= LOOKS as usize || begin - end >= SPAN;
            if enough
                && end > oldest
                && let Some(reached) = self.reached(end).await?
            {
                let reached = [Some(reached), early_end].into_iter().flatten();
                return self.end_at(reached.max_by(order));
            }
            width *= (i64::from(LOOKS) / (keys.len().max(1) as i64)).clamp(1, GROWTH);
        }
        self.end_at(early_end)
    }

    /// Adds those of some jobs that are looked for.
    async fn look(&mut self, keys: &[i64]) -> Result<(), StoreError> {
        if !keys.is_empty() {
            for place in self.texts.look(self.before.as_ref(), keys).await? {
                self.page.add(place);
            }
        }
        Ok(())
    }

    /// Where the next page goes on once all candidates with a key of `end` or more have been looked at. Nothing if that is
    /// no further than this page was before: very many jobs are of one time.
    async fn reached(&mut self, end: i64) -> Result<Option<Cursor>, StoreError> {
        let Some(submitted) = self.texts.submitted(end).await? else {
            return Ok(None);
        };
        // The least id there can be: all jobs of a later time are behind us.
        let reached = Place {
            submitted: submitted.saturating_add(1),
            id: "-".to_owned(),
            key: end,
        };
        let reached = reached.cursor()?;
        let further = |before: &Cursor| order(&reached, before).is_lt();
        Ok(self.before.as_ref().is_none_or(further).then_some(reached))
    }

    /// Few keys at first, which often fill a page.
    fn parts<'k>(&self, keys: &'k [i64]) -> impl Iterator<Item = &'k [i64]> + use<'k, T> {
        let (mut rest, mut length) = (keys, (2 * self.page.limit()).max(PART));
        std::iter::from_fn(move || {
            let (part, after) = rest.split_at(rest.len().min(length));
            (rest, length) = (after, 2 * length);
            (!part.is_empty()).then_some(part)
        })
    }

    /// Ends the page at `reached`, or with the list.
    fn end_at(mut self, reached: Option<Cursor>) -> Result<Found, StoreError> {
        if let Some(reached) = &reached {
            self.page.keep_to(reached);
        }
        self.before = reached;
        self.end()
    }

    fn end(self) -> Result<Found, StoreError> {
        let keys = self.page.keys();
        let next = match self.page.is_full() {
            true => self.page.last()?,
            false => self.before,
        };
        Ok((keys, next))
    }
}

fn keys(places: &[Place]) -> Vec<i64> {
    places.iter().map(|place| place.key).collect()
}

/// Where a list goes on of which these are the first `count`, if there may be more.
fn after(places: Vec<Place>, count: u32) -> Result<Option<Cursor>, StoreError> {
    let there_may = places.len() == count as usize;
    let last = places.into_iter().next_back().filter(|_| there_may);
    last.map(Place::cursor).transpose()
}

/// The greater cursor is of the newer job.
fn order(a: &Cursor, b: &Cursor) -> Ordering {
    (a.submitted, &a.id).cmp(&(b.submitted, &b.id))
}
