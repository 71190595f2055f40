//! From an empty workspace to one in which files can run: environment, source, settings, commands, the list of files.
//!
//! It does the phases `environment` and `prepare` and begins `test`. It knows nothing of how files run. Read next:
//! `setup` for what commands run with, `files` for what follows.

use super::{Job, Planned, Stopped, files::parts, setup};
use crate::{
    clock,
    job::setup::Contributions,
    phase::millis,
    process::Stream,
    runner::{self, Runner, warm::Warm},
    source::{self, Borrowed, Fetch, Fetched},
};
use shared::{
    JobData, JobId,
    protocol::{
        JobEvent,
        event::{JobError, Phase, Plan},
    },
    settings::Settings,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;

/// The most bytes of JSON that one part of the list of files may have.
const FILES_LIMIT: usize = 250 * 1000;
/// The code of a fetch that failed, as git itself has it.
const FETCH_FAILED: i32 = 128;

/// What is known of a job once it is prepared; less, while it is not.
#[derive(Clone)]
pub struct Prepared {
    pub env: BTreeMap<String, String>,
    pub settings: Settings,
    pub runner: Option<Runner>,
    /// Keeps the runner's framework loaded, where there is a way to.
    pub warm: Option<Arc<Warm>>,
    contributions: Arc<Contributions>,
    workspace: PathBuf,
    scratch: PathBuf,
    root: PathBuf,
    branch: Option<String>,
    /// Kept as long as the workspace may need them.
    borrowed: Borrowed,
}

impl Prepared {
    /// Where commands run and the paths of files start.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// For reports; outside of the source.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The plugins' commands of the test phase: each counts as a file, under this path.
    fn test_commands(&self) -> Vec<(String, Planned)> {
        let commands = self.contributions.commands(Phase::Test).into_iter().enumerate();
        commands
            .map(|(i, planned)| (format!("{}#{}", planned.by, i + 1), planned))
            .collect()
    }

    /// The plugin's command that stands behind a path, if it is one.
    pub fn test_command(&self, path: &str) -> Option<Planned> {
        let mut all = self.test_commands().into_iter();
        all.find(|(own, _)| own == path).map(|(_, planned)| planned)
    }

    pub fn deploy_commands(&self) -> Vec<Planned> {
        let mut all = self.contributions.commands(Phase::Deploy);
        all.extend(Planned::scripts("deploy", &self.settings.deploy.run));
        all
    }

    /// Why `deploy.when` does not allow a deploy of this branch.
    pub fn deploy_is_held_back(&self, job: &JobData) -> Option<String> {
        let rule = self.settings.deploy.when.as_deref()?;
        let branch = self.branch.as_deref().or_else(|| job.branch()).unwrap_or_default();
        let allowed = globset::Glob::new(rule).is_ok_and(|glob| glob.compile_matcher().is_match(branch));
        (!allowed).then(|| {
            format!("nothing is deployed: the rule `when = {rule:?}` of [deploy] does not allow the branch {branch:?}")
        })
    }

    /// The commands of the cleanup, and of each whether it runs once in every slot that was used. `workers`: the hooks
    /// that follow the workers have something to follow.
    pub fn cleanup_commands(&self, workers: bool) -> Vec<(Planned, bool)> {
        let hooks = &self.settings.hooks;
        let mut all: Vec<_> = Planned::scripts("after_complete", &hooks.after_complete)
            .map(|planned| (planned, true))
            .collect();
        let mut once: Vec<Planned> = Vec::new();
        if workers {
            once.extend(Planned::scripts(
                "after_creating_workers",
                &hooks.after_creating_workers,
            ));
        }
        once.extend(self.contributions.commands(Phase::Cleanup));
        once.extend(Planned::scripts("cleanup", &self.settings.cleanup.run));
        all.extend(once.into_iter().map(|planned| (planned, false)));
        all
    }
}

impl Stopped {
    pub(super) fn error(kind: &str, message: impl ToString) -> Self {
        Self::Errored(JobError::new(kind, message.to_string()))
    }
}

impl Job {
    /// Environment and prepare. Answers with the code of the first command that ended non-zero, or 0.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        workspace: PathBuf,
        scratch: PathBuf,
    ) -> Result<(Prepared, i32), Stopped> {
        let Some(_slot) = self.slot().await else {
            return Err(self.stopped());
        };
        if self.is_home() {
            let drone = Some(self.machine.drone.clone());
            self.say_at(|job, at| JobEvent::Started { job, at, drone }).await;
        }
        self.phase_start(Phase::Environment).await;
        let mut prepared = self.ask_plugins(workspace, scratch).await?;
        let stage = self.stage(Phase::Environment, &prepared.workspace, &prepared.env, &self.stop);
        let commands = prepared.contributions.commands(Phase::Environment);
        let mut code = stage.all(&commands, &self.numbers).await;
        self.unless_stopped()?;
        self.phase_done(Some(code)).await;

        self.phase_start(Phase::Prepare).await;
        if code == 0 {
            let fetched = self.fetch(&prepared.workspace).await?;
            prepared = self.settle(prepared, fetched).await?;
            self.take_folders(&prepared).await?;
            code = self.prepare_commands(&prepared).await;
            self.unless_stopped()?;
            self.progress().is_prepared = code == 0;
        }
        if code == 0 && self.data.job_type.tests() && !self.is_home() {
            (prepared, _) = self.find_files(prepared).await?;
        }
        self.phase_done(Some(code)).await;
        Ok((prepared, code))
    }

    async fn ask_plugins(&self, workspace: PathBuf, scratch: PathBuf) -> Result<Prepared, Stopped> {
        let base = &self.machine.base;
        let none = Contributions::default();
        let env = setup::environment(base, &self.data, &self.names(None), &none, None);
        let asked = Contributions::ask(
            &self.machine.plugins,
            &self.data,
            &workspace,
            &scratch,
            &env,
            &self.stop,
        );
        let contributions = match asked.await {
            Ok(contributions) => Arc::new(contributions),
            Err(_) if self.stop.is_cancelled() => return Err(self.stopped()),
            Err(error) => return Err(Stopped::error("plugin", error)),
        };
        if self.is_home() {
            for key in setup::unread_config(&self.data) {
                let message =
                    format!("the job's config has {key:?}, which is neither a section nor one of its plugins");
                self.voice.warn("config", &message).await;
            }
        }
        let prepared = Prepared {
            env: setup::environment(base, &self.data, &self.names(None), &contributions, None),
            settings: Settings::default(),
            runner: None,
            warm: None,
            contributions,
            root: workspace.clone(),
            workspace,
            scratch,
            branch: None,
            borrowed: Borrowed::default(),
        };
        self.progress().prepared = Some(Arc::new(prepared.clone()));
        Ok(prepared)
    }

    fn names<'a>(&'a self, fetched: Option<&'a Fetched>) -> [(&'static str, Option<&'a str>); 3] {
        let branch = fetched.and_then(|fetched| fetched.branch.as_deref());
        let commit = fetched.and_then(|fetched| fetched.commit.as_deref());
        [
            ("SKEP_JOB_ID", Some(self.id.as_str())),
            ("SKEP_BRANCH", branch.or_else(|| self.data.branch())),
            ("SKEP_COMMIT", commit.or_else(|| self.data.commit())),
        ]
    }

    /// Gets the source, as a command of its own with its output.
    async fn fetch(&self, workspace: &Path) -> Result<Fetched, Stopped> {
        let Some(repo) = self.data.repo.clone() else {
            return Ok(Fetched::default());
        };
        let vcs = format!("{:?}", repo.vcs).to_lowercase();
        let fetch = Fetch {
            repo,
            reference: self.data.reference.clone(),
            into: workspace.to_owned(),
            mirrors: self.machine.mirrors.clone(),
        };
        let (voice, num, start) = (&self.voice, self.numbers.next(), clock::instant());
        voice
            .command(num, &source::describe(&fetch), None, Phase::Prepare, &vcs)
            .await;
        let cancelled = Arc::new(AtomicBool::new(false));
        // Also if this future is dropped: nothing may fetch into a workspace that is being removed.
        let flag = Arc::clone(&cancelled);
        let _guard = scopeguard(move || flag.store(true, Ordering::Relaxed));
        let (lines, mut progress) = mpsc::channel::<String>(64);
        let mask = Arc::clone(&voice.mask);
        let mut working = self.tasks.spawn_blocking({
            let cancelled = Arc::clone(&cancelled);
            move || {
                source::fetch(&fetch, &cancelled, &mut |line| {
                    // Nobody listens any more: the job is being stopped.
                    let _ = lines.blocking_send(format!("{}\n", mask.sanitize(line.trim_end())));
                })
            }
        });
        let relay = async {
            while let Some(line) = progress.recv().await {
                voice.output(num, Stream::Stderr, line).await;
            }
        };
        let wait = async {
            tokio::select! {
                result = &mut working => return result,
                () = self.stop.cancelled() => cancelled.store(true, Ordering::Relaxed),
            }
            working.await
        };
        let wait = async { wait.await.map(|result| result.map_err(Some)) };
        let (result, ()) = tokio::join!(wait, relay);
        let result = result.unwrap_or(Err(None)).map_err(|error| {
            error.map_or_else(
                || "the fetch broke down: this is a bug of Skep".to_owned(),
                |error| error.to_string(),
            )
        });
        if let Err(error) = result.as_ref()
            && !self.stop.is_cancelled()
        {
            let text = format!("{}\n", voice.mask.sanitize(error));
            voice.output(num, Stream::Stderr, super::cut(text, 16 * 1024)).await;
        }
        voice
            .say(JobEvent::CmdDone {
                job: self.id.clone(),
                num,
                exit_code: if result.is_ok() { 0 } else { FETCH_FAILED },
                elapsed: Some(millis(start.elapsed())),
            })
            .await;
        self.unless_stopped()?;
        result.map_err(|error| Stopped::error("source", error))
    }

    /// Reads the settings and writes the plugins' files: the job is what it will be.
    async fn settle(&self, mut prepared: Prepared, fetched: Fetched) -> Result<Prepared, Stopped> {
        let read = tokio::task::spawn_blocking({
            let (workspace, job) = (prepared.workspace.clone(), self.data.clone());
            let contributions = Arc::clone(&prepared.contributions);
            move || {
                contributions
                    .write_files(&workspace)
                    .map_err(|error| Stopped::error("plugin", format!("plugin files: {error}")))?;
                setup::settings(&workspace, &job).map_err(|error| Stopped::error("settings", error))
            }
        });
        let settings = read
            .await
            .map_err(|error| Stopped::error("internal", error))
            .flatten()?;
        if let Some(root) = &settings.root {
            prepared.root = prepared.workspace.join(root);
        }
        let names = self.names(Some(&fetched));
        let base = &self.machine.base;
        prepared.env = setup::environment(base, &self.data, &names, &prepared.contributions, Some(&settings));
        prepared.settings = settings;
        prepared.branch = fetched.branch;
        prepared.borrowed = fetched.borrowed;
        self.progress().prepared = Some(Arc::new(prepared.clone()));
        if self.is_home() && self.data.job_type.deploys() && prepared.deploy_commands().is_empty() {
            return Err(Stopped::error(
                "settings",
                "the job is to deploy, but nothing says how: add `run` to [deploy] in skep.toml, or name a plugin that deploys",
            ));
        }
        Ok(prepared)
    }

    async fn prepare_commands(&self, prepared: &Prepared) -> i32 {
        let (settings, hooks) = (&prepared.settings, &prepared.settings.hooks);
        let mut commands: Vec<Planned> = Planned::scripts("after_sync", &hooks.after_sync).collect();
        commands.extend(prepared.contributions.commands(Phase::Prepare));
        commands.extend(Planned::scripts("prepare", &settings.prepare.run));
        let stage = self.stage(Phase::Prepare, prepared.root(), &prepared.env, &self.stop);
        let code = stage.all(&commands, &self.numbers).await;
        if code != 0 || !self.data.job_type.tests() || self.stop.is_cancelled() {
            return code;
        }
        self.progress().workers = true;
        let before: Vec<Planned> =
            Planned::scripts("before_creating_workers", &hooks.before_creating_workers).collect();
        stage.all(&before, &self.numbers).await
    }

    /// Begins the test phase: tells the queen the files.
    pub(super) async fn list(self: &Arc<Self>, prepared: Prepared) -> Result<Prepared, Stopped> {
        self.phase_start(Phase::Test).await;
        let (prepared, files) = self.find_files(prepared).await?;
        let test = &prepared.settings.test;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let plan = Plan {
            runner: prepared.runner.as_ref().map_or("command", Runner::name).to_owned(),
            timeout: test.timeout,
            retries: test.retries.unwrap_or(0),
            spread: test.spread,
            fail_fast: test.fail_fast.unwrap_or(false),
            order: test.order.unwrap_or_default(),
            split: test.splits() && prepared.runner.as_ref().is_some_and(Runner::splits),
            prepare_commands: self.numbers.given(self.lease.num),
            cleanup_commands: count(prepared.cleanup_commands(true).len()),
        };
        let mut parts = parts(files, FILES_LIMIT).into_iter().peekable();
        while let Some(paths) = parts.next() {
            let more = parts.peek().is_some();
            self.voice
                .say(JobEvent::Files {
                    job: self.id.clone(),
                    paths,
                    more: more.then_some(true),
                    plan: (!more).then(|| plan.clone()),
                })
                .await;
        }
        Ok(prepared)
    }

    /// Chooses the runner and lists the files; commands that plugins bring to the test phase count as files.
    async fn find_files(self: &Arc<Self>, mut prepared: Prepared) -> Result<(Prepared, Vec<String>), Stopped> {
        let only = self.data.only.clone();
        let wanted = |path: &String| only.as_ref().is_none_or(|only| only.contains(path));
        let mut files: Vec<String> = prepared
            .test_commands()
            .into_iter()
            .map(|(path, _)| path)
            .filter(wanted)
            .collect();
        let listed = tokio::task::spawn_blocking({
            let (root, settings) = (prepared.root.clone(), prepared.settings.clone());
            let mut only = only.clone();
            if let Some(only) = &mut only {
                only.retain(|path| !files.contains(path));
            }
            move || match only {
                Some(only) if only.is_empty() => Ok(None),
                only => runner::list(&root, &settings, only.as_deref()).map(Some),
            }
        });
        match listed.await.map_err(|error| Stopped::error("internal", error))? {
            Ok(Some(listing)) => {
                prepared.warm = self.warm_up(&prepared, &listing);
                prepared.runner = Some(listing.runner);
                files.extend(listing.files);
            }
            Ok(None) => {}
            // Commands of a plugin are enough to test with.
            Err(error) if error.kind() == "no-tests" && !files.is_empty() => {}
            Err(error) => return Err(Stopped::error(error.kind(), error)),
        }
        self.unless_stopped()?;
        Ok((prepared, files))
    }

    fn unless_stopped(&self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() {
            Err(self.stopped())
        } else {
            Ok(())
        }
    }
}

/// Runs `f` when it is dropped.
fn scopeguard<F: FnOnce()>(f: F) -> impl Drop {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            if let Some(f) = self.0.take() {
                f();
            }
        }
    }
    Guard(Some(f))
}

/// So that the trait bound of tasks is checked here and not where they are spawned.
const _: fn() = || {
    fn is_send<T: Send + Sync>() {}
    is_send::<(Job, Prepared, JobId)>();
};
