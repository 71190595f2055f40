//! Clone and fetch: what the client wants and has, and the pack of what lies between.
//!
//! Owns the negotiation. Anyone who may read a repository may ask for any object of it by its id.
//! Read next: `pkt.rs`.

use super::{
    GitHttpError, open,
    pkt::{self, Band, Data, Pkt},
};
use git2::{ObjectType, Oid, Repository};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    path::Path,
};

/// What the server can do for those who fetch.
pub(super) const CAPABILITIES: &str = "multi_ack multi_ack_detailed no-done side-band side-band-64k ofs-delta \
     no-progress include-tag allow-tip-sha1-in-want allow-reachable-sha1-in-want";

/// How many commits are looked at to find out whether enough is known in common. Beyond it the client goes on telling.
const READY_LIMIT: usize = 20_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Acks {
    Plain,
    Multi,
    Detailed,
}

/// A request, read as far as the wants.
struct Request {
    wants: Vec<Oid>,
    acks: Acks,
    band: Band,
    no_done: bool,
    quiet: bool,
    include_tags: bool,
}

/// Serves the body of `POST git-upload-pack`, writing the response to `out`.
pub fn upload_pack(repo: &Path, body: &mut dyn Read, out: &mut dyn Write) -> Result<(), GitHttpError> {
    let repo = open(repo)?;
    let request = read_wants(body)?;
    if request.wants.is_empty() {
        return Ok(());
    }
    let odb = repo.odb()?;
    if let Some(unknown) = request.wants.iter().find(|id| !odb.exists(**id)) {
        pkt::text(out, &format!("ERR upload-pack: not our ref {unknown}"))?;
        return Ok(());
    }
    let mut talk = Negotiation {
        repo: &repo,
        request: &request,
        common: Vec::new(),
        ready: false,
        judged: 0,
    };
    if talk.run(body, out)? {
        send_pack(&repo, &request, &talk.common, out)?;
    }
    Ok(())
}

fn read_wants(body: &mut dyn Read) -> Result<Request, GitHttpError> {
    let mut request = Request {
        wants: Vec::new(),
        acks: Acks::Plain,
        band: Band::None,
        no_done: false,
        quiet: false,
        include_tags: false,
    };
    while let Some(Pkt::Line(line)) = pkt::read(body)? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some(rest) = line.strip_prefix("want ") else {
            return Err(GitHttpError::Protocol(match line.split(' ').next() {
                Some("shallow" | "deepen" | "deepen-since" | "deepen-not") => {
                    "this server has whole histories only: leave --depth out".to_owned()
                }
                word => format!("{:?} where a want was expected", word.unwrap_or_default()),
            }));
        };
        let (id, capabilities) = rest.split_once(' ').unwrap_or((rest, ""));
        if request.wants.is_empty() {
            let words = capabilities.split(' ');
            let has = |word: &str| words.clone().any(|one| one == word);
            request.acks = if has("multi_ack_detailed") {
                Acks::Detailed
            } else if has("multi_ack") {
                Acks::Multi
            } else {
                Acks::Plain
            };
            request.no_done = has("no-done");
            request.quiet = has("no-progress");
            request.include_tags = has("include-tag");
            request.band = Band::of(words);
        }
        request.wants.push(id_of(id)?);
    }
    Ok(request)
}

fn id_of(text: &str) -> Result<Oid, GitHttpError> {
    match Oid::from_str(text) {
        Ok(id) if text.len() == 40 => Ok(id),
        _ => Err(GitHttpError::Protocol(format!("{text:?} is no object id"))),
    }
}

struct Negotiation<'a> {
    repo: &'a Repository,
    request: &'a Request,
    common: Vec<Oid>,
    ready: bool,
    /// How much was known in common when `ready` was judged last.
    judged: usize,
}

