//! `skep.toml`: what is taken is taken again after printing; what is not is told with the key and the nearest known one.

use crate::choices::Choices;
use serde_json::{Map, Value};
use shared::settings::{Layer, Settings, is_section};

/// `data` is a file; a line `#---` in it begins the layer above. Its bytes also choose a key and how it is mistyped.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (below, above) = text.split_once("#---\n").unwrap_or((&text, ""));
    if let (Some(below), Some(above)) = (layer(below), layer(above)) {
        layers(&below, &above);
    }
    typo(&mut Choices::new(data));
}

fn layer(text: &str) -> Option<Layer> {
    let table = text.parse::<toml::Table>();
    match Layer::from_toml(text) {
        Ok(layer) => {
            let table = table.expect("what is taken is TOML");
            assert!(table.keys().all(|key| is_section(key)), "an unknown key is taken");
            Some(layer)
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.starts_with("skep.toml: "), "{said}");
            let known = keys();
            if let Some(hint) = said.rsplit_once("; did you mean \"").map(|(_, hint)| hint) {
                let hint = hint.trim_end_matches("\"?");
                assert!(
                    known
                        .iter()
                        .any(|(section, key)| [section, key].contains(&&hint.to_owned())),
                    "{said}"
                );
            }
            // An unknown section comes before anything else that may be wrong, and one of them is named.
            let unknown =
                |table: &toml::Table| table.keys().filter(|key| !is_section(key)).cloned().collect::<Vec<_>>();
            let unknown = table.as_ref().map(unknown).unwrap_or_default();
            let is_named = unknown.iter().any(|key| said.contains(&format!("unknown key {key:?}")));
            assert!(
                unknown.is_empty() || is_named || said.contains(" in ["),
                "{said}: {unknown:?}"
            );
            None
        }
    }
}

fn layers(below: &Layer, above: &Layer) {
    let merge = |layers: &[Layer]| Settings::merge(layers).expect("what is right alone is right together");
    let (first, second) = (merge(std::slice::from_ref(below)), merge(std::slice::from_ref(above)));
    round_trip(&first);
    round_trip(&second);
    let both = merge(&[below.clone(), above.clone()]);
    assert_eq!(merge(&[below.clone(), above.clone(), above.clone()]), both);
    assert_eq!(merge(&[below.clone(), Layer::default()]), first);
    // Every value that is set above wins, and what is set on neither side is set nowhere.
    let plain = |settings: &Settings| serde_json::to_value(settings).expect("text and numbers");
    let (first, second, both, none) = (plain(&first), plain(&second), plain(&both), plain(&Settings::default()));
    for (section, key) in keys() {
        let at = |value: &Value| match key.as_str() {
            "" => value[&section].clone(),
            key => value[&section][key].clone(),
        };
        if section == "env" || (key.is_empty() && none[&section].is_object()) {
            continue;
        }
        if at(&second) != at(&none) {
            assert_eq!(at(&both), at(&second), "[{section}] {key}");
        } else if at(&first) == at(&none) {
            assert_eq!(at(&both), at(&none), "[{section}] {key}");
        }
    }
    for (name, value) in second["env"].as_object().into_iter().flatten() {
        assert_eq!(&both["env"][name], value);
    }
}

fn round_trip(settings: &Settings) {
    let json = serde_json::to_value(settings).expect("text and numbers");
    let map: Map<String, Value> = json.as_object().cloned().unwrap_or_default();
    // A job's config and a project's settings are JSON; what is not set there is absent.
    let map: Map<String, Value> = map.into_iter().filter(|(_, value)| !value.is_null()).collect();
    for layer in [Layer::from_config(&map), Layer::from_project(&map)] {
        let layer = layer.expect("settings are a layer");
        assert_eq!(Settings::merge(&[layer]).as_ref(), Ok(settings));
    }
    let text = toml::to_string(settings).expect("settings from TOML are TOML");
    let layer = Layer::from_toml(&text).expect("what was printed is read");
    assert_eq!(Settings::merge(&[layer]).as_ref(), Ok(settings), "{text}");
}

/// Every key, by its section; a section without keys of its own, and each section itself, has the empty key.
fn keys() -> Vec<(String, String)> {
    let all = serde_json::to_value(Settings::default()).expect("text and numbers");
    let mut keys = Vec::new();
    for (section, value) in all.as_object().into_iter().flatten() {
        keys.push((section.clone(), String::new()));
        let inside = value.as_object().into_iter().flatten();
        keys.extend(inside.map(|(key, _)| (section.clone(), key.clone())));
    }
    keys
}

/// One wrong, missing or additional letter: the error names what was typed, and a known key that is as near.
fn typo(choices: &mut Choices<'_>) {
    let all = keys();
    let (section, key) = &all[choices.below(all.len())];
    let right = if key.is_empty() { section } else { key };
    let at = choices.below(right.len());
    let letter = choices.pick(&["x", "_", "s", "q", "-"]);
    let (before, after) = right.split_at(at);
    let typed = match choices.below(3) {
        0 => format!("{before}{letter}{}", &after[1..]),
        1 => format!("{before}{}", &after[1..]),
        _ => format!("{before}{letter}{after}"),
    };
    let known = |word: &str| {
        let of_section = |(its, name): &(String, String)| {
            if key.is_empty() {
                its == word
            } else {
                its == section && name == word
            }
        };
        all.iter().any(of_section)
    };
    if typed.is_empty() || known(&typed) {
        return;
    }
    let (text, place) = match key.as_str() {
        "" => (format!("{typed:?} = 1"), String::new()),
        _ => (format!("[{section}]\n{typed:?} = 1"), format!(" in [{section}]")),
    };
    if section == "env" && !key.is_empty() {
        return;
    }
    let said = Layer::from_toml(&text)
        .expect_err("a key that nobody knows")
        .to_string();
    let named = format!("skep.toml: unknown key {typed:?}{place}; did you mean \"");
    let hint = said.strip_prefix(&named).unwrap_or_else(|| panic!("{said}: {named}"));
    let hint = hint.trim_end_matches("\"?");
    assert!(
        is_one_edit(&typed, hint),
        "{typed:?} is nearer to {right:?} than to {hint:?}"
    );
}

/// True if one letter that is changed, added or left out makes `a` of `b`.
fn is_one_edit(a: &str, b: &str) -> bool {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let skip = |text: &str| text.get(1..).unwrap_or_default().to_owned();
    skip(a) == skip(b) || skip(a) == b || a == skip(b)
}
