//! A queen and a drone inside this program, for `queen run` without a queen: the one room that knows the drone.
//!
//! Owns their data directory, the scratch folder and their end. What is learned about durations stays for the next
//! run of the same folder; everything else goes with [`Local::stop`].

use super::{Failure, complain, exit, serve::data_home};
use queen::{
    app::{App, AppError},
    config::Config,
    store::StoreError,
};
use sha2::{Digest, Sha256};
use shared::settings::Settings;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Folders of runs in a data directory; what a killed run left of them is removed by the next.
const SCRATCH: &str = "run-";
/// Seconds between TERM and KILL: somebody waits at the terminal.
const GRACE: u64 = 3;
/// How long the drone may take to end; killing and removing take far less.
const PATIENCE: Duration = Duration::from_secs(20);

/// An embedded queen, and a drone once it was started.
pub struct Local {
    url: String,
    data: PathBuf,
    scratch: TempDir,
    /// The data directory itself, if it is not to stay either.
    fleeting: Option<TempDir>,
    stop_queen: CancellationToken,
    queen: JoinHandle<Result<(), AppError>>,
    drone: Option<JoinHandle<Result<(), drone::DroneError>>>,
    stop_drone: CancellationToken,
}

/// Where the history of a folder's runs is kept.
fn data_of(dir: &Path) -> Option<PathBuf> {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(data_home()?.join("run").join(name))
}

/// What to tell of a history that cannot be used now, if a run can do without; it learns nothing then and keeps no log.
fn no_history(data: &Path, error: &StoreError) -> Option<String> {
    match error {
        StoreError::InUse(_) => Some(
            "warning: another run of this folder is under way: this one knows no durations of earlier runs and leaves no log"
                .to_owned(),
        ),
        StoreError::File { .. } | StoreError::Database(_) => Some(format!(
            "warning: what earlier runs of this folder have left cannot be used: {error}; this run leaves no log; move {} away to \
             begin anew",
            data.display()
        )),
        _ => None,
    }
}

/// Prepares what queen and drone share, so that neither waits for it.
///
/// # Safety
///
/// There must not be another thread yet.
pub unsafe fn set_up() {
    // SAFETY: the caller's promise.
    unsafe { drone::source::set_up_alone() };
}

fn no_room(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        exit::LOST,
        format!("no temporary folder can be made: {error}; is the disk full?"),
    )
}

/// The drone's settings for a folder's run, checked before anything is started.
fn drone_config(url: &str, data: PathBuf, capacity: Option<u32>, labels: &[String]) -> Result<drone::Config, Failure> {
    drone::Config::from_layer(drone::config::Layer {
        queen: Some(url.to_owned()),
        data: Some(data),
        capacity,
        // Durations are compared with those of the same machine only: nothing to calibrate, nothing to wait for.
        speed: Some(100),
        labels: Some(labels.to_vec()),
        grace: Some(GRACE),
        ..drone::config::Layer::default()
    })
    .map_err(|error| Failure::new(exit::NOTHING, error))
}

impl Local {
    /// Starts a queen for runs of `dir` (canonical) on a free port of this machine.
    pub async fn start(dir: &Path) -> Result<Self, Failure> {
        let kept = match data_of(dir) {
            Some(data) => match App::start(Config::local(data.clone())).await {
                Ok(app) => Some((app, data)),
                Err(AppError::Store(error)) => {
                    complain(&no_history(&data, &error).ok_or_else(|| broken(error.into()))?);
                    None
                }
                Err(error) => return Err(broken(error)),
            },
            None => None,
        };
        let (app, data, fleeting) = match kept {
            Some((app, data)) => (app, data, None),
            None => {
                let temp = TempDir::with_prefix("skep-run-").map_err(no_room)?;
                let app = App::start(Config::local(temp.path().to_owned())).await;
                (app.map_err(broken)?, temp.path().to_owned(), Some(temp))
            }
        };
        // The store's lock is ours, so whoever made these is gone.
        remove_leftovers(&data);
        let scratch = tempfile::Builder::new()
            .prefix(SCRATCH)
            .tempdir_in(&data)
            .map_err(no_room)?;
        let url = app.url().to_owned();
        let stop_queen = CancellationToken::new();
        let queen = tokio::spawn(app.serve(stop_queen.clone()));
        Ok(Self {
            url,
            data,
            scratch,
            fleeting,
            stop_queen,
            queen,
            drone: None,
            stop_drone: CancellationToken::new(),
        })
    }

    /// The queen's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder that vanishes at the end.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Where the history of this folder stays, if it does.
    pub fn kept(&self) -> Option<&Path> {
        self.fleeting.is_none().then_some(&*self.data)
    }

    /// Starts the drone with the caller's PATH and one slot a processor, unless `capacity` says otherwise.
    pub fn start_drone(&mut self, capacity: Option<u32>, labels: &[String]) -> Result<(), Failure> {
        let config = drone_config(&self.url, self.data.join("drone"), capacity, labels)?;
        self.drone = Some(tokio::spawn(drone::run(config, self.stop_drone.clone())));
        Ok(())
    }

    /// Ends drone and queen, whatever still runs, and removes everything that is not history.
    pub async fn stop(self) {
        self.stop_drone.cancel();
        if let Some(drone) = self.drone {
            match tokio::time::timeout(PATIENCE, drone).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => complain(&format!("warning: the embedded drone ended badly: {error}")),
                Ok(Err(error)) => complain(&format!("warning: the embedded drone broke down: {error}")),
                Err(_) => complain("warning: the embedded drone does not end; processes of the job may be left"),
            }
        }
        self.stop_queen.cancel();
        match self.queen.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => complain(&format!("warning: the embedded queen ended badly: {error}")),
            Err(error) => complain(&format!("warning: the embedded queen ended badly: {error}")),
        }
        let place = self.scratch.path().to_owned();
        if let Err(error) = self.scratch.close() {
            complain(&format!("warning: {} could not be removed: {error}", place.display()));
        }
    }
}

/// The runner and the number of test files that a drone would find in `dir`, or why it would find none.
pub fn detect(dir: &Path) -> Result<(String, usize), String> {
    let listing = drone::runner::list(dir, &Settings::default(), None).map_err(|error| error.to_string())?;
    Ok((listing.runner.name().to_owned(), listing.files.len()))
}

fn broken(error: AppError) -> Failure {
    Failure::new(exit::LOST, format!("the embedded queen cannot start: {error}"))
}

fn remove_leftovers(data: &Path) {
    let Ok(entries) = std::fs::read_dir(data) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            // What cannot be removed now is tried again by the next run.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_has_a_history_of_its_own() {
        let (a, b) = (data_of(Path::new("/a")), data_of(Path::new("/b")));
        assert_ne!(a, b);
        assert_eq!(a, data_of(Path::new("/a")));
    }

    #[test]
    fn leftovers_of_killed_runs_go_and_the_rest_stays() {
        let data = TempDir::new().unwrap();
        std::fs::create_dir_all(data.path().join("run-abc/drone")).unwrap();
        std::fs::write(data.path().join("queen.db"), "x").unwrap();
        remove_leftovers(data.path());
        let left: Vec<_> = std::fs::read_dir(data.path())
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left, ["queen.db"]);
    }
}
