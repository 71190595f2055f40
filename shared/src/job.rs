//! A job: what a client asks for, and the states that it goes through.
//!
//! [`JobData`] is the contract of `queue:new`. [`JobData::check`] says what is wrong with one in words that tell what to
//! do. Secrets stay inside [`Secret`]; [`JobData::exposed`] is the one door out.

mod redact;
mod repo;
mod state;

pub use repo::{Auth, Repo, Vcs};
pub use state::JobState;

use crate::{JobId, Project, Secret, Timestamp, secret::REDACTED, trigger::Trigger};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The most bytes that one job's JSON may have.
pub const JOB_LIMIT: usize = 512 * 1024;

/// One request to test or deploy one ref of one repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobData {
    /// Given by the client, or made by the queen before anything else sees the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Who asked, in the client's own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Where history and settings belong.
    pub project: Project,
    /// Absent for a job that needs no source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<Repo>,
    /// What to check out. Absent: the repository's default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// What to do with it.
    #[serde(default)]
    pub job_type: JobType,
    /// Why the job exists.
    pub trigger: Trigger,
    /// Plugins in the order in which they contribute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<String>,
    /// Settings by plugin name, or by section of `skep.toml`; they win over the repository's own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Higher first. 0 is usual.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// What a drone must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// How many drones may share the job; absent: as many as help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<u32>,
    /// How often the whole job is tried again when it fails or errors.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
    /// Seconds that the whole job may take; then it is errored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Not to be started before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_until: Option<Timestamp>,
    /// Environment variables whose values are masked wherever they would show.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
    /// Only these test files, by path from the root of the tests: what `rerun` with `--failed` or `--only` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Of these test files only these cases, by the names that results have. Files that are not here run whole, and so
    /// do those whose framework cannot choose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cases: BTreeMap<String, Vec<String>>,
    /// The job that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What to check out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ref {
    /// A refspec to fetch as it is, `refs/pull/7/merge` for example.
    Fetch {
        /// The remote side.
        fetch: String,
    },
    /// A branch, and perhaps a commit of it.
    Branch {
        /// Branch name without `refs/heads/`. Absent: only the commit counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
        /// Commit id, whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
}

/// What a job is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobType {
    /// Run the tests.
    #[default]
    #[serde(rename = "TEST", alias = "TEST_ONLY")]
    Test,
    /// Only deploy.
    #[serde(rename = "DEPLOY", alias = "DEPLOY_ONLY")]
    Deploy,
    /// Run the tests and, when they pass, deploy.
    #[serde(rename = "TEST&DEPLOY", alias = "TEST_AND_DEPLOY")]
    TestAndDeploy,
}

impl JobType {
    /// True if test files are to be run.
    #[must_use]
    pub fn tests(self) -> bool {
        self != Self::Deploy
    }

    /// True if a deploy is to follow.
    #[must_use]
    pub fn deploys(self) -> bool {
        self != Self::Test
    }
}

/// What is wrong with a job's data, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadJob(pub String);

impl JobData {
    /// Reads a job from JSON text. The error names the field and, for an unknown one, the nearest known.
    pub fn parse(json: &str) -> Result<Self, BadJob> {
        if json.len() > JOB_LIMIT {
            return Err(BadJob(format!(
                "the job has {} bytes; at most {JOB_LIMIT} are taken: keep large data in the repository",
                json.len()
            )));
        }
        let mut job: Self =
            crate::object::from_str(json).map_err(|error| BadJob(explain(&crate::object::short(&error))))?;
        if let Some(repo) = &mut job.repo {
            repo.hide_login();
        }
        job.check()?;
        Ok(job)
    }

