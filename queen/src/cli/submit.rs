//! `queen submit`: a job from a file, from flags, or from both.

use super::{Failure, Global, exit, say, say_json, watch::follow_to_exit};
use clap::Args;
use queen::{api::view::Submitted, clock};
use serde_json::{Map, Value, json};
use shared::{JobData, JobId, JobType, Project};
use std::{io::Read, path::Path};

/// What `submit` and `run` can both say of a job.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The job")]
pub struct JobFlags {
    /// Where history and settings belong, as owner/name
    #[arg(long, value_name = "OWNER/NAME", env = "QUEEN_PROJECT")]
    pub project: Option<Project>,
    /// The branch that it counts for
    #[arg(long, value_name = "NAME", env = "QUEEN_BRANCH")]
    pub branch: Option<String>,
    /// test, deploy, or test-and-deploy [default: test]
    #[arg(long, value_name = "TYPE", env = "QUEEN_JOB_TYPE", value_parser = job_type)]
    pub job_type: Option<JobType>,
    /// What a drone must have; may be repeated
    #[arg(long, value_name = "LABEL", env = "QUEEN_LABEL", value_delimiter = ',')]
    pub label: Vec<String>,
    /// How many drones may share it [default: as many as help]
    #[arg(long, value_name = "N", env = "QUEEN_SPREAD", value_parser = clap::value_parser!(u32).range(1..))]
    pub spread: Option<u32>,
    /// Higher first
    #[arg(long, value_name = "N", env = "QUEEN_PRIORITY", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Seconds that the whole job may take
    #[arg(long, value_name = "SECONDS", env = "QUEEN_TIMEOUT", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// How often the whole job is tried again when it fails or errors
    #[arg(long, value_name = "N", env = "QUEEN_RETRIES", value_parser = clap::value_parser!(u32).range(..=100))]
    pub retries: Option<u32>,
    /// Only this test file; may be repeated
    #[arg(long, value_name = "PATH", env = "QUEEN_ONLY")]
    pub only: Vec<String>,
    /// A variable for every command of the job; may be repeated
    #[arg(long, value_name = "NAME=VALUE", env = "QUEEN_ENV", value_parser = env_pair)]
    pub env: Vec<(String, String)>,
    /// Name of one of your own variables whose value goes along and is masked wherever it would show; may be repeated
    #[arg(long, value_name = "NAME", env = "QUEEN_SECRET", value_delimiter = ',')]
    pub secret: Vec<String>,
    /// The runner, instead of the one that settings name or that is detected
    #[arg(long, value_name = "NAME", env = "QUEEN_RUNNER")]
    pub runner: Option<String>,
    /// The command that runs one file; {file} is its path
    #[arg(long, value_name = "COMMAND", env = "QUEEN_COMMAND")]
    pub command: Option<String>,
    /// Glob of test files, instead of those that settings name; may be repeated
    #[arg(long, value_name = "GLOB", env = "QUEEN_FILES")]
    pub files: Vec<String>,
    /// Hand out nothing more after the first bad file
    #[arg(long, env = "QUEEN_FAIL_FAST", conflicts_with = "keep_going")]
    pub fail_fast: bool,
    /// Run all files whatever fails, even if skep.toml says fail_fast
    #[arg(long, env = "QUEEN_KEEP_GOING")]
    pub keep_going: bool,
}

fn job_type(text: &str) -> Result<JobType, String> {
    match text.to_ascii_lowercase().replace(['_', '&', ' '], "-").as_str() {
        "test" | "test-only" => Ok(JobType::Test),
        "deploy" | "deploy-only" => Ok(JobType::Deploy),
        "test-deploy" | "test-and-deploy" => Ok(JobType::TestAndDeploy),
        _ => Err("use test, deploy or test-and-deploy".into()),
    }
}

fn env_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if !shared::job::is_env_name(name) {
        return Err(format!(
            "{name:?} is no name of a variable: use letters, digits and '_'"
        ));
    }
    Ok((name.into(), value.into()))
}

impl JobFlags {
    /// Puts what was said over what is in `job`, a job as JSON.
    pub fn put_into(&self, job: &mut Map<String, Value>) -> Result<(), Failure> {
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                job.insert(key.into(), value);
            }
        };
        put("project", self.project.as_ref().map(|project| json!(project)));
        put("job_type", self.job_type.map(|kind| json!(kind)));
        put("labels", some(&self.label));
        put("spread", self.spread.map(Value::from));
        put("priority", self.priority.map(Value::from));
        put("timeout", self.timeout.map(Value::from));
        put("retries", self.retries.map(Value::from));
        put("only", some(&self.only));
        if let Some(branch) = &self.branch {
            object(job, "ref")?.insert("branch".into(), json!(branch));
        }
        for (name, value) in &self.env {
            object(object(job, "config")?, "env")?.insert(name.clone(), json!(value));
        }
        let test = [
            ("runner", self.runner.as_ref().map(|runner| json!(runner))),
            ("command", self.command.as_ref().map(|command| json!(command))),
            ("files", some(&self.files)),
            (
                "fail_fast",
                (self.fail_fast || self.keep_going).then(|| json!(self.fail_fast)),
            ),
        ];
        for (key, value) in test.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            object(object(job, "config")?, "test")?.insert(key.into(), value);
        }
        for name in &self.secret {
            let value = std::env::var(name).map_err(|_| {
                let text = format!("--secret {name}: there is no such variable in your environment, or it is no text");
                Failure::new(exit::NOTHING, text)
            })?;
            object(job, "secrets")?.insert(name.clone(), json!(value));
        }
        Ok(())
    }
}

