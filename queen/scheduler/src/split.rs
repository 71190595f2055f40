//! A file that is far longer than the rest, in parts: which files, how many parts, and what the whole came to.
//!
//! The parts are made when the list is whole and count as files from then on: each has its own place, attempts and result.
//! All but the last run groups of cases by name, the last one runs all others, so that no case is in none of them or in two,
//! whatever the file has by now. What a group is, the runner has said with an earlier result. Read next: `files.rs`.

use crate::{FilePart, FileRow, FileState, Record, State, Whole, files::File, job::Job};
use shared::{
    Attempt, JobId, Num,
    outcome::{FileOutcome, Group},
    protocol::{JobEvent, to_drone::Part},
};
use std::{cmp::Reverse, collections::BTreeSet};

/// Milliseconds at speed 100 below which a file is not split, and a part is not made.
const LONG: u64 = 2_000;
const SHORT: u64 = 500;
/// The most parts of a file.
const MOST: u64 = 64;
/// The most bytes of names that the parts of a job may have: all of them may be in one message.
const NAMES: usize = 384 * 1024;

impl State {
    /// Puts parts in the place of files that would make the job longer than it need be. Nothing has been handed out yet.
    pub(crate) fn split(&mut self, id: &JobId) {
        let slots = self.slots_for(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        let parts = job.divide(slots);
        if parts.iter().all(Vec::is_empty) {
            return;
        }
        // Rows that an earlier part of the list wrote have other places now.
        self.out.forget_files(id);
        self.out.save(Record::NoFiles(id.clone()));
        let mut files = Vec::new();
        for (file, parts) in std::mem::take(&mut job.files).into_iter().zip(parts) {
            if parts.is_empty() {
                files.push(file);
                continue;
            }
            let (job, path) = (id.clone(), file.row.path.clone());
            let rows = || parts.iter().map(|part| part.row(&file.row));
            let parts = rows().map(|row| row.path).collect();
            files.extend(rows().map(File::new));
            self.out.emit(JobEvent::Split { job, path, parts });
        }
        for (index, file) in (0..).zip(&mut files) {
            file.row.index = index;
            self.out.dirty_files.insert((id.clone(), index));
        }
        job.row.files_total = u32::try_from(files.len()).unwrap_or(u32::MAX);
        job.files = files;
    }

    /// True if the command `num` of a job runs a part of a file.
    #[must_use]
    pub fn is_part(&self, id: &JobId, num: Num) -> bool {
        let file = |job: &Job| {
            job.nums
                .get(&num)
                .map(|(index, _)| job.files[*index as usize].row.part.is_some())
        };
        self.jobs.get(id).and_then(file).unwrap_or(false)
    }

    /// How many slots there may be for a job, others' jobs aside.
    fn slots_for(&self, id: &JobId) -> u64 {
        let Some(job) = self.jobs.get(id) else { return 0 };
        let spread = job.new.spread.or_else(|| job.row.plan.as_ref()?.spread);
        let fitting = self.fleet.fitting(job.class);
        let open = fitting.filter(|drone| drone.connected && drone.ready && !drone.draining());
        let mut slots: Vec<u32> = open.map(|drone| drone.slots).collect();
        slots.sort_unstable_by_key(|slots| Reverse(*slots));
        let drones = spread.map_or(usize::MAX, |spread| spread as usize);
        slots.into_iter().take(drones).map(u64::from).sum()
    }

    /// Says what a file came to, once its last part is accounted for. A part that was not run leaves it open.
    pub(crate) fn join(&mut self, id: &JobId, index: u32) {
        if let Some(whole) = self.jobs.get(id).and_then(|job| job.whole(index)) {
            self.out.whole(whole);
        }
    }
}

/// Groups of one part, and what it is expected to take.
struct Share {
    part: Part,
    number: u32,
    of: u32,
    expect: u64,
}

impl Share {
    fn row(&self, whole: &FileRow) -> FileRow {
        FileRow {
            path: format!("{}#{}of{}", whole.path, self.number, self.of),
            expect: Some(self.expect),
            attempt: Attempt(0),
            state: FileState::Pending,
            part: Some(FilePart {
                part: self.part.clone(),
                number: self.number,
                of: self.of,
                took: None,
                groups: Vec::new(),
            }),
            ..whole.clone()
        }
    }
}

impl Job {
    /// Of each file its parts; none if it stays whole.
    fn divide(&self, slots: u64) -> Vec<Vec<Share>> {
        let mut known: Vec<u64> = self.files.iter().filter_map(|file| file.row.expect).collect();
        known.sort_unstable();
        let median = known.get(known.len() / 2).copied().unwrap_or_default();
        let total: u64 = self.files.iter().map(|file| file.row.expect.unwrap_or(median)).sum();
        let fair = total.checked_div(slots).unwrap_or(u64::MAX).max(1);
        let paths: BTreeSet<&str> = self.files.iter().map(|file| file.row.path.as_str()).collect();
        let mut left = NAMES;
        let shares = |file: &File| {
            let expect = file.row.expect.filter(|ms| *ms > fair && *ms >= LONG)?;
            let count = expect.div_ceil(fair).min(slots).min(expect / SHORT).min(MOST);
            let parts = divide(&file.groups, usize::try_from(count).unwrap_or(1))?;
            // Named in their part and in the last one.
            let names: usize = file.groups.iter().map(|group| 2 * group.name.len()).sum();
            let shares = shares(&file.row.path, expect, &file.groups, parts);
            if names > left || shares.iter().any(|share| paths.contains(&*share.row(&file.row).path)) {
                return None;
            }
            left -= names;
            Some(shares)
        };
        self.files.iter().map(shares).map(Option::unwrap_or_default).collect()
    }

