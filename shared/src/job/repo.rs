//! Where a job's source comes from, and who asks for it.
//!
//! Owns what of an address is a credential: it leaves the address before anybody sees it, and is kept in [`Auth`], which
//! shows no secret. Must not know how anything is fetched. Read next: [`super::JobData::exposed`].

use crate::{Secret, secret::REDACTED};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;
use url::Url;

/// Shorter user names are words or people: they are not looked for in other texts. Tokens of forges are longer.
const TOKEN: usize = 16;

/// What some forges have as a password beside a token in the place of the name.
const NO_PASSWORD: &str = "x-oauth-basic";

/// Where the source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repo {
    /// `https://…`, `ssh://…`, `user@host:path`, `file://…` or an absolute path.
    pub url: String,
    /// How to prove who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// The forge or system that it belongs to, `github` for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Which program understands it.
    #[serde(default)]
    pub vcs: Vcs,
}

/// How a repository is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vcs {
    /// Git, by the drone itself.
    #[default]
    Git,
    /// Mercurial, by its own program.
    Hg,
    /// A folder, by the rsync program.
    Rsync,
}

/// Credentials of a repository. Neither `Debug` nor JSON shows a secret of them.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Auth {
    /// User name and password or token.
    Https {
        /// The user name; forges that take a bare token ignore it, or take it for the token if there is no password.
        #[serde(default)]
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// A private key in OpenSSH or PEM form.
    Ssh {
        /// The key.
        key: Secret,
    },
}

impl Auth {
    /// With secrets in place.
    pub(super) fn exposed(&self) -> Value {
        match self {
            Self::Https { username, password } => {
                json!({"type": "https", "username": username, "password": password.expose()})
            }
            Self::Ssh { key } => json!({"type": "ssh", "key": key.expose()}),
        }
    }

    /// What must not stand in any other text either.
    pub(super) fn value(&self) -> Option<&str> {
        match self {
            Self::Https { username, password } if is_none(password) => {
                Some(username.as_str()).filter(|name| name.len() >= TOKEN)
            }
            Self::Https { password, .. } => Some(password.expose()),
            Self::Ssh { key } => Some(key.expose()),
        }
    }

    fn shown(&self) -> Value {
        match self {
            Self::Https { username, password } => {
                let token = is_none(password) && !username.is_empty();
                let username = if token { REDACTED } else { username };
                json!({"type": "https", "username": username, "password": password})
            }
            Self::Ssh { key } => json!({"type": "ssh", "key": key}),
        }
    }
}

/// True if the name before it may be the token.
fn is_none(password: &Secret) -> bool {
    matches!(password.expose(), "" | NO_PASSWORD)
}

impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({})", self.shown())
    }
}

impl Repo {
    /// Moves what may be secret from the address to `auth`: a password, and over http also the name before it, which
    /// forges take a token for.
    pub(super) fn hide_login(&mut self) {
        let Ok(mut url) = Url::parse(&self.url) else { return };
        let http = matches!(url.scheme(), "http" | "https");
        let password = url.password().map(decoded);
        let username = decoded(url.username());
        if password.is_none() && (username.is_empty() || !http) {
            return;
        }
        if url.set_password(None).is_err() || http && url.set_username("").is_err() {
            return;
        }
        self.url = url.into();
        match &mut self.auth {
            None => {
                self.auth = Some(Auth::Https {
                    username,
                    password: Secret::new(password.unwrap_or_default()),
                });
            }
            // `auth` wins over the address in what it says.
            Some(Auth::Https { username: named, .. }) if named.is_empty() => *named = username,
            Some(_) => {}
        }
    }

    /// Why the address may hold a password that cannot be found in it. It is not repeated in the answer.
    pub(super) fn is_misread(&self) -> Option<String> {
        let (_, rest) = self.url.split_once("://")?;
        if let Err(error) = Url::parse(&self.url) {
            return Some(error.to_string());
        }
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (place, rest) = rest.split_at(end);
        (place.ends_with(':') && rest.contains('@')).then(|| "its port is empty".to_owned())
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .filter(|two| two.iter().all(u8::is_ascii_hexdigit))
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(hex.unwrap_or(first));
        rest = if hex.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
