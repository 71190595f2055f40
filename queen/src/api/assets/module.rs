//! One module of the page, taken apart into what it imports, what it exports, and a body that can stand in a function.
//!
//! Owns which statements of that kind are understood; of all others it says which line and why. Knows no file. Read next:
//! `join.rs`.

use super::scan::{Kind, Piece, pieces};
use std::fmt::Write;

/// By this name the body asks for another module; see `join.rs`.
pub const ASK: &str = "skep$module";
/// What is exported without a name has this one.
const NAMELESS: &str = "skep$default";

/// A module as a function's body.
#[derive(Debug, PartialEq, Eq)]
pub struct Module {
    /// Modules that it needs before it runs, by their addresses.
    pub imports: Vec<String>,
    /// Modules that it loads when it wants to.
    pub later: Vec<String>,
    /// Names of what others can import.
    pub exports: Vec<String>,
    /// Statements that end with the return of all that is exported.
    pub body: String,
    /// For each line of the body, its line in the source, from 1.
    pub lines: Vec<usize>,
}

/// Reads the module at `address`, such as `/lib/api.js`.
///
/// # Errors
/// The line and what is not understood there.
pub fn read(address: &str, source: &str) -> Result<Module, String> {
    let pieces = pieces(source)?;
    let solid: Vec<usize> = (0..pieces.len()).filter(|&i| pieces[i].kind != Kind::Gap).collect();
    let mut reader = Reader {
        address,
        replaced: vec![None; pieces.len()],
        pieces,
        solid,
        at: 0,
        head: String::new(),
        imports: Vec::new(),
        later: Vec::new(),
        exports: Vec::new(),
    };
    while reader.at < reader.solid.len() {
        reader.statement()?;
    }
    Ok(reader.finish())
}

/// The address that `name` means in the module at `address`; `None` if it means none of this page.
fn resolve(address: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = match name.as_bytes() {
        [b'/', ..] => Vec::new(),
        [b'.', ..] => address.split('/').collect(),
        _ => return None,
    };
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().filter(|part| !part.is_empty())?;
            }
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    Some(format!("/{}", parts.join("/")))
}

struct Reader<'a> {
    address: &'a str,
    pieces: Vec<Piece<'a>>,
    /// What stands in a piece's place.
    replaced: Vec<Option<String>>,
    /// Pieces that are no gaps.
    solid: Vec<usize>,
    /// How many of those are read.
    at: usize,
    head: String,
    imports: Vec<String>,
    later: Vec<String>,
    /// `(name outside, name within)`.
    exports: Vec<(String, String)>,
}

