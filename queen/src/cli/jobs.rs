//! `queen jobs`, `logs`, `cancel`, `rerun`: what one can ask of jobs that are there.

use super::{
    Failure, Global,
    client::{Client, ClientError, encode},
    exit, report, say, say_json, table,
    watch::{self, follow_to_exit},
};
use clap::Args;
use comfy_table::Cell;
use queen::{
    api::view::{JobPage, JobView, Submitted},
    app::App,
    clock,
    config::Config,
};
use serde_json::json;
use shared::{JobId, JobState, Timestamp};
use std::{fs::File, io::BufWriter, path::PathBuf};
use tokio_util::sync::CancellationToken;

/// Flags of `queen jobs`.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Only this project
    #[arg(long, value_name = "OWNER/NAME", env = "QUEEN_PROJECT")]
    project: Option<String>,
    /// Only this branch
    #[arg(long, value_name = "NAME", env = "QUEEN_BRANCH")]
    branch: Option<String>,
    /// Only jobs in this state; may be repeated
    #[arg(long, value_name = "STATE", env = "QUEEN_STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<JobState>,
    /// Only by this author
    #[arg(long, value_name = "NAME", env = "QUEEN_AUTHOR")]
    author: Option<String>,
    /// Only with this text in id, project, branch or message
    #[arg(long, value_name = "TEXT", env = "QUEEN_TEXT")]
    text: Option<String>,
    /// Only jobs before this page: the cursor that the page before ended with
    #[arg(long, value_name = "CURSOR", env = "QUEEN_BEFORE")]
    before: Option<String>,
    /// How many
    #[arg(long, value_name = "N", env = "QUEEN_LIMIT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
}

fn state(word: &str) -> Result<JobState, String> {
    JobState::parse(word).ok_or_else(|| "use queued, running, passed, failed, errored or cancelled".into())
}

/// Lists jobs.
pub async fn list(global: &Global, args: JobsArgs) -> Result<u8, Failure> {
    let states: Vec<_> = args.state.iter().map(|state| state.as_str()).collect();
    let states = (!states.is_empty()).then(|| states.join(","));
    let mut query = String::new();
    let filters = [
        ("project", args.project),
        ("branch", args.branch),
        ("state", states),
        ("author", args.author),
        ("text", args.text),
    ];
    for (name, value) in filters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        query.push_str(&format!("&{name}={}", encode(&value)));
    }
    let page = pages(&global.client()?, &query, args.limit as usize, args.before).await?;
    if global.json {
        say_json(&page)?;
        return Ok(exit::OK);
    }
    if page.jobs.is_empty() {
        say("no jobs");
        return Ok(exit::OK);
    }
    let paint = global.paint();
    let rows = page.jobs.iter().map(|job| {
        [
            Cell::new(&job.id),
            report::state_cell(job.state),
            Cell::new(report::plain(&job.project)),
            Cell::new(report::plain(job.branch.as_deref().unwrap_or("-"))),
            Cell::new(files(job)),
            Cell::new(took(job)),
            Cell::new(ago(job.submitted)),
        ]
    });
    let head = ["JOB", "STATE", "PROJECT", "BRANCH", "FILES", "TOOK", "SUBMITTED"];
    say(&table(paint, head, rows));
    if let Some(next) = &page.next {
        say(&paint.dim(&format!("more: the same with --before {next}")));
    }
    Ok(exit::OK)
}

/// As many jobs as are wanted, if there are so many. The queen ends a page early where a text is hard to find.
async fn pages(client: &Client, query: &str, limit: usize, mut before: Option<String>) -> Result<JobPage, ClientError> {
    let mut jobs = Vec::new();
    loop {
        let mut path = format!("jobs?limit={}{query}", limit - jobs.len());
        if let Some(before) = &before {
            path.push_str(&format!("&before={}", encode(before)));
        }
        let page: JobPage = client.get(&path).await?;
        jobs.extend(page.jobs);
        if jobs.len() >= limit || page.next.is_none() {
            return Ok(JobPage { jobs, next: page.next });
        }
        before = page.next;
    }
}

