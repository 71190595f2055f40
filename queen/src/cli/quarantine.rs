//! `queen quarantine`: the files of a project whose failures are tried again before they count.

use super::{Failure, Global, client::encode, exit, jobs::ago, report, say, say_json, table};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use queen::api::{
    quarantine::QuarantineRequest,
    view::{PastRunView, QuarantineView},
};
use serde_json::json;
use shared::{Project, outcome::FileOutcome};

/// Flags of `queen quarantine`.
#[derive(Debug, Args)]
pub struct QuarantineArgs {
    /// The project, owner/name
    project: Project,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put a test file there: a failure of it is tried again up to twice, and counts if it fails each time
    Add {
        /// The file's path, as results have it
        path: String,
        /// Why, for those who ask whether it can be lifted
        #[arg(long, value_name = "TEXT", env = "QUEEN_REASON")]
        reason: String,
    },
    /// Take a test file out: a failure of it counts again at once
    Lift {
        /// The file's path
        path: String,
    },
}

/// Lists a project's quarantine, puts a file there or takes it out.
pub async fn quarantine(global: &Global, args: QuarantineArgs) -> Result<u8, Failure> {
    let client = global.client()?;
    let (project, place) = (
        &args.project,
        format!("projects/{}/quarantine", encode(args.project.as_str())),
    );
    match args.what {
        None => {
            let files: Vec<QuarantineView> = client.get(&place).await?;
            if global.json {
                say_json(&files)?;
            } else if files.is_empty() {
                say(&format!(
                    "no file of {project} is under quarantine; `queen quarantine {project} add PATH --reason WHY` puts one there"
                ));
            } else {
                say(&listed(global, &files));
            }
        }
        Some(What::Add { path, reason }) => {
            let request = QuarantineRequest { reason };
            client.put(&format!("{place}?path={}", encode(&path)), &request).await?;
            if global.json {
                say_json(&json!({"added": path}))?;
            } else {
                say(&format!(
                    "{} is under quarantine: in jobs that list it from now on a failure is tried again up to twice",
                    report::plain(&path)
                ));
            }
        }
        Some(What::Lift { path }) => {
            client.delete(&format!("{place}?path={}", encode(&path))).await?;
            if global.json {
                say_json(&json!({"lifted": path}))?;
            } else {
                say(&format!("{} is no longer under quarantine", report::plain(&path)));
            }
        }
    }
    Ok(exit::OK)
}

fn listed(global: &Global, files: &[QuarantineView]) -> String {
    let rows = files.iter().map(|file| {
        [
            Cell::new(report::plain(&file.path)),
            Cell::new(ago(file.since)),
            Cell::new(file.by.as_deref().map_or("-".into(), report::plain)),
            Cell::new(file.failed_at.map_or("never".into(), ago)),
            Cell::new(runs(&file.runs)),
            Cell::new(report::plain(&file.reason)),
        ]
    });
    table(
        global.paint(),
        ["FILE", "SINCE", "BY", "LAST FAILURE", "NEWEST RUNS", "REASON"],
        rows,
    )
}

/// How the newest runs ended, in a few words.
fn runs(runs: &[PastRunView]) -> String {
    if runs.is_empty() {
        return "-".into();
    }
    let count = |wanted: fn(FileOutcome) -> bool| runs.iter().filter(|run| wanted(run.outcome)).count();
    let failed = count(FileOutcome::is_bad);
    let flaky = count(|outcome| outcome == FileOutcome::Flaky);
    format!("{failed} of {} failed, {flaky} flaky", runs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_runs_are_counted_by_how_they_ended() {
        let run = |outcome| PastRunView {
            job: "j".into(),
            outcome,
            duration: 1.0,
            at: 1,
        };
        let all = [
            FileOutcome::Passed,
            FileOutcome::Flaky,
            FileOutcome::Failed,
            FileOutcome::TimedOut,
        ]
        .map(run);
        assert_eq!(runs(&all), "2 of 4 failed, 1 flaky");
        assert_eq!(runs(&[]), "-");
    }
}
