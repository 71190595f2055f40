//! Git's smart HTTP protocol (version 0) over repositories of the queen, without the git program.
//!
//! Owns what is in the bodies; knows nothing of HTTP itself, of accounts or of jobs. Everything here blocks.
//! Left out on purpose: shallow clones and protocol version 2, which every client does without.
//! Read next: `git_http/pkt.rs`, `git_http/upload.rs`, `git_http/receive.rs`, and `api/git.rs`, which mounts it.

mod pkt;
mod receive;
mod upload;

pub use receive::receive_pack;
pub use upload::upload_pack;

use git2::{Oid, Repository, RepositoryInitOptions};
use shared::Project;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Sent to clients that ask who this is.
const AGENT: &str = concat!("agent=skep/", env!("CARGO_PKG_VERSION"));

/// The two things that a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    /// The name in addresses and media types.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack]
            .into_iter()
            .find(|service| service.name() == name)
    }
}

/// One ref that a push has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Whole name, `refs/heads/main`.
    pub name: String,
    /// The object before; `None`: the ref is new.
    pub old: Option<String>,
    /// The object now; `None`: the ref is gone.
    pub new: Option<String>,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The response body.
    pub response: Vec<u8>,
    /// Refs that have moved, in the order of the commands.
    pub updates: Vec<RefUpdate>,
}

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
pub enum GitHttpError {
    /// The repository is not there.
    #[error("there is no repository of {0} here: push to it first")]
    NoRepository(String),
    /// A project's name that would lie inside of another one's repository.
    #[error("no part of a project's name may end with .git")]
    BadName,
    /// The client broke the protocol.
    #[error("not git's protocol: {0}")]
    Protocol(String),
    /// Reading or writing failed.
    #[error("input or output failed: {0}")]
    Io(#[from] std::io::Error),
    /// libgit2 failed.
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
}

/// Where the repository of `project` is below `root` (`<data>/git`), whether it exists or not.
pub fn path_of(root: &Path, project: &Project) -> Result<PathBuf, GitHttpError> {
    if project
        .as_str()
        .split('/')
        .any(|part| part.to_ascii_lowercase().ends_with(".git"))
    {
        return Err(GitHttpError::BadName);
    }
    Ok(root.join(format!("{project}.git")))
}

/// Makes the bare repository of `project` below `root` unless it is there; answers its path.
pub fn ensure(root: &Path, project: &Project) -> Result<PathBuf, GitHttpError> {
    let path = path_of(root, project)?;
    if !path.join("HEAD").is_file() {
        fs::create_dir_all(&path)?;
        let mut options = RepositoryInitOptions::new();
        options
            .bare(true)
            .external_template(false)
            .initial_head("main")
            .description(project.as_str());
        Repository::init_opts(&path, &options)?;
    }
    Ok(path)
}

/// Opens a repository that is there.
pub(crate) fn open(path: &Path) -> Result<Repository, GitHttpError> {
    if !path.join("HEAD").is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(GitHttpError::NoRepository(name));
    }
    Ok(Repository::open_bare(path)?)
}

/// All refs by name, with what they name. HEAD and its like only point at one of them.
pub(crate) fn direct_refs(repo: &Repository) -> Result<Vec<(String, Oid)>, GitHttpError> {
    let mut refs = Vec::new();
    for reference in repo.references()? {
        let reference = reference?;
        if let (Ok(name), Some(id)) = (reference.name(), reference.target()) {
            refs.push((name.to_owned(), id));
        }
    }
    refs.sort();
    Ok(refs)
}

/// The body of `GET info/refs?service=…`. A repository that is not there yet can be pushed to, but not fetched from.
pub fn advertise(repo: &Path, service: Service) -> Result<Vec<u8>, GitHttpError> {
    let mut out = Vec::new();
    pkt::text(&mut out, &format!("# service={}\n", service.name()))?;
    pkt::flush(&mut out)?;
    let mut refs = match open(repo) {
        Ok(repo) => refs(&repo, service)?,
        Err(GitHttpError::NoRepository(_)) if service == Service::ReceivePack => Refs::default(),
        Err(error) => return Err(error),
    };
    let mut capabilities = match service {
        Service::UploadPack => upload::CAPABILITIES,
        Service::ReceivePack => receive::CAPABILITIES,
    }
    .to_owned();
    if let Some(head) = &refs.head {
        capabilities.push_str(&format!(" symref=HEAD:{head}"));
    }
    capabilities.push_str(&format!(" object-format=sha1 {AGENT}"));
    if refs.all.is_empty() {
        refs.all.push(("capabilities^{}".to_owned(), Oid::ZERO_SHA1));
    }
    for (at, (name, id)) in refs.all.iter().enumerate() {
        match at {
            0 => pkt::text(&mut out, &format!("{id} {name}\0{capabilities}\n"))?,
            _ => pkt::text(&mut out, &format!("{id} {name}\n"))?,
        }
    }
    pkt::flush(&mut out)?;
    Ok(out)
}

#[derive(Default)]
struct Refs {
    /// What HEAD points to, for those who fetch, once it exists.
    head: Option<String>,
    /// In the order of the protocol: HEAD, then by name, each tag followed by what it tags.
    all: Vec<(String, Oid)>,
}

fn refs(repo: &Repository, service: Service) -> Result<Refs, GitHttpError> {
    let mut refs = Refs::default();
    for reference in repo.references()? {
        let reference = reference?;
        let (Ok(name), Some(id)) = (reference.name(), reference.target()) else {
            continue;
        };
        refs.all.push((name.to_owned(), id));
        if service == Service::UploadPack
            && name.starts_with("refs/tags/")
            && let Ok(object) = reference.peel(git2::ObjectType::Any)
            && object.id() != id
        {
            refs.all.push((format!("{name}^{{}}"), object.id()));
        }
    }
    refs.all.sort();
    if service == Service::UploadPack
        && let Ok(head) = repo.head()
        && let (Ok(name), Some(id)) = (head.name(), head.target())
    {
        refs.head = Some(name.to_owned());
        refs.all.insert(0, ("HEAD".to_owned(), id));
    }
    Ok(refs)
}

#[cfg(test)]
mod tests;
