//! What a user gets to read when something is wrong: a table of mistakes, each with the message that says what to do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fleet;
mod grammar;

use fleet::{Fleet, suite};
use serde_json::{Value, json};

struct Mistake {
    what: &'static str,
    settings: &'static str,
    scripts: &'static [(&'static str, &'static str)],
    job: Value,
    kind: &'static str,
    message: &'static str,
}

const FINE: &[(&str, &str)] = &[("a", "echo fine")];

fn mistakes() -> Vec<Mistake> {
    let of = |what, kind, message| Mistake {
        what,
        settings: "",
        scripts: FINE,
        job: json!({}),
        kind,
        message,
    };
    vec![
        Mistake {
            job: json!({"repo": {"url": "/nowhere/at/all"}}),
            ..of("unknown repository", "source", "/nowhere/at/all")
        },
        Mistake {
            job: json!({"ref": {"branch": "no-such"}}),
            ..of("missing branch", "source", "no-such")
        },
        Mistake {
            job: json!({"ref": {"id": "0123456789012345678901234567890123456789"}}),
            ..of("missing commit", "source", "0123456789012345678901234567890123456789")
        },
        Mistake {
            scripts: &[],
            ..of("no test files", "no-tests", "[test]")
        },
        Mistake {
            settings: "[test]\nfiles = 'nothing/*.sh'\n",
            ..of("no file matches", "no-tests", "nothing/*.sh")
        },
        Mistake {
            settings: "[test]\nfiles = 'a['\n",
            ..of("bad glob", "settings", "bad glob \"a[\"")
        },
        Mistake {
            settings: "[test]\ntimout = 5\n",
            ..of(
                "unknown key",
                "settings",
                "unknown key \"timout\" in [test]; did you mean \"timeout\"?",
            )
        },
        Mistake {
            settings: "[test\n",
            ..of("no TOML", "settings", "skep.toml")
        },
        Mistake {
            settings: "[test]\nrunner = 'pytst'\n",
            ..of("unknown runner", "runner", "pytest")
        },
        Mistake {
            settings: "root = 'missing'\n",
            ..of("a root that is not there", "settings", "missing")
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_has_its_message() {
    let fleet = Fleet::with_drone().await;
    for (index, mistake) in mistakes().into_iter().enumerate() {
        let repo = suite(
            &fleet.dir.path().join(format!("repo{index}")),
            mistake.settings,
            mistake.scripts,
        );
        let job = fleet.submit(&repo, mistake.job).await;
        let events = fleet.finished(&job).await;
        grammar::check(&events).unwrap_or_else(|why| panic!("{}: {why}\n{events:#?}", mistake.what));
        assert_eq!(fleet.state(&job).await, "errored", "{}: {events:#?}", mistake.what);
        let error = events.iter().find(|event| event["type"] == "job:errored").unwrap();
        assert_eq!(error["args"][1]["kind"], mistake.kind, "{}: {error}", mistake.what);
        let message = error["args"][1]["message"].as_str().unwrap();
        assert!(message.contains(mistake.message), "{}: {message}", mistake.what);
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_no_drone_has_makes_the_job_wait_and_say_so() {
    let fleet = Fleet::with_drone().await;
    let repo = suite(&fleet.dir.path().join("repo"), "", FINE);
    let job = fleet.submit(&repo, json!({"plugins": ["no-such-plugin"]})).await;
    let explain = fleet.context.engine.explain(job.clone()).await.unwrap().unwrap();
    let waits = explain.waits.unwrap();
    assert!(waits.contains("no-such-plugin"), "{waits}");
    fleet
        .context
        .engine
        .cancel(job.clone(), "done with it".into())
        .await
        .unwrap();
    fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "cancelled");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_interpreter_fails_its_file_by_name() {
    let fleet = Fleet::with_drone().await;
    let repo = suite(
        &fleet.dir.path().join("repo"),
        "[test]\nfiles = 'tests/*'\ncommand = 'no-such-interpreter {file}'\n",
        FINE,
    );
    let job = fleet.submit(&repo, json!({})).await;
    let events = fleet.finished(&job).await;
    assert_ne!(fleet.state(&job).await, "passed");
    assert!(
        events
            .iter()
            .any(|event| event.to_string().contains("no-such-interpreter") && event["type"] != "job:cmd:start"),
        "{events:#?}"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_output_arrives_as_text() {
    let fleet = Fleet::with_drone().await;
    let repo = suite(
        &fleet.dir.path().join("repo"),
        "",
        &[
            ("binary", "printf 'a\\377b\\n'"),
            ("long", "head -c 10000000 /dev/zero | tr '\\0' x"),
        ],
    );
    let job = fleet.submit(&repo, json!({})).await;
    let events = fleet.finished(&job).await;
    grammar::check(&events).unwrap_or_else(|why| panic!("{why}"));
    let said = |path: &str| {
        let num = events
            .iter()
            .find(|event| event["type"] == "job:file:start" && event["args"][2] == path)
            .map(|event| event["args"][1].clone())
            .unwrap();
        let of_file = |event: &&Value| event["type"] == "job:cmd:stdout" && event["args"][1] == num;
        events
            .iter()
            .filter(of_file)
            .map(|event| event["args"][2].as_str().unwrap())
            .collect::<String>()
    };
    assert_eq!(said("tests/binary"), "a\\xffb\n");
    assert_eq!(said("tests/long").len(), 10_000_000);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_of_output_are_cut_with_a_notice() {
    let mut fleet = Fleet::start().await;
    fleet
        .drone_with("d1", 100, 2, |config| config.log_limit = 20_000_000)
        .await;
    let repo = suite(
        &fleet.dir.path().join("repo"),
        "",
        &[("loud", "head -c 200000000 /dev/zero | tr '\\0' y; echo end")],
    );
    let job = fleet.submit(&repo, json!({})).await;
    let events = fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "passed", "a loud test is not a bad one");
    let bytes: usize = events
        .iter()
        .filter(|event| event["type"] == "job:cmd:stdout")
        .map(|event| event["args"][2].as_str().unwrap().len())
        .sum();
    assert!((19_000_000..=21_000_000).contains(&bytes), "{bytes} bytes were kept");
    let warnings: Vec<&Value> = events.iter().filter(|event| event["type"] == "job:warning").collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["args"][1]["source"], "log");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_daemonizes_leaves_no_process() {
    let fleet = Fleet::with_drone().await;
    let note = fleet.dir.path().join("pid");
    let body = format!(
        "setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600' & until [ -e {0} ]; do sleep 0.02; done",
        note.display()
    );
    let repo = suite(&fleet.dir.path().join("repo"), "", &[("daemon", &body)]);
    let job = fleet.submit(&repo, json!({})).await;
    fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "passed");
    let pid: u32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    let alive = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(!alive, "process {pid} outlived its test");
    fleet.stop().await;
}
