//! A drone against a queen that does what a test says: the order of everything, and that nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must say where")]

mod fake_queen;

use fake_queen::{FakeQueen, TestDrone, output, processes, shell_job, story};
use serde_json::{Value, json};
use shared::{
    LeaseToken, Num,
    protocol::{Role, ToDrone, event::Phase, to_drone::ResumeAnswer},
};
use std::{path::Path, process::Command};

/// A fresh drone plays one job to its end and leaves; answers with everything that it said.
async fn play(job: Value) -> Vec<Value> {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let info = peer.info().await;
    assert_eq!((&info["capacity"], &info["speed"]), (&json!(2), &json!(100)));
    let all = peer.play(&job).await;
    drone.leave(peer).await;
    for message in &all {
        assert_eq!(message["lease"], 1, "{message}");
    }
    all
}

fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "first",
        ],
    ] {
        assert!(
            Command::new("git")
                .args(args)
                .current_dir(dir.path())
                .status()
                .unwrap()
                .success()
        );
    }
    dir
}

fn repo_job(repository: &Path, kind: &str) -> Value {
    json!({
        "job_id": "j1", "project": "a/b", "job_type": kind, "trigger": {"type": "manual", "timestamp": 1},
        "repo": {"url": repository.to_str().unwrap()}, "ref": {"branch": "main"},
    })
}

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
async fn a_cancelled_job_leaves_no_process_and_no_workspace() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let marker = format!("mark-{}", std::process::id());
    let script = format!("setsid sleep 1000 & echo {marker} > here; sleep 1000");
    let mut job = shell_job("TEST", json!({"test": script, "cleanup": "echo cleaned; ls"}));
    job["config"]["env"] = json!({"MARKER": marker});
    peer.start(&job, Role::Home, 1, 0).await;
    peer.until("job:files").await;
    peer.run("j1", 1, &[(100, "shell#1")]).await;
    peer.until("job:cmd:start").await;
    let all_run = async {
        while processes(&marker).len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(fake_queen::SOON, all_run)
        .await
        .expect("the processes of the test");
    peer.cancel("j1").await;
    let all = peer.until("job:cancelled").await;
    assert_eq!(
        story(&all),
        [
            "$100 =143",
            "test done",
            "cleanup start",
            "$0 echo cleaned; ls",
            "$0 =0",
            "cleanup done 0",
            "cancelled",
        ]
    );
    assert!(output(&all, 0).contains("cleaned\nhere\n"));
    assert_eq!(processes(&marker), Vec::<String>::new());
    drone.assert_clean();
    peer.ack().await;
    drone.leave(peer).await;
}

#[tokio::test]
async fn the_cleanup_of_a_deploy_that_is_stopped_has_numbers_of_its_own() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 1);
    let mut peer = queen.accept().await;
    let commands = json!({"prepare": "true", "deploy": ["true", "sleep 1000"], "cleanup": "echo cleaned"});
    peer.start(&shell_job("DEPLOY", commands), Role::Home, 1, 0).await;
    // Environment and prepare, from their starts to their ends.
    for _ in 0..4 {
        peer.until("job:phase").await;
    }
    peer.phase("j1", 1, Phase::Deploy, 1).await;
    for _ in 0..2 {
        peer.until("job:cmd:start").await;
    }
    peer.cancel("j1").await;
    let all = peer.until("job:cancelled").await;
    let told = story(&all);
    assert!(
        told.contains(&"$2 =143".into()) && told.contains(&"$3 echo cleaned".into()),
        "{told:?}"
    );
    assert_eq!(output(&all, 3), "cleaned\n");
    peer.ack().await;
    drone.leave(peer).await;
}

#[tokio::test]
async fn a_lost_connection_loses_nothing_and_work_goes_on_meanwhile() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let job = shell_job("TEST", json!({"test": ["echo one", "echo two"], "cleanup": "true"}));
    peer.start(&job, Role::Home, 5, 0).await;
    let mut all = peer.until("job:files").await;
    all.truncate(3);
    peer.say(&ToDrone::Ack { n: 3 }).await;
    peer.run("j1", 5, &[(10, "shell#1"), (11, "shell#2")]).await;
    peer.until("job:file:start").await;
    peer.cut();

    let mut peer = queen.accept().await;
    assert_eq!(peer.last, 3, "what was acknowledged does not come again");
    while all.iter().filter(|message| message["type"] == "job:file:done").count() < 2 {
        all.push(peer.next().await);
    }
    while all.iter().all(|message| message["type"] != "drone:resume") {
        all.push(peer.next().await);
    }
    let resume = all.iter().find(|message| message["type"] == "drone:resume").unwrap();
    assert_eq!(
        (
            &resume["args"][0]["jobs"][0]["id"],
            &resume["args"][0]["jobs"][0]["lease"]
        ),
        (&json!("j1"), &json!(5))
    );
    let numbers: Vec<u64> = all.iter().map(|message| message["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let answer = ResumeAnswer {
        id: fake_queen::id("j1"),
        lease: LeaseToken(5),
        go_on: true,
    };
    peer.say(&ToDrone::Resumed { jobs: vec![answer] }).await;
    // The queen had forgotten what it handed out: the drone has not.
    peer.run("j1", 5, &[(10, "shell#1")]).await;
    peer.phase("j1", 5, Phase::Cleanup, 20).await;
    let end = peer.until("job:done").await;
    assert_eq!(
        story(&end),
        ["cleanup start", "$20 true", "$20 =0", "cleanup done 0", "done"]
    );
    peer.ack().await;
    drone.leave(peer).await;
}

