//! One bare mirror for each repository on a server: what was fetched once is never fetched again.
//!
//! Owns the cache directory. A lock file keeps two jobs from fetching the same at once; a mirror that is broken is
//! removed and fetched anew. Workspaces borrow a mirror's objects, so nothing else is ever taken out of one, and the
//! whole of it only when nobody borrows. Read next: `transport.rs`, `../mirrors.rs`.

use super::{
    Found, Task, local,
    transport::{Login, Talk, trust},
    wanted::{Wanted, branch_name, hint},
};
use crate::source::{
    Borrowed, SourceError,
    address::{Remote, digest},
    stop_if,
};
use git2::{AutotagOption, Config, ConfigLevel, Direction, ErrorClass, Oid, Repository};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

/// How often a job that waits for another one's fetch looks whether it is cancelled.
const CANCEL_CHECK: Duration = Duration::from_millis(50);

/// Logins that a server has accepted since this process began: only they may use a mirror without asking the server.
static ACCEPTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Finds what is wanted in the mirror, which is brought up to date as far as that needs.
pub(super) fn find(task: &Task<'_>, remote: &Remote, progress: &mut dyn FnMut(&str)) -> Result<Found, SourceError> {
    let _lock = lock(task, remote)?;
    if !remote.ssh {
        trust();
    }
    let mirror = path(task, remote);
    let borrowed = Borrowed::of(&mirror).map_err(|error| SourceError::disk(&mirror, &error))?;
    let login = Login::of(task.auth, remote);
    match find_locked(task, remote, &login, progress) {
        Err(Failure::Mirror(error)) => {
            progress(&format!(
                "the mirror of {} is damaged ({}); fetching everything anew",
                remote.shown,
                error.message()
            ));
            delete(&path(task, remote))?;
            find_locked(task, remote, &login, progress)
        }
        result => result,
    }
    .map(|found| Found { borrowed, ..found })
    .map_err(|failure| match failure {
        Failure::Source(error) => error,
        Failure::Mirror(error) => SourceError::disk(&path(task, remote), &error.message()),
    })
}

/// Takes the mirror away, so that the next fetch begins anew.
pub(super) fn remove(task: &Task<'_>, remote: &Remote) -> Result<(), SourceError> {
    let _lock = lock(task, remote)?;
    delete(&path(task, remote))
}

fn delete(path: &std::path::Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SourceError::disk(path, &error)),
        _ => Ok(()),
    }
}

fn path(task: &Task<'_>, remote: &Remote) -> PathBuf {
    task.mirrors.join(format!("git/{}.git", remote.key()))
}

/// Waits for the mirror's lock. The system drops it with the file, also when this process is killed.
fn lock(task: &Task<'_>, remote: &Remote) -> Result<File, SourceError> {
    let path = path(task, remote).with_extension("lock");
    let open = || -> io::Result<File> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::options().create(true).append(true).open(&path)
    };
    let file = open().map_err(|error| SourceError::disk(&path, &error))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => {}
        Err(fs::TryLockError::Error(error)) => return Err(SourceError::disk(&path, &error)),
    }
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let locked = file.lock().map(|()| file);
        // Nobody listens any more after a cancel; the file is then closed, and the lock with it.
        let _ = send.send(locked);
    });
    loop {
        match receive.recv_timeout(CANCEL_CHECK) {
            Ok(locked) => return locked.map_err(|error| SourceError::disk(&path, &error)),
            Err(mpsc::RecvTimeoutError::Timeout) => stop_if(task.cancelled)?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(SourceError::disk(&path, &"the thread that waits for the lock died"));
            }
        }
    }
}

