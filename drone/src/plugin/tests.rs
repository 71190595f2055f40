//! What plugins contribute, and the words of their errors.

use super::*;
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt};

fn job() -> JobData {
    JobData::parse(
        &json!({"project": "a/b", "trigger": {"type": "manual", "timestamp": 1}, "secrets": {"KEY": "s3cret"}})
            .to_string(),
    )
    .unwrap()
}

async fn contribute(plugins: &Plugins, name: &str, config: Value) -> Result<Contribution, PluginError> {
    let dir = tempfile::tempdir().unwrap();
    let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
    let view = View {
        job: &job(),
        workspace: dir.path(),
        scratch: dir.path(),
        env: &env,
        cancel: &CancellationToken::new(),
    };
    plugins.get(name)?.contribute(&config, &view).await
}

fn program(dir: &Path, name: &str, script: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn built_in_plugins_read_their_part_of_the_config() {
    let plugins = Plugins::new(&[], "");
    let env = contribute(&plugins, "env", json!({"A": 1, "B": "b"})).await.unwrap();
    assert_eq!(
        env.env,
        BTreeMap::from([("A".into(), "1".into()), ("B".into(), "b".into())])
    );
    let shell = contribute(
        &plugins,
        "shell",
        json!({"prepare": "make", "deploy": ["a", {"command": "ship", "args": ["-x"], "screen": "s"}]}),
    )
    .await
    .unwrap();
    assert_eq!(shell.commands[&Phase::Prepare], [Step::script("make")]);
    assert_eq!(shell.commands[&Phase::Deploy][1].args, Some(vec!["-x".into()]));
    assert_eq!(shell.commands[&Phase::Deploy][1].screen.as_deref(), Some("s"));
    let files = contribute(&plugins, "files", json!({"write": {"a/b": "text"}}))
        .await
        .unwrap();
    assert_eq!(files.files, [(PathBuf::from("a/b"), "text".to_owned())]);
    assert_eq!(
        contribute(&plugins, "git", Value::Null).await.unwrap(),
        Contribution::default()
    );
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let plugins = Plugins::new(&[], "");
    for (name, config, message) in [
        ("shel", Value::Null, "no plugin \"shel\"; did you mean \"shell\"?"),
        (
            "env",
            json!({"A-B": 1}),
            "plugin env: \"A-B\" is no name of an environment variable",
        ),
        ("env", json!({"A": [1]}), "A must be a text, a number"),
        ("shell", json!({"perpare": "x"}), "unknown field `perpare`"),
        (
            "shell",
            json!({"prepare": 1}),
            "expected a command or a list of commands",
        ),
        (
            "files",
            json!({"write": {"../x": ""}}),
            "does not stay inside the workspace",
        ),
        (
            "files",
            json!({"write": {"/etc/x": ""}}),
            "does not stay inside the workspace",
        ),
        (
            "files",
            json!({"write": {"a/./../../x": ""}}),
            "does not stay inside the workspace",
        ),
        ("../../bin/sh", Value::Null, "no plugin"),
    ] {
        let error = contribute(&plugins, name, config).await.unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_program_of_ones_own_is_asked_with_json_and_never_sees_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    program(
        dir.path(),
        "skep-plugin-mine",
        r#"input=$(cat)
case "$input" in *s3cret*) exit 9;; *'"greeting":"hi"'*) ;; *) exit 8;; esac
echo '{"env": {"MINE": "1"}, "path": ["/opt/mine"], "prepare": ["echo one", {"command": "ls", "args": ["-l"]}]}'"#,
    );
    fs::write(dir.path().join("skep-plugin-plain"), "no program").unwrap();
    let plugins = Plugins::new(&[dir.path().to_owned()], "");
    let names = plugins.names();
    assert!(
        names.contains(&"mine".into()) && names.contains(&"git".into()),
        "{names:?}"
    );
    assert!(!names.contains(&"plain".into()));
    let mine = contribute(&plugins, "mine", json!({"greeting": "hi"})).await.unwrap();
    assert_eq!((mine.env["MINE"].as_str(), mine.path[0].as_str()), ("1", "/opt/mine"));
    assert_eq!(mine.commands[&Phase::Prepare].len(), 2);
}

#[tokio::test]
async fn a_program_that_fails_hangs_or_babbles_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, script, message) in [
        ("bad", "echo broken >&2; exit 3", "ended with code 3: broken"),
        ("odd", "echo hello", "something else than the JSON of a plugin"),
        ("slow", "sleep 100", "did not answer within 2 s"),
        ("key", "echo '{\"prepar\": []}'", "unknown field `prepar`"),
        ("env", "", ""),
    ] {
        program(dir.path(), &format!("skep-plugin-{name}"), script);
        let plugins = Plugins::new(&[], dir.path().to_str().unwrap());
        // A built-in one is not replaced.
        if name == "env" {
            assert!(contribute(&plugins, name, Value::Null).await.is_ok());
            continue;
        }
        let error = contribute(&plugins, name, Value::Null).await.unwrap_err().to_string();
        assert!(error.contains(message) && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn event_lines_are_taken_out_however_they_are_cut() {
    let text = "a\n::skep-plugin mine {\"x\": 1}\n::skep-plugin other {}\nb ::skep-plugin mine {}\n::skep-plugin mine no\n::skep-plugin mine [2]";
    let expected = "a\n::skep-plugin other {}\nb ::skep-plugin mine {}\n::skep-plugin mine no\n";
    for size in 1..text.len() {
        let mut lines = EventLines::new("mine");
        let (mut shown, mut events) = (String::new(), Vec::new());
        let bytes = text.as_bytes();
        for piece in bytes.chunks(size) {
            let (more, found) = lines.push(std::str::from_utf8(piece).unwrap());
            shown.push_str(&more);
            events.extend(found);
        }
        let (more, found) = lines.finish();
        shown.push_str(&more);
        events.extend(found);
        assert_eq!(shown, expected, "pieces of {size}");
        assert_eq!(events, [json!({"x": 1}), json!([2])], "pieces of {size}");
    }
}

#[test]
fn an_answer_is_an_object() {
    let error = read_answer("[]").unwrap_err();
    assert!(
        error.contains(
            "answered with something else than the JSON of a plugin: invalid type: sequence, expected an object"
        ),
        "{error}"
    );
}
