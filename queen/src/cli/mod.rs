//! The command line: what can be asked for, and which room answers.
//!
//! Owns the flags that all commands share, exit codes and how failures are shown. Read next: `run.rs` for the main
//! job, `watch.rs` for following one, `client.rs` for the way to the queen.

mod access;
mod backup;
mod client;
mod defaults;
mod drones;
mod init;
mod interrupt;
mod jobs;
mod keep;
mod local;
mod logging;
mod progress;
mod quarantine;
mod report;
mod run;
mod screen;
mod serve;
mod submit;
mod watch;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::FalseyValueParser};
use client::Client;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use queen::config::DEFAULT_LISTEN;
use report::Paint;
use shared::Secret;
use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    path::PathBuf,
};

/// Exit codes, as the contract has them.
pub mod exit {
    /// Passed, or done.
    pub const OK: u8 = 0;
    /// The job failed, or the request was refused.
    pub const FAILED: u8 = 1;
    /// The source could not be handed over.
    pub const SOURCE: u8 = 2;
    /// Nothing to run, or bad settings.
    pub const NOTHING: u8 = 3;
    /// Cancelled by somebody else.
    pub const CANCELLED: u8 = 4;
    /// Errored, or the queen is lost.
    pub const LOST: u8 = 5;
}

/// Why a command ends without having done its work.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// What happened and what to do, and the exit code that says it to programs.
    pub fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

const AFTER_HELP: &str = "\
Exit codes of run, watch, submit --watch and rerun --watch: 0 passed, 1 failed, 2 the source could not be handed \
over, 3 nothing to run or bad settings, 4 cancelled (130 by Ctrl-C), 5 errored or the queen is lost.

Every flag can also be set in the environment under the name that its help shows, and by its own name in a TOML \
file: at the top for all commands, in a section like [run] or [serve] for one.";

/// Run a test suite across all your machines.
#[derive(Debug, Parser)]
#[command(name = "queen", version, max_term_width = 110, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For every command")]
pub struct Global {
    /// Address of the queen; without it, `run` starts one of its own and the others ask http://127.0.0.1:7874
    #[arg(long, global = true, value_name = "URL", env = "QUEEN_URL")]
    queen: Option<String>,
    /// Token for the queen; better in the environment or a file than on the command line
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "QUEEN_TOKEN",
        hide_env_values = true,
        hide_default_value = true
    )]
    token: Option<String>,
    /// File that holds the token
    #[arg(long, global = true, value_name = "FILE", env = "QUEEN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Answer in JSON: one document, or one event a line for run and watch
    #[arg(long, global = true, env = "QUEEN_JSON")]
    json: bool,
    /// No colours, not even on a terminal (NO_COLOR does the same)
    #[arg(long, global = true, env = "QUEEN_NO_COLOR")]
    no_color: bool,
    /// TOML file with settings [default: ~/.config/skep/queen.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "QUEEN_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a folder's tests as they stand, uncommitted changes and all
    Run(Box<run::RunArgs>),
    /// Start a queen: take jobs and balance them over drones
    Serve(serve::ServeArgs),
    /// Submit a job to the queen
    Submit(Box<submit::SubmitArgs>),
    /// Follow a job until it is over
    Watch(watch::WatchArgs),
    /// List jobs, newest first
    Jobs(jobs::JobsArgs),
    /// Show or save a job's log
    Logs(jobs::LogsArgs),
    /// Stop a job
    Cancel(jobs::CancelArgs),
    /// Run a job again, all of it or only some of its files
    Rerun(jobs::RerunArgs),
    /// Put flaky files of a project under quarantine, list them, lift them
    Quarantine(quarantine::QuarantineArgs),
    /// List drones
    Drones,
    /// Let a drone finish what runs and take nothing new
    Drain(drones::DrainArgs),
    /// Make, list and revoke tokens
    Token(access::TokenArgs),
    /// Write everything of a queen into one file, while she runs; the file holds secrets
    Backup(backup::BackupArgs),
    /// Put a backup into a data directory, whole or not at all
    Restore(backup::RestoreArgs),
    /// Ask how the queen is
    Ping,
    /// Write a skep.toml for a folder
    Init(init::InitArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Global {
    /// The queen's address, if one was given.
    fn address(&self) -> Option<&str> {
        self.queen
            .as_deref()
            .map(str::trim)
            .filter(|address| !address.is_empty())
    }

    /// The token, from wherever it was given.
    fn secret(&self) -> Result<Option<Secret>, Failure> {
        if let Some(token) = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            return Ok(Some(token.into()));
        }
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let text = format!("the token cannot be read from {}: {error}", path.display());
            Failure::new(exit::NOTHING, text)
        })?;
        Ok(Some(text.trim().into()).filter(|token: &Secret| !token.is_empty()))
    }

    /// A client of the queen that was named, or of the one that `queen serve` starts if nothing is said.
    fn client(&self) -> Result<Client, Failure> {
        let usual = format!("http://{DEFAULT_LISTEN}");
        Client::new(self.address().unwrap_or(&usual), self.secret()?)
    }

    /// Colours for what goes to standard output.
    fn paint(&self) -> Paint {
        let wanted = !self.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Paint(wanted && !self.json && std::io::stdout().is_terminal())
    }
}