impl Negotiation<'_> {
    /// True if the pack is to follow; else the client asks again, and tells more.
    fn run(&mut self, body: &mut dyn Read, out: &mut dyn Write) -> Result<bool, GitHttpError> {
        let odb = self.repo.odb()?;
        let acks = self.request.acks;
        let mut strange = false;
        let mut sent_ready = false;
        loop {
            let line = match pkt::read(body)? {
                None => return Ok(false),
                Some(Pkt::Line(line)) => String::from_utf8_lossy(&line).into_owned(),
                Some(Pkt::Flush) => {
                    if acks == Acks::Detailed && !self.common.is_empty() && !strange && self.enough()? {
                        sent_ready = true;
                        self.ack(out, " ready")?;
                    }
                    if self.common.is_empty() || acks != Acks::Plain {
                        pkt::text(out, "NAK\n")?;
                    }
                    if self.request.no_done && sent_ready {
                        self.ack(out, "")?;
                        return Ok(true);
                    }
                    strange = false;
                    continue;
                }
            };
            if line == "done" {
                match self.common.last() {
                    None => pkt::text(out, "NAK\n")?,
                    Some(_) if acks != Acks::Plain => self.ack(out, "")?,
                    Some(_) => {}
                }
                return Ok(true);
            }
            let Some(id) = line.strip_prefix("have ") else {
                return Err(GitHttpError::Protocol("a have or done was expected".to_owned()));
            };
            let id = id_of(id)?;
            if odb.exists(id) {
                self.common.push(id);
                match acks {
                    Acks::Detailed => self.ack(out, " common")?,
                    Acks::Multi => self.ack(out, " continue")?,
                    Acks::Plain if self.common.len() == 1 => self.ack(out, "")?,
                    Acks::Plain => {}
                }
            } else {
                strange = true;
                if acks != Acks::Plain && self.enough()? {
                    sent_ready = acks == Acks::Detailed;
                    let word = if sent_ready { " ready" } else { " continue" };
                    pkt::text(out, &format!("ACK {id}{word}\n"))?;
                }
            }
        }
    }

    fn ack(&self, out: &mut dyn Write, word: &str) -> Result<(), GitHttpError> {
        if let Some(id) = self.common.last() {
            pkt::text(out, &format!("ACK {id}{word}\n"))?;
        }
        Ok(())
    }

    /// True once every want has something in common behind it.
    fn enough(&mut self) -> Result<bool, GitHttpError> {
        if self.ready || self.judged == self.common.len() {
            return Ok(self.ready);
        }
        self.judged = self.common.len();
        let common: BTreeSet<Oid> = self.common.iter().copied().collect();
        for want in &self.request.wants {
            let Ok(commit) = self.repo.find_object(*want, None)?.peel_to_commit() else {
                continue;
            };
            let mut walk = self.repo.revwalk()?;
            walk.push(commit.id())?;
            let mut met = false;
            for id in walk.take(READY_LIMIT) {
                if common.contains(&id?) {
                    met = true;
                    break;
                }
            }
            if !met {
                return Ok(false);
            }
        }
        self.ready = true;
        Ok(true)
    }
}

fn send_pack(repo: &Repository, request: &Request, common: &[Oid], out: &mut dyn Write) -> Result<(), GitHttpError> {
    let mut builder = repo.packbuilder()?;
    builder.set_threads(0);
    let mut walk = repo.revwalk()?;
    for id in common {
        if let Ok(commit) = repo.find_object(*id, None).and_then(|object| object.peel_to_commit()) {
            walk.hide(commit.id())?;
        }
    }
    for want in &request.wants {
        let mut object = repo.find_object(*want, None)?;
        while object.kind() == Some(ObjectType::Tag) {
            builder.insert_object(object.id(), None)?;
            let inner = object.as_tag().map(git2::Tag::target);
            match inner {
                Some(target) => object = target?,
                None => break,
            }
        }
        match object.kind() {
            Some(ObjectType::Commit) => walk.push(object.id())?,
            _ => builder.insert_recursive(object.id(), None)?,
        }
    }
    builder.insert_walk(&mut walk)?;
    if request.include_tags {
        insert_tags(repo, request, common, &mut builder)?;
    }
    let mut data = Data::new(out, request.band);
    let count = builder.object_count();
    if !request.quiet {
        data.say(&format!("Sending {count} objects\n"))?;
    }
    let mut broken = None;
    let packed = builder.foreach(|bytes| match data.write_all(bytes) {
        Ok(()) => true,
        Err(error) => {
            broken = Some(error);
            false
        }
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    if let Err(error) = packed {
        data.fail(&format!("cannot pack: {}\n", error.message()))?;
        return Err(error.into());
    }
    data.finish()?;
    Ok(())
}

/// Tags of commits that are in the pack come along.
fn insert_tags(
    repo: &Repository,
    request: &Request,
    common: &[Oid],
    builder: &mut git2::PackBuilder<'_>,
) -> Result<(), GitHttpError> {
    let mut tags = Vec::new();
    for reference in repo.references_glob("refs/tags/*")? {
        let reference = reference?;
        if let (Some(id), Ok(commit)) = (reference.target(), reference.peel_to_commit())
            && id != commit.id()
        {
            tags.push((id, commit.id()));
        }
    }
    if tags.is_empty() {
        return Ok(());
    }
    let mut walk = repo.revwalk()?;
    for want in &request.wants {
        if let Ok(commit) = repo.find_object(*want, None).and_then(|object| object.peel_to_commit()) {
            walk.push(commit.id())?;
        }
    }
    for id in common {
        if let Ok(commit) = repo.find_object(*id, None).and_then(|object| object.peel_to_commit()) {
            walk.hide(commit.id())?;
        }
    }
    let sent: BTreeSet<Oid> = walk.collect::<Result<_, _>>()?;
    for (id, commit) in tags {
        if sent.contains(&commit) {
            builder.insert_object(id, None)?;
        }
    }
    Ok(())
}
