//! One job from its start to its end: phases in order, codes, errors, what its log may hold.

use super::fake_queen::{FakeQueen, TestDrone, output, shell_job, story};
use super::{play, repo_job, repository};
use serde_json::json;
use std::path::Path;

#[tokio::test]
async fn a_job_that_tests_and_deploys_goes_through_every_phase_in_order() {
    let all = play(shell_job(
        "TEST&DEPLOY",
        json!({"environment": "echo e", "prepare": "echo p", "test": "echo t", "deploy": "echo d", "cleanup": "echo c"}),
    ))
    .await;
    assert_eq!(
        story(&all),
        [
            "queued",
            "started",
            "environment start",
            "$0 echo e",
            "$0 =0",
            "environment done 0",
            "prepare start",
            "$1 echo p",
            "$1 =0",
            "prepare done 0",
            "test start",
            "files [\"shell#1\"]",
            "file:start",
            "$100 echo t",
            "$100 =0",
            "file shell#1 passed",
            "deploy start",
            "$200 echo d",
            "$200 =0",
            "deploy done 0",
            "deployed 0",
            "cleanup start",
            "$300 echo c",
            "$300 =0",
            "cleanup done 0",
            "done",
        ]
    );
    assert_eq!(
        [0, 1, 100, 200, 300].map(|num| output(&all, num)),
        ["e\n", "p\n", "t\n", "d\n", "c\n"]
    );
    let files = all.iter().find(|message| message["type"] == "job:files").unwrap();
    assert_eq!(
        (
            &files["args"][3]["prepare_commands"],
            &files["args"][3]["cleanup_commands"]
        ),
        (&json!(2), &json!(1))
    );
}

#[tokio::test]
async fn a_repository_brings_its_own_settings_and_hooks() {
    let repository = repository(&[
        ("sub/skep.toml", ""),
        (
            "skep.toml",
            "root = 'sub'\n[env]\nGREETING = 'hello'\n[prepare]\nrun = 'echo $GREETING $SKEP_BRANCH ${#SKEP_COMMIT} $CI; pwd'\n[hooks]\nafter_sync = 'echo synced'\n[deploy]\nrun = ['echo one', 'echo two']\nwhen = 'ma*'\n[cleanup]\nrun = 'exit 3'\n",
        ),
    ]);
    let all = play(repo_job(repository.path(), "DEPLOY")).await;
    let story = story(&all);
    assert_eq!(
        story[..4],
        ["queued", "started", "environment start", "environment done 0"]
    );
    assert!(story[5].starts_with("$0 git fetch "), "{story:?}");
    assert_eq!(story[6..9], ["$0 =0", "$1 echo synced", "$1 =0"]);
    assert_eq!(
        story[11..],
        [
            "prepare done 0",
            "deploy start",
            "$200 echo one",
            "$200 =0",
            "$201 echo two",
            "$201 =0",
            "deploy done 0",
            "deployed 0",
            "cleanup start",
            "$300 exit 3",
            "$300 =3",
            "warning",
            "cleanup done 3",
            "done",
        ]
    );
    let prepared = output(&all, 2);
    assert!(
        prepared.starts_with("hello main 40 true\n") && prepared.ends_with("/sub\n"),
        "{prepared}"
    );
}

#[tokio::test]
async fn a_deploy_that_a_rule_holds_back_is_a_warning_that_names_the_rule() {
    let repository = repository(&[("skep.toml", "[deploy]\nrun = 'echo no'\nwhen = 'release/*'\n")]);
    let all = play(repo_job(repository.path(), "DEPLOY")).await;
    let warning = all.iter().find(|message| message["type"] == "job:warning").unwrap();
    let text = warning["args"][1]["message"].as_str().unwrap();
    assert!(text.contains("release/*") && text.contains("\"main\""), "{text}");
    assert!(story(&all).contains(&"deployed 0".to_owned()) && output(&all, 200).is_empty());
}

