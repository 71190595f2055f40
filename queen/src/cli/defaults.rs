//! Settings from a TOML file: below flags and environment, above what is built in.
//!
//! Keys are the names of flags, or of their variables: where a flag and a command have one name, `token` and `[token]`, the
//! flag is also `queen-token`. At the top they count for every command that has the flag, in `[run]` or `[serve]` for that
//! one, which wins. The file becomes default values of the parser, so that one place checks all values.

use super::{Failure, exit};
use clap::{Arg, ArgAction, Command};
use shared::nearest::nearest;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// The parser with the file's settings in it: the file that `args` or the environment name, or the usual one.
pub fn with_file(command: Command, args: &[OsString]) -> Result<Command, Failure> {
    let named = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(args)
        .ok()
        .and_then(|matches| find_config(&matches));
    let Some(path) = named.or_else(usual) else {
        return Ok(command);
    };
    let bad = |why: &dyn std::fmt::Display| Failure::new(exit::NOTHING, format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| bad(&error))?;
    let table = read(&command, &text).map_err(|why| bad(&why))?;
    apply(command, &table).map_err(|why| bad(&why))
}

fn find_config(matches: &clap::ArgMatches) -> Option<PathBuf> {
    let own = matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    own.or_else(|| find_config(matches.subcommand()?.1))
}

fn usual() -> Option<PathBuf> {
    let xdg = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let base = xdg.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".config")))?;
    Some(base.join("skep/queen.toml")).filter(|path| path.is_file())
}

/// A table has each key once, so a flag and the section of a command cannot both go by one name.
fn read(command: &Command, text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        // The whole error would show the line that it is about, which may be the token's.
        let message = error.message();
        let at = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        match command.find_subcommand(at) {
            Some(_) if has(command, at) => {
                format!("{at} is there twice: beside a section [{at}] write queen-{at} = … for the flag --{at}")
            }
            _ => message.to_owned(),
        }
    })
}

/// The id of the flag that a key means: by its own name, or by that of its variable.
fn id_of(command: &Command, key: &str) -> String {
    let name = key.replace('-', "_");
    let variable = name.to_ascii_uppercase();
    let all = std::iter::once(command).chain(command.get_subcommands());
    let named = all
        .flat_map(flags)
        .find(|arg| arg.get_env().is_some_and(|env| *env == *variable));
    named.map_or(name, |arg| arg.get_id().to_string())
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some() && arg.get_id() != "config" && arg.get_id() != "help")
}

fn has(command: &Command, id: &str) -> bool {
    flags(command).any(|arg| arg.get_id() == id)
}

/// Puts a file's values into the parser; the error names the key.
fn apply(mut command: Command, table: &Table) -> Result<Command, String> {
    let (sections, keys): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    for (key, value) in keys {
        command = put_everywhere(command, key, value)?;
    }
    // Later, because what is said of one command wins over what is said of all.
    for (name, section) in sections {
        if command.find_subcommand(name).is_none() {
            return Err(unknown(name, "", command.get_subcommands().map(Command::get_name)));
        }
        for (key, value) in section.as_table().into_iter().flatten() {
            let id = id_of(&command, key);
            command = put(command, Some(name), &id, key, value)?;
        }
    }
    Ok(command)
}

fn put_everywhere(mut command: Command, key: &str, value: &Value) -> Result<Command, String> {
    let id = id_of(&command, key);
    if has(&command, &id) {
        return put(command, None, &id, key, value);
    }
    let owners: Vec<_> = command
        .get_subcommands()
        .filter(|sub| has(sub, &id))
        .map(|sub| sub.get_name().to_owned())
        .collect();
    if owners.is_empty() {
        let known = command.get_subcommands().flat_map(flags).chain(flags(&command));
        let known: Vec<_> = known.map(|arg| arg.get_id().as_str()).collect();
        return Err(unknown(key, "", known));
    }
    for owner in owners {
        command = put(command, Some(&owner), &id, key, value)?;
    }
    Ok(command)
}

fn put(command: Command, sub: Option<&str>, id: &str, key: &str, value: &Value) -> Result<Command, String> {
    let Some(sub) = sub else {
        return set(command, id, key, value, "");
    };
    let owner = command
        .find_subcommand(sub)
        .cloned()
        .ok_or_else(|| format!("there is no command {sub}"))?;
    let changed = set(owner, id, key, value, &format!(" in [{sub}]"))?;
    Ok(command.mut_subcommand(sub, |_| changed))
}

fn set(command: Command, id: &str, key: &str, value: &Value, place: &str) -> Result<Command, String> {
    if !has(&command, id) {
        let known: Vec<_> = flags(&command).map(|arg| arg.get_id().as_str()).collect();
        return Err(unknown(key, place, known));
    }
    let values =
        words(value).ok_or_else(|| format!("{key}{place} must be a text, a number, true, false, or a list"))?;
    let flag = flags(&command).find(|arg| arg.get_id() == id);
    let many = flag.is_some_and(|arg| matches!(arg.get_action(), ArgAction::Append));
    if !many && values.len() != 1 {
        return Err(format!("{key}{place} takes one value, not a list"));
    }
    // Secrets are marked where they stand as values that help never shows.
    Ok(command.mut_arg(id, |arg| arg.required(false).default_values(values)))
}

