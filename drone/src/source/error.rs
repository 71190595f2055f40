//! What can go wrong while a source is fetched, in words that say what to do.
//!
//! Owns the texts. Addresses in them are already without credentials. Read next: `address.rs`.

use std::path::{Path, PathBuf};

/// Why a source could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The address is of no form that is understood.
    #[error("{address:?} is no address of a repository: {rule}")]
    BadAddress {
        /// As given, without credentials.
        address: String,
        /// What would be one.
        rule: &'static str,
    },
    /// Nothing is there.
    #[error("there is no repository at {address}{detail}: check repo.url, and that the credentials may read it")]
    UnknownRepository {
        /// Without credentials.
        address: String,
        /// " (…)" or nothing.
        detail: String,
    },
    /// The server wants credentials and the job has none that fit.
    #[error("{address} asks for {asked} and the job has none: set repo.auth")]
    NoCredentials {
        /// Without credentials.
        address: String,
        /// "a password or token" or "an ssh key".
        asked: &'static str,
    },
    /// The server refused the credentials.
    #[error("{address} refused the {given}: check repo.auth, and that it may read this repository")]
    WrongCredentials {
        /// Without credentials.
        address: String,
        /// "user name or password" or "ssh key".
        given: &'static str,
    },
    /// The ssh key cannot be read.
    #[error(
        "the ssh key for {address} cannot be used ({detail}): repo.auth.key is a private key in OpenSSH or PEM form without a passphrase"
    )]
    BadKey {
        /// Without credentials.
        address: String,
        /// libssh2's words.
        detail: String,
    },
    /// The server's ssh host key is not known to this machine.
    #[error(
        "the ssh host key of {host} is not known on this drone, or has changed: add it to the drone's ~/.ssh/known_hosts (ssh-keyscan {host})"
    )]
    HostKey {
        /// The host.
        host: String,
    },
    /// The server's TLS certificate is not trusted.
    #[error("the TLS certificate of {address} is not trusted ({detail}): install its authority on the drone")]
    Certificate {
        /// Without credentials.
        address: String,
        /// libgit2's words.
        detail: String,
    },
    /// No such branch, tag or ref.
    #[error("{reference:?} is not in {address}{hint}")]
    MissingRef {
        /// As the job names it.
        reference: String,
        /// Without credentials.
        address: String,
        /// ": it has main, next" or so.
        hint: String,
    },
    /// No such commit.
    #[error("commit {commit} is not in {place}: was it pushed, or has the branch been rewritten since?")]
    MissingCommit {
        /// The id.
        commit: String,
        /// "branch main of https://…" or the address.
        place: String,
    },
    /// The ref names something else than a commit.
    #[error("{reference:?} in {address} is no commit but a {kind}")]
    NoCommit {
        /// As the job names it.
        reference: String,
        /// Without credentials.
        address: String,
        /// tree or blob.
        kind: String,
    },
    /// The repository has no commit at all.
    #[error("the repository at {address} is empty: push a commit first")]
    Empty {
        /// Without credentials.
        address: String,
    },
    /// The server does not answer in time.
    #[error("{address} did not answer in time: is the server up, and reachable from this drone?")]
    Timeout {
        /// Without credentials.
        address: String,
    },
    /// The server cannot be reached, or broke off.
    #[error("cannot fetch from {address}: {detail}")]
    Network {
        /// Without credentials.
        address: String,
        /// What the network said.
        detail: String,
    },
    /// This machine's disk.
    #[error("cannot write {}: {detail}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A submodule could not be had.
    #[error("submodule {path:?}: {cause}")]
    Submodule {
        /// Its place in the work tree.
        path: String,
        /// What happened.
        cause: Box<SourceError>,
    },
    /// Files cannot be checked out.
    #[error("cannot check out {commit} of {address}: {detail}")]
    Checkout {
        /// The id.
        commit: String,
        /// Without credentials.
        address: String,
        /// libgit2's words.
        detail: String,
    },
    /// The program for this system is not installed.
    #[error("{program} is not installed on this drone: install it, or put it on the drone's PATH")]
    NoProgram {
        /// `hg` or `rsync`.
        program: &'static str,
    },
    /// The program ended with an error.
    #[error("{command} ended with {status}: {detail}")]
    Program {
        /// Without credentials.
        command: String,
        /// "exit code 255" or "signal 9".
        status: String,
        /// The end of its error output.
        detail: String,
    },
    /// The job was cancelled meanwhile.
    #[error("cancelled while the source was fetched")]
    Cancelled,
}

impl SourceError {
    /// A short word for the kind of error, for metrics and tests.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadAddress { .. } => "bad-address",
            Self::UnknownRepository { .. } => "unknown-repository",
            Self::NoCredentials { .. } => "no-credentials",
            Self::WrongCredentials { .. } => "wrong-credentials",
            Self::BadKey { .. } => "bad-key",
            Self::HostKey { .. } => "host-key",
            Self::Certificate { .. } => "certificate",
            Self::MissingRef { .. } => "missing-ref",
            Self::MissingCommit { .. } => "missing-commit",
            Self::NoCommit { .. } => "no-commit",
            Self::Empty { .. } => "empty",
            Self::Timeout { .. } => "timeout",
            Self::Network { .. } => "network",
            Self::Disk { .. } => "disk",
            Self::Submodule { cause, .. } => match cause.as_ref() {
                Self::Cancelled => "cancelled",
                _ => "submodule",
            },
            Self::Checkout { .. } => "checkout",
            Self::NoProgram { .. } => "no-program",
            Self::Program { .. } => "program",
            Self::Cancelled => "cancelled",
        }
    }

    /// An error of this machine's file system at `path`.
    pub(super) fn disk(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self::Disk {
            path: path.to_owned(),
            detail: error.to_string(),
        }
    }
}
