//! The pieces that a JavaScript module is made of: as much of the grammar as it takes to tell code from text.
//!
//! Owns where strings, templates, comments and regular expressions begin and end. Knows no statement. Read next:
//! `module.rs`.

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// White space and comments; of a licence, the comment itself.
    Gap,
    /// A name, a keyword or a number.
    Word,
    /// A string in quotes, with them.
    Text,
    /// A regular expression, or the text of a template up to the next expression in it, with what opens and closes it.
    Opaque,
    /// One character of punctuation.
    Mark,
}

/// A piece of a module.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// In how many brackets of any kind it stands; a bracket itself stands outside.
    pub depth: usize,
    /// Its line, from 1.
    pub line: usize,
}

/// Words after which a `/` begins a regular expression.
const BEFORE_EXPRESSION: &[&str] = &[
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "delete",
    "void",
    "instanceof",
    "new",
    "throw",
    "else",
    "do",
    "yield",
    "await",
];

/// All pieces of `source`, which put together are it again.
///
/// # Errors
/// What does not end, or closes what was not open, with its line.
pub fn pieces(source: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut scan = Scan {
        source,
        at: 0,
        line: 1,
        open: Vec::new(),
        found: Vec::new(),
    };
    while scan.at < source.len() {
        scan.next()?;
    }
    match scan.open.last() {
        Some(open) => Err(format!("a {open} is not closed")),
        None => Ok(scan.found),
    }
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    /// Brackets that are open; `` ` `` for an expression of a template.
    open: Vec<char>,
    found: Vec<Piece<'a>>,
}

impl Scan<'_> {
    fn next(&mut self) -> Result<(), String> {
        let rest = &self.source[self.at..];
        let first = rest.as_bytes()[0];
        let (kind, length) = match first {
            _ if rest.starts_with(char::is_whitespace) => (Kind::Gap, end(rest, |c| !c.is_whitespace())),
            b'/' if rest.starts_with("//") => (Kind::Gap, end(rest, |c| c == '\n')),
            b'/' if rest.starts_with("/*") => (Kind::Gap, self.until(rest, 2, "*/", "comment")?),
            b'/' if self.expects_expression() => (Kind::Opaque, self.regex(rest)?),
            b'"' | b'\'' => (Kind::Text, self.text(rest)?),
            b'`' => (Kind::Opaque, self.template(rest)?),
            b'}' if self.open.last() == Some(&'`') => {
                self.open.pop();
                (Kind::Opaque, self.template(rest)?)
            }
            _ if rest.starts_with(in_word) => (Kind::Word, end(rest, |c| !in_word(c))),
            _ => (Kind::Mark, rest.chars().next().map_or(1, char::len_utf8)),
        };
        let text = &rest[..length];
        let opens_expression = kind == Kind::Opaque && text.ends_with("${") && !text.starts_with('/');
        if kind == Kind::Mark && matches!(first, b')' | b']' | b'}') {
            let opening = match first {
                b')' => '(',
                b']' => '[',
                _ => '{',
            };
            if self.open.pop() != Some(opening) {
                return Err(format!("line {}: {text} closes what is not open", self.line));
            }
        }
        self.found.push(Piece {
            kind,
            text,
            depth: self.open.len(),
            line: self.line,
        });
        if opens_expression {
            self.open.push('`');
        } else if kind == Kind::Mark && matches!(first, b'(' | b'[' | b'{') {
            self.open.push(char::from(first));
        }
        self.at += length;
        self.line += text.matches('\n').count();
        Ok(())
    }

    /// True where a value may begin, so that a `/` is no division.
    fn expects_expression(&self) -> bool {
        let Some(before) = self.found.iter().rev().find(|piece| piece.kind != Kind::Gap) else {
            return true;
        };
        match before.kind {
            Kind::Word => BEFORE_EXPRESSION.contains(&before.text),
            Kind::Mark => !matches!(before.text, ")" | "]"),
            Kind::Opaque => before.text.ends_with("${") && !before.text.starts_with('/'),
            Kind::Text | Kind::Gap => false,
        }
    }

    fn until(&self, rest: &str, from: usize, close: &str, what: &str) -> Result<usize, String> {
        let at = rest[from..].find(close);
        at.map(|at| from + at + close.len())
            .ok_or_else(|| format!("line {}: a {what} does not end", self.line))
    }

    fn text(&self, rest: &str) -> Result<usize, String> {
        let quote = rest.as_bytes()[0];
        self.escaped(rest, "string", |bytes, at| match bytes[at] {
            b'\n' => None,
            byte => Some((byte == quote).then_some(at + 1)),
        })
    }

    /// From `` ` `` or `}` up to `${` or `` ` ``, with them.
    fn template(&self, rest: &str) -> Result<usize, String> {
        self.escaped(rest, "template", |bytes, at| {
            Some(match bytes[at] {
                b'`' => Some(at + 1),
                b'$' if bytes.get(at + 1) == Some(&b'{') => Some(at + 2),
                _ => None,
            })
        })
    }

    fn regex(&self, rest: &str) -> Result<usize, String> {
        let mut class = false;
        let close = self.escaped(rest, "regular expression", |bytes, at| {
            match bytes[at] {
                b'\n' => return None,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => return Some(Some(at + 1)),
                _ => {}
            }
            Some(None)
        })?;
        Ok(close + end(&rest[close..], |c| !in_word(c)))
    }

    /// Where what begins `rest` ends, said by `ends` for each byte that no backslash stands before: `None` where it cannot
    /// go on.
    fn escaped(
        &self,
        rest: &str,
        what: &str,
        mut ends: impl FnMut(&[u8], usize) -> Option<Option<usize>>,
    ) -> Result<usize, String> {
        let bytes = rest.as_bytes();
        let mut at = 1;
        while at < bytes.len() {
            if bytes[at] == b'\\' {
                at += 2;
                continue;
            }
            match ends(bytes, at) {
                None => break,
                Some(Some(end)) => return Ok(end),
                Some(None) => at += 1,
            }
        }
        Err(format!("line {}: a {what} does not end", self.line))
    }
}

