//! The page's modules joined into few files: one that the page begins with, and one for each that is loaded later.
//!
//! Owns which module goes into which file, and that each runs once and after all that it imports. A module is a function there,
//! asked for by its address; `module.rs` makes it. Where a file came from is in a source map. Read next: `../assets.rs`.

use super::module::{ASK, Module, read};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// What a joined file begins with, where the page begins: modules that have run, by address.
const REGISTRY: &str = "const modules = new Map();
export function skep$module(address, make) {
if (make && !modules.has(address)) modules.set(address, make());
if (!modules.has(address)) throw new Error(`${address} is of another version of this page: load the page anew`);
return modules.get(address);
}
";

/// A file that stands for a module and for what it imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// A module that exports what the one at its address does.
    pub code: String,
    /// Its source map: line for line, where it came from.
    pub map: String,
}

/// Joins what is reached from the module at `root`; `source` gives a module's text. Answers by address: the root and
/// everything that is loaded later.
///
/// # Errors
/// Which module is not understood or not there, or imports itself by way of others.
pub fn join(root: &str, source: impl Fn(&str) -> Option<String>) -> Result<BTreeMap<String, Joined>, String> {
    let mut modules = BTreeMap::new();
    let mut wanted = vec![root.to_owned()];
    while let Some(address) = wanted.pop() {
        if modules.contains_key(&address) {
            continue;
        }
        let text = source(&address).ok_or_else(|| format!("{address} is imported and not there"))?;
        let module = read(&address, &text).map_err(|why| format!("{address}, {why}"))?;
        wanted.extend(module.imports.iter().chain(&module.later).cloned());
        modules.insert(address, module);
    }
    let house = House {
        root,
        modules: &modules,
    };
    let mut closures = BTreeMap::new();
    for entry in house.entries() {
        let mut order = Vec::new();
        house.needs(entry, &mut Vec::new(), &mut order)?;
        closures.insert(entry, order);
    }
    let there = house.there(&closures);
    let joined = closures.iter().map(|(entry, order)| {
        let own = order.iter().copied().filter(|address| !there[entry].contains(address));
        ((*entry).to_owned(), house.write(entry, own))
    });
    Ok(joined.collect())
}

struct House<'a> {
    root: &'a str,
    modules: &'a BTreeMap<String, Module>,
}

type Closures<'a> = BTreeMap<&'a str, Vec<&'a str>>;

impl<'a> House<'a> {
    fn entries(&self) -> BTreeSet<&'a str> {
        let later = self.modules.values().flat_map(|module| &module.later);
        later.map(String::as_str).chain([self.root]).collect()
    }

    /// Adds to `order` what `address` needs, each after what it needs itself.
    fn needs(&self, address: &'a str, way: &mut Vec<&'a str>, order: &mut Vec<&'a str>) -> Result<(), String> {
        if order.contains(&address) {
            return Ok(());
        }
        if let Some(from) = way.iter().position(|other| *other == address) {
            return Err(format!("{} import each other", way[from..].join(", ")));
        }
        way.push(address);
        for other in &self.modules[address].imports {
            self.needs(other, way, order)?;
        }
        way.pop();
        order.push(address);
        Ok(())
    }

    /// For each entry, the modules that have run whenever it is loaded: those of whatever can load it, on every way.
    fn there(&self, closures: &Closures<'a>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let everything: BTreeSet<&str> = self.modules.keys().map(String::as_str).collect();
        let mut there: BTreeMap<&str, BTreeSet<&str>> = closures
            .keys()
            .map(|&entry| {
                (
                    entry,
                    if entry == self.root {
                        BTreeSet::new()
                    } else {
                        everything.clone()
                    },
                )
            })
            .collect();
        loop {
            let mut changed = false;
            for (&loader, order) in closures {
                let mut after = there[loader].clone();
                after.extend(order.iter().copied());
                for entry in order.iter().flat_map(|address| &self.modules[*address].later) {
                    if let Some(before) = there.get_mut(entry.as_str()) {
                        let count = before.len();
                        before.retain(|address| after.contains(address));
                        changed |= before.len() != count;
                    }
                }
            }
            if !changed {
                return there;
            }
        }
    }

    fn write(&self, entry: &str, own: impl Iterator<Item = &'a str>) -> Joined {
        let mut code = if entry == self.root {
            REGISTRY.to_owned()
        } else {
            format!("import {{ {ASK} }} from '{}';\n", self.root)
        };
        let mut map = Map::default();
        for address in own {
            let module = &self.modules[address];
            // Writing to a String does not fail.
            let _ = writeln!(code, "{ASK}('{address}', (function () {{");
            map.module(address, code.matches('\n').count(), &module.lines);
            code.push_str(&module.body);
            code.push_str("}));\n");
        }
        let exports = &self.modules[entry].exports;
        if !exports.is_empty() {
            let _ = writeln!(code, "const skep$own = {ASK}('{entry}');");
        }
        for name in exports {
            let _ = match name.as_str() {
                "default" => writeln!(code, "export default skep$own.default;"),
                name => writeln!(code, "export const {name} = skep$own.{name};"),
            };
        }
        Joined { code, map: map.json() }
    }
}

/// A source map: for each line, the module and the line there.
#[derive(Default)]
struct Map<'a> {
    sources: Vec<&'a str>,
    mappings: String,
    /// How many lines are told.
    told: usize,
    /// The module and the line, from 0, that was told last: each is told by how far it is from the one before.
    last: (usize, usize),
}