    /// What the file of a part came to, if all parts have run.
    fn whole(&self, index: u32) -> Option<Whole> {
        let own = &self.files[index as usize].row;
        let part = own.part.as_ref()?;
        // Its parts stand side by side, in their order.
        let first = index.checked_sub(part.number - 1)? as usize;
        let rows = self.files.get(first..first + part.of as usize)?;
        let rows = || rows.iter().map(|file| &file.row);
        let outcomes: Option<Vec<FileOutcome>> = rows().map(|row| row.outcome).collect();
        let outcomes = outcomes.filter(|all| !all.contains(&FileOutcome::NotRun))?;
        let parts = || rows().filter_map(|row| row.part.as_ref());
        let is_known = rows().all(|row| {
            let says = |part: &FilePart| !part.groups.is_empty() || row.outcome == Some(FileOutcome::Empty);
            row.part.as_ref().is_some_and(says)
        });
        let groups = parts().flat_map(|part| &part.groups).cloned();
        Some(Whole {
            job: own.job.clone(),
            path: part.part.file.clone(),
            num: own.num?,
            outcome: joined(&outcomes),
            duration: parts().map(|part| part.took).sum(),
            groups: groups.filter(|_| is_known).collect(),
        })
    }
}

/// The outcome of a file by those of its parts: what is worst, and none only where all have none.
fn joined(parts: &[FileOutcome]) -> FileOutcome {
    use FileOutcome::{Crashed, Empty, Failed, Flaky, Passed, TimedOut};
    let order = [Crashed, TimedOut, Failed, Flaky, Passed];
    order
        .into_iter()
        .find(|outcome| parts.contains(outcome))
        .unwrap_or(Empty)
}

fn milliseconds(group: &Group) -> f64 {
    // Whatever a drone claims.
    if group.duration.is_finite() {
        group.duration.max(0.0)
    } else {
        0.0
    }
}

/// Shares groups out so that the parts take about the same time, at most `count` of them: the longest group first, to the
/// part that has the least. In each part they stand in the file's order. Nothing if that is not worth it.
fn divide(groups: &[Group], count: usize) -> Option<Vec<Vec<usize>>> {
    let names: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let count = count.min(groups.len());
    // Of a class and of a method of it, both would have the method.
    let within = |name: &str| name.match_indices("::").any(|(end, _)| names.contains(&name[..end]));
    if count < 2 || names.len() < groups.len() || names.iter().any(|name| within(name)) {
        return None;
    }
    let mut parts: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); count];
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|one, other| milliseconds(&groups[*other]).total_cmp(&milliseconds(&groups[*one])));
    for index in order {
        let least = |one: &&mut (f64, Vec<usize>), other: &&mut (f64, Vec<usize>)| {
            one.0.total_cmp(&other.0).then(one.1.len().cmp(&other.1.len()))
        };
        let part = parts.iter_mut().min_by(least)?;
        part.0 += milliseconds(&groups[index]);
        part.1.push(index);
    }
    let total: f64 = parts.iter().map(|part| part.0).sum();
    let longest = parts.iter().map(|part| part.0).fold(0.0, f64::max);
    // One group is nearly all of it.
    if longest > 0.9 * total {
        return None;
    }
    // What the file has that nobody knows of yet comes to the last one.
    parts.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut parts: Vec<Vec<usize>> = parts.into_iter().map(|part| part.1).collect();
    parts.iter_mut().for_each(|part| part.sort_unstable());
    let last = parts.pop()?;
    parts.sort();
    parts.push(last);
    Some(parts)
}

