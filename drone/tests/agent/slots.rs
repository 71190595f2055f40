//! Test files in slots: numbers, hooks around them, helpers.

use super::{
    fake_queen::{FakeQueen, TestDrone, id, output, shell_job, story},
    play, repo_job, repository,
};
use serde_json::json;
use shared::{
    LeaseToken, Num,
    protocol::{Role, ToDrone, event::Phase},
};

#[tokio::test]
async fn a_helper_prepares_with_its_own_numbers_and_runs_files_in_slots() {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let meet = "touch w$SKEP_WORKER_ID; while [ $(ls w* | wc -l) -lt 2 ]; do sleep 0.01; done; echo $SKEP_FILE";
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
        job: id("j1"),
        lease: LeaseToken(3),
        nums,
        running: None,
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
    assert_ne!(workers[0], workers[1]);
    assert_eq!((workers.len(), returned), (2, Some(json!([52]))));
    peer.say(&ToDrone::JobQueryInfo { job: id("j1") }).await;
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
    let begun = all.iter().find(|message| message["type"] == "job:file:start").unwrap();
    let worker = &begun["args"][3];
    assert_eq!(
        output(&all, 100),
        format!("start {worker}\nt/a.sh on {worker}\n"),
        "the hook runs before the slot's first file"
    );
    assert_eq!(
        (output(&all, 101), output(&all, 300)),
        ("bad\n".to_owned(), format!("complete {worker}\n"))
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
