//! What is made of the page's files before they are sent: modules joined (`join.rs`), and an `index.html` that brings its
//! styles and its first script along. So that a browser asks for few files, none of which it could have known of only by
//! reading another.
//!
//! Owns that all of it can be made, or else nothing is and the files go out as they lie there. Knows no request.

use super::join::{Joined, join};
use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fmt::Write};

/// A file as it is served.
#[derive(Debug, Clone)]
pub struct File {
    pub data: Bytes,
    /// SHA-256 of `data`.
    pub hash: [u8; 32],
    /// What the browser lets the file do, if that is more than nothing.
    pub policy: Option<String>,
    /// There is a source map of it: its name with `.map`.
    pub map: bool,
}

impl File {
    fn new(text: String) -> Self {
        Self {
            hash: Sha256::digest(&text).into(),
            data: Bytes::from(text),
            policy: None,
            map: false,
        }
    }
}

/// Files that are served in the place of those that lie there, by name, and what they were made of.
#[derive(Debug)]
pub struct Made {
    pub files: HashMap<String, File>,
    pub of: [u8; 32],
    /// Why modules are not joined.
    pub problem: Option<String>,
}

/// One hash over all that something is made of.
pub fn inputs(names: impl Iterator<Item = impl AsRef<str>>, read: impl Fn(&str) -> Option<File>) -> [u8; 32] {
    let mut all = Sha256::new();
    for name in names {
        if let Some(file) = read(name.as_ref()) {
            all.update(name.as_ref());
            all.update(file.hash);
        }
    }
    all.finalize().into()
}

impl Made {
    /// Makes what can be made of the page `index` and of what it names.
    pub fn of(index: &str, of: [u8; 32], read: impl Fn(&str) -> Option<File>) -> Self {
        let text = |name: &str| {
            let file = read(name.trim_start_matches('/'))?;
            String::from_utf8(file.data.to_vec()).ok()
        };
        let mut files = HashMap::new();
        let mut problem = None;
        if let Some(page) = text(index) {
            if let Some(root) = root(&page) {
                match join(&root, text) {
                    Ok(joined) => joined
                        .into_iter()
                        .for_each(|(name, joined)| put(&mut files, &name, joined)),
                    Err(why) => problem = Some(why),
                }
            }
            let page = whole(&page, text);
            let policy = policy(&page);
            let file = File {
                policy: Some(policy),
                ..File::new(page)
            };
            files.insert(index.to_owned(), file);
        }
        Self { files, of, problem }
    }
}

fn put(files: &mut HashMap<String, File>, address: &str, Joined { code, map }: Joined) {
    let name = address.trim_start_matches('/');
    files.insert(
        name.to_owned(),
        File {
            map: true,
            ..File::new(code)
        },
    );
    files.insert(format!("{name}.map"), File::new(map));
}

/// The address of the module that the page begins with.
fn root(page: &str) -> Option<String> {
    let tags = page
        .split('<')
        .filter(|tag| tag.starts_with("script ") && tag.contains("type=\"module\""));
    tags.filter_map(|tag| attribute(tag, "src")).next().map(str::to_owned)
}