#[tokio::test]
async fn what_fails_fails_with_its_code_and_is_still_cleaned_up() {
    let cleanup = "echo cleaned";
    let prepare = play(shell_job(
        "TEST",
        json!({"prepare": ["exit 3", "echo never"], "test": "true", "cleanup": cleanup}),
    ))
    .await;
    let told = story(&prepare);
    assert!(
        told.contains(&"prepare done 3".into()) && !told.iter().any(|word| word.contains("never")),
        "{told:?}"
    );
    assert!(!told.contains(&"test start".into()), "{told:?}");
    assert_eq!(output(&prepare, 300), "cleaned\n");

    let test = play(shell_job(
        "TEST&DEPLOY",
        json!({"test": "exit 4", "deploy": "true", "cleanup": cleanup}),
    ))
    .await;
    let done = test.iter().find(|message| message["type"] == "job:file:done").unwrap();
    assert_eq!(
        (&done["args"][4]["outcome"], &done["args"][4]["exit"]),
        (&json!("failed"), &json!(4))
    );
    assert_eq!(output(&test, 300), "cleaned\n");

    let deploy = play(shell_job(
        "DEPLOY",
        json!({"deploy": ["kill -9 $$", "echo never"], "cleanup": cleanup}),
    ))
    .await;
    let told = story(&deploy);
    assert!(
        told.contains(&"deploy done 137".into()) && told.contains(&"deployed 137".into()),
        "{told:?}"
    );
    assert_eq!(output(&deploy, 300), "cleaned\n");
}

#[tokio::test]
async fn what_the_system_cannot_do_is_an_error_with_its_kind_and_words() {
    let typo = repository(&[("skep.toml", "[test]\nruner = 'x'\n")]);
    let empty = repository(&[("README", "no tests here")]);
    let mut plugin = shell_job("TEST", json!({"test": "true"}));
    plugin["plugins"] = json!(["shel"]);
    for (job, kind, words, open) in [
        (
            repo_job(typo.path(), "TEST"),
            "settings",
            "did you mean \"runner\"?",
            "prepare done",
        ),
        (repo_job(empty.path(), "TEST"), "no-tests", "", "test done"),
        (
            repo_job(Path::new("/nowhere/at/all"), "TEST"),
            "source",
            "/nowhere/at/all",
            "prepare done",
        ),
        (plugin, "plugin", "did you mean \"shell\"?", "environment done"),
        (
            shell_job("DEPLOY", json!({"prepare": "true"})),
            "settings",
            "add `run` to [deploy]",
            "prepare done",
        ),
    ] {
        let all = play(job).await;
        let told = story(&all);
        let end = [open, "cleanup start", "cleanup done 0", &format!("errored {kind}")].map(str::to_owned);
        assert_eq!(told[told.len() - 4..], end, "{told:?}");
        let message = all.last().unwrap()["args"][1]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{kind}: {message}");
    }
}

#[tokio::test]
async fn no_byte_of_a_secret_leaves_the_machine() {
    let secret = "hunter2-and-more";
    let mut job = shell_job(
        "DEPLOY",
        json!({
            "prepare": "printf %s ${KEY%?????????}; sleep 0.1; echo ${KEY#???????}",
            "deploy": [{"command": "echo hunter2-and-more", "screen": "echo hunter2-and-more"}, "nosuch-$KEY"],
            "cleanup": "echo $KEY >&2; exit 1",
        }),
    );
    job["secrets"] = json!({"KEY": secret});
    let all = play(job).await;
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("and-more"), "{text}");
    assert!(output(&all, 0).trim().len() >= 3, "something stands in its place");
}

#[tokio::test]
async fn a_log_over_its_limit_is_cut_with_one_notice_and_the_commands_go_on() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::with(&queen, |layer| layer.log_limit = Some("100K".parse().unwrap()));
    let mut peer = queen.accept().await;
    let job = shell_job("DEPLOY", json!({"deploy": ["yes | head -c 1000000", "echo more"]}));
    let all = peer.play(&job).await;
    assert!(output(&all, 200).len() <= 100 << 10 && output(&all, 201).is_empty());
    let notices: Vec<_> = all.iter().filter(|message| message["type"] == "job:warning").collect();
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0]["args"][1]["message"]
            .as_str()
            .unwrap()
            .contains("--log-limit")
    );
    assert!(story(&all).contains(&"deployed 0".to_owned()));
    drone.leave(peer).await;
}
