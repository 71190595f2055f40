//! A name for the project of a folder, when nobody has given one.
//!
//! Owns how addresses and folder names become ids. Read next: `../snapshot.rs`.

use super::Source;
use shared::Project;
use std::path::Path;

/// `owner/name` from the origin remote, else `local/<folder>`; a folder inside adds its path.
pub(super) fn hint(source: &Source) -> String {
    let origin = source.repo.as_ref().and_then(|repo| {
        let remote = repo.find_remote("origin").ok()?;
        from_address(remote.url().ok()?)
    });
    let root = match &source.repo {
        Some(repo) => repo.workdir().unwrap_or(&source.dir).to_owned(),
        None => source.dir.clone(),
    };
    let mut parts = origin.unwrap_or_else(|| vec!["local".to_owned(), folder(&root)]);
    parts.extend(source.inside.iter().map(|part| plain(&part.to_string_lossy())));
    let name = parts.join("/");
    if Project::new(&name).is_ok() {
        name
    } else {
        format!("local/{}", folder(&source.dir))
    }
}

fn folder(path: &Path) -> String {
    plain(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// The path of an address, without `.git`, as the parts of a project's id.
fn from_address(address: &str) -> Option<Vec<String>> {
    let (host, path, local) = match address.split_once("://") {
        Some(("file", path)) => ("", path, true),
        Some((_, rest)) => {
            let (place, path) = rest.split_once('/')?;
            let host = place.rsplit('@').next()?.split(':').next()?;
            (host, path, false)
        }
        None => match address.split_once(':') {
            Some((place, path)) if !place.contains('/') => (place.rsplit('@').next()?, path, false),
            _ => ("", address, true),
        },
    };
    let path = path.split(['?', '#']).next()?.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    let mut parts: Vec<String> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".." | "~"))
        .map(plain)
        .collect();
    if local && parts.len() > 2 {
        parts.drain(..parts.len() - 2);
    }
    if parts.len() == 1 {
        parts.insert(
            0,
            if host.is_empty() {
                "local".to_owned()
            } else {
                plain(host)
            },
        );
    }
    (parts.len() >= 2).then_some(parts)
}

/// `text` with everything replaced that an id cannot hold.
fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    if text.bytes().all(|byte| byte == b'.') {
        return "folder".to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_projects() {
        for (address, project) in [
            ("https://github.com/acme/web.git", Some("acme/web")),
            ("https://user:pw@gitlab.com:8443/group/sub/web", Some("group/sub/web")),
            ("git@github.com:acme/web.git", Some("acme/web")),
            ("ssh://git@host:22/~/web.git/", Some("host/web")),
            ("https://host/web.git", Some("host/web")),
            ("/srv/git/acme/web.git", Some("acme/web")),
            ("file:///srv/web", Some("srv/web")),
            ("../web", Some("local/web")),
            ("https://host/a b/ü.git", Some("a-b/-")),
            ("https://host/", None),
            ("", None),
        ] {
            let parts = from_address(address).map(|parts| parts.join("/"));
            assert_eq!(parts.as_deref(), project, "{address}");
            if let Some(name) = parts {
                Project::new(&name).unwrap();
            }
        }
    }

    #[test]
    fn folder_names_become_ids() {
        assert_eq!(folder(Path::new("/home/me/My Site")), "My-Site");
        assert_eq!(folder(Path::new("/")), "folder");
    }
}
