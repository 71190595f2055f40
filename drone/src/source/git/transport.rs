//! Talking to a git server: credentials, timeouts, cancellation, and what its errors mean.
//!
//! Owns libgit2's global switches. Knows nothing of mirrors. Read next: `mirror.rs`.

use super::Task;
use crate::source::{SourceError, address::Remote};
use git2::{
    CertificateCheckStatus, Cred, CredentialType, Error, ErrorClass, ErrorCode, FetchOptions, ProxyOptions,
    RemoteCallbacks,
};
use shared::{Secret, job::Auth};
use std::{
    cell::{Cell, RefCell},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Sets libgit2 up, once a process. The first fetch does so by itself; a drone that does it when it starts saves its
/// first job some 50 ms.
pub fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_timeouts(CONNECT_TIMEOUT, ANSWER_TIMEOUT);
        // SAFETY: a plain switch of libgit2; the `Once` keeps threads of this process from racing on it.
        // A repository of another user is only read, and neither its hooks nor its programs run.
        let _ = unsafe { git2::opts::set_verify_owner_validation(false) };
    });
}

/// Where OpenSSL reads the certificates of those whom it trusts.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Like [`set_up`], but without the machine's certificates: to read them takes 50 ms and more, and only the first connection
/// over HTTPS needs them, which is when they are read. For a process that seldom has such a connection and is waited for.
///
/// # Safety
///
/// The environment is changed meanwhile, so there must not be another thread yet.
pub unsafe fn set_up_alone() {
    let before = CERTIFICATES.map(|name| (name, std::env::var_os(name)));
    for name in CERTIFICATES {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var(name, "/dev/null") };
    }
    set_up();
    for (name, value) in before {
        // SAFETY: the caller's promise.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }
    LATE.store(true, Ordering::Release);
}

/// The certificates are still to be read.
static LATE: AtomicBool = AtomicBool::new(false);

/// Reads the machine's certificates, unless that was done.
pub(super) fn trust() {
    static ONCE: Mutex<()> = Mutex::new(());
    let _turn = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    if !LATE.load(Ordering::Acquire) {
        return;
    }
    let found = openssl_probe::probe();
    // Without any, the connection says that nobody is trusted.
    // SAFETY: a switch of libgit2; nobody has a connection over HTTPS yet, and the lock keeps others from it.
    unsafe {
        if let Some(file) = found.cert_file {
            let _ = git2::opts::set_ssl_cert_file(file);
        }
        if let Some(dir) = found.cert_dir {
            let _ = git2::opts::set_ssl_cert_dir(dir);
        }
    }
    LATE.store(false, Ordering::Release);
}

/// How long a git server may take to accept a connection, and to send anything at all. Counts for the whole process
/// and for connections made from now on.
pub fn set_timeouts(connect: Duration, answer: Duration) {
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: two integers that libgit2 reads when it connects.
    let _ = unsafe { git2::opts::set_server_connect_timeout_in_milliseconds(millis(connect)) };
    // SAFETY: as above.
    let _ = unsafe { git2::opts::set_server_timeout_in_milliseconds(millis(answer)) };
}

/// Who asks, as the job says or the address does.
pub(super) enum Login {
    /// Nobody.
    None,
    /// User name and password.
    Password(String, Secret),
    /// A private key.
    Key(Secret),
}

impl Login {
    /// The job's credentials win over those in the address.
    pub fn of(auth: Option<&Auth>, remote: &Remote) -> Self {
        match auth {
            Some(Auth::Https { username, password }) => {
                // Forges take a bare token with any name, but not with none.
                let user = Some(username.clone()).filter(|name| !name.is_empty());
                let user = user.or_else(|| remote.user.clone()).unwrap_or_else(|| "git".to_owned());
                Self::Password(user, password.clone())
            }
            Some(Auth::Ssh { key }) => Self::Key(key.clone()),
            None => match (&remote.user, &remote.password) {
                (user, Some(password)) => Self::Password(user.clone().unwrap_or_default(), password.clone()),
                // `https://TOKEN@host/…`
                (Some(token), None) if !remote.ssh => Self::Password(token.clone(), Secret::default()),
                _ => Self::None,
            },
        }
    }

    /// For the hash that tells one login from another.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Password(user, password) => [b"p", user.as_bytes(), b"\0", password.expose().as_bytes()].concat(),
            Self::Key(key) => [b"k", key.expose().as_bytes()].concat(),
        }
    }
}

/// One conversation with a server: its callbacks, and what they saw.
pub(super) struct Talk<'a> {
    task: &'a Task<'a>,
    remote: &'a Remote,
    login: &'a Login,
    progress: RefCell<&'a mut dyn FnMut(&str)>,
    /// How often credentials were asked for that the job has.
    given: Cell<u32>,
    /// Credentials were asked for that the job has not.
    refused: Cell<bool>,
    line: RefCell<Vec<u8>>,
}

