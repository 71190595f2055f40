//! The folders that a job takes over from the project's last one, and leaves for the next.
//!
//! Owns when that is done. A folder that could not be made whole again, because the preparation failed, is not left. Read
//! next: `kept.rs`.

use super::{Job, Prepared, Stopped};
use std::{mem, sync::Arc};

impl Job {
    /// Moves the folders of `[prepare] cache` that an earlier job left into the work tree. What cannot be had is a warning.
    pub(super) async fn take_folders(self: &Arc<Self>, prepared: &Prepared) -> Result<(), Stopped> {
        let names = prepared.settings.prepare.cache.clone();
        if names.is_empty() {
            return Ok(());
        }
        let (job, root, scratch) = (
            Arc::clone(self),
            prepared.root().to_owned(),
            prepared.scratch().to_owned(),
        );
        let taken = tokio::task::spawn_blocking(move || {
            let mut wrong = Vec::new();
            for (i, name) in names.into_iter().enumerate() {
                let aside = scratch.join(format!("kept-{i}"));
                match job.machine.kept.take(job.data.project.as_str(), &root, &name, &aside) {
                    Ok(folder) => job.progress().folders.push(folder),
                    Err(error) => wrong.push(format!("the folder {name:?} of [prepare] cache is not kept: {error}")),
                }
            }
            wrong
        });
        for message in taken.await.map_err(|error| Stopped::error("internal", error))? {
            self.voice.warn("cache", &message).await;
        }
        Ok(())
    }

    /// Leaves the folders for the next job. To be called when none of the job's processes is left.
    pub(super) async fn put_back(&self) {
        let folders = {
            let mut progress = self.progress();
            let folders = mem::take(&mut progress.folders);
            if progress.is_prepared { folders } else { Vec::new() }
        };
        if folders.is_empty() {
            return;
        }
        let put = tokio::task::spawn_blocking(move || {
            let put = folders.iter().map(|folder| (folder.put_back(), &folder.name));
            put.filter_map(|(result, name)| Some((result.err()?, name.clone())))
                .collect::<Vec<_>>()
        });
        for (error, name) in put.await.unwrap_or_default() {
            let message = format!("the folder {name:?} of [prepare] cache is not kept: {error}");
            self.voice.warn("cache", &message).await;
        }
    }
}
