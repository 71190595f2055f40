//! The commands of a phase: numbered, shown, run one after another, each with its output and its code.
//!
//! It knows how a command is run and told of, and not which commands a phase has: `job` puts those together. Read
//! next: `job/mod.rs`.

use crate::{
    clock,
    job::{Voice, cut},
    plugin::Step,
    process::{self, Command, Ended, SpawnError},
};
use shared::{
    Num,
    protocol::{JobEvent, event::Phase},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pieces of output that may wait between a command and the outbox.
pub const PIECES: usize = 64;

/// One command of a phase.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plugin or the section of `skep.toml` that asked for it.
    pub by: String,
    /// Its output may hold lines of events: it comes from a plugin.
    pub plugin: bool,
    /// What to run.
    pub step: Step,
}

impl Planned {
    /// Shell scripts that a section of the settings asks for.
    pub fn scripts<'a>(by: &'a str, scripts: &'a [String]) -> impl Iterator<Item = Self> + 'a {
        scripts.iter().map(move |script| Self {
            by: by.to_owned(),
            plugin: false,
            step: Step::script(script.as_str()),
        })
    }
}

/// Gives the numbers of the commands that the drone runs of its own accord.
#[derive(Debug)]
pub struct Numbers(AtomicU32);

impl Numbers {
    /// From `first` on.
    #[must_use]
    pub fn from(first: Num) -> Self {
        Self(AtomicU32::new(first.0))
    }

    /// How many were given, if they began with `first`.
    #[must_use]
    pub fn given(&self, first: Num) -> u32 {
        self.0.load(Ordering::Relaxed).saturating_sub(first.0)
    }

    /// Goes on from `first`: a number of the queen's own word.
    pub fn go_on(&self, first: Num) {
        self.0.store(first.0, Ordering::Relaxed);
    }

    /// The next number.
    pub fn next(&self) -> Num {
        Num(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where and how the commands of a phase run.
pub struct Stage<'a> {
    pub voice: &'a Voice,
    pub phase: Phase,
    pub cwd: &'a Path,
    pub env: &'a BTreeMap<String, String>,
    pub timeout: Option<Duration>,
    pub grace: Duration,
    pub cancel: &'a CancellationToken,
}

impl Stage<'_> {
    /// Runs the commands in order up to the first that ends non-zero; answers with that code, or 0.
    pub async fn all(&self, commands: &[Planned], numbers: &Numbers) -> i32 {
        for planned in commands {
            let code = self.one(planned, numbers.next()).await;
            if code != 0 {
                return code;
            }
        }
        0
    }

    /// Runs a script within the output of the command `num`, which is told of elsewhere; answers with its code.
    pub async fn inside(&self, script: &str, num: Num) -> i32 {
        let command = self.command(&Step::script(script));
        match run(self.voice, num, command, None, self.cancel).await {
            Ok(ended) => ended.code,
            Err(error) => {
                let text = self.voice.mask.sanitize(&format!("{error}\n"));
                self.voice.output(num, process::Stream::Stderr, text).await;
                127
            }
        }
    }

    /// Runs one command once in each of `slots`, all under one number; answers with the last code that is not 0.
    pub async fn in_slots(&self, planned: &Planned, num: Num, slots: &BTreeSet<u32>) -> i32 {
        let start = clock::instant();
        self.voice
            .command(num, &planned.step.command, None, self.phase, &planned.by)
            .await;
        let mut worst = 0;
        for slot in slots {
            let mut env = self.env.clone();
            env.insert("SKEP_WORKER_ID".into(), slot.to_string());
            let stage = Stage { env: &env, ..*self };
            match stage.inside(&planned.step.command, num).await {
                0 => {}
                code => worst = code,
            }
        }
        self.done(num, worst, start.elapsed()).await;
        worst
    }

    async fn done(&self, num: Num, exit_code: i32, elapsed: Duration) {
        self.voice
            .say(JobEvent::CmdDone {
                job: self.voice.job.clone(),
                num,
                exit_code,
                elapsed: Some(millis(elapsed)),
            })
            .await;
    }

    /// Runs one command to its end; answers with its code, 127 if it could not be started.
    pub async fn one(&self, planned: &Planned, num: Num) -> i32 {
        let command = self.command(&planned.step);
        let shown = command.display();
        self.voice
            .command(num, &shown, planned.step.screen.as_deref(), self.phase, &planned.by)
            .await;
        let start = clock::instant();
        let plugin = planned.plugin.then_some(planned.by.as_str());
        let ended = run(self.voice, num, command, plugin, self.cancel).await;
        let code = match ended {
            Ok(ended) => {
                if ended.timed_out {
                    let limit = self.timeout.unwrap_or_default().as_secs();
                    let note = format!("stopped after its time limit of {limit} s\n");
                    self.voice.output(num, process::Stream::Stderr, note).await;
                }
                ended.code
            }
            Err(error) => {
                let text = self.voice.mask.sanitize(&format!("{error}\n"));
                self.voice
                    .output(num, process::Stream::Stderr, cut(text, 16 * 1024))
                    .await;
                127
            }
        };
        self.done(num, code, start.elapsed()).await;
        code
    }

    /// The process of a step.
    fn command(&self, step: &Step) -> Command {
        let cwd: PathBuf = self.cwd.to_owned();
        let mut command = match &step.args {
            None => Command::shell(&step.command, cwd, self.env.clone()),
            Some(args) => {
                let mut command = Command::new(step.command.as_str(), cwd, self.env.clone());
                command.args.clone_from(args);
                command
            }
        };
        command.timeout = self.timeout;
        command.grace = self.grace;
        command
    }
}

/// Runs a command and says its output under `num` as it comes.
pub async fn run(
    voice: &Voice,
    num: Num,
    command: Command,
    plugin: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Ended, SpawnError> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let run = async move {
        // The sender is dropped with this block: the relay then ends.
        let sender = sender;
        process::run(command, &voice.mask, &sender, cancel).await
    };
    tokio::join!(run, voice.relay(num, pieces, plugin)).0
}

/// Whole milliseconds.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