fn words(value: &Value) -> Option<Vec<String>> {
    Some(match value {
        Value::String(text) => vec![text.clone()],
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => vec![value.to_string()],
        Value::Array(list) => list.iter().map(words).collect::<Option<Vec<_>>>()?.concat(),
        Value::Table(_) | Value::Datetime(_) => return None,
    })
}

fn unknown<'a>(key: &str, place: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let hint = nearest(key, known)
        .map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default();
    format!("unknown key {key:?}{place}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn with(text: &str) -> Result<Command, String> {
        apply(command(), &text.parse().unwrap())
    }

    fn value(command: Command, args: &[&str], id: &str) -> String {
        let matches = command.try_get_matches_from(args).unwrap();
        let mut values = matches.subcommand().unwrap().1.get_raw(id).unwrap();
        values.next().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn flags_win_over_the_file_and_sections_over_nothing() {
        let command = with("queen = 'http://file'\n[serve]\nlisten = '127.0.0.1:1'\nrequire-token = true").unwrap();
        assert_eq!(value(command.clone(), &["queen", "serve"], "listen"), "127.0.0.1:1");
        assert_eq!(value(command.clone(), &["queen", "serve"], "require_token"), "true");
        assert_eq!(
            value(
                command.clone(),
                &["queen", "serve", "--listen", "127.0.0.1:2"],
                "listen"
            ),
            "127.0.0.1:2"
        );
        assert_eq!(value(command, &["queen", "jobs"], "queen"), "http://file");
    }

    #[test]
    fn a_section_wins_over_the_top_whatever_their_names() {
        for text in [
            "spread = 2\n[run]\nspread = 3",
            "database = 'a'\n[backup]\ndatabase = '3'",
        ] {
            let (command, id) = match text.starts_with("spread") {
                true => (["queen", "run"].as_slice(), "spread"),
                false => (["queen", "backup", "x.tar"].as_slice(), "database"),
            };
            assert_eq!(value(with(text).unwrap(), command, id), "3");
        }
        let top = with("database = 'a'\n[backup]\ndatabase = '3'").unwrap();
        assert_eq!(value(top, &["queen", "restore", "x.tar"], "database"), "a");
    }

    #[test]
    fn a_flag_with_the_name_of_a_command_goes_by_its_variable_beside_the_section() {
        let clashing: Vec<_> = {
            let command = command();
            let names = command.get_subcommands().map(Command::get_name);
            names.filter(|name| has(&command, name)).map(str::to_owned).collect()
        };
        assert_eq!(clashing, ["token"]);
        for key in ["queen-token", "queen_token", "QUEEN_TOKEN"] {
            let command = with(&format!("{key} = 'one'\n[token]\ndatabase = 'two'")).unwrap();
            assert_eq!(value(command.clone(), &["queen", "token", "list"], "database"), "two");
            assert_eq!(value(command, &["queen", "jobs"], "token"), "one");
        }
        let command = with("token = 'one'\n[serve]\nqueen-listen = '127.0.0.1:1'").unwrap();
        assert_eq!(value(command.clone(), &["queen", "serve"], "listen"), "127.0.0.1:1");
        assert_eq!(value(command, &["queen", "jobs"], "token"), "one");
        for text in [
            "token = 'hunter2'\n[token]\ndatabase = 'x'",
            "token = 'hunter2'\ntoken.database = 'x'",
            "token.database = 'x'\ntoken = 'hunter2'",
        ] {
            let error = read(&crate::cli::command(), text).unwrap_err();
            assert_eq!(
                error,
                "token is there twice: beside a section [token] write queen-token = … for the flag --token"
            );
        }
        let error = read(&crate::cli::command(), "data = 'hunter2'\ndata = 'x'").unwrap_err();
        assert!(error.contains("duplicate key") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn lists_become_repeated_flags() {
        let command = with("[run]\nlabel = ['a', 'b']\nspread = 3").unwrap();
        let matches = command.try_get_matches_from(["queen", "run"]).unwrap();
        let run = matches.subcommand().unwrap().1;
        let labels: Vec<_> = run.get_many::<String>("label").unwrap().collect();
        assert_eq!(labels, ["a", "b"]);
    }

    #[test]
    fn errors_name_the_key_and_the_nearest_known() {
        for (text, message) in [
            ("lisen = '1'", "unknown key \"lisen\"; did you mean \"listen\"?"),
            ("[sevre]", "unknown key \"sevre\"; did you mean \"serve\"?"),
            (
                "[serve]\nlitsen = '1'",
                "unknown key \"litsen\" in [serve]; did you mean \"listen\"?",
            ),
            ("[serve]\nlisten = ['a', 'b']", "takes one value"),
            ("[serve]\nlisten = 2026-01-01", "must be a text"),
        ] {
            let error = with(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
