//! The `drone` program: arguments, logging and signals, nothing else.

use anyhow::Context;
use clap::{CommandFactory, Parser};
use drone::{
    Config, Stop,
    config::Layer,
    flags::{Cli, Command},
};
use shared::{Secret, protocol::Info, secret::QUIET};
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("DRONE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    // Two providers are compiled in by some builds; then one has to be named. It fails only if that was done already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match act(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    let token = std::env::var("DRONE_TOKEN").ok().map(Secret::new);
    let home = std::env::home_dir();
    let runtime = tokio::runtime::Runtime::new().context("no threads can be started")?;
    match command {
        Command::Start(flags) => {
            let config = flags.load(token, home.as_deref())?;
            runtime.block_on(start(config))
        }
        Command::Info { json, flags } => {
            let nowhere = Layer {
                queen: Some("http://localhost".into()),
                data: Some(PathBuf::from("/")),
                ..Layer::default()
            };
            let config = Config::from_layer(flags.layer(token, home.as_deref())?.over(nowhere))?;
            let info = runtime.block_on(drone::report(&config));
            print(&config, &info, json)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "drone", &mut io::stdout());
            Ok(())
        }
    }
}

async fn start(config: Config) -> anyhow::Result<()> {
    let stop = Stop::default();
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be listened to")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be listened to")?;
    let told = stop.clone();
    tokio::spawn(async move {
        for (word, token) in [
            ("finishing what runs; the same signal again leaves at once", told.drain),
            ("leaving at once", told.now),
        ] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("{word}");
            token.cancel();
        }
    });
    Ok(drone::run_until(config, stop).await?)
}

fn print(config: &Config, info: &Info, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(info)?);
        return Ok(());
    }
    let list = |items: &[String]| {
        if items.is_empty() {
            "none".to_owned()
        } else {
            items.join(", ")
        }
    };
    println!("name      {}", config.name);
    println!("speed     {}", info.speed);
    println!("capacity  {}", info.capacity);
    println!("platform  {}", info.platform);
    println!("labels    {}", list(&info.labels));
    println!("plugins   {}", list(&info.plugins));
    println!("runners   {}", list(&info.runners));
    println!("version   {}", info.version);
    Ok(())
}