fn files(job: &JobView) -> String {
    match (job.files_total, job.files_bad) {
        (0, _) => "-".into(),
        (total, 0) => format!("{}/{total}", job.files_done),
        (total, bad) => format!("{}/{total}, {bad} bad", job.files_done),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds, for show")]
fn took(job: &JobView) -> String {
    let Some(started) = job.started else { return "-".into() };
    let end = job.finished.map_or_else(clock::now, Timestamp);
    report::duration(end.since(Timestamp(started)) as f64)
}

/// How long ago a time in Unix milliseconds was.
#[expect(clippy::cast_precision_loss, reason = "milliseconds, for show")]
pub fn ago(at: i64) -> String {
    let ms = clock::now().since(Timestamp(at));
    match ms / 1000 {
        0..2 => "now".into(),
        seconds @ 2..86400 => format!("{} ago", report::duration((seconds * 1000) as f64).replace(".00", "")),
        seconds => format!("{} days ago", seconds / 86400),
    }
}

/// Flags of `queen logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The job's id
    job: JobId,
    /// Into this file, not to standard output
    #[arg(long, short, value_name = "FILE", env = "QUEEN_OUTPUT")]
    output: Option<PathBuf>,
    /// Read a data directory that no queen serves just now, that of an embedded run for example
    #[arg(long, value_name = "DIR", env = "QUEEN_LOG_DATA")]
    data: Option<PathBuf>,
}

/// Shows a job's log.
pub async fn logs(global: &Global, args: LogsArgs) -> Result<u8, Failure> {
    let Some(data) = args.data.filter(|_| global.address().is_none()) else {
        return copy_log(&global.client()?, &args.job, args.output).await;
    };
    let failed = |error| Failure::new(exit::FAILED, error);
    let app = App::start(Config::local(data)).await.map_err(failed)?;
    let client = Client::new(app.url(), None)?;
    let stop = CancellationToken::new();
    let queen = tokio::spawn(app.serve(stop.clone()));
    let result = copy_log(&client, &args.job, args.output).await;
    stop.cancel();
    match queen.await {
        Ok(served) => served.map_err(failed)?,
        Err(error) => return Err(Failure::new(exit::FAILED, error)),
    }
    result
}

async fn copy_log(client: &Client, job: &JobId, output: Option<PathBuf>) -> Result<u8, Failure> {
    let path = format!("/api/v1/jobs/{job}/log");
    match output {
        Some(file) => {
            let out = File::create(&file)
                .map_err(|error| Failure::new(exit::FAILED, format!("{}: {error}", file.display())))?;
            client.copy(&path, BufWriter::new(out)).await?;
        }
        None => client.copy(&path, std::io::stdout()).await?,
    }
    Ok(exit::OK)
}

/// Flags of `queen cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The job's id
    job: JobId,
    /// Why, for people
    #[arg(
        long,
        value_name = "TEXT",
        env = "QUEEN_REASON",
        default_value = "cancelled from the command line"
    )]
    reason: String,
}

/// Stops a job.
pub async fn cancel(global: &Global, args: CancelArgs) -> Result<u8, Failure> {
    let client = global.client()?;
    watch::cancel(client.clone(), args.job.clone(), &args.reason).await?;
    if global.json {
        let view: JobView = client.get(&format!("jobs/{}", args.job)).await?;
        say_json(&view)?;
    } else {
        say(&format!(
            "job {} is being stopped; `queen watch {}` follows it to its end",
            args.job, args.job
        ));
    }
    Ok(exit::OK)
}

/// Flags of `queen rerun`.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The job's id
    job: JobId,
    /// Only the files that failed
    #[arg(long, env = "QUEEN_FAILED")]
    failed: bool,
    /// Only this test file of the job; may be repeated
    #[arg(long, value_name = "PATH", env = "QUEEN_ONLY")]
    only: Vec<String>,
    /// Follow it until it is over, and exit as it ended
    #[arg(long, env = "QUEEN_WATCH")]
    watch: bool,
}

/// Runs a job again.
pub async fn rerun(global: &Global, args: RerunArgs) -> Result<u8, Failure> {
    let client = global.client()?;
    let path = format!("jobs/{}/rerun", args.job);
    let only = (!args.only.is_empty()).then_some(args.only);
    let request = json!({"failed": args.failed, "only": only});
    let submitted: Submitted = client.post(&path, &request).await?;
    if args.watch {
        let id = JobId::new(&submitted.id).map_err(|error| Failure::new(exit::LOST, error))?;
        return follow_to_exit(global, &client, &id, false).await;
    }
    if global.json {
        say_json(&submitted)?;
    } else {
        say(&format!("job {} is submitted: {}", submitted.id, submitted.url));
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::{super::client::tests, *};

    fn job(id: &str) -> String {
        let job = json!({
            "id": id, "project": "a/b", "state": "passed", "job_type": "TEST", "trigger": {"type": "push", "timestamp": 1},
            "priority": 0, "labels": [], "attempt": 1, "submitted": 5, "files_total": 0, "files_done": 0, "files_bad": 0,
            "last_seq": 1,
        });
        job.to_string()
    }

    #[tokio::test]
    async fn short_pages_are_gone_on_from_until_there_are_as_many_jobs_as_wanted() {
        let page = |jobs: &[&str], next: &str| {
            let jobs: Vec<_> = jobs.iter().map(|id| job(id)).collect();
            tests::answer(
                "200 OK",
                &format!(r#"{{"jobs": [{}], "next": {next}}}"#, jobs.join(", ")),
            )
        };
        let (url, heard) = tests::server(vec![
            page(&["c"], "\"9~-\""),
            page(&[], "\"4~-\""),
            page(&["b", "a"], "\"1~a\""),
            page(&["z"], "\"9~-\""),
            page(&[], "null"),
        ]);
        let client = tests::client(&url);
        let asked = || heard.recv().unwrap().lines().next().unwrap().to_owned();
        let all = pages(&client, "&text=x", 3, None).await.unwrap();
        assert_eq!(all.jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["c", "b", "a"]);
        assert_eq!(all.next.as_deref(), Some("1~a"));
        assert!(asked().contains("/jobs?limit=3&text=x "));
        assert!(asked().contains("/jobs?limit=2&text=x&before=9%7E- "));
        assert!(asked().contains("/jobs?limit=2&text=x&before=4%7E- "));
        let few = pages(&client, "", 3, Some("20~x".into())).await.unwrap();
        assert_eq!((few.jobs.len(), few.next), (1, None));
        assert!(asked().contains("/jobs?limit=3&before=20%7Ex "));
    }
}