/// Reads the arguments, does what they say and answers the exit code.
pub fn main() -> u8 {
    match parse(std::env::args_os().collect()) {
        Ok(cli) => finish(start(cli)),
        Err(code) => code,
    }
}

/// The parser. A switch in the environment is off if it is empty, 0, no, off or false, and on otherwise.
fn command() -> clap::Command {
    fn adapt(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| match arg.get_action() {
            ArgAction::SetTrue => arg.hide_env_values(true).value_parser(FalseyValueParser::new()),
            _ => arg.hide_env_values(true),
        });
        command.mut_subcommands(adapt)
    }
    adapt(Cli::command())
}

fn parse(args: Vec<OsString>) -> Result<Cli, u8> {
    let show = |error: clap::Error| {
        // Help and version go to standard output and are no failures.
        let _ = error.print();
        if error.use_stderr() { exit::NOTHING } else { exit::OK }
    };
    let command = match defaults::with_file(command(), &args) {
        Ok(command) => command,
        Err(failure) => return Err(finish(Err(failure))),
    };
    let matches = command.try_get_matches_from(args).map_err(show)?;
    Cli::from_arg_matches(&matches).map_err(show)
}

fn start(cli: Cli) -> Result<u8, Failure> {
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), "queen", &mut script);
        say_raw(&script);
        return Ok(exit::OK);
    }
    let (format, level) = match &cli.command {
        Command::Serve(args) => (args.log_format, "info"),
        _ => (logging::LogFormat::Text, "off"),
    };
    logging::start(format, level)?;
    // Both sides of TLS in this program use the same implementation; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Command::Run(args) = &cli.command
        && args.is_local(&cli.global)
    {
        // SAFETY: nothing has started a thread yet.
        unsafe { local::set_up() };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(exit::FAILED, format!("no threads can be started: {error}")))?;
    let result = runtime.block_on(dispatch(cli));
    // A thread that waits for a queen that never answers must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn dispatch(Cli { global, command }: Cli) -> Result<u8, Failure> {
    match command {
        Command::Run(args) => run::run(&global, *args).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::Submit(args) => submit::submit(&global, *args).await,
        Command::Watch(args) => watch::watch(&global, args).await,
        Command::Jobs(args) => jobs::list(&global, args).await,
        Command::Logs(args) => jobs::logs(&global, args).await,
        Command::Cancel(args) => jobs::cancel(&global, args).await,
        Command::Rerun(args) => jobs::rerun(&global, args).await,
        Command::Quarantine(args) => quarantine::quarantine(&global, args).await,
        Command::Drones => drones::list(&global).await,
        Command::Drain(args) => drones::drain(&global, args).await,
        Command::Token(args) => access::token(&global, args).await,
        Command::Backup(args) => backup::backup(&global, args).await,
        Command::Restore(args) => backup::restore(&global, args).await,
        Command::Ping => drones::ping(&global).await,
        Command::Init(args) => init::init(&global, &args),
        Command::Completions { .. } => Ok(exit::OK),
    }
}

fn finish(result: Result<u8, Failure>) -> u8 {
    result.unwrap_or_else(|failure| {
        complain(&format!("error: {}", failure.message));
        failure.code
    })
}

/// Prints a line for people or programs. A reader that is gone is no failure.
fn say(text: &str) {
    say_raw(format!("{text}\n").as_bytes());
}

fn say_raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Prints a line that is no answer: an error, or what is going on.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a value as a JSON document.
fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(exit::LOST, error))?;
    say(&text);
    Ok(())
}

/// A table without lines; as wide as its content, so that nothing is broken when it is searched or cut.
fn table<const N: usize>(paint: Paint, head: [&str; N], rows: impl IntoIterator<Item = [Cell; N]>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head);
    if paint.0 {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn a_switch_in_a_file_or_the_environment_is_on_or_off() {
        for (word, on) in [
            ("1", true),
            ("true", true),
            ("yes", true),
            ("0", false),
            ("", false),
            ("off", false),
        ] {
            let command = command().mut_arg("json", |arg| arg.default_value(word));
            let matches = command.try_get_matches_from(["queen", "drones"]).unwrap();
            assert_eq!(Cli::from_arg_matches(&matches).unwrap().global.json, on, "{word:?}");
        }
    }

    #[test]
    fn every_flag_has_its_variable() {
        for command in Cli::command().get_subcommands().filter(|c| c.get_name() != "help") {
            for flag in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
                if matches!(flag.get_id().as_str(), "help" | "version") {
                    continue;
                }
                let variable = flag.get_env().map(|name| name.to_string_lossy().into_owned());
                assert!(
                    variable.as_ref().is_some_and(|name| name.starts_with("QUEEN_")),
                    "{} --{}: {variable:?}",
                    command.get_name(),
                    flag.get_id()
                );
            }
        }
    }
}