#[tokio::test]
async fn a_lease_that_was_given_away_is_dropped_without_a_word() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let marker = format!("gone-{}", std::process::id());
    peer.start(
        &shell_job("TEST", json!({"prepare": format!("sleep 1000; echo {marker}")})),
        Role::Home,
        1,
        0,
    )
    .await;
    peer.until("job:cmd:start").await;
    // Nothing of this is for the lease that is held.
    peer.phase("j1", 7, Phase::Cleanup, 0).await;
    peer.run("j2", 1, &[(1, "x")]).await;
    peer.cut();
    let mut peer = queen.accept().await;
    peer.until("drone:resume").await;
    let answer = ResumeAnswer {
        id: fake_queen::id("j1"),
        lease: LeaseToken(1),
        go_on: false,
    };
    peer.say(&ToDrone::Resumed { jobs: vec![answer] }).await;
    // The next lease of the same job is another matter.
    let job = shell_job("DEPLOY", json!({"deploy": "true"}));
    peer.start(&job, Role::Home, 2, 0).await;
    peer.start(&job, Role::Home, 2, 0).await;
    peer.start(&job, Role::Home, 1, 0).await;
    let all = peer.until("job:phase").await;
    assert!(all.iter().all(|message| message["lease"] == 2), "{all:?}");
    peer.cancel("j1").await;
    peer.until("job:cancelled").await;
    peer.ack().await;
    drone.leave(peer).await;
    assert_eq!(processes(&marker), Vec::<String>::new());
}

#[tokio::test]
async fn a_helper_prepares_with_its_own_numbers_and_runs_files_in_slots() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let meet = "touch $SKEP_WORKER_ID; while [ ! -e 1 ] || [ ! -e 2 ]; do sleep 0.01; done; echo $SKEP_FILE";
    let job = shell_job("TEST", json!({"prepare": "true", "test": [meet, meet, "true"]}));
    peer.start(&job, Role::Helper, 3, 40).await;
    let mut all = peer.until("job:cmd:done").await;
    all.push(peer.next().await);
    assert_eq!(
        story(&all),
        [
            "queued",
            "environment start",
            "environment done 0",
            "prepare start",
            "$40 true",
            "$40 =0",
            "prepare done 0"
        ]
    );
    peer.run("j1", 3, &[(50, "shell#1"), (51, "shell#2")]).await;
    peer.run("j1", 3, &[(52, "shell#3")]).await;
    // Whatever has begun by now stays; the rest comes back.
    let nums = vec![Num(52)];
    peer.say(&ToDrone::TakeBack {
        job: fake_queen::id("j1"),
        lease: LeaseToken(3),
        nums,
    })
    .await;
    let mut workers = Vec::new();
    let (mut done, mut returned) = (0, None);
    while done < 2 || returned.is_none() {
        let message = peer.next().await;
        match message["type"].as_str().unwrap() {
            "job:file:start" => workers.push(message["args"][3].as_u64().unwrap()),
            "job:file:done" => done += 1,
            "job:returned" => returned = Some(message["args"][1].clone()),
            _ => {}
        }
    }
    workers.sort_unstable();
    assert_eq!((workers, returned), (vec![1, 2], Some(json!([52]))));
    peer.say(&ToDrone::JobQueryInfo {
        job: fake_queen::id("j1"),
    })
    .await;
    let info = peer.expect("job:info").await;
    assert_eq!(
        (&info["args"][1]["role"], &info["args"][1]["running"]),
        (&json!("helper"), &json!([]))
    );
    peer.phase("j1", 3, Phase::Cleanup, 41).await;
    peer.until("job:done").await;
    peer.ack().await;
    drone.leave(peer).await;
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

