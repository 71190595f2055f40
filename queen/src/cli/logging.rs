//! The program's own log, on standard error: which lines, and in which form.

use super::{Failure, exit};
use shared::secret::QUIET;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Starts logging. `QUEEN_LOG`, else `RUST_LOG`, chooses the lines; else `level`.
pub fn start(format: LogFormat, level: &str) -> Result<(), Failure> {
    let wanted = ["QUEEN_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| level.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        let text = format!("QUEEN_LOG {wanted:?} cannot be used: {error}; use a level like info, or queen=debug");
        Failure::new(exit::NOTHING, text)
    })?;
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Only tests start it twice, and then the first stays.
    let _ = match format {
        LogFormat::Text => subscriber
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    Ok(())
}
