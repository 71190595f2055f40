//! Submodules: each is one more repository, fetched by the same means into its folder.
//!
//! Owns what a submodule may and may not reach: credentials go to the same host only, and a repository from a server
//! never names one on this machine. Read next: `../git.rs`.

use super::{Task, Wanted, workspace::quoted};
use crate::source::{
    Borrowed, SourceError,
    address::{Address, resolve, shown},
    stop_if,
};
use git2::{Repository, SubmoduleUpdate};
use shared::job::Auth;
use std::{fs, io::Write};

/// Submodules within submodules, at most.
const DEPTH: usize = 16;

/// Brings every submodule of `repo` to the commit that its tree names.
pub(super) fn fetch_all(
    task: &Task<'_>,
    repo: &Repository,
    depth: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<Borrowed, SourceError> {
    let mut borrowed = Borrowed::default();
    if !task.into.join(".gitmodules").is_file() {
        return Ok(borrowed);
    }
    let failed = |path: &str, detail: &str| SourceError::Submodule {
        path: path.to_owned(),
        cause: Box::new(SourceError::Checkout {
            commit: path.to_owned(),
            address: task.address.shown(),
            detail: detail.to_owned(),
        }),
    };
    let submodules = repo
        .submodules()
        .map_err(|error| failed(".gitmodules", error.message()))?;
    for submodule in submodules {
        stop_if(task.cancelled)?;
        let path = submodule.path().display().to_string();
        let Some(id) = submodule.index_id() else { continue };
        if matches!(submodule.update_strategy(), SubmoduleUpdate::None) {
            continue;
        }
        let url = match submodule.url() {
            Ok(Some(url)) => url.to_owned(),
            _ => {
                progress(&format!(
                    "submodule {path:?} has no address in .gitmodules; its folder stays empty"
                ));
                continue;
            }
        };
        if depth >= DEPTH {
            return Err(failed(&path, &format!("submodules are nested more than {DEPTH} deep")));
        }
        let nested = |cause: SourceError| SourceError::Submodule {
            path: path.clone(),
            cause: Box::new(cause),
        };
        let address = Address::parse(&resolve(task.address, &url)).map_err(nested)?;
        if let (Address::Remote(_), Address::Local(_)) = (task.address, &address) {
            return Err(nested(SourceError::BadAddress {
                address: shown(&url),
                rule: "a repository from a server cannot name one on the drone's own disk",
            }));
        }
        progress(&format!("submodule {path:?} from {} at {id}", address.shown()));
        let into = task.into.join(submodule.path());
        fs::create_dir_all(&into).map_err(|error| SourceError::disk(&into, &error))?;
        let fetched = Task {
            address: &address,
            auth: auth_for(task, &address),
            wanted: Wanted::Commit { id, branch: None },
            into: &into,
            mirrors: task.mirrors,
            cancelled: task.cancelled,
        }
        .run(depth + 1, progress)
        .map_err(nested)?;
        borrowed.join(fetched.borrowed);
        if let Ok(name) = submodule.name() {
            enable(task, name, &address)?;
        }
    }
    Ok(borrowed)
}

/// The credentials of the repository around it, for the same host and the same kind of connection.
fn auth_for<'a>(task: &Task<'a>, address: &Address) -> Option<&'a Auth> {
    match (task.address, address) {
        (Address::Remote(outer), Address::Remote(inner)) if outer.host == inner.host && outer.ssh == inner.ssh => {
            task.auth
        }
        _ => None,
    }
}

/// Marks the submodule as set up, as `git submodule init` does.
fn enable(task: &Task<'_>, name: &str, address: &Address) -> Result<(), SourceError> {
    let path = task.into.join(".git/config");
    let section = format!(
        "[submodule {}]\n\tactive = true\n\turl = {}\n",
        quoted(name),
        quoted(&address.shown())
    );
    fs::File::options()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(section.as_bytes()))
        .map_err(|error| SourceError::disk(&path, &error))
}