/// Whose fault a failure is.
enum Failure {
    /// The server's, the job's or the network's.
    Source(SourceError),
    /// The mirror's.
    Mirror(git2::Error),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

fn find_locked(
    task: &Task<'_>,
    remote: &Remote,
    login: &Login,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, Failure> {
    let repo = open(task, remote).map_err(Failure::Mirror)?;
    let proof = digest(&[remote.connect.as_bytes(), b"\0", &login.bytes()].concat());
    let accepted = || ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Wanted::Commit { id, branch } = &task.wanted
        && accepted().contains(&proof)
        && repo.find_commit(*id).is_ok()
    {
        return Ok(local::lend(&repo, *id, branch.clone())?);
    }
    progress(&format!("connecting to {}", remote.shown));
    let talk = Talk::new(task, remote, login, progress);
    let (commit, branch) = ask(task, remote, &repo, &talk)?;
    accepted().insert(proof);
    Ok(local::lend(&repo, commit, branch)?)
}

/// The mirror, made if it is not there. Only its own configuration counts.
fn open(task: &Task<'_>, remote: &Remote) -> Result<Repository, git2::Error> {
    let path = path(task, remote);
    let repo = if path.join("HEAD").is_file() {
        Repository::open_bare(&path)?
    } else {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).external_template(false).description(&remote.shown);
        Repository::init_opts(&path, &options)?
    };
    let mut config = Config::new()?;
    config.add_file(&path.join("config"), ConfigLevel::Local, false)?;
    repo.set_config(&config)?;
    Ok(repo)
}

/// Asks the server what it has, and takes what is missing.
fn ask(task: &Task<'_>, remote: &Remote, repo: &Repository, talk: &Talk<'_>) -> Result<(Oid, Option<String>), Failure> {
    let wrong = |error: git2::Error| fault(talk, error);
    let mut git = repo.remote_anonymous(&remote.connect).map_err(wrong)?;
    let mut connection = git
        .connect_auth(Direction::Fetch, Some(talk.callbacks()), Some(proxy()))
        .map_err(wrong)?;
    let heads: Vec<(String, Oid)> = connection
        .list()
        .map_err(wrong)?
        .iter()
        .map(|head| (head.name().to_owned(), head.oid()))
        .collect();
    let default = connection
        .default_branch()
        .ok()
        .and_then(|name| name.as_str().ok().map(str::to_owned));
    let git = connection.remote();
    let plan = Plan {
        task,
        remote,
        repo,
        talk,
        heads,
    };

    match &task.wanted {
        Wanted::Default => {
            let name = default.unwrap_or_else(|| "HEAD".to_owned());
            let id = plan.advertised(&name).ok_or_else(|| SourceError::Empty {
                address: remote.shown.clone(),
            })?;
            plan.take(git, &[&name])?;
            Ok((plan.commit(id)?, branch_name(&name)))
        }
        Wanted::Branch(_) | Wanted::Ref(_) => {
            let (name, id) = plan.named().ok_or_else(|| plan.missing_ref())?;
            plan.take(git, &[&name])?;
            Ok((plan.commit(id)?, branch_name(&name)))
        }
        Wanted::Commit { id, branch } => {
            let branch = branch.clone();
            if repo.find_commit(*id).is_ok() {
                return Ok((*id, branch));
            }
            if let Some((name, _)) = plan.named() {
                plan.take(git, &[&name])?;
            } else if let Some((name, _)) = plan.heads.iter().find(|(_, head)| head == id) {
                // `refs/tags/v1^{}` is what `refs/tags/v1` tags.
                plan.take(git, &[name.trim_end_matches("^{}")])?;
            }
            if repo.find_commit(*id).is_err() {
                // Servers that allow it give any commit by its id; the others refuse before anything is sent.
                let by_id = plan.take_id(git, *id);
                stop_if(task.cancelled)?;
                if by_id.is_err() {
                    let all: Vec<&str> = plan.heads.iter().map(|(name, _)| name.as_str()).collect();
                    let all: Vec<&str> = all
                        .into_iter()
                        .filter(|name| name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
                        .filter(|name| !name.ends_with("^{}"))
                        .collect();
                    plan.take(git, &all)?;
                }
            }
            if repo.find_commit(*id).is_err() {
                return Err(local::missing_commit(*id, branch.as_deref(), &remote.shown).into());
            }
            Ok((*id, branch))
        }
    }
}

fn proxy() -> git2::ProxyOptions<'static> {
    let mut proxy = git2::ProxyOptions::new();
    proxy.auto();
    proxy
}

/// Tells a broken mirror from a broken conversation.
fn fault(talk: &Talk<'_>, error: git2::Error) -> Failure {
    match talk.explain(&error) {
        SourceError::Network { .. }
            if matches!(
                error.class(),
                ErrorClass::Odb
                    | ErrorClass::Reference
                    | ErrorClass::Repository
                    | ErrorClass::Object
                    | ErrorClass::Zlib
            ) =>
        {
            Failure::Mirror(error)
        }
        SourceError::Network { .. }
            if matches!(
                error.class(),
                ErrorClass::Os | ErrorClass::Filesystem | ErrorClass::Indexer
            ) && error.message().contains("write") =>
        {
            Failure::Mirror(error)
        }
        source => Failure::Source(source),
    }
}

/// A server's refs, and the means to fetch some of them.
struct Plan<'a, 't> {
    task: &'a Task<'a>,
    remote: &'a Remote,
    repo: &'a Repository,
    talk: &'a Talk<'t>,
    heads: Vec<(String, Oid)>,
}

impl Plan<'_, '_> {
    fn advertised(&self, name: &str) -> Option<Oid> {
        self.heads.iter().find(|(head, _)| head == name).map(|(_, id)| *id)
    }

