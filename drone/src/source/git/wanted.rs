//! What a job's `ref` asks for, in git's terms.
//!
//! Owns the order in which a name is tried. Knows nothing of repositories. Read next: `local.rs`, `mirror.rs`.

use git2::Oid;
use shared::job::Ref;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whatever HEAD names.
    Default,
    /// A branch, or failing that a tag.
    Branch(String),
    /// A ref by any of its names.
    Ref(String),
    /// One commit, known to be reached from the branch, if that is given.
    Commit { id: Oid, branch: Option<String> },
}

impl Wanted {
    /// Reads a job's `ref`. Ids were checked when the job was read; what is no id is looked for as a name.
    pub fn of(reference: Option<&Ref>) -> Self {
        let short = |branch: &String| branch.strip_prefix("refs/heads/").unwrap_or(branch).to_owned();
        match reference {
            None | Some(Ref::Branch { branch: None, id: None }) => Self::Default,
            Some(Ref::Branch { branch, id: Some(id) }) => match Oid::from_str(id) {
                Ok(id) => Self::Commit {
                    id,
                    branch: branch.as_ref().map(short),
                },
                Err(_) => Self::Ref(id.clone()),
            },
            Some(Ref::Branch {
                branch: Some(branch),
                id: None,
            }) => Self::Branch(short(branch)),
            Some(Ref::Fetch { fetch }) => {
                // Of `+src:dst` only the source counts: where it lands is the drone's own affair.
                let source = fetch.trim_start_matches('+').split(':').next().unwrap_or_default();
                match Oid::from_str(source) {
                    Ok(id) if source.len() == 40 => Self::Commit { id, branch: None },
                    _ => Self::Ref(source.to_owned()),
                }
            }
        }
    }

    /// The ref names that may be meant, best first. Empty if no name was given.
    pub fn candidates(&self) -> Vec<String> {
        let branch = |name: &str| {
            if name.starts_with("refs/") {
                vec![name.to_owned()]
            } else {
                vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
            }
        };
        match self {
            Self::Default | Self::Commit { branch: None, .. } => Vec::new(),
            Self::Branch(name) => branch(name),
            Self::Commit { branch: Some(name), .. } => branch(name),
            Self::Ref(name) => vec![
                name.clone(),
                format!("refs/{name}"),
                format!("refs/tags/{name}"),
                format!("refs/heads/{name}"),
            ],
        }
    }

    /// The name in the job's own words.
    pub fn name(&self) -> &str {
        match self {
            Self::Default | Self::Commit { branch: None, .. } => "HEAD",
            Self::Branch(name) | Self::Ref(name) | Self::Commit { branch: Some(name), .. } => name,
        }
    }
}

/// The branch's name if `reference` is one.
pub(super) fn branch_name(reference: &str) -> Option<String> {
    reference.strip_prefix("refs/heads/").map(str::to_owned)
}

/// ": it has main, next" for an error that misses a ref.
pub(super) fn hint<'a>(refs: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let mut branches: Vec<&str> = refs.filter_map(|name| name.strip_prefix("refs/heads/")).collect();
    branches.sort_unstable();
    if branches.is_empty() {
        return ", which has no branches".to_owned();
    }
    let more = branches.len().saturating_sub(SHOWN);
    branches.truncate(SHOWN);
    let list = branches.join(", ");
    match more {
        0 => format!(": it has {list}"),
        more => format!(": it has {list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_refspec_keeps_its_source_only() {
        let wanted = |fetch: &str| Wanted::of(Some(&Ref::Fetch { fetch: fetch.into() }));
        assert_eq!(
            wanted("+refs/pull/7/merge:refs/x"),
            Wanted::Ref("refs/pull/7/merge".into())
        );
        let id = "0123456789012345678901234567890123456789";
        assert_eq!(
            wanted(id),
            Wanted::Commit {
                id: Oid::from_str(id).unwrap(),
                branch: None
            }
        );
        assert_eq!(wanted("abc"), Wanted::Ref("abc".into()));
    }

    #[test]
    fn hints_name_a_few_branches() {
        assert_eq!(
            hint(["refs/heads/b", "refs/tags/t", "refs/heads/a"].into_iter()),
            ": it has a, b"
        );
        let many: Vec<String> = (0..10).map(|n| format!("refs/heads/{n}")).collect();
        assert!(hint(many.iter().map(String::as_str)).ends_with("6, 7 and 2 more"));
    }
}