fn some(list: &[String]) -> Option<Value> {
    (!list.is_empty()).then(|| json!(list))
}

fn object<'a>(job: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Map<String, Value>, Failure> {
    let value = job.entry(key).or_insert_with(|| json!({}));
    value.as_object_mut().ok_or_else(|| {
        Failure::new(
            exit::NOTHING,
            format!("the job's {key} is not an object: it must be {{…}}"),
        )
    })
}

/// Flags of `queen submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// JSON file with the job's data, or - for standard input; without it, flags say everything
    file: Option<std::path::PathBuf>,
    /// Address of the repository
    #[arg(long, value_name = "URL", env = "QUEEN_REPO")]
    repo: Option<String>,
    /// Commit to check out
    #[arg(long, value_name = "ID", env = "QUEEN_COMMIT")]
    commit: Option<String>,
    /// The job's id; the same id with the same data is the same job
    #[arg(long, value_name = "ID", env = "QUEEN_JOB_ID")]
    job_id: Option<JobId>,
    #[command(flatten)]
    job: JobFlags,
    /// Follow it until it is over, and exit as it ended
    #[arg(long, env = "QUEEN_WATCH")]
    watch: bool,
}

/// Submits a job and says its id.
pub async fn submit(global: &Global, args: SubmitArgs) -> Result<u8, Failure> {
    let job = assemble(&args)?;
    let client = global.client()?;
    let submitted: Submitted = client.post("jobs", &job.exposed()).await?;
    if args.watch {
        let id = JobId::new(&submitted.id).map_err(|error| Failure::new(exit::LOST, error))?;
        return follow_to_exit(global, &client, &id, false).await;
    }
    if global.json {
        say_json(&submitted)?;
    } else {
        let known = if submitted.repeated {
            "is there already"
        } else {
            "is submitted"
        };
        say(&format!("job {} {known}: {}", submitted.id, submitted.url));
    }
    Ok(exit::OK)
}

fn assemble(args: &SubmitArgs) -> Result<JobData, Failure> {
    let mut job = match &args.file {
        Some(path) => read(path)?,
        None => Map::new(),
    };
    args.job.put_into(&mut job)?;
    if let Some(url) = &args.repo {
        object(&mut job, "repo")?.insert("url".into(), json!(url));
    }
    if let Some(id) = &args.commit {
        object(&mut job, "ref")?.insert("id".into(), json!(id));
    }
    if let Some(id) = &args.job_id {
        job.insert("job_id".into(), json!(id));
    }
    let trigger =
        || json!({"type": "manual", "timestamp": clock::now(), "source": {"type": "API", "app": "queen submit"}});
    job.entry("trigger").or_insert_with(trigger);
    if !job.contains_key("project") {
        let text = "the job has no project: give --project OWNER/NAME, or a file with a job's data";
        return Err(Failure::new(exit::NOTHING, text));
    }
    JobData::parse(&Value::Object(job).to_string()).map_err(|error| Failure::new(exit::NOTHING, error))
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bad = |why: &dyn std::fmt::Display| Failure::new(exit::NOTHING, format!("{}: {why}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| bad(&error))?;
    } else {
        text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
    }
    serde_json::from_str(&text).map_err(|error| bad(&format!("it is no JSON object: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(flags: &JobFlags, job: Value) -> Result<Value, Failure> {
        let mut job = job.as_object().cloned().unwrap();
        flags.put_into(&mut job)?;
        Ok(Value::Object(job))
    }

    #[test]
    fn flags_go_over_what_the_file_says() {
        let flags = JobFlags {
            branch: Some("b".into()),
            spread: Some(2),
            env: vec![("A".into(), "1".into())],
            files: vec!["t/*".into()],
            keep_going: true,
            ..JobFlags::default()
        };
        let job = json!({"spread": 9, "ref": {"id": "x"}, "config": {"test": {"runner": "r"}}});
        let expected = json!({
            "spread": 2,
            "ref": {"id": "x", "branch": "b"},
            "config": {"env": {"A": "1"}, "test": {"runner": "r", "files": ["t/*"], "fail_fast": false}},
        });
        assert_eq!(put(&flags, job).unwrap(), expected);
    }

    #[test]
    fn words_are_read_as_people_write_them() {
        for (word, kind) in [
            ("test", JobType::Test),
            ("DEPLOY", JobType::Deploy),
            ("TEST&DEPLOY", JobType::TestAndDeploy),
            ("test_and_deploy", JobType::TestAndDeploy),
        ] {
            assert_eq!(job_type(word), Ok(kind));
        }
        assert!(job_type("run").is_err() && env_pair("A").is_err() && env_pair("A-B=1").is_err());
        assert_eq!(env_pair("A=b=c"), Ok(("A".into(), "b=c".into())));
    }

    #[test]
    fn a_config_that_is_no_object_is_refused() {
        let flags = JobFlags {
            runner: Some("x".into()),
            ..JobFlags::default()
        };
        let failure = put(&flags, json!({"config": 1})).unwrap_err();
        assert_eq!(
            (failure.code, failure.message.contains("config is not an object")),
            (exit::NOTHING, true)
        );
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let flags = JobFlags {
            secret: vec!["SKEP_NO_SUCH_VARIABLE".into()],
            ..JobFlags::default()
        };
        assert!(
            put(&flags, json!({}))
                .unwrap_err()
                .message
                .contains("SKEP_NO_SUCH_VARIABLE")
        );
    }
}
