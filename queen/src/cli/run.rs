//! `queen run`: a folder as it stands to a job, a job to an exit code.
//!
//! Owns the order of things: hooks, snapshot, hand-over, submission, following, report, and that nothing is left
//! behind. Read next: `local.rs` for the embedded queen, `watch.rs` for following.

use super::{
    Failure, Global,
    client::{Client, encode},
    complain, exit,
    interrupt::Interrupts,
    local::Local,
    progress::Progress,
    report::{self, Links},
    screen::Screen,
    submit::JobFlags,
    watch::{End, OnInterrupt, cancel, follow},
};
use clap::Args;
use queen::{
    api::view::{FileView, JobPage, JobView, Submitted},
    clock,
    snapshot::{self, Snapshot, SnapshotError},
};
use serde_json::{Map, Value, json};
use shared::{
    JobData, JobId, Project, Secret,
    outcome::FileOutcome,
    settings::{FILE_NAME, Layer, Settings},
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Flags of `queen run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The folder whose tests are run, as it stands
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE", env = "QUEEN_JUNIT")]
    junit: Option<PathBuf>,
    /// Only the files that failed when this project last ran
    #[arg(long, env = "QUEEN_FAILED", conflicts_with = "only")]
    failed: bool,
    /// Slots of the embedded drone [default: one a processor]
    #[arg(long, value_name = "N", env = "QUEEN_CAPACITY", value_parser = clap::value_parser!(u32).range(1..=4096))]
    capacity: Option<u32>,
    /// Run on this machine, even if an address of a queen is set
    #[arg(long, env = "QUEEN_LOCAL")]
    local: bool,
    /// One line after the other, as where there is no terminal
    #[arg(long, env = "QUEEN_PLAIN")]
    plain: bool,
    #[command(flatten)]
    job: JobFlags,
}

impl RunArgs {
    /// True if this program is queen and drone itself.
    pub fn is_local(&self, global: &Global) -> bool {
        self.local || global.address().is_none()
    }
}

/// Runs the tests of a folder.
pub async fn run(global: &Global, args: RunArgs) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let dir = std::fs::canonicalize(&args.dir)
        .ok()
        .filter(|dir| dir.is_dir())
        .ok_or_else(|| {
            Failure::new(
                exit::SOURCE,
                format!("{} is no folder that can be read", args.dir.display()),
            )
        })?;
    let settings = read_settings(&dir)?;
    let mut extra = Map::new();
    args.job.put_into(&mut extra)?;
    // The drone would say the same, but later.
    let config = extra
        .get("config")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    Layer::from_config(&config).map_err(|error| Failure::new(exit::NOTHING, error))?;
    for command in &settings.hooks.before_originate {
        if !hook(&dir, command, &[], &mut interrupts).await? {
            let text = format!("the hook before_originate failed, so nothing was submitted: {command}");
            return Err(Failure::new(exit::SOURCE, text));
        }
    }
    let run = Run {
        global,
        args: &args,
        dir: &dir,
        settings: &settings,
        extra,
    };
    match global.address().filter(|_| !args.is_local(global)) {
        Some(address) => {
            let client = Client::new(address, global.secret()?)?;
            let scratch = TempDir::with_prefix("skep-run-")
                .map_err(|error| Failure::new(exit::SOURCE, format!("no temporary folder can be made: {error}")))?;
            let place = scratch.path().join("snapshot");
            run.over(&client, &place, None, &mut interrupts).await
        }
        None => {
            let mut local = Local::start(&dir).await?;
            let client = Client::new(local.url(), None)?;
            let place = local.scratch().join("snapshot");
            let result = run.over(&client, &place, Some(&mut local), &mut interrupts).await;
            local.stop().await;
            result
        }
    }
}

fn read_settings(dir: &Path) -> Result<Settings, Failure> {
    let path = dir.join(FILE_NAME);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(error) => return Err(Failure::new(exit::NOTHING, format!("{}: {error}", path.display()))),
    };
    Layer::from_toml(&text)
        .and_then(|layer| Settings::merge(&[layer]))
        .map_err(|error| Failure::new(exit::NOTHING, error))
}

/// Runs a hook on this machine, its output on standard error; false if it failed.
async fn hook(dir: &Path, command: &str, env: &[(&str, String)], interrupts: &mut Interrupts) -> Result<bool, Failure> {
    let cannot = |error| Failure::new(exit::SOURCE, format!("the hook {command:?} cannot be started: {error}"));
    // Standard output belongs to the run.
    let stderr = std::io::stderr();
    let output = std::os::fd::AsFd::as_fd(&stderr).try_clone_to_owned().map_err(cannot)?;
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(std::process::Stdio::null())
        .stdout(output)
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    tokio::select! {
        status = child.wait() => Ok(status.map_err(cannot)?.success()),
        () = interrupts.next() => Err(Failure::new(interrupts.exit_code(), "stopped")),
    }
}

struct Run<'a> {
    global: &'a Global,
    args: &'a RunArgs,
    dir: &'a Path,
    settings: &'a Settings,
    /// What flags say of the job.
    extra: Map<String, Value>,
}

impl Run<'_> {
    /// From the snapshot to the last hook, over the queen at the other end of `client`.
    async fn over(
        &self,
        client: &Client,
        scratch: &Path,
        mut local: Option<&mut Local>,
        interrupts: &mut Interrupts,
    ) -> Result<u8, Failure> {
        if let Some(local) = &mut local {
            forget_unfinished(client).await?;
            // It says hello while the snapshot is taken.
            local.start_drone(self.args.capacity, &self.args.job.label)?;
        }
        let snapshot = take(self.dir, scratch).await?;
        if interrupts.count() > 0 {
            return Ok(interrupts.exit_code());
        }
        let job = self.job(client, &snapshot, local.is_some()).await?;
        let id = job.job_id.clone().unwrap_or_else(clock::new_job_id);
        if local.is_none() {
            hand_over(client, &job, &id, snapshot, interrupts).await?;
        }
        let submitted: Submitted = client.post("jobs", &job.exposed()).await?;
        let links = Links {
            live: submitted.url,
            log: match local.as_ref().map(|local| local.kept()) {
                None => format!("queen logs {id}"),
                Some(Some(data)) => format!("queen logs {id} --data {}", data.display()),
                Some(None) => String::new(),
            },
        };
        let mut screen = Screen::new(self.global, self.args.plain);
        screen.begin(id.as_str(), &links.live);
        let mut progress = Progress::default();
        let end = follow(client, &id, &mut progress, &mut screen, interrupts, OnInterrupt::Cancel).await;
        screen.close();
        let view = match end? {
            End::Over(view) => view,
            End::Left => {
                return Ok(interrupts.exit_code());
            }
            End::Lost(why) => return Err(Failure::new(exit::LOST, why)),
        };
        let code = match interrupts.count() {
            0 => report::exit_code(view.state, view.error.as_ref()),
            _ => interrupts.exit_code(),
        };
        if let Some(path) = &self.args.junit {
            self.write_junit(client, &id, path).await?;
        }
        screen.end(&view, &progress, &links, code);
        self.after(&view, interrupts).await;
        Ok(code)
    }

    async fn job(&self, client: &Client, snapshot: &Snapshot, local: bool) -> Result<JobData, Failure> {
        let bad = |error: &dyn std::fmt::Display| Failure::new(exit::NOTHING, error);
        let project = match &self.args.job.project {
            Some(project) => project.clone(),
            None => Project::new(&snapshot.project_hint).map_err(|error| bad(&format!("{error}; give --project")))?,
        };
        let id = clock::new_job_id();
        let what = match snapshot.changed {
            0 => "as committed".to_owned(),
            1 => "with 1 changed file".to_owned(),
            count => format!("with {count} changed files"),
        };
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        let url = if local {
            snapshot.repo.display().to_string()
        } else {
            format!("{}/git/{project}.git", client.base())
        };
        let mut job = json!({
            "job_id": id,
            "project": project,
            "repo": {"url": url},
            "ref": {"id": snapshot.commit, "branch": snapshot.branch},
            "trigger": {
                "type": "manual",
                "timestamp": clock::now(),
                "message": format!("work tree {what}"),
                "author": {"username": user},
                "source": {"type": "API", "app": "queen run"},
            },
        });
        if let Some(token) = client.token().filter(|_| !local) {
            job["repo"]["auth"] = json!({"type": "https", "username": "skep", "password": token.expose()});
        }
        if let Some(user) = user {
            job["user_id"] = user.into();
        }
        for (key, value) in &self.extra {
            match (job.get_mut(key).and_then(Value::as_object_mut), value) {
                (Some(below), Value::Object(above)) => below.extend(above.clone()),
                _ => job[key] = value.clone(),
            }
        }
        if self.args.failed {
            job["only"] = json!(last_failed(client, &project).await?);
        }
        JobData::parse(&job.to_string()).map_err(|error| bad(&error))
    }

    async fn write_junit(&self, client: &Client, id: &JobId, path: &Path) -> Result<(), Failure> {
        let xml = client.text(&format!("/api/v1/jobs/{id}/junit.xml")).await?;
        std::fs::write(path, xml).map_err(|error| {
            Failure::new(
                exit::LOST,
                format!("the results cannot be written to {}: {error}", path.display()),
            )
        })
    }

    /// The hook after the job; it changes no result.
    async fn after(&self, view: &JobView, interrupts: &mut Interrupts) {
        let env = [
            ("SKEP_JOB_ID", view.id.clone()),
            ("SKEP_PROJECT", view.project.clone()),
            ("SKEP_STATE", view.state.to_string()),
        ];
        for command in &self.settings.hooks.after_job_finishes {
            match hook(self.dir, command, &env, interrupts).await {
                Ok(true) => {}
                Ok(false) => complain(&format!("warning: the hook after_job_finishes failed: {command}")),
                Err(failure) => complain(&format!("warning: {}", failure.message)),
            }
        }
    }
}

async fn take(dir: &Path, scratch: &Path) -> Result<Snapshot, Failure> {
    let (dir, scratch) = (dir.to_owned(), scratch.to_owned());
    let taken = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&scratch)
            .map_err(|error| Failure::new(exit::SOURCE, format!("{}: {error}", scratch.display())))?;
        snapshot::snapshot(&dir, &scratch).map_err(|error| match error {
            SnapshotError::Empty(_) => Failure::new(exit::NOTHING, error),
            error => Failure::new(exit::SOURCE, error),
        })
    });
    match taken.await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(exit::SOURCE, format!("the snapshot broke off: {error}"))),
    }
}

/// Pushes the snapshot to the queen, where drones fetch it.
async fn hand_over(
    client: &Client,
    job: &JobData,
    id: &JobId,
    snapshot: Snapshot,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let url = job.repo.as_ref().map(|repo| repo.url.clone()).unwrap_or_default();
    let token: Option<Secret> = client.token().cloned();
    let reference = format!("refs/skep/{id}");
    let pushed = tokio::task::spawn_blocking(move || snapshot::push(&snapshot, &url, token.as_ref(), &reference));
    tokio::select! {
        result = pushed => match result {
            Ok(result) => result.map_err(|error| Failure::new(exit::SOURCE, error)),
            Err(error) => Err(Failure::new(exit::SOURCE, format!("the hand-over broke off: {error}"))),
        },
        () = interrupts.next() => Err(Failure::new(interrupts.exit_code(), "stopped before the job was submitted")),
    }
}

/// Ends what a killed run has left in the history, so that it is not taken up again.
async fn forget_unfinished(client: &Client) -> Result<(), Failure> {
    let left: JobPage = client.get("jobs?state=queued,running&limit=200").await?;
    for job in left.jobs {
        if let Ok(id) = JobId::new(&job.id) {
            // One that ends by itself meanwhile is as good.
            let _ = cancel(client.clone(), id, "its run was killed").await;
        }
    }
    Ok(())
}

/// The files that failed when the project last ran.
async fn last_failed(client: &Client, project: &Project) -> Result<Vec<String>, Failure> {
    let project = encode(project.as_str());
    let page: JobPage = client
        .get(&format!("jobs?project={project}&state=passed,failed,errored&limit=1"))
        .await?;
    let Some(last) = page.jobs.first() else {
        return Err(Failure::new(
            exit::NOTHING,
            "this project has not run before: leave --failed out",
        ));
    };
    let files: Vec<FileView> = client.get(&format!("jobs/{}/files", last.id)).await?;
    let mut failed: Vec<_> = files
        .into_iter()
        .filter(|file| file.outcome.is_some_and(FileOutcome::is_bad))
        .map(|file| file.part_of.unwrap_or(file.path))
        .collect();
    failed.dedup();
    if failed.is_empty() {
        let text = format!(
            "no file failed in the last run ({}, {}): leave --failed out",
            last.id, last.state
        );
        return Err(Failure::new(exit::NOTHING, text));
    }
    Ok(failed)
}