    /// The ref that the job means.
    fn named(&self) -> Option<(String, Oid)> {
        let mut names = self.task.wanted.candidates().into_iter();
        names.find_map(|name| self.advertised(&name).map(|id| (name, id)))
    }

    fn missing_ref(&self) -> SourceError {
        if self.heads.is_empty() {
            return SourceError::Empty {
                address: self.remote.shown.clone(),
            };
        }
        SourceError::MissingRef {
            reference: self.task.wanted.name().to_owned(),
            address: self.remote.shown.clone(),
            hint: hint(self.heads.iter().map(|(name, _)| name.as_str())),
        }
    }

    /// The commit behind what a ref names.
    fn commit(&self, id: Oid) -> Result<Oid, Failure> {
        let object = self.repo.find_object(id, None).map_err(Failure::Mirror)?;
        match object.peel_to_commit() {
            Ok(commit) => Ok(commit.id()),
            Err(_) => Err(SourceError::NoCommit {
                reference: self.task.wanted.name().to_owned(),
                address: self.remote.shown.clone(),
                kind: object.kind().map_or("file", |kind| kind.str()).to_owned(),
            }
            .into()),
        }
    }

    /// Fetches refs. In the mirror each has a name without its slashes, so that none is ever in another's way.
    fn take(&self, git: &mut git2::Remote<'_>, names: &[&str]) -> Result<(), Failure> {
        let specs: Vec<String> = names
            .iter()
            .map(|name| format!("+{name}:refs/skep/{}", digest(name.as_bytes())))
            .collect();
        self.fetch(git, &specs)
    }

    fn take_id(&self, git: &mut git2::Remote<'_>, id: Oid) -> Result<(), Failure> {
        self.fetch(git, &[format!("+{id}:refs/skep/{id}")])
    }

    fn fetch(&self, git: &mut git2::Remote<'_>, specs: &[String]) -> Result<(), Failure> {
        stop_if(self.task.cancelled)?;
        self.talk.begin();
        let mut options = self.talk.options();
        options.download_tags(AutotagOption::Auto);
        git.fetch(specs, Some(&mut options), None)
            .map_err(|error| fault(self.talk, error))?;
        drop(options);
        let stats = git.stats();
        if stats.received_objects() > 0 {
            self.talk.line(&format!(
                "received {} objects, {} KiB",
                stats.received_objects(),
                stats.received_bytes().div_ceil(1024)
            ));
        }
        Ok(())
    }
}
