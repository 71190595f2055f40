//! Push: the commands, the pack, and refs that move all at once or not at all.
//!
//! Owns which refs may be pushed: branches, tags and `refs/skep/`. A pack counts only if everything that it refers to
//! is there; a ref moves only from where the client saw it. Read next: `pkt.rs`.

use super::{
    GitHttpError, Received, RefUpdate, open,
    pkt::{self, Band, Data, Pkt},
};
use git2::{ErrorCode, Indexer, ObjectType, Oid, Reference, Repository};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    path::Path,
};

/// What the server can do for those who push.
pub(super) const CAPABILITIES: &str = "report-status delete-refs side-band-64k ofs-delta atomic quiet";

/// No push moves more refs.
const COMMAND_LIMIT: usize = 10_000;
/// The most bytes of a ref's name; libgit2 repeats the name in its errors, and each has to fit into a packet.
const NAME_LIMIT: usize = 1000;

#[derive(Debug)]
struct Command {
    old: Option<Oid>,
    new: Option<Oid>,
    name: String,
    /// Why it is refused.
    refused: Option<String>,
}

/// Serves the body of `POST git-receive-pack`. Refused commands are told to the client in the response; an error means
/// that the request could not be understood or carried out at all.
pub fn receive_pack(repo: &Path, body: &mut dyn Read) -> Result<Received, GitHttpError> {
    let repo = open(repo)?;
    let (mut commands, capabilities) = read_commands(body)?;
    if commands.is_empty() {
        return Ok(Received {
            response: Vec::new(),
            updates: Vec::new(),
        });
    }
    let has = |word: &str| capabilities.split(' ').any(|one| one == word);
    let unpacked = if commands.iter().any(|command| command.new.is_some()) {
        unpack(&repo, body, &commands)
    } else {
        Ok(())
    };
    let unpacked = match unpacked {
        Ok(()) => "ok".to_owned(),
        Err(GitHttpError::Git(error)) => {
            for command in &mut commands {
                command.refused = Some("unpacker error".to_owned());
            }
            error.message().replace('\n', " ")
        }
        Err(error) => return Err(error),
    };
    let updates = update_refs(&repo, &mut commands, has("atomic"))?;
    adopt_head(&repo, &updates)?;
    let mut report = Vec::new();
    if has("report-status") {
        pkt::text(&mut report, &format!("unpack {unpacked}\n"))?;
        for command in &commands {
            match &command.refused {
                None => pkt::text(&mut report, &format!("ok {}\n", command.name))?,
                Some(reason) => pkt::text(&mut report, &format!("ng {} {reason}\n", command.name))?,
            }
        }
        pkt::flush(&mut report)?;
    }
    let mut response = Vec::new();
    let mut data = Data::new(&mut response, Band::of(capabilities.split(' ')));
    data.write_all(&report)?;
    data.finish()?;
    Ok(Received { response, updates })
}

fn read_commands(body: &mut dyn Read) -> Result<(Vec<Command>, String), GitHttpError> {
    let bad = |what: String| GitHttpError::Protocol(what);
    let mut commands: Vec<Command> = Vec::new();
    let mut capabilities = String::new();
    while let Some(Pkt::Line(line)) = pkt::read(body)? {
        let line = String::from_utf8(line).map_err(|_| bad("a ref's name is no UTF-8".to_owned()))?;
        let (command, words) = line.split_once('\0').unwrap_or((&line, ""));
        if commands.is_empty() {
            words.trim().clone_into(&mut capabilities);
        }
        if command.starts_with("shallow ") {
            return Err(bad(
                "a shallow clone cannot be pushed here: git fetch --unshallow first".to_owned(),
            ));
        }
        let mut words = command.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err(bad(format!("{command:?} is no command")));
        };
        let id = |text: &str| match Oid::from_str(text) {
            Ok(id) if text.len() == 40 => Ok(Some(id).filter(|id| !id.is_zero())),
            _ => Err(bad(format!("{text:?} is no object id"))),
        };
        if commands.len() == COMMAND_LIMIT {
            return Err(bad(format!("one push moves at most {COMMAND_LIMIT} refs")));
        }
        commands.push(Command {
            old: id(old)?,
            new: id(new)?,
            refused: forbidden(name),
            name: name.to_owned(),
        });
    }
    let mut seen = BTreeSet::new();
    for command in &mut commands {
        if !seen.insert(command.name.clone()) {
            command.refused = Some("named twice in one push".to_owned());
        }
    }
    Ok((commands, capabilities))
}

fn forbidden(name: &str) -> Option<String> {
    if name.len() > NAME_LIMIT {
        return Some(format!("a ref's name has at most {NAME_LIMIT} bytes"));
    }
    if !Reference::is_valid_name(name) {
        return Some("no valid name of a ref".to_owned());
    }
    let allowed = ["refs/heads/", "refs/tags/", "refs/skep/"];
    if !allowed.iter().any(|prefix| name.starts_with(prefix)) {
        return Some("only branches and tags can be pushed".to_owned());
    }
    None
}

