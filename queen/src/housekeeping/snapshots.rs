//! Work trees that were handed over: which are still needed, and which go.
//!
//! A work tree lies in the repository of its project under the id of its job, and goes some time after that job has
//! ended; later jobs that repeat it keep it as long as they are unfinished.

use super::{Failed, Housekeeper, blocking, millis, since};
use crate::{
    repositories::{Collected, Kept},
    store::{JobFilter, StoredJob},
};
use shared::{JobId, JobState, Project, Timestamp, job::Ref};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A work tree without a job is one whose job is just being submitted, for so long at least.
const SUBMITTED_SOON: Duration = Duration::from_secs(3600);
/// When there is too much, this part of the work trees goes before it is measured again.
const PART: usize = 4;
/// Unfinished jobs read at once.
const PAGE: u32 = 500;

/// A work tree that no unfinished job needed when it was looked at.
struct Idle {
    project: Project,
    kept: Kept,
    /// When it was last of use.
    last: Timestamp,
}

impl Housekeeper {
    /// Removes work trees by age, then by size, and collects what they leave. False if some repository was in use.
    pub(super) async fn snapshots(&mut self, now: Timestamp) -> Result<bool, Failed> {
        let repositories = self.repositories.clone();
        let projects = blocking(move || Ok(repositories.projects()?)).await?;
        let mut settled = true;
        let before = since(now, self.keep.snapshots);
        if self.next_snapshot.is_none_or(|next| next < before) {
            let idle = self.idle(&projects, now).await?;
            let (due, left): (Vec<_>, Vec<_>) = idle.into_iter().partition(|one| one.last < before);
            settled &= self.remove(due).await?;
            // What is due and in use just now is looked for again.
            self.next_snapshot = left.first().filter(|_| settled).map(|one| one.last);
        }
        settled &= self.collect(&projects).await?;
        let Some(limit) = self.keep.snapshot_bytes else {
            return Ok(settled);
        };
        let mut bytes = self.bytes(&projects).await?;
        while bytes > limit {
            let mut idle = self.idle(&projects, now).await?;
            idle.truncate(idle.len().div_ceil(PART));
            if idle.is_empty() {
                // Branches that were pushed stay, whatever they take; and so does what is still needed.
                tracing::debug!(
                    bytes,
                    limit,
                    "repositories take more than they should, and all of it is needed"
                );
                break;
            }
            if !(self.remove(idle).await? & self.collect(&projects).await?) {
                return Ok(false);
            }
            bytes = self.bytes(&projects).await?;
        }
        Ok(settled)
    }

    async fn bytes(&self, projects: &[Project]) -> Result<u64, Failed> {
        let (repositories, projects) = (self.repositories.clone(), projects.to_vec());
        blocking(move || Ok(projects.iter().map(|project| repositories.bytes(project)).sum())).await
    }

    /// Work trees that nobody needs, the one first that was last of use the longest time ago.
    async fn idle(&self, projects: &[Project], now: Timestamp) -> Result<Vec<Idle>, Failed> {
        let mut idle = Vec::new();
        let mut needed = None;
        for project in projects {
            let (repositories, of) = (self.repositories.clone(), project.clone());
            let found = blocking(move || match repositories.exists(&of) {
                true => Ok(repositories.kept(&of)?),
                false => Ok(Vec::new()),
            });
            for kept in found.await? {
                let needed = match &mut needed {
                    Some(needed) => needed,
                    none => none.insert(self.needed().await?),
                };
                if is_needed(&kept, needed) {
                    continue;
                }
                let job = match JobId::new(kept.job()) {
                    Ok(id) => self.store.job(&id).await?,
                    Err(_) => None,
                };
                let last = match (job, kept.at) {
                    (Some(job), _) => job.row.finished.unwrap_or(job.submitted),
                    (None, Some(at)) if now.0.saturating_sub(at.0) < millis(SUBMITTED_SOON) => continue,
                    (None, at) => at.unwrap_or_default(),
                };
                idle.push(Idle {
                    project: project.clone(),
                    kept,
                    last,
                });
            }
        }
        idle.sort_by_key(|one| one.last);
        Ok(idle)
    }

    /// What unfinished jobs ask for: their ids, refs and commits.
    async fn needed(&self) -> Result<BTreeSet<String>, Failed> {
        let mut filter = JobFilter {
            states: vec![JobState::Queued, JobState::Running],
            limit: PAGE,
            ..JobFilter::default()
        };
        let mut needed = BTreeSet::new();
        loop {
            let page = self.store.jobs(&filter).await?;
            needed.extend(page.jobs.iter().flat_map(names));
            if page.next.is_none() {
                return Ok(needed);
            }
            filter.before = page.next;
        }
    }

    /// Takes refs away, but none that is needed by now. False if a repository was in use.
    async fn remove(&mut self, idle: Vec<Idle>) -> Result<bool, Failed> {
        let mut settled = true;
        let mut by_project: BTreeMap<Project, Vec<Kept>> = BTreeMap::new();
        for Idle { project, kept, .. } in idle {
            by_project.entry(project).or_default().push(kept);
        }
        for (project, mut kept) in by_project {
            let Some(alone) = self.repositories.alone(&project)? else {
                settled = false;
                continue;
            };
            // Nobody repeats a job while we are alone in here: what is not needed now is not needed when it is gone.
            let needed = self.needed().await?;
            kept.retain(|kept| !is_needed(kept, &needed));
            self.done.snapshots += kept.len() as u64;
            let names: Vec<String> = kept.into_iter().map(|kept| kept.name).collect();
            blocking(move || Ok(alone.remove(&names)?)).await?;
        }
        Ok(settled)
    }

    /// Removes what refs no longer lead to. False if a repository was in use.
    async fn collect(&mut self, projects: &[Project]) -> Result<bool, Failed> {
        let mut settled = true;
        for project in projects {
            let (repositories, project) = (self.repositories.clone(), project.clone());
            let collected = blocking(move || {
                if !repositories.wants_collecting(&project) {
                    return Ok(None);
                }
                let before = repositories.bytes(&project);
                let collected = repositories.collect(&project)?;
                Ok(Some((collected, before.saturating_sub(repositories.bytes(&project)))))
            });
            match collected.await? {
                None => {}
                Some((Collected::Busy, _)) => settled = false,
                Some((Collected::Done | Collected::Gone, bytes)) => self.done.snapshot_bytes += bytes,
            }
        }
        Ok(settled)
    }
}

fn is_needed(kept: &Kept, needed: &BTreeSet<String>) -> bool {
    [kept.job(), &kept.name, &kept.commit]
        .into_iter()
        .any(|name| needed.contains(name))
}

fn names(job: &StoredJob) -> Vec<String> {
    let mut names = vec![job.row.id.to_string()];
    match &job.data.reference {
        Some(Ref::Fetch { fetch }) => names.push(
            fetch
                .trim_start_matches('+')
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        Some(Ref::Branch { id, .. }) => names.extend(id.clone()),
        None => {}
    }
    names
}