/// The page with the styles and plain scripts that it names within it. What is not there stays a link.
fn whole(page: &str, read: impl Fn(&str) -> Option<String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in page.lines() {
        let tag = line.trim();
        let style = tag.starts_with("<link rel=\"stylesheet\"");
        let script = tag.starts_with("<script src=");
        let name = attribute(tag, if style { "href" } else { "src" }).filter(|_| style || script);
        match name.and_then(&read) {
            // What would end the element in mid-text stays outside.
            Some(text) if text.contains("</") => lines.push(line.to_owned()),
            Some(text) => {
                let element = if style { "style" } else { "script" };
                let close = format!("</{element}>");
                let text = text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
                match lines
                    .last_mut()
                    .and_then(|last| last.strip_suffix(&close).map(str::len).zip(Some(last)))
                {
                    // One after the other, in one element.
                    Some((length, last)) if last.starts_with(&format!("<{element}>")) => {
                        last.truncate(length);
                        last.push_str(&format!("{text}\n{close}"));
                    }
                    _ => lines.push(format!("<{element}>\n{text}\n{close}")),
                }
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The value of an attribute, as this page writes them: in double quotes.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// What the browser lets the page do. The hashes let in what the page holds itself.
pub fn policy(page: &str) -> String {
    let hashes = |element: &str| {
        inline(page, element).fold(String::new(), |mut all, text| {
            // Writing to a String does not fail.
            let _ = write!(all, " 'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
            all
        })
    };
    format!(
        "default-src 'none'; script-src 'self'{}; style-src 'self'{}; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        hashes("script"),
        hashes("style")
    )
}

/// The text of every such element of `page` that names no source.
fn inline<'a>(page: &'a str, element: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(&format!("<{element}"))
        .skip(1)
        .filter_map(move |rest| {
            let (attributes, rest) = rest.split_once('>')?;
            let (text, _) = rest.split_once("</")?;
            (!attributes.contains("src=")).then_some(text)
        })
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[(&str, &str)]) -> Made {
        Made::of("index.html", [0; 32], |name| {
            let found = files.iter().find(|(other, _)| *other == name)?;
            Some(File::new(found.1.to_owned()))
        })
    }

    fn text(made: &Made, name: &str) -> String {
        String::from_utf8(made.files[name].data.to_vec()).unwrap()
    }

    const PAGE: &str = "<head>\n  <link rel=\"stylesheet\" href=\"/a.css\">\n  <link rel=\"stylesheet\" href=\"/b.css\">\n  \
        <script src=\"/first.js\"></script>\n  <script type=\"module\" src=\"/app.js\"></script>\n</head>\n";

    #[test]
    fn a_page_brings_its_styles_and_its_first_script_along() {
        let made = made(&[
            ("index.html", PAGE),
            ("a.css", "a {\n  color: red;\n}\n"),
            ("b.css", "b {}\n"),
            ("first.js", "one();\n"),
            ("app.js", "import './lib/x.js';\n"),
            ("lib/x.js", "two();\n"),
        ]);
        assert_eq!(
            text(&made, "index.html"),
            "<head>\n<style>\na {\ncolor: red;\n}\nb {}\n</style>\n<script>\none();\n</script>\n  \
             <script type=\"module\" src=\"/app.js\"></script>\n</head>\n"
        );
        assert!(text(&made, "app.js").contains("two();"));
        assert!(made.files["app.js"].map && text(&made, "app.js.map").contains("/lib/x.js"));
        assert_eq!(made.problem, None);
        let policy = made.files["index.html"].policy.clone().unwrap();
        // printf '\none();\n' | openssl dgst -sha256 -binary | base64
        let script = STANDARD.encode(Sha256::digest("\none();\n"));
        let style = STANDARD.encode(Sha256::digest("\na {\ncolor: red;\n}\nb {}\n"));
        assert!(
            policy.contains(&format!(
                "script-src 'self' 'sha256-{script}'; style-src 'self' 'sha256-{style}';"
            )),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn what_cannot_be_made_stays_as_it_is() {
        let made = made(&[
            ("index.html", PAGE),
            ("a.css", "a::before { content: '</style>' }"),
            ("app.js", "import './lib/x.js';\n"),
        ]);
        assert_eq!(text(&made, "index.html"), PAGE);
        assert_eq!(made.files.len(), 1);
        assert_eq!(made.problem.as_deref(), Some("/lib/x.js is imported and not there"));
        assert!(!policy(PAGE).contains("sha256"));
    }

    #[test]
    fn only_inline_scripts_are_hashed() {
        let page = "<script type=\"importmap\">{}</script><script type=\"module\" src=\"/app.js\"></script>";
        assert_eq!(inline(page, "script").collect::<Vec<_>>(), ["{}"]);
        // printf '{}' | openssl dgst -sha256 -binary | base64
        assert!(policy(page).contains("'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o='"));
    }
}
