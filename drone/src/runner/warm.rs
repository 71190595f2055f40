//! Files in processes that have their framework loaded already.
//!
//! Owns the choice between a warm worker and a command of its own for a file, and the templates and pools of one job on one
//! drone. Must not know jobs or the link; the programs are `script.rs`'s, what they say is `talk.rs`'s, what is run once more
//! `again.rs`'s, what they leave for other jobs `bytecode.rs`'s and `order.rs`'s. Read next: [`Warm::run_file`].

mod again;
mod bytecode;
mod order;
mod script;
mod talk;

use super::{FileReport, FileRun, Runner, presets::Kind, run};
use crate::{
    clock,
    pool::{
        self, Execution, Payload, Pool, Progress,
        factory::{self, Socket, zygote::Zygote},
    },
    process::{Ended, Mask, SpawnError},
};
use script::Way;
use shared::{outcome::CaseResult, settings::Isolation};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use talk::{Request, Telling};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

/// Variables that only a file's own process can have.
const OWN: [&str; 2] = ["SKEP_WORKER_ID", "SKEP_FILE"];
/// More files than this for each slot, each in a child of its own, are worth it that their template has run something first.
const PRIMED: usize = 40;
/// How long the whole suite may take to be loaded before the first file is run; else files are loaded apart.
const WHOLE_TIME: Duration = Duration::from_secs(60);

/// What a job's warm workers run with.
pub struct Setting {
    /// The folder that all paths start from.
    pub root: PathBuf,
    /// The environment of the job's commands.
    pub env: BTreeMap<String, String>,
    /// An existing folder outside of the source.
    pub scratch: PathBuf,
    /// What is left for other jobs is kept there; made when needed.
    pub kept: PathBuf,
    /// Hides secrets.
    pub mask: Arc<Mask>,
    /// How files are kept apart.
    pub isolation: Isolation,
    /// From `[pool]`, with a listener.
    pub pool: pool::Options,
    /// Files that may run at once.
    pub capacity: u32,
    /// Files of the job.
    pub files: usize,
}

/// The warm workers of one job on one drone.
pub struct Warm {
    runner: Runner,
    way: Way,
    setting: Setting,
    /// Of a template that has loaded framework and configuration; of one that has loaded the whole suite, where files are
    /// not kept apart, or one is known to need the others.
    first: OnceCell<Result<Line, String>>,
    /// Of a template that has loaded the whole suite, for files that fail alone.
    whole: OnceCell<Result<Line, String>>,
    /// As many files as there may be workers.
    gate: Semaphore,
    /// Files that failed by themselves in an earlier job, and passed where the whole suite was loaded.
    dependent: OnceLock<BTreeSet<String>>,
    /// Files that failed after others in their process in an earlier job, and passed in one of their own.
    lonely: OnceLock<BTreeSet<String>>,
    has_warned: AtomicBool,
    /// Why no worker could be had: none is waited for again.
    cold: OnceLock<String>,
    stop: CancellationToken,
    stopped: CancellationToken,
}

/// Workers, and the template that they come from.
struct Line {
    pool: Pool,
    zygote: Option<Arc<Zygote>>,
    warnings: Vec<String>,
    /// The whole suite was loaded.
    whole: bool,
    /// Of the socket, where there is no template to own it.
    _folder: Option<tempfile::TempDir>,
}

/// Which run of a file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    First,
    /// Where no other file has run.
    Fresh,
    /// There, and where the whole suite was loaded.
    Again,
}

/// Why a file was not run warm.
enum Cold {
    Why(String),
    Cancelled,
}

impl Warm {
    /// The warm workers for `runner`; none where it has no warm way, or the settings want none.
    #[must_use]
    pub fn new(runner: &Runner, mut setting: Setting) -> Option<Arc<Self>> {
        let workers = setting.pool.workers;
        if runner.script.is_some() || workers == 0 {
            return None;
        }
        let way = script::way(runner.kind, &setting.root, &runner.args, setting.isolation)?;
        match setting.isolation {
            Isolation::None => {}
            Isolation::Auto if way == Way::Fork => setting.pool.keeps = Some(talk::has_more),
            _ => setting.pool.max_executions = Some(1),
        }
        // The files are counted already: none of them is one too many.
        setting.pool.queue_size = setting.pool.queue_size.max(setting.capacity as usize);
        setting.pool.mask = Arc::clone(&setting.mask);
        Some(Arc::new(Self {
            runner: runner.clone(),
            way,
            setting,
            first: OnceCell::new(),
            whole: OnceCell::new(),
            gate: Semaphore::new(workers as usize),
            dependent: OnceLock::new(),
            lonely: OnceLock::new(),
            has_warned: AtomicBool::new(false),
            cold: OnceLock::new(),
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
        }))
    }

