//! `queen backup` and `queen restore`: everything of a queen in one file, and back.

use super::{
    Failure, Global, complain, exit, say, say_json,
    serve::{data_dir, database},
};
use clap::Args;
use queen::backup;
use serde_json::json;
use std::path::PathBuf;

/// Flags of `queen backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// File to write; it must not be there yet. It holds secrets and the key to them: only you can read it, keep it so
    file: PathBuf,
    /// The queen's data directory; she may run meanwhile [default: ~/.local/share/skep/queen]
    #[arg(long, value_name = "DIR", env = "QUEEN_DATA")]
    data: Option<PathBuf>,
    /// The queen's PostgreSQL database, if she has one
    #[arg(
        long,
        value_name = "URL",
        env = "QUEEN_DATABASE",
        hide_env_values = true,
        hide_default_value = true
    )]
    database: Option<String>,
}

/// Flags of `queen restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// File that `queen backup` wrote
    file: PathBuf,
    /// Data directory to put it into; no queen may run there [default: ~/.local/share/skep/queen]
    #[arg(long, value_name = "DIR", env = "QUEEN_DATA")]
    data: Option<PathBuf>,
    /// An empty PostgreSQL database, for the backup of a queen that has one
    #[arg(
        long,
        value_name = "URL",
        env = "QUEEN_DATABASE",
        hide_env_values = true,
        hide_default_value = true
    )]
    database: Option<String>,
    /// Put aside what is in the data directory already; nothing of it is removed
    #[arg(long, env = "QUEEN_FORCE")]
    force: bool,
}

/// Writes a backup.
pub async fn backup(global: &Global, args: BackupArgs) -> Result<u8, Failure> {
    let data = data_dir(args.data)?;
    let server = database(args.database.as_deref())?;
    let made = backup::backup(&data, server.as_ref(), &args.file)
        .await
        .map_err(failed)?;
    if global.json {
        say_json(&json!({
            "file": args.file, "bytes": made.bytes, "repositories": made.repositories, "backup": made.head,
        }))?;
    } else {
        say(&format!(
            "{}: {}, the database and {} repositories",
            args.file.display(),
            shown(made.bytes),
            made.repositories
        ));
        complain("it holds secrets and the key to them: keep it where nobody else can read it");
    }
    Ok(exit::OK)
}

/// Puts a backup back.
pub async fn restore(global: &Global, args: RestoreArgs) -> Result<u8, Failure> {
    let data = data_dir(args.data)?;
    let server = database(args.database.as_deref())?;
    let put = backup::restore(&args.file, &data, server.as_ref(), args.force);
    let put = put.await.map_err(failed)?;
    if global.json {
        say_json(&json!({"data": data, "aside": put.aside, "backup": put.head}))?;
    } else {
        let made = jiff::Timestamp::from_millisecond(put.head.made).unwrap_or_default();
        let made = made.strftime("%Y-%m-%d %H:%M UTC");
        say(&format!("{}: restored as it was on {made}", data.display()));
        if let Some(aside) = put.aside {
            complain(&format!("what was there before is in {}", aside.display()));
        }
    }
    Ok(exit::OK)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(exit::FAILED, error)
}

/// Bytes for people.
fn shown(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (999, "999 bytes"),
            (1_250, "1.2 kB"),
            (45_900_000, "45.9 MB"),
            (7_000_000_000, "7.0 GB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
