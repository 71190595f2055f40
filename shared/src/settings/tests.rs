//! What `skep.toml` may say, how layers meet and what errors name: held against [`super`].

use super::*;
use serde_json::json;

#[test]
fn the_table_of_keys_is_that_of_the_types() {
    let value = serde_json::to_value(Settings::default()).unwrap();
    let sections: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    let mut known: Vec<_> = KEYS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(sections, known);
    for (section, keys) in KEYS.iter().filter(|(_, keys)| !keys.is_empty()) {
        let of_type: Vec<_> = value[section].as_object().unwrap().keys().cloned().collect();
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        assert_eq!(of_type, keys, "{section}");
    }
}

#[test]
fn later_layers_win_key_by_key() {
    let file = Layer::from_toml("[env]\nA = 1\nB = 'b'\n[test]\nfiles = ['a', 'b']\ntimeout = 5").unwrap();
    let config = json!({"env": {"A": "2"}, "test": {"files": "c"}, "shell": {"x": 1}});
    let job = Layer::from_config(config.as_object().unwrap()).unwrap();
    let settings = Settings::merge(&[file, job]).unwrap();
    assert_eq!(
        settings.env,
        BTreeMap::from([("A".into(), "2".into()), ("B".into(), "b".into())])
    );
    assert_eq!(
        (settings.test.files, settings.test.timeout),
        (vec!["c".into()], Some(5))
    );
}

#[test]
fn a_folder_that_is_kept_has_one_name() {
    let file = Layer::from_toml("[prepare]\ncache = ['./node_modules/', 'a//b', 'node_modules']").unwrap();
    assert_eq!(Settings::merge(&[file]).unwrap().prepare.cache, ["a/b", "node_modules"]);
}

#[test]
fn errors_name_the_key_and_the_nearest_known() {
    for (text, message) in [
        (
            "[test]\nruner = 'x'",
            "skep.toml: unknown key \"runer\" in [test]; did you mean \"runner\"?",
        ),
        ("[tests]\n", "skep.toml: unknown key \"tests\"; did you mean \"test\"?"),
        (
            "test = 1",
            "skep.toml: [test] must be a section with keys, not a single value",
        ),
        ("[test]\nfiles = ['a[']", "skep.toml: [test] bad glob \"a[\""),
        ("[test]\ntimeout = 'x'", "skep.toml: [test] invalid type: string \"x\""),
        (
            "[test]\nfiles = 3",
            "skep.toml: [test] expected a text or a list of texts",
        ),
        ("[env]\nA-B = 1", "\"A-B\" is no name of an environment variable"),
        ("root = '../x'", "must be a folder inside the repository"),
        ("[test]\nspread = 0", "at least one drone"),
        (
            "[prepare]\ncache = '~/.cargo'",
            "[prepare] cache \"~/.cargo\" is in the home folder, which all jobs share: name a folder inside",
        ),
        ("[prepare]\ncache = '$HOME/.m2'", "is in the home folder"),
        ("[prepare]\ncache = '/var/cache'", "\"/var/cache\" is an absolute path"),
        ("[prepare]\ncache = 'a/../../b'", "leads out of the repository"),
        ("[prepare]\ncache = './'", "is the repository itself"),
        ("[prepare]\ncache = '.git/lfs'", "is where the source is kept"),
        (
            "[prepare]\ncache = ['a', 'a-b', 'a/c']",
            "\"a/c\" is within another folder that is kept",
        ),
        ("a = = 1", "skep.toml: TOML parse error at line 1"),
    ] {
        let error = Layer::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}
