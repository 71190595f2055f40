//! Addresses of repositories: taken apart once, so that credentials never travel inside one.
//!
//! Owns what forms are understood. Knows nothing of transports. Read next: `git.rs`.

use super::SourceError;
use sha2::{Digest, Sha256};
use shared::Secret;
use std::{
    ffi::OsString,
    fmt::Write,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};
use url::Url;

const RULE: &str = "use https://…, ssh://…, user@host:path, file://… or an absolute path";

/// Where a git repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// On this machine.
    Local(PathBuf),
    /// On a server.
    Remote(Remote),
}

/// A repository on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// What to connect to; without a password, and without any user for http.
    pub connect: String,
    /// What to show: `connect` without its query.
    pub shown: String,
    /// `host` or `host:port`; credentials go nowhere else.
    pub host: String,
    /// From the address.
    pub user: Option<String>,
    /// From the address.
    pub password: Option<Secret>,
    /// True for ssh.
    pub ssh: bool,
}

impl Address {
    /// Takes `text` apart.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let bad = || SourceError::BadAddress {
            address: shown(text),
            rule: RULE,
        };
        if text.starts_with('/') {
            return Ok(Self::Local(text.into()));
        }
        if let Some(rest) = text.strip_prefix("file://") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            let path = path.starts_with('/').then(|| percent_decode(path)).ok_or_else(bad)?;
            return Ok(Self::Local(PathBuf::from(OsString::from_vec(path))));
        }
        if text.contains("://") {
            return remote(text).map(Self::Remote).ok_or_else(bad);
        }
        // user@host:path, the short form of ssh.
        let (place, path) = text.split_once(':').ok_or_else(bad)?;
        let (user, host) = match place.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, place),
        };
        if host.is_empty() || path.is_empty() || path.starts_with(':') || place.contains('/') || host.starts_with('-') {
            return Err(bad());
        }
        Ok(Self::Remote(Remote {
            connect: text.to_owned(),
            shown: text.to_owned(),
            host: host.to_owned(),
            user: user.map(str::to_owned),
            password: None,
            ssh: true,
        }))
    }

    /// Without credentials.
    pub fn shown(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(remote) => remote.shown.clone(),
        }
    }
}

impl Remote {
    /// A name for the mirror's directory.
    pub fn key(&self) -> String {
        digest(self.connect.trim_end_matches('/').as_bytes())
    }
}

fn remote(text: &str) -> Option<Remote> {
    let mut url = Url::parse(text).ok()?;
    let ssh = matches!(url.scheme(), "ssh" | "git+ssh" | "ssh+git");
    if !ssh && !matches!(url.scheme(), "http" | "https" | "git") {
        return None;
    }
    let host = match (url.host_str().filter(|host| !host.is_empty())?, url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let decoded = |text: &str| String::from_utf8_lossy(&percent_decode(text)).into_owned();
    let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
    let password = url.password().map(|password| Secret::new(decoded(password)));
    url.set_password(None).ok()?;
    if !ssh {
        url.set_username("").ok()?;
    }
    url.set_fragment(None);
    let connect = url.to_string();
    url.set_query(None);
    Some(Remote {
        connect,
        shown: url.to_string(),
        host,
        user,
        password,
        ssh,
    })
}

/// Any address, understood or not, without the user info, query and fragment that may hold credentials.
pub(super) fn shown(text: &str) -> String {
    if let Some(remote) = text.contains("://").then(|| remote(text)).flatten() {
        return remote.shown;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (place, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = place.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Takes the password out of an address, for programs that would show it to everyone among their arguments.
pub(super) fn without_password(text: &str) -> (String, Option<Secret>) {
    let Ok(mut url) = Url::parse(text) else {
        return (text.to_owned(), None);
    };
    let password = url
        .password()
        .map(|password| Secret::new(String::from_utf8_lossy(&percent_decode(password)).into_owned()));
    match password {
        Some(password) if url.set_password(None).is_ok() => (url.into(), Some(password)),
        _ => (text.to_owned(), None),
    }
}

/// 32 hexadecimal digits of SHA-256.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..16]
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn percent_decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

/// A submodule's address: as it is, or `./` and `../` taken from where the repository around it is.
pub(super) fn resolve(base: &Address, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") && url != "." && url != ".." {
        return url.to_owned();
    }
    match base {
        Address::Local(path) => normalize(&path.join(url)).to_string_lossy().into_owned(),
        Address::Remote(remote) => {
            // Everything from the host's end on is path; a part is never taken from the host.
            let text = remote.connect.trim_end_matches('/');
            let root = match text.find("://") {
                Some(at) => text[at + 3..].find('/').map_or(text.len(), |slash| at + 3 + slash),
                None => text.find(':').map_or(text.len(), |colon| colon + 1),
            };
            let (root, path) = text.split_at(root);
            let path = normalize(&Path::new("/").join(path).join(url));
            let path = path.to_string_lossy();
            if root.ends_with(':') && !remote.connect[root.len()..].starts_with('/') {
                format!("{root}{}", path.trim_start_matches('/'))
            } else {
                format!("{root}{path}")
            }
        }
    }
}

/// Takes `.` and `..` out by the words alone.
fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Remote {
        match Address::parse(text).unwrap() {
            Address::Remote(remote) => remote,
            Address::Local(path) => panic!("{text} is local: {path:?}"),
        }
    }

    #[test]
    fn credentials_leave_the_address() {
        let remote = parse("https://bob:p%40ss@host:8443/a/b.git?token=t#f");
        assert_eq!(remote.connect, "https://host:8443/a/b.git?token=t");
        assert_eq!(remote.shown, "https://host:8443/a/b.git");
        assert_eq!(remote.host, "host:8443");
        assert_eq!(remote.user.as_deref(), Some("bob"));
        assert_eq!(remote.password.unwrap().expose(), "p@ss");
        assert_eq!(shown("ftp://bob:secret@host/x?k=v"), "ftp://host/x");
        assert_eq!(shown("https://ghp_token@github.com/a/b"), "https://github.com/a/b");
    }

    #[test]
    fn ssh_keeps_its_user() {
        assert_eq!(parse("ssh://git:pw@host:22/a").connect, "ssh://git@host:22/a");
        let short = parse("git@github.com:a/b.git");
        assert!(short.ssh);
        assert_eq!(
            (short.user.as_deref(), short.host.as_str()),
            (Some("git"), "github.com")
        );
    }

    #[test]
    fn local_forms() {
        for (text, path) in [
            ("/a b", "/a b"),
            ("file:///a%20b", "/a b"),
            ("file://localhost/a", "/a"),
        ] {
            assert_eq!(Address::parse(text).unwrap(), Address::Local(path.into()));
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "repo",
            "./repo",
            "ftp://h/r",
            "file://other/r",
            "ext::sh -c x",
            "-oProxyCommand=x:y",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.kind(), "bad-address", "{text}");
            assert!(error.to_string().contains("user@host:path"), "{error}");
        }
    }

    #[test]
    fn submodules_beside_the_repository() {
        for (base, url, whole) in [
            ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
            ("https://h/a/b/", "./c", "https://h/a/b/c"),
            ("https://h/a", "../../../c", "https://h/c"),
            ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
            ("ssh://git@h/a/b", "../../c", "ssh://git@h/c"),
            ("/srv/a/b.git", "../c", "/srv/a/c"),
            ("/srv/a", "https://h/x", "https://h/x"),
        ] {
            assert_eq!(resolve(&Address::parse(base).unwrap(), url), whole, "{base} {url}");
        }
    }
}
