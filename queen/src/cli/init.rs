//! `queen init`: a commented `skep.toml` with what was detected.

use super::{Failure, Global, exit, local, say, say_json};
use clap::Args;
use serde_json::json;
use shared::settings::FILE_NAME;
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::PathBuf,
};

/// Flags of `queen init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder that it is for
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Print it, write nothing
    #[arg(long, env = "QUEEN_DRY_RUN")]
    dry_run: bool,
}

/// Writes `skep.toml`; never over one that is there.
pub fn init(global: &Global, args: &InitArgs) -> Result<u8, Failure> {
    let found = local::detect(&args.dir);
    let text = text(found.as_ref().ok().map(|(runner, _)| runner.as_str()));
    if args.dry_run {
        say(text.trim_end());
        return Ok(exit::OK);
    }
    let path = args.dir.join(FILE_NAME);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AlreadyExists => "it is there already, and stays as it is".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(exit::FAILED, format!("{}: {why}", path.display()))
    })?;
    if global.json {
        let (runner, files) = found.map_or((None, 0), |(runner, files)| (Some(runner), files));
        say_json(&json!({"path": path, "runner": runner, "files": files}))?;
        return Ok(exit::OK);
    }
    say(&format!("{} is written", path.display()));
    match found {
        Ok((runner, files)) => say(&format!("runner {runner} finds {files} test files; try `queen run`")),
        Err(why) => say(&format!(
            "no runner was detected ({why}): say how tests are run in its [test] section"
        )),
    }
    Ok(exit::OK)
}

fn text(runner: Option<&str>) -> String {
    let runner_line = match runner {
        Some(name) => format!("runner = {}", toml::Value::from(name)),
        None => "# runner = \"pytest\"".into(),
    };
    format!(
        r#"# How Skep runs this repository's tests. Everything here is optional; `queen run` tries it.

# Folder of a monorepo that everything is relative to.
# root = "services/api"

# Variables for every command.
# [env]
# TZ = "UTC"

# Commands that make the source ready, on each drone.
# [prepare]
# run = ["npm ci"]
# cache = ["node_modules"]

[test]
# The runner; without it, it is detected from what the repository holds.
{runner_line}
# Globs of test files; without them, the runner's own.
# files = ["tests/**/test_*.py"]
# exclude = ["tests/slow/**"]
# A command of your own for one file; {{file}} is its path, {{report}} a path for JUnit XML.
# command = "sh {{file}}"
# Seconds that one file may take, and how often a failed one is tried again.
# timeout = 300
# retries = 1

# What is done at the end, whatever happened.
# [cleanup]
# run = ["docker compose down"]

# What a deploy does, after tests that passed, on these branches.
# [deploy]
# run = ["./deploy.sh"]
# when = "main"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::settings::{Layer, Settings};

    #[test]
    fn what_is_written_can_be_read() {
        for runner in [None, Some("pytest")] {
            let layer = Layer::from_toml(&text(runner)).unwrap();
            let settings = Settings::merge(&[layer]).unwrap();
            assert_eq!(settings.test.runner.as_deref(), runner);
        }
    }

    #[test]
    fn what_is_commented_out_is_valid_too() {
        let all: String = text(None)
            .lines()
            .filter(|line| line.trim_start_matches("# ").starts_with('[') || line.contains(" = "))
            .map(|line| format!("{}\n", line.trim_start_matches("# ")))
            .collect();
        Layer::from_toml(&all).unwrap();
    }
}