impl<'a> Map<'a> {
    /// The body of the module at `address` begins at the line `at` of the file, from 0.
    fn module(&mut self, address: &'a str, at: usize, lines: &[usize]) {
        let source = self.sources.len();
        self.sources.push(address);
        for (i, line) in lines.iter().enumerate() {
            let line = line.saturating_sub(1);
            while self.told < at + i {
                self.mappings.push(';');
                self.told += 1;
            }
            // From the first column, to the first column.
            self.number(0, 0);
            self.number(self.last.0, source);
            self.number(self.last.1, line);
            self.number(0, 0);
            self.last = (source, line);
        }
    }

    /// A difference in base 64, five bits at a time, the sign in the lowest.
    fn number(&mut self, from: usize, to: usize) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut rest = from.abs_diff(to) << 1 | usize::from(to < from);
        loop {
            let more = if rest > 31 { 32 } else { 0 };
            self.mappings.push(char::from(DIGITS[rest & 31 | more]));
            rest >>= 5;
            if more == 0 {
                return;
            }
        }
    }

    fn json(&self) -> String {
        json!({"version": 3, "sources": self.sources, "names": [], "mappings": self.mappings}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Result<BTreeMap<String, Joined>, String> {
        join("/app.js", |address| {
            let found = files.iter().find(|(name, _)| *name == address);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    /// The modules that stand in a file, in their order.
    fn parts(joined: &Joined) -> Vec<&str> {
        let lines = joined.code.lines().filter(|line| line.ends_with("(function () {"));
        lines.filter_map(|line| line.split('\'').nth(1)).collect()
    }

    #[test]
    fn each_file_has_what_is_not_there_already() {
        let files = of(&[
            ("/app.js", "import './a.js';\nconst x = () => [import('./v.js'), import('./w.js')];"),
            ("/a.js", "import './b.js'; export const a = 1;"),
            ("/b.js", ""),
            ("/c.js", ""),
            ("/d.js", ""),
            ("/v.js", "import { a } from './a.js'; import './c.js'; export const V = () => import('./tab.js'); export default 1;"),
            ("/w.js", "import './c.js'; import './d.js'; export const W = () => import('./both.js');"),
            ("/tab.js", "import './c.js'; import './d.js'; const f = () => import('./both.js');"),
            ("/both.js", "import './b.js'; import './c.js'; import './d.js'; import './v.js'"),
        ])
        .unwrap();
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            ["/app.js", "/both.js", "/tab.js", "/v.js", "/w.js"]
        );
        assert_eq!(parts(&files["/app.js"]), ["/b.js", "/a.js", "/app.js"]);
        assert_eq!(parts(&files["/v.js"]), ["/c.js", "/v.js"]);
        assert_eq!(parts(&files["/w.js"]), ["/c.js", "/d.js", "/w.js"]);
        assert_eq!(parts(&files["/tab.js"]), ["/d.js", "/tab.js"], "its loader brought c");
        assert_eq!(
            parts(&files["/both.js"]),
            ["/v.js", "/both.js"],
            "c and d are there on both ways, v on one"
        );
        let code = &files["/v.js"].code;
        assert!(code.starts_with("import { skep$module } from '/app.js';\n"), "{code}");
        assert!(
            code.ends_with("const skep$own = skep$module('/v.js');\nexport const V = skep$own.V;\nexport default skep$own.default;\n"),
            "{code}"
        );
        assert!(files["/app.js"].code.starts_with("const modules = new Map();"));
    }

    #[test]
    fn the_map_says_where_lines_came_from() {
        let files = of(&[
            ("/app.js", "// About.\n\nimport './a.js';\none();\n\ntwo();\n"),
            ("/a.js", "three();\n"),
        ])
        .unwrap();
        let map: serde_json::Value = serde_json::from_str(&files["/app.js"].map).unwrap();
        assert_eq!(map["sources"], json!(["/a.js", "/app.js"]));
        let code: Vec<&str> = files["/app.js"].code.lines().collect();
        // Each is told by how far it is from the one before: column, source, line, column, all of one digit here.
        let mut found = (0, 0);
        let mut told = Vec::new();
        for (line, text) in map["mappings"].as_str().unwrap().split(';').zip(&code) {
            if let [b'A', source, number, b'A'] = line.as_bytes() {
                let change = |digit: u8| {
                    let value = i32::from(digit - b'A');
                    if value % 2 == 1 { -value / 2 } else { value / 2 }
                };
                found = (found.0 + change(*source), found.1 + change(*number));
                told.push((*text, found.0, found.1 + 1));
            }
        }
        for line in [("three();", 0, 1), ("one();", 1, 4), ("two();", 1, 6)] {
            assert!(told.contains(&line), "{line:?} of {told:?}");
        }
        assert!(
            map["mappings"].as_str().unwrap().starts_with(";;"),
            "the registry is no module's"
        );
    }

    #[test]
    fn what_cannot_be_joined_is_said() {
        assert_eq!(
            of(&[("/app.js", "import './no.js';")]).unwrap_err(),
            "/no.js is imported and not there"
        );
        let broken = of(&[("/app.js", "\nexport let a = 1;")]).unwrap_err();
        assert!(broken.starts_with("/app.js, line 2: constants"), "{broken}");
        let circle = of(&[
            ("/app.js", "import './a.js';"),
            ("/a.js", "import './b.js';"),
            ("/b.js", "import './a.js';"),
        ]);
        assert_eq!(circle.unwrap_err(), "/a.js, /b.js import each other");
    }
}
