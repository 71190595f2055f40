//! Hides secrets in whatever leaves the machine: output as it streams, commands, messages.
//!
//! Owns what a secret looks like when programs print it (as it is, line by line, in base64, URL-encoded, in JSON) and how
//! a stream is masked although its pieces cut secrets in two. Must not know where secrets come from. Read next: [`Mask`].

mod forms;
#[cfg(test)]
mod tests;

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    nfa::{contiguous, noncontiguous},
};
use shared::secret::REDACTED;
use std::{collections::HashMap, fmt, sync::Arc};

/// Shorter secrets are not masked: their value appears everywhere by chance, so that masking would ruin the output and
/// hide nothing. [`Mask::too_short`] counts them, so that a person can be told.
pub const SHORTEST: usize = 4;

/// The secrets of a job in all forms that are looked for.
///
/// Overlapping occurrences are hidden as one: no byte of a secret stays visible beside another one.
#[derive(Default)]
pub struct Mask {
    finder: Option<Finder>,
    too_short: usize,
}

impl Mask {
    /// Takes the secrets in. Empty ones are ignored.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut patterns = Vec::new();
        let mut too_short = 0;
        for secret in secrets {
            let value = secret.trim();
            if value.len() >= SHORTEST {
                forms::all(value, &mut patterns);
            } else if !value.is_empty() {
                too_short += 1;
            }
        }
        patterns.retain(|pattern| pattern.len() >= SHORTEST);
        patterns.sort_unstable();
        patterns.dedup();
        let finder = (!patterns.is_empty()).then(|| Finder::new(&patterns));
        Self { finder, too_short }
    }

    /// How many secrets are shorter than [`SHORTEST`] bytes and therefore not hidden.
    #[must_use]
    pub fn too_short(&self) -> usize {
        self.too_short
    }

    /// Hides secrets in a whole text (a command, a message), and passwords and tokens in URLs.
    #[must_use]
    pub fn sanitize(&self, text: &str) -> String {
        let Some(finder) = &self.finder else {
            return hide_in_urls(text);
        };
        let mut masked = Vec::with_capacity(text.len());
        let mut held = Held::new(finder);
        held.push(finder, text.as_bytes(), |bytes| masked.extend_from_slice(bytes));
        held.finish(|bytes| masked.extend_from_slice(bytes));
        // Patterns are UTF-8 or ASCII, but a piece of a very long one may end inside a character.
        hide_in_urls(&String::from_utf8_lossy(&masked))
    }

    /// Begins a stream of bytes.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> MaskStream {
        MaskStream {
            mask: self.clone(),
            held: self.finder.as_ref().map(Held::new),
            partial: Vec::new(),
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

/// An automaton over all patterns that knows, for each of its states, how much of what it has read may go on to become
/// a secret.
struct Finder {
    nfa: contiguous::NFA,
    start: StateID,
    /// Bytes that leave the start state.
    first: [bool; 256],
    /// For each state other than the start: the length of the longest end of the input that is the beginning, but not
    /// the whole, of a pattern.
    open: HashMap<StateID, usize>,
}

impl Finder {
    /// `patterns` are sorted, each there once.
    fn new(patterns: &[Vec<u8>]) -> Self {
        // Building fails only for more than 2^31 states; a job's data is limited to far less.
        let limits = "a job's secrets are below the limits of the automaton";
        let noncontiguous = noncontiguous::Builder::new()
            .match_kind(MatchKind::Standard)
            .build(patterns);
        let nfa = contiguous::Builder::new()
            .build_from_noncontiguous(&noncontiguous.expect(limits))
            .expect(limits);
        let start = nfa
            .start_state(Anchored::No)
            .expect("the automaton searches everywhere");
        let begins = |bytes: &[u8]| {
            let index = patterns.partition_point(|pattern| pattern.as_slice() < bytes);
            let longer = patterns[index..].iter().find(|pattern| pattern.len() != bytes.len());
            longer.is_some_and(|pattern| pattern.starts_with(bytes))
        };
        let mut open = HashMap::new();
        for pattern in patterns {
            let mut state = start;
            for length in 1..=pattern.len() {
                state = nfa.next_state(Anchored::No, state, pattern[length - 1]);
                open.insert(state, length);
            }
            let end = (0..pattern.len()).find(|&at| begins(&pattern[at..]));
            open.insert(state, end.map_or(0, |at| pattern.len() - at));
        }
        let first = std::array::from_fn(|byte| patterns.iter().any(|pattern| usize::from(pattern[0]) == byte));
        Self {
            nfa,
            start,
            first,
            open,
        }
    }

    /// The longest pattern that ends where the automaton stands.
    fn longest_match(&self, state: StateID) -> Option<usize> {
        if !self.nfa.is_match(state) {
            return None;
        }
        let ids = (0..self.nfa.match_len(state)).map(|index| self.nfa.match_pattern(state, index));
        ids.map(|id| self.nfa.pattern_len(id)).max()
    }
}

/// Where a stream stands.
struct Held {
    state: StateID,
    /// Not yet passed on.
    bytes: Vec<u8>,
    /// So many of the first bytes belong to a secret that has already been replaced.
    covered: usize,
    /// Secrets found in `bytes`, in order and apart from each other.
    found: Vec<(usize, usize)>,
}

impl Held {
    fn new(finder: &Finder) -> Self {
        Self {
            state: finder.start,
            bytes: Vec::new(),
            covered: 0,
            found: Vec::new(),
        }
    }

    fn push(&mut self, finder: &Finder, bytes: &[u8], mut out: impl FnMut(&[u8])) {
        let mut new = bytes;
        if self.bytes.is_empty() && self.state == finder.start {
            // The usual case: nothing is pending, and most bytes begin no secret.
            let begin = new.iter().position(|&byte| finder.first[usize::from(byte)]);
            let (plain, rest) = new.split_at(begin.unwrap_or(new.len()));
            out(plain);
            new = rest;
        }
        let from = self.bytes.len();
        self.bytes.extend_from_slice(new);
        for at in from..self.bytes.len() {
            let byte = self.bytes[at];
            if self.state == finder.start && !finder.first[usize::from(byte)] {
                continue;
            }
            self.state = finder.nfa.next_state(Anchored::No, self.state, byte);
            if let Some(length) = finder.longest_match(self.state) {
                self.add(at + 1 - length, at + 1);
            }
        }
        // No secret that begins before this end can still be incomplete.
        let open = finder.open.get(&self.state).copied().unwrap_or(0);
        self.release(self.bytes.len() - open, out);
    }

    fn add(&mut self, mut start: usize, stop: usize) {
        while let Some(&(before, _)) = self.found.last().filter(|(_, end)| *end > start) {
            start = start.min(before);
            self.found.pop();
        }
        self.found.push((start, stop));
    }

    /// Passes on the first `end` bytes with secrets hidden.
    fn release(&mut self, end: usize, mut out: impl FnMut(&[u8])) {
        let mut at = self.covered;
        let mut done = 0;
        for &(start, stop) in &self.found {
            if start >= at {
                if start >= end {
                    break;
                }
                out(&self.bytes[at..start]);
                out(REDACTED.as_bytes());
            }
            at = at.max(stop);
            done += 1;
        }
        if at < end {
            out(&self.bytes[at..end]);
            at = end;
        }
        self.found.drain(..done);
        for (start, stop) in &mut self.found {
            *start -= end;
            *stop -= end;
        }
        self.bytes.drain(..end);
        self.covered = at - end;
    }

    fn finish(&mut self, out: impl FnMut(&[u8])) {
        self.release(self.bytes.len(), out);
    }
}

/// Masks a stream of bytes and makes it text. Any cut of a stream into pieces gives the same text.
///
/// Holds back only the longest end that may be the beginning of a secret or of a character. It is not let go by time:
/// a secret that is written slowly is a secret.
pub struct MaskStream {
    mask: Arc<Mask>,
    held: Option<Held>,
    /// The beginning of a character that the next bytes complete.
    partial: Vec<u8>,
}

impl MaskStream {
    /// Takes a piece and answers with what is certain. Bytes that are no UTF-8 are shown as `\xNN`.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() + 8);
        let partial = &mut self.partial;
        match (&self.mask.finder, &mut self.held) {
            (Some(finder), Some(held)) => held.push(finder, bytes, |bytes| decode(partial, bytes, &mut text)),
            _ => decode(partial, bytes, &mut text),
        }
        text
    }

    /// The stream has ended: what was held back. Nothing may be pushed any more.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let mut text = String::new();
        let partial = &mut self.partial;
        if let Some(held) = &mut self.held {
            held.finish(|bytes| decode(partial, bytes, &mut text));
        }
        show(&std::mem::take(partial), &mut text);
        text
    }
}

fn decode(partial: &mut Vec<u8>, bytes: &[u8], text: &mut String) {
    let joined;
    let mut rest = if partial.is_empty() {
        bytes
    } else {
        partial.extend_from_slice(bytes);
        joined = std::mem::take(partial);
        &joined[..]
    };
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => return text.push_str(valid),
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                let Some(length) = error.error_len() else {
                    return partial.extend_from_slice(after);
                };
                show(&after[..length], text);
                rest = &after[length..];
            }
        }
    }
}

fn show(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}

/// `scheme://user:password@host` without the password; over http, where a lone name is usually a token, without it.
fn hide_in_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'<>`".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        rest = after;
        let Some(userinfo) = authority.rfind('@').map(|at| &authority[..at]) else {
            continue;
        };
        let scheme = &before[..at];
        match userinfo.split_once(':') {
            Some((user, password)) if !password.is_empty() => out.push_str(&format!("{user}:{REDACTED}")),
            None if scheme.ends_with("http") || scheme.ends_with("https") => out.push_str(REDACTED),
            _ => out.push_str(userinfo),
        }
        rest = &after[userinfo.len()..];
    }
    out.push_str(rest);
    out
}
