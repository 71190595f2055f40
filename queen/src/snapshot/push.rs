//! Handing a snapshot over to a queen elsewhere, by git's own protocol.
//!
//! Owns what the queen's refusals mean. Read next: `../git_http.rs`, which takes it in.

use super::{Snapshot, SnapshotError};
use git2::{Error, ErrorClass, ErrorCode, PushOptions, RemoteCallbacks, RemoteRedirect, Repository};
use shared::Secret;
use std::cell::RefCell;

/// Pushes the snapshot's commit to `reference` (`refs/skep/…`) of the repository at `url` (`http(s)://…`).
///
/// `token` is sent as a bearer token, and to this address only.
pub fn push(snapshot: &Snapshot, url: &str, token: Option<&Secret>, reference: &str) -> Result<(), SnapshotError> {
    let repo = Repository::open_bare(&snapshot.repo).map_err(SnapshotError::git(&snapshot.repo))?;
    let failed = |detail: String| SnapshotError::Push {
        url: url.to_owned(),
        detail,
    };
    let rejected = RefCell::new(None);
    let mut callbacks = RemoteCallbacks::new();
    // Only asked for when the header was refused, or is missing.
    callbacks.credentials(|_, _, _| Err(Error::new(ErrorCode::Auth, ErrorClass::Callback, "no credentials")));
    callbacks.push_update_reference(|_, status| {
        if let Some(reason) = status {
            rejected.replace(Some(reason.to_owned()));
        }
        Ok(())
    });
    let mut options = PushOptions::new();
    options
        .remote_callbacks(callbacks)
        .follow_redirects(RemoteRedirect::None)
        .packbuilder_parallelism(0);
    let header = token.map(|token| format!("Authorization: Bearer {}", token.expose()));
    if let Some(header) = &header {
        options.custom_headers(&[header]);
    }
    let sent = repo
        .remote_anonymous(url)
        .and_then(|mut remote| remote.push(&[format!("+refs/heads/snapshot:{reference}")], Some(&mut options)));
    drop(options);
    match (sent, rejected.into_inner()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(reason)) => Err(failed(format!("the queen refused it: {reason}"))),
        (Err(error), _) => Err(failed(explain(&error, token.is_some()))),
    }
}

fn explain(error: &Error, has_token: bool) -> String {
    let text = error.message();
    let status = text.rsplit_once("http status code: ").map(|(_, code)| code.trim());
    match (error.code(), status) {
        (ErrorCode::Auth, _) | (_, Some("401")) if !has_token => {
            "the queen asks for a token: set QUEEN_TOKEN".to_owned()
        }
        (ErrorCode::Auth, _) | (_, Some("401" | "403")) => {
            "the queen refused the token: check QUEEN_TOKEN, whose role must be trigger or admin".to_owned()
        }
        (_, Some("404")) => "there is no queen that takes work trees at this address: check QUEEN_URL".to_owned(),
        (_, Some("413")) => {
            "it is larger than the queen takes: add what the tests do not need to .gitignore".to_owned()
        }
        _ => text.to_owned(),
    }
}