    /// Starts the template, so that it is there when the first file comes.
    pub async fn start(&self) {
        let _ = self.stop.run_until_cancelled(self.line(false)).await;
    }

    /// Ends all workers and templates; nothing of them is left. Who still waits for a file is told that it was cancelled.
    pub async fn stop(&self) {
        self.stop.cancel();
        for line in [&self.first, &self.whole] {
            if let Some(Ok(line)) = line.get() {
                line.pool.destroy().await;
                if let Some(zygote) = &line.zygote {
                    zygote.stop().await;
                }
            }
        }
        self.stopped.cancel();
    }

    /// Ends when [`Self::stop`] has ended.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Runs one file, or some of its cases, in a warm worker; by a command of its own where that cannot be. An error: such a
    /// command could not be started.
    pub async fn run_file(&self, run: FileRun<'_>) -> Result<FileReport, SpawnError> {
        // node runs some cases of a file only where it is told before it loads the file.
        if self.runner.kind == Kind::Node && run.cases.is_some_and(|cases| !cases.is_empty()) {
            return self.runner.run_file(run).await;
        }
        let why = match self.warm_file(&run).await {
            Ok(report) => return Ok(report),
            Err(Cold::Cancelled) => return Ok(self.cancelled(&run)),
            Err(Cold::Why(why)) => why,
        };
        let mut report = self.runner.run_file(run).await?;
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let what = format!(
                "{} could not be kept warm, so each file is run by a command of its own: {why}",
                self.runner.name()
            );
            report.warnings.push(self.setting.mask.sanitize(&what));
        }
        Ok(report)
    }

    async fn warm_file(&self, run: &FileRun<'_>) -> Result<FileReport, Cold> {
        let asked = run.cases.filter(|cases| !cases.is_empty());
        if let Some(why) = self.cold.get() {
            return Err(Cold::Why(why.clone()));
        }
        let unless_stopped = async {
            let _turn = self.gate.acquire().await;
            let line = self.line(false).await?;
            let report = self.run_alone(line, run, asked).await?;
            self.look_again(run, asked, line, report).await
        };
        tokio::select! {
            biased;
            () = run.cancel.cancelled() => Err(Cold::Cancelled),
            () = self.stop.cancelled() => Err(Cold::Cancelled),
            report = unless_stopped => report,
        }
    }

    /// The template and its workers, started if need be.
    async fn line(&self, whole: bool) -> Result<&Line, Cold> {
        let line = if whole {
            self.whole.get_or_init(|| self.open(true, false)).await
        } else {
            self.first.get_or_init(|| self.open_first()).await
        };
        line.as_ref().map_err(|why| Cold::Why(why.clone()))
    }

    async fn open_first(&self) -> Result<Line, String> {
        if self.setting.isolation == Isolation::None {
            return self.open(true, true).await;
        }
        if self.may_look_again() {
            let (order, alone, root) = (self.order(), self.alone(), self.setting.root.clone());
            let known = move || [order, alone].map(|folder| order::known(&folder, &root, clock::now()));
            let known = tokio::task::spawn_blocking(known);
            let [dependent, lonely] = known.await.unwrap_or_default();
            self.lonely.get_or_init(|| lonely);
            if !self.dependent.get_or_init(|| dependent).is_empty() {
                // A file that ends or holds up whoever imports it has come since: files are loaded apart, and it alone suffers.
                if let Ok(Ok(line)) = tokio::time::timeout(WHOLE_TIME, self.open(true, false)).await {
                    return Ok(line);
                }
            }
        }
        self.open(false, false).await
    }

    /// Where it is noted which files need others.
    fn order(&self) -> PathBuf {
        self.setting.kept.join("order")
    }

    /// Where it is noted which files need a process of their own.
    fn alone(&self) -> PathBuf {
        self.setting.kept.join("alone")
    }

    async fn open(&self, collect: bool, keep: bool) -> Result<Line, String> {
        let setting = &self.setting;
        let folder = setting.scratch.join("warm");
        let bytecode = setting.kept.join("bytecode");
        let written = tokio::task::spawn_blocking({
            let (folder, bytecode) = (folder.clone(), bytecode.clone());
            move || script::write(&folder).and_then(|()| bytecode::shrink(&bytecode))
        });
        let fail = |error: std::io::Error| format!("its program cannot be written: {error}");
        written.await.map_err(std::io::Error::other).flatten().map_err(fail)?;
        let command = |socket: &Path| {
            let spec = script::Spec {
                socket,
                prime: setting.isolation == Isolation::Fork && setting.files > PRIMED * setting.capacity as usize,
                collect,
                process: self.way == Way::Start,
                keep,
                share: setting.isolation == Isolation::Auto,
                bytecode: &bytecode,
                path: None,
            };
            script::command(
                self.runner.kind,
                &setting.root,
                &setting.env,
                &self.runner.args,
                &folder,
                spec,
            )
        };
        if self.way == Way::Start {
            let fail = |error: std::io::Error| format!("there is no socket for its processes: {error}");
            let home = factory::home(&setting.scratch).map_err(fail)?;
            let path = factory::socket_path(home.path());
            let command = command(&path);
            let factory = Socket::unix(&path, move |_, _| command.clone()).map_err(fail)?;
            return Ok(Line {
                pool: Pool::new(Arc::new(factory), setting.pool.clone()),
                zygote: None,
                warnings: Vec::new(),
                whole: collect,
                _folder: Some(home),
            });
        }
        let (zygote, warnings) = Zygote::start(&setting.scratch, Arc::clone(&setting.mask), command).await?;
        let zygote = Arc::new(zygote);
        Ok(Line {
            pool: Pool::new(Arc::clone(&zygote) as Arc<_>, setting.pool.clone()),
            zygote: Some(zygote),
            warnings,
            whole: collect,
            _folder: None,
        })
    }

    /// Runs a file once. True: in a process that had run no other one.
    async fn attempt(
        &self,
        line: &Line,
        run: &FileRun<'_>,
        cases: Option<&[String]>,
        which: Try,
    ) -> Result<(FileReport, bool), Cold> {
        let cold = |error: pool::Error| match error {
            pool::Error::Destroyed => Cold::Cancelled,
            pool::Error::NoWorker { .. } => Cold::Why(self.cold.get_or_init(|| error.to_string()).clone()),
            error => Cold::Why(error.to_string()),
        };
        let own = OWN
            .iter()
            .filter_map(|name| Some((*name, run.env.get(*name)?.as_str())));
        let request = Request {
            file: run.file,
            env: own.collect(),
            cases,
            part: run.part,
            // In parts it would fail again.
            groups: run.groups && which != Try::Again && !self.is_dependent(run.file),
            fresh: which != Try::First || self.lonely.get().is_some_and(|known| known.contains(run.file)),
            again: which == Try::Again,
        };
        let payload = Payload::json("", &request).map_err(|error| Cold::Why(error.to_string()))?;
        let execution = line.pool.begin_with(payload, run.timeout).map_err(cold)?;
        let (ended, mut found, is_fresh) = self.follow(execution, run).await.map_err(cold)?;
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            found.warnings.extend(line.warnings.iter().cloned());
        }
        let report = run::conclude(self.runner.kind, run.file, ended, found, run.mask);
        Ok((report, is_fresh))
    }

    fn cancelled(&self, run: &FileRun<'_>) -> FileReport {
        let ended = Ended::unstarted();
        run::conclude(
            self.runner.kind,
            run.file,
            ended,
            super::found::Found::default(),
            run.mask,
        )
    }

    /// Hears what comes of a file, and passes on its output and the cases that stand. True: its process had run no other one.
    async fn follow(
        &self,
        mut execution: Execution,
        run: &FileRun<'_>,
    ) -> Result<(Ended, super::found::Found, bool), pool::Error> {
        // A bad one may be looked at again; and of a file of node one learns at its end that a case was the file itself.
        let stands =
            |case: &CaseResult| self.runner.kind != Kind::Node && !(self.may_look_again() && case.outcome.is_bad());
        let mut telling = Telling::default();
        let mut began = clock::instant();
        let mut is_fresh = true;
        while let Some(progress) = execution.next().await {
            match progress {
                Progress::Began(holder) => {
                    is_fresh = holder.executions == 0;
                    began = clock::instant();
                    telling = Telling::default();
                }
                Progress::Frame(payload) => {
                    if let Some(case) = telling.hear(&payload).filter(|case| stands(case))
                        && let Some(tell) = run.tell
                    {
                        // Nobody listens any more: it is in the report.
                        let _ = tell.send(run::masked(case.clone(), run.mask)).await;
                    }
                }
                Progress::Output(piece) => {
                    telling.note(&piece);
                    // Nobody listens any more: the file runs all the same.
                    let _ = run.output.send(piece).await;
                }
            }
        }
        let wall: Duration = began.elapsed();
        let (ended, found) = telling.end(execution.end().await, wall)?;
        Ok((ended, found, is_fresh))
    }

    /// True if a file failed by itself, or in parts, in an earlier job, and did not as a whole where all was loaded.
    fn is_dependent(&self, file: &str) -> bool {
        self.dependent.get().is_some_and(|known| known.contains(file))
    }

    /// True if a file that failed by itself is run once more.
    fn may_look_again(&self) -> bool {
        self.way == Way::Fork && matches!(self.setting.isolation, Isolation::Auto | Isolation::Fork)
    }
}