/// Takes the pack in. It is kept apart until everything that the new refs need is known to be there.
fn unpack(repo: &Repository, body: &mut dyn Read, commands: &[Command]) -> Result<(), GitHttpError> {
    let mut header = [0; 12];
    body.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => GitHttpError::Protocol("the pack is missing".to_owned()),
        _ => error.into(),
    })?;
    if !header.starts_with(b"PACK") {
        return Err(GitHttpError::Protocol("the pack does not begin as one".to_owned()));
    }
    if header[8..] == [0; 4] {
        // Refs to what is there already: the pack has no objects, which the indexer does not know how to take.
        io::copy(body, &mut io::sink())?;
        return connected(repo, commands);
    }
    let objects = repo.path().join("objects");
    let apart = tempfile::Builder::new().prefix("incoming-").tempdir_in(&objects)?;
    let incoming = apart.path().join("pack");
    fs::create_dir(&incoming)?;
    let odb = repo.odb()?;
    // Its own check for missing objects takes submodules for objects; `connected` does not.
    let mut indexer = Indexer::new(Some(&odb), &incoming, 0, false)?;
    let append = |indexer: &mut Indexer<'_>, bytes: &[u8]| {
        indexer
            .write_all(bytes)
            .map_err(|error| match error.downcast::<git2::Error>() {
                Ok(error) => GitHttpError::Git(error),
                Err(error) => GitHttpError::Io(error),
            })
    };
    let mut broken = append(&mut indexer, &header).err();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = body.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        // After an error the rest is read all the same: the client only listens when it has said everything.
        if broken.is_none() {
            broken = append(&mut indexer, &buffer[..count]).err();
        }
    }
    if let Some(error) = broken {
        return Err(error);
    }
    let name = indexer.commit()?;
    if let Some(apart) = apart.path().to_str() {
        odb.add_disk_alternate(apart)?;
    }
    connected(repo, commands)?;
    // The index last: a pack without one is not looked at.
    for kind in ["pack", "idx"] {
        let file = format!("pack-{name}.{kind}");
        fs::rename(incoming.join(&file), objects.join("pack").join(&file))?;
    }
    odb.refresh()?;
    Ok(())
}

/// Fails if the new refs need an object that is not there.
fn connected(repo: &Repository, commands: &[Command]) -> Result<(), GitHttpError> {
    let mut walk = repo.revwalk()?;
    let mut builder = repo.packbuilder()?;
    for id in commands.iter().filter_map(|command| command.new) {
        // What is missing itself, or is no commit, is told with its own ref.
        let Ok(object) = repo.find_object(id, None) else {
            continue;
        };
        match object.peel_to_commit() {
            Ok(commit) => walk.push(commit.id())?,
            Err(_) => builder.insert_recursive(id, None)?,
        }
    }
    for reference in repo.references()?.flatten() {
        if let Ok(commit) = reference.peel_to_commit() {
            walk.hide(commit.id())?;
        }
    }
    // Gathering a pack looks every object up.
    builder.insert_walk(&mut walk)?;
    Ok(())
}

fn update_refs(repo: &Repository, commands: &mut [Command], atomic: bool) -> Result<Vec<RefUpdate>, GitHttpError> {
    let mut transaction = repo.transaction()?;
    for command in commands.iter_mut().filter(|command| command.refused.is_none()) {
        command.refused = match transaction.lock_ref(&command.name) {
            Ok(()) => refusal(repo, command),
            Err(error) if error.code() == ErrorCode::Locked => Some("somebody else moves it right now".to_owned()),
            Err(error) => Some(error.message().replace('\n', " ")),
        };
    }
    if atomic && commands.iter().any(|command| command.refused.is_some()) {
        for command in commands.iter_mut() {
            command.refused.get_or_insert_with(|| "atomic push failed".to_owned());
        }
        return Ok(Vec::new());
    }
    let mut updates = Vec::new();
    for command in commands.iter_mut().filter(|command| command.refused.is_none()) {
        match command.new {
            Some(id) => transaction.set_target(&command.name, id, None, "push")?,
            None => transaction.remove(&command.name)?,
        }
        updates.push(RefUpdate {
            name: command.name.clone(),
            old: command.old.map(|id| id.to_string()),
            new: command.new.map(|id| id.to_string()),
        });
    }
    transaction.commit()?;
    Ok(updates)
}

/// Why a command cannot be carried out. Its ref is locked.
fn refusal(repo: &Repository, command: &Command) -> Option<String> {
    let current = repo.find_reference(&command.name).ok().and_then(|found| found.target());
    if current != command.old {
        return Some("it has moved meanwhile: fetch first".to_owned());
    }
    let Some(new) = command.new else {
        return current.is_none().then(|| "it does not exist".to_owned());
    };
    match repo.find_object(new, None) {
        Err(_) => Some("the object is missing".to_owned()),
        Ok(object) if command.name.starts_with("refs/heads/") && object.kind() != Some(ObjectType::Commit) => {
            Some("a branch names a commit".to_owned())
        }
        Ok(_) => None,
    }
}

/// HEAD of a new repository follows the first branch that is pushed.
fn adopt_head(repo: &Repository, updates: &[RefUpdate]) -> Result<(), GitHttpError> {
    if repo.head().is_ok() {
        return Ok(());
    }
    let mut branches: Vec<&str> = updates
        .iter()
        .filter(|update| update.new.is_some() && update.name.starts_with("refs/heads/"))
        .map(|update| update.name.as_str())
        .collect();
    branches.sort_by_key(|name| match *name {
        "refs/heads/main" => 0,
        "refs/heads/master" => 1,
        _ => 2,
    });
    if let Some(branch) = branches.first() {
        repo.set_head(branch)?;
    }
    Ok(())
}