impl<'a> Reader<'a> {
    /// The solid piece `ahead` of the next one.
    fn peek(&self, ahead: usize) -> Option<Piece<'a>> {
        self.solid.get(self.at + ahead).map(|&i| self.pieces[i])
    }

    fn is(&self, ahead: usize, text: &str) -> bool {
        self.peek(ahead).is_some_and(|piece| piece.text == text)
    }

    fn refuse<T>(&self, why: &str) -> Result<T, String> {
        let line = self
            .peek(0)
            .or(self.pieces.last().copied())
            .map_or(0, |piece| piece.line);
        Err(format!("line {line}: {why}"))
    }

    /// Takes the next solid piece out of the text.
    fn take(&mut self) -> Result<Piece<'a>, String> {
        let Some(piece) = self.peek(0) else {
            return self.refuse("the module ends in mid-statement");
        };
        self.replaced[self.solid[self.at]] = Some(String::new());
        self.at += 1;
        Ok(piece)
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let piece = self.take()?;
        if piece.kind == Kind::Word {
            return Ok(piece.text);
        }
        self.at -= 1;
        self.refuse("a name is missing")
    }

    fn taken(&mut self, text: &str) -> Result<bool, String> {
        let there = self.is(0, text);
        if there {
            self.take()?;
        }
        Ok(there)
    }

    /// Reads on by one piece, or by one statement that imports or exports.
    fn statement(&mut self) -> Result<(), String> {
        let Some(piece) = self.peek(0) else { return Ok(()) };
        let of_object = self.at > 0 && self.pieces[self.solid[self.at - 1]].text == ".";
        if piece.kind != Kind::Word || of_object {
            self.at += 1;
            return Ok(());
        }
        match piece.text {
            "import" if self.is(1, "(") => self.load(),
            "import" if self.is(1, ".") => self.refuse("a module that asks for its own address cannot be joined"),
            "import" if piece.depth == 0 => self.import(),
            "export" if piece.depth == 0 => self.export(),
            "await" if piece.depth == 0 => self.refuse("a module that waits cannot stand in a function"),
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    /// `import('…')`
    fn load(&mut self) -> Result<(), String> {
        self.at += 2;
        if !self.is(1, ")") {
            return self.refuse("what is loaded later has to be named by one string");
        }
        let address = self.named()?;
        let last = self.solid[self.at - 1];
        self.replaced[last] = Some(format!("'{address}'"));
        self.later.push(address);
        Ok(())
    }

    /// The address that the next piece names.
    fn named(&mut self) -> Result<String, String> {
        let piece = self.take()?;
        let name = piece.text.trim_matches(['"', '\'']);
        let known = if piece.kind == Kind::Text {
            resolve(self.address, name)
        } else {
            None
        };
        known.ok_or_else(|| format!("line {}: {} is no address of this page", piece.line, piece.text))
    }

    /// `import a, { b, c as d } from '…';`, `import * as a from '…';`, `import '…';`
    fn import(&mut self) -> Result<(), String> {
        self.take()?;
        let mut names = Vec::new();
        let mut whole = None;
        if self.peek(0).is_some_and(|piece| piece.kind != Kind::Text) {
            loop {
                if self.taken("*")? {
                    if !self.taken("as")? {
                        return self.refuse("`as` is missing");
                    }
                    whole = Some(self.word()?);
                } else if self.taken("{")? {
                    names.extend(self.list(": ")?);
                } else {
                    names.push(format!("default: {}", self.word()?));
                }
                if !self.taken(",")? {
                    break;
                }
            }
            if !self.taken("from")? {
                return self.refuse("this import is not understood");
            }
        }
        let address = self.named()?;
        if self.is(0, "with") {
            return self.refuse("imports with attributes are not understood");
        }
        self.taken(";")?;
        // Writing to a String does not fail.
        if let Some(whole) = whole {
            let _ = writeln!(self.head, "const {whole} = {ASK}('{address}');");
        }
        if !names.is_empty() {
            let _ = writeln!(self.head, "const {{ {} }} = {ASK}('{address}');", names.join(", "));
        }
        self.imports.push(address);
        Ok(())
    }

    /// The rest of `{ a, b as c }`: `a`, and both names of `b` with `between` them.
    fn list(&mut self, between: &str) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        while !self.taken("}")? {
            let name = self.word()?;
            let other = if self.taken("as")? { Some(self.word()?) } else { None };
            names.push(other.map_or_else(|| name.to_owned(), |other| format!("{name}{between}{other}")));
            if !self.taken(",")? && !self.is(0, "}") {
                return self.refuse("this list of names is not understood");
            }
        }
        Ok(names)
    }

    fn export(&mut self) -> Result<(), String> {
        self.take()?;
        if self.taken("{")? {
            for one in self.list(" ")? {
                let (within, outside) = one.split_once(' ').unwrap_or((&one, &one));
                self.exports.push((outside.to_owned(), within.to_owned()));
            }
            if self.is(0, "from") {
                return self.refuse("what others export is imported first");
            }
            self.taken(";")?;
            return Ok(());
        }
        if self.is(0, "default") {
            return self.nameless();
        }
        if self.is(0, "const") {
            return self.constant();
        }
        let mut ahead = 0;
        while ["async", "function", "class"].iter().any(|word| self.is(ahead, word)) {
            ahead += 1;
        }
        // That of a generator.
        ahead += usize::from(ahead > 0 && self.is(ahead, "*"));
        match self.peek(ahead) {
            Some(name) if ahead > 0 && name.kind == Kind::Word => {
                self.exports.push((name.text.to_owned(), name.text.to_owned()));
                self.at += ahead;
                Ok(())
            }
            _ => self.refuse("constants, functions and classes can be exported; this is not understood"),
        }
    }

    /// `export const a = …;`
    fn constant(&mut self) -> Result<(), String> {
        let Some(name) = self.peek(1).filter(|piece| piece.kind == Kind::Word) else {
            return self.refuse("constants are exported one by one, by their names");
        };
        let outside = |piece: &&Piece<'_>| piece.depth == 0;
        let rest = self.solid[self.at..].iter().map(|&i| &self.pieces[i]);
        let ends = rest.filter(outside).find(|piece| matches!(piece.text, "," | ";"));
        if ends.is_some_and(|piece| piece.text == ",") {
            return self.refuse("constants are exported one by one, by their names");
        }
        self.exports.push((name.text.to_owned(), name.text.to_owned()));
        self.at += 2;
        Ok(())
    }

    /// `export default …;`
    fn nameless(&mut self) -> Result<(), String> {
        let named = ["function", "class"].iter().any(|word| self.is(1, word))
            && self
                .peek(2)
                .is_some_and(|piece| piece.kind == Kind::Word && piece.text != "extends");
        if named || self.is(1, "async") || (self.is(1, "function") && self.is(2, "*")) {
            return self.refuse("what has a name is exported by it");
        }
        let declares = self.is(1, "function") || self.is(1, "class");
        self.replaced[self.solid[self.at]] = Some(format!("const {NAMELESS} ="));
        self.at += 1;
        if declares {
            // As a value, it ends with a semicolon.
            let rest = &self.solid[self.at..];
            let close = rest
                .iter()
                .copied()
                .find(|&i| self.pieces[i].depth == 0 && self.pieces[i].text == "}");
            let Some(close) = close else {
                return self.refuse("this does not end");
            };
            self.replaced[close] = Some("};".to_owned());
        }
        self.exports.push(("default".to_owned(), NAMELESS.to_owned()));
        Ok(())
    }

    fn finish(self) -> Module {
        let mut body = self.head;
        let mut lines = vec![1; body.matches('\n').count() + 1];
        for (piece, replaced) in self.pieces.iter().zip(&self.replaced) {
            let text = match replaced {
                Some(text) => text.as_str(),
                None if piece.kind != Kind::Gap || piece.text.starts_with("/*!") => piece.text,
                // One line after the other, without what surrounds them.
                None if piece.text.contains('\n') => "\n",
                None => " ",
            };
            if matches!(text, "\n" | " ") && (body.is_empty() || body.ends_with(['\n', ' '])) {
                if text == "\n" && body.ends_with(' ') {
                    body.pop();
                } else {
                    continue;
                }
            }
            if (body.is_empty() || body.ends_with('\n'))
                && let Some(last) = lines.last_mut()
            {
                *last = piece.line;
            }
            body.push_str(text);
            let spans = text.matches('\n').count();
            lines.extend((1..=spans).map(|n| piece.line + n));
        }
        body.truncate(body.trim_end_matches(' ').len());
        if !body.ends_with('\n') {
            body.push('\n');
            lines.push(1);
        }
        let exports: Vec<String> = self
            .exports
            .iter()
            .map(|(outside, within)| {
                if outside == within {
                    outside.clone()
                } else {
                    format!("{outside}: {within}")
                }
            })
            .collect();
        let _ = writeln!(body, "return {{ {} }};", exports.join(", "));
        Module {
            imports: self.imports,
            later: self.later,
            exports: self.exports.into_iter().map(|(outside, _)| outside).collect(),
            body,
            lines,
        }
    }
}