#[tokio::test]
async fn a_drain_finishes_what_runs_and_can_be_taken_back() {
    let queen = FakeQueen::start().await;
    let mut drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let job = shell_job("DEPLOY", json!({"deploy": "true"}));
    peer.start(&job, Role::Home, 1, 0).await;
    while story(&peer.until("job:phase").await).last().unwrap() != "prepare done 0" {}
    for (on, capacity) in [(true, 0), (false, 2), (true, 0)] {
        peer.say(&ToDrone::Drain { on: Some(on) }).await;
        let info = peer.expect("drone:info").await;
        assert_eq!(info["args"][0]["capacity"], capacity);
    }
    peer.phase("j1", 1, Phase::Deploy, 5).await;
    peer.until("job:deployed").await;
    peer.phase("j1", 1, Phase::Cleanup, 6).await;
    peer.until("job:done").await;
    peer.ack().await;
    peer.finish().await;
    drone.ended().await.unwrap();
    drone.assert_clean();
}

#[tokio::test]
async fn a_drone_that_is_told_to_go_at_once_leaves_nothing() {
    let queen = FakeQueen::start().await;
    let mut drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let marker = format!("now-{}", std::process::id());
    peer.start(
        &shell_job("TEST", json!({"prepare": format!("sleep 1000; echo {marker}")})),
        Role::Home,
        1,
        0,
    )
    .await;
    peer.until("job:cmd:start").await;
    drone.stop.now.cancel();
    drone.ended().await.unwrap();
    assert_eq!(processes(&marker), Vec::<String>::new());
    drone.assert_clean();
}

#[tokio::test]
async fn a_queen_that_does_not_know_the_token_ends_the_drone_with_words_that_help() {
    let queen = FakeQueen::start().await;
    let mut drone = TestDrone::start(&queen, 2);
    queen.refuse("503".parse().unwrap()).await;
    queen.refuse("401".parse().unwrap()).await;
    let error = drone.ended().await.unwrap_err().to_string();
    assert!(
        error.contains("does not know this drone's token") && error.contains("queen token"),
        "{error}"
    );
    assert!(!error.contains("t0ken"), "{error}");
}

#[tokio::test]
async fn test_files_run_in_slots_with_their_hooks_around_them() {
    let repository = repository(&[
        (
            "skep.toml",
            "[test]\nfiles = 't/*.sh'\ncommand = 'sh {file}'\ntimeout = 20\n[hooks]\nbefore_creating_workers = 'echo bcw'\n\
             before_start = 'echo start $SKEP_WORKER_ID'\nafter_complete = 'echo complete $SKEP_WORKER_ID'\n\
             after_creating_workers = 'echo acw'\n",
        ),
        ("t/a.sh", "echo $SKEP_FILE on $SKEP_WORKER_ID"),
        ("t/b.sh", "echo bad >&2; exit 7"),
    ]);
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 1);
    let mut peer = queen.accept().await;
    let all = peer.play(&repo_job(repository.path(), "TEST")).await;
    drone.leave(peer).await;
    let told = story(&all);
    let from = told
        .iter()
        .position(|word| word == "$1 echo bcw")
        .expect("the hook before the workers");
    assert_eq!(
        told[from..],
        [
            "$1 echo bcw",
            "$1 =0",
            "prepare done 0",
            "test start",
            "files [\"t/a.sh\",\"t/b.sh\"]",
            "file:start",
            "$100 sh t/a.sh",
            "$100 =0",
            "file t/a.sh passed",
            "file:start",
            "$101 sh t/b.sh",
            "$101 =7",
            "file t/b.sh failed",
            "cleanup start",
            "$300 echo complete $SKEP_WORKER_ID",
            "$300 =0",
            "$301 echo acw",
            "$301 =0",
            "cleanup done 0",
            "done",
        ]
    );
    assert_eq!(
        output(&all, 100),
        "start 1\nt/a.sh on 1\n",
        "the hook runs before the slot's first file"
    );
    assert_eq!(
        (output(&all, 101), output(&all, 300)),
        ("bad\n".to_owned(), "complete 1\n".to_owned())
    );
    let files = all.iter().find(|message| message["type"] == "job:files").unwrap();
    let plan = &files["args"][3];
    assert_eq!(
        (&plan["timeout"], &plan["prepare_commands"], &plan["cleanup_commands"]),
        (&json!(20), &json!(2), &json!(2))
    );
}

#[tokio::test]
async fn a_hook_that_fails_before_a_file_fails_the_file_and_says_so() {
    let repository = repository(&[
        (
            "skep.toml",
            "[test]\nfiles = '*.sh'\ncommand = 'sh {file}'\n[hooks]\nbefore_start = 'exit 5'\n",
        ),
        ("a.sh", "echo never"),
    ]);
    let all = play(repo_job(repository.path(), "TEST")).await;
    let done = all.iter().find(|message| message["type"] == "job:file:done").unwrap();
    let result = &done["args"][4];
    assert_eq!((&result["outcome"], &result["exit"]), (&json!("failed"), &json!(5)));
    assert!(
        result["stderr_tail"]
            .as_str()
            .unwrap()
            .contains("before_start ended with code 5"),
        "{result}"
    );
    assert!(!output(&all, 100).contains("never"));
}