fn shares(file: &str, expect: u64, groups: &[Group], parts: Vec<Vec<usize>>) -> Vec<Share> {
    let total: f64 = groups.iter().map(milliseconds).sum();
    let of = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let named = |part: &[usize]| part.iter().map(|index| groups[*index].name.clone()).collect();
    let share = |(number, part): (u32, &Vec<usize>)| {
        let own: f64 = part.iter().map(|index| milliseconds(&groups[*index])).sum();
        let rest = number == of;
        let others: Vec<usize> = parts[..parts.len() - 1].concat();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "milliseconds, never negative; a cast saturates"
        )]
        let expect = (expect as f64 * own / total.max(1.0)) as u64;
        let groups = if rest { named(&others) } else { named(part) };
        let file = file.to_owned();
        Share {
            part: Part { file, groups, rest },
            number,
            of,
            expect,
        }
    };
    (1..).zip(&parts).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(all: &[(&str, f64)]) -> Vec<Group> {
        let group = |(name, duration): &(&str, f64)| Group {
            name: (*name).to_owned(),
            duration: *duration,
        };
        all.iter().map(group).collect()
    }

    #[test]
    fn parts_take_about_the_same_time_and_have_every_group_once() {
        let all = groups(&[("a", 10.0), ("b", 40.0), ("c", 10.0), ("d", 30.0), ("e", 10.0)]);
        let parts = divide(&all, 3).unwrap();
        assert_eq!(parts, [vec![1], vec![3], vec![0, 2, 4]]);
        let made = shares("f", 1_000, &all, parts);
        let told: Vec<_> = made
            .iter()
            .map(|share| (&*share.part.groups, share.part.rest, share.expect))
            .collect();
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                (&*names(&["b"]), false, 400),
                (&*names(&["d"]), false, 300),
                (&*names(&["b", "d"]), true, 300)
            ]
        );
    }

    #[test]
    fn what_cannot_or_need_not_be_shared_out_stays_whole() {
        assert!(divide(&groups(&[("a", 10.0)]), 4).is_none());
        assert!(
            divide(&groups(&[("a", 1.0), ("a", 1.0)]), 2).is_none(),
            "one name twice"
        );
        assert!(
            divide(&groups(&[("A", 1.0), ("A::b", 1.0)]), 2).is_none(),
            "a method with its class and without"
        );
        assert!(divide(&groups(&[("A::a", 1.0), ("A::b", 1.0)]), 2).is_some());
        assert!(
            divide(&groups(&[("a", 95.0), ("b", 5.0)]), 2).is_none(),
            "one is nearly all"
        );
        assert!(divide(&groups(&[("a", 1.0), ("b", 1.0)]), 1).is_none());
        let odd = groups(&[
            ("a", f64::NAN),
            ("b", -5.0),
            ("c", 5.0),
            ("d", 5.0),
            ("e", f64::INFINITY),
        ]);
        let parts = divide(&odd, 2).unwrap();
        assert_eq!(parts.concat().len(), 5);
        assert_eq!(
            divide(&groups(&[("a", 0.0), ("b", 0.0)]), 9).unwrap(),
            [vec![0], vec![1]]
        );
    }

    #[test]
    fn a_file_is_as_bad_as_its_worst_part() {
        use FileOutcome::{Empty, Failed, Flaky, Passed};
        assert_eq!(joined(&[Passed, Failed, Flaky]), Failed);
        assert_eq!(joined(&[Passed, Flaky, Empty]), Flaky);
        assert_eq!(joined(&[Empty, Passed]), Passed);
        assert_eq!(joined(&[Empty, Empty]), Empty);
    }
}