    /// Checks what types alone cannot say.
    pub fn check(&self) -> Result<(), BadJob> {
        let bad = |text: String| Err(BadJob(text));
        if let Some(repo) = &self.repo {
            if repo.url.trim().is_empty() {
                return bad("repo.url is empty: give an address, or leave repo out for a job without source".into());
            }
            if repo.url.starts_with('-') || repo.url.chars().any(char::is_control) {
                return bad(format!("repo.url {} is no address of a repository", quoted(&repo.url)));
            }
            if let Some(why) = repo.is_misread() {
                return bad(format!(
                    "repo.url cannot be read ({why}): in a user name or password write '/', '?', '#', '@' and '%' as %2F, \
                     %3F, %23, %40 and %25"
                ));
            }
        }
        match &self.reference {
            Some(Ref::Branch { id: Some(id), .. })
                if !matches!(id.len(), 40 | 64) || !id.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                return bad(format!(
                    "ref.id {} is no commit id: give all 40 hexadecimal digits",
                    quoted(id)
                ));
            }
            Some(Ref::Branch { branch: Some(name), .. } | Ref::Fetch { fetch: name }) if !is_ref_name(name) => {
                return bad(format!("ref {} is no name of a branch or ref", quoted(name)));
            }
            _ => {}
        }
        for name in self.secrets.keys() {
            if !is_env_name(name) {
                return bad(format!(
                    "secrets has {}, which is no name of an environment variable: use letters, digits and '_'",
                    quoted(name)
                ));
            }
        }
        if self.spread == Some(0) {
            return bad("spread is 0: at least one drone must run the job; leave it out for as many as help".into());
        }
        if self.timeout == Some(0) {
            return bad("timeout is 0 seconds: leave it out for no limit".into());
        }
        if self.retries > 100 {
            return bad(format!("retries is {}: at most 100", self.retries));
        }
        if self.only.as_ref().is_some_and(Vec::is_empty) {
            return bad("only is an empty list: name test files, or leave it out for all".into());
        }
        if let Some((file, _)) = self.cases.iter().find(|(_, names)| names.is_empty()) {
            return bad(format!(
                "cases has no name for {}: name some, or leave the file out to run it whole",
                quoted(file)
            ));
        }
        Ok(())
    }

    /// The job as JSON with its secrets in place: for the drone link and for sealing, nothing else.
    #[must_use]
    pub fn exposed(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(auth) = self.auth() {
            value["repo"]["auth"] = auth.exposed();
        }
        for (name, secret) in &self.secrets {
            value["secrets"][name] = secret.expose().into();
        }
        value
    }

    /// The job as JSON without a byte of its secrets, also where somebody wrote one out in `config` or a message.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        redact::hide(&mut value, self.values());
        value
    }

    /// The values that must not stand in any text.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let secrets = self.secrets.values().map(Secret::expose);
        secrets.chain(self.auth().and_then(Auth::value))
    }

    fn auth(&self) -> Option<&Auth> {
        self.repo.as_ref()?.auth.as_ref()
    }

    /// True if there is something that must not be shown.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty() || self.auth().is_some()
    }

    /// True if a value reads [`REDACTED`]: the data came from a response and lost its secrets there.
    #[must_use]
    pub fn is_redacted(&self) -> bool {
        self.values().any(|secret| secret == REDACTED)
    }

    /// The branch or ref in words, for lists.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        match self.reference.as_ref()? {
            Ref::Fetch { fetch } => Some(fetch),
            Ref::Branch { branch, .. } => branch.as_deref(),
        }
    }

    /// The commit asked for, if one was.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        match self.reference.as_ref()? {
            Ref::Branch { id, .. } => id.as_deref(),
            Ref::Fetch { .. } => None,
        }
    }
}

/// A text in an error, in quotes, cut to its first 80 characters.
fn quoted(text: &str) -> String {
    let mut rest = text.chars();
    let mut start: String = rest.by_ref().take(80).collect();
    if rest.next().is_some() {
        start.push('…');
    }
    format!("{start:?}")
}

/// True for the name of an environment variable.
#[must_use]
pub fn is_env_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_ref_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 400
        && !name.starts_with(['-', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("@{")
        && !name.chars().any(|c| c.is_control() || " ~^?*[\\".contains(c))
}

const FIELDS: &[&str] = &[
    "job_id",
    "user_id",
    "project",
    "repo",
    "ref",
    "job_type",
    "trigger",
    "plugins",
    "config",
    "priority",
    "labels",
    "spread",
    "retries",
    "timeout",
    "delay_until",
    "secrets",
    "only",
    "cases",
    "rerun_of",
];

/// Adds what to do to serde's own words.
fn explain(error: &str) -> String {
    if let Some(word) = error
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
        .map(|(word, _)| word)
    {
        let hint = crate::nearest::nearest(word, FIELDS.iter().copied())
            .map(|near| format!("; did you mean {near:?}?"))
            .unwrap_or_default();
        return format!("the job has no field {word:?}{hint}");
    }
    format!("the job is not valid: {error}")
}

#[cfg(test)]
mod tests;