impl<'a> Talk<'a> {
    pub fn new(task: &'a Task<'a>, remote: &'a Remote, login: &'a Login, progress: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            task,
            remote,
            login,
            progress: RefCell::new(progress),
            given: Cell::new(0),
            refused: Cell::new(false),
            line: RefCell::default(),
        }
    }

    /// A new connection may ask for the credentials once more.
    pub fn begin(&self) {
        self.given.set(0);
    }

    fn cancelled(&self) -> bool {
        self.task.cancelled.load(Ordering::Relaxed)
    }

    pub fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|url, user, allowed| self.credentials(url, user, allowed));
        callbacks.certificate_check(|_, _| Ok(CertificateCheckStatus::CertificatePassthrough));
        callbacks.transfer_progress(|_| !self.cancelled());
        callbacks.sideband_progress(|bytes| {
            self.say(bytes);
            !self.cancelled()
        });
        callbacks
    }

    pub fn options(&self) -> FetchOptions<'_> {
        let mut options = FetchOptions::new();
        let mut proxy = ProxyOptions::new();
        proxy.auto();
        options
            .remote_callbacks(self.callbacks())
            .proxy_options(proxy)
            .update_fetchhead(false);
        options
    }

    /// libgit2 calls this again and again as long as the server refuses; what was refused once stays refused.
    fn credentials(&self, url: &str, user: Option<&str>, allowed: CredentialType) -> Result<Cred, Error> {
        if self.cancelled() {
            return Err(Error::new(ErrorCode::User, ErrorClass::Callback, "cancelled"));
        }
        let no = |message: &str| Err(Error::new(ErrorCode::Auth, ErrorClass::Callback, message));
        let ssh_user = user.or(self.remote.user.as_deref()).unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(ssh_user);
        }
        if !self.remote.ssh && !same_host(url, &self.remote.host) {
            self.refused.set(true);
            return no("the server has sent us to another one, which gets no credentials");
        }
        let fits = match self.login {
            Login::None => false,
            Login::Password(..) => allowed.contains(CredentialType::USER_PASS_PLAINTEXT),
            Login::Key(_) => allowed.intersects(CredentialType::SSH_KEY | CredentialType::SSH_MEMORY),
        };
        if !fits {
            self.refused.set(true);
            return no("no credentials");
        }
        self.given.set(self.given.get() + 1);
        if self.given.get() > 1 {
            return no("refused");
        }
        match self.login {
            Login::Password(name, password) => Cred::userpass_plaintext(name, password.expose()),
            Login::Key(key) => Cred::ssh_key_from_memory(ssh_user, None, key.expose(), None),
            Login::None => no("no credentials"),
        }
    }

    /// Whole lines of the server's own words go to the log; those that overwrite themselves do not.
    fn say(&self, bytes: &[u8]) {
        let mut line = self.line.borrow_mut();
        for byte in bytes {
            match byte {
                b'\r' => line.clear(),
                b'\n' => {
                    if !line.is_empty() {
                        (self.progress.borrow_mut())(&format!("remote: {}", String::from_utf8_lossy(&line)));
                    }
                    line.clear();
                }
                byte if line.len() < 1000 => line.push(*byte),
                _ => {}
            }
        }
    }

    /// One line for the job's log.
    pub fn line(&self, text: &str) {
        (self.progress.borrow_mut())(text);
    }

    /// What an error of libgit2 means to whoever wrote the job.
    pub fn explain(&self, error: &Error) -> SourceError {
        let address = self.remote.shown.clone();
        let detail = error.message().to_owned();
        if self.cancelled() {
            return SourceError::Cancelled;
        }
        let status = detail
            .rsplit_once("http status code: ")
            .and_then(|(_, code)| code.trim().parse::<u16>().ok());
        match (error.code(), error.class(), status) {
            (ErrorCode::Timeout, ..) => SourceError::Timeout { address },
            (_, ErrorClass::Net | ErrorClass::Os | ErrorClass::Ssh, _) if detail.contains("timed out") => {
                SourceError::Timeout { address }
            }
            (ErrorCode::Certificate, ErrorClass::Ssh, _) => SourceError::HostKey {
                host: self.remote.host.clone(),
            },
            (ErrorCode::Certificate, ..) | (_, ErrorClass::Ssl, _) => SourceError::Certificate { address, detail },
            _ if detail.contains("hostkey") => SourceError::HostKey {
                host: self.remote.host.clone(),
            },
            _ if self.refused.get() => SourceError::NoCredentials {
                address,
                asked: if self.remote.ssh {
                    "an ssh key"
                } else {
                    "a password or token"
                },
            },
            (_, ErrorClass::Ssh, _) if detail.contains("extract public key") || detail.contains("private key") => {
                SourceError::BadKey { address, detail }
            }
            (ErrorCode::Auth, ..) | (.., Some(401 | 403)) => SourceError::WrongCredentials {
                address,
                given: if self.remote.ssh {
                    "ssh key"
                } else {
                    "user name or password"
                },
            },
            (.., Some(404 | 410)) => SourceError::UnknownRepository {
                address,
                detail: String::new(),
            },
            (_, ErrorClass::Http, None) if detail.contains("content-type") => SourceError::UnknownRepository {
                address,
                detail: " (the server answers, but not as a git server does)".to_owned(),
            },
            (ErrorCode::Eof, ErrorClass::Net | ErrorClass::Ssh, _) if self.remote.ssh => {
                SourceError::UnknownRepository {
                    address,
                    detail: format!(" ({detail})"),
                }
            }
            _ if detail.contains("epository not found") || detail.contains("does not appear to be a git repo") => {
                SourceError::UnknownRepository {
                    address,
                    detail: String::new(),
                }
            }
            _ => SourceError::Network { address, detail },
        }
    }
}

/// True if `url` goes to `host`, given as `host` or `host:port`.
fn same_host(url: &str, host: &str) -> bool {
    let of = |text: &str| {
        let url = url::Url::parse(text).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()))
    };
    let scheme = url.split("://").next().unwrap_or_default();
    let theirs = of(url);
    theirs.is_some() && theirs == of(&format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::same_host;

    #[test]
    fn credentials_stay_with_their_host() {
        assert!(same_host("https://h/a", "h"));
        assert!(same_host("https://h:443/a", "h"));
        assert!(same_host("http://h:80/a", "h"));
        assert!(!same_host("https://evil/a", "h"));
        assert!(!same_host("https://h:8443/a", "h"));
        assert!(!same_host("https://h.evil/a", "h"));
    }
}