/// What a name, a keyword or a number is made of; private names begin with `#`.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '#')
}

/// Where the first character is for which `stop` holds.
fn end(text: &str, stop: impl FnMut(char) -> bool) -> usize {
    text.find(stop).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<(Kind, &str)> {
        let pieces = pieces(source).unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.text).collect::<String>(), source);
        pieces
            .into_iter()
            .filter(|piece| piece.kind != Kind::Gap)
            .map(|piece| (piece.kind, piece.text))
            .collect()
    }

    #[test]
    fn texts_of_all_kinds_are_no_code() {
        use Kind::{Mark, Opaque, Text, Word};
        assert_eq!(
            kinds(r#"a = 'im\'port' + "// no";"#),
            [
                (Word, "a"),
                (Mark, "="),
                (Text, r"'im\'port'"),
                (Mark, "+"),
                (Text, "\"// no\""),
                (Mark, ";")
            ]
        );
        assert_eq!(
            kinds("`a ${b + `in ${c} /* text */`} \\` \\${ // text`"),
            [
                (Opaque, "`a ${"),
                (Word, "b"),
                (Mark, "+"),
                (Opaque, "`in ${"),
                (Word, "c"),
                (Opaque, "} /* text */`"),
                (Opaque, "} \\` \\${ // text`")
            ]
        );
        assert_eq!(
            kinds("x = a / b / c; y = /[/'`]\\/\"/gi.test(z) || f(/'/)"),
            [
                (Word, "x"),
                (Mark, "="),
                (Word, "a"),
                (Mark, "/"),
                (Word, "b"),
                (Mark, "/"),
                (Word, "c"),
                (Mark, ";"),
                (Word, "y"),
                (Mark, "="),
                (Opaque, "/[/'`]\\/\"/gi"),
                (Mark, "."),
                (Word, "test"),
                (Mark, "("),
                (Word, "z"),
                (Mark, ")"),
                (Mark, "|"),
                (Mark, "|"),
                (Word, "f"),
                (Mark, "("),
                (Opaque, "/'/"),
                (Mark, ")")
            ]
        );
        assert_eq!(
            kinds("return /x/ // '\n/* ` */ ü"),
            [(Word, "return"), (Opaque, "/x/"), (Word, "ü")]
        );
    }

    #[test]
    fn depth_and_line_are_known() {
        let source = "a(\n{b: `${c}`})\nd";
        let find = |text: &str| {
            let all = pieces(source).unwrap();
            let piece = all.iter().find(|piece| piece.text == text).unwrap();
            (piece.depth, piece.line)
        };
        assert_eq!(
            [find("a"), find("b"), find("c"), find(")"), find("d")],
            [(0, 1), (2, 2), (3, 2), (0, 2), (0, 3)]
        );
    }

    #[test]
    fn what_does_not_end_is_said() {
        for (source, why) in [
            ("a = 'b\n'", "line 1: a string does not end"),
            ("\n`a ${b", "a ` is not closed"),
            ("\n`a", "line 2: a template does not end"),
            ("/* a", "line 1: a comment does not end"),
            ("x = /a\n/", "line 1: a regular expression does not end"),
            ("(a", "a ( is not closed"),
            ("(a]", "line 1: ] closes what is not open"),
        ] {
            assert_eq!(pieces(source).unwrap_err(), why, "{source}");
        }
    }
}
