//! `queen run` on small suites, end to end: the built program with its embedded queen and drone.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

mod cli_support;

use cli_support::{Ended, Running, Suite, ended, is_alive};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

fn types(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_suite_that_passes_ends_with_0() {
    let suite = Suite::new().test("tests/a.sh", "true").test("tests/b.sh", "echo hello");
    let ended = suite.queen(&["run"]).await.expect(0);
    for words in [
        "live: http://127.0.0.1:",
        "/jobs/",
        "passed in",
        "2 files: 2 passed",
        "queen logs ",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    assert!(
        !ended.stdout.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    assert_eq!(ended.stderr, "");
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
}

#[tokio::test]
async fn a_file_that_fails_is_shown_and_ends_with_1() {
    let suite = Suite::new()
        .test("tests/a.sh", "true")
        .test("tests/b.sh", "echo first; echo the reason >&2; exit 7");
    let ended = suite.queen(&["run", "."]).await.expect(1);
    for words in [
        "failed tests/b.sh (exit 7",
        "│ the reason",
        "failed in",
        "1 failed · 1 passed",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
}

#[tokio::test]
async fn nothing_to_run_ends_with_3() {
    let empty = Suite::new().queen(&["run"]).await.expect(3);
    assert!(empty.stderr.contains("nothing to run"), "{}", empty.stderr);
    let none = Suite::new().file("readme.md", "x").queen(&["run"]).await.expect(3);
    assert!(none.stdout.contains("no-tests"), "{}", none.stdout);
}

#[tokio::test]
async fn bad_settings_end_with_3_and_name_the_key() {
    let tests = || Suite::new().test("tests/a.sh", "true");
    for (toml, args, message) in [
        (
            "[test]\nruner = 'x'",
            &[][..],
            "unknown key \"runer\" in [test]; did you mean \"runner\"?",
        ),
        ("[test]\nfiles = ['a[']", &[], "bad glob"),
        ("a = = 1", &[], "TOML parse error"),
        ("", &["--files", "a["], "bad glob"),
        ("", &["--secret", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        ("", &["--spread", "0"], "--spread"),
        ("", &["--project", "noslash"], "use owner/name"),
        ("", &["--capacity", "0"], "--capacity"),
        ("", &["--env", "A"], "write NAME=VALUE"),
    ] {
        let args = [&["run"], args].concat();
        let ended = tests().file("skep.toml", toml).queen(&args).await.expect(3);
        assert!(ended.stderr.contains(message), "{toml} {args:?}: {}", ended.stderr);
    }
    let ended = tests().queen(&["run", "--runner", "pytset"]).await.expect(3);
    assert!(ended.stdout.contains("pytest"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_folder_that_is_not_there_ends_with_2() {
    let ended = Suite::new().queen(&["run", "nowhere"]).await.expect(2);
    assert!(ended.stderr.contains("nowhere is no folder"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_failing_prepare_is_shown() {
    let suite = Suite::new()
        .test("tests/a.sh", "true")
        .file("skep.toml", "[prepare]\nrun = 'echo no compiler; exit 4'");
    let ended = suite.queen(&["run"]).await.expect(1);
    assert!(ended.stdout.contains("failed prepare: "), "{}", ended.stdout);
    assert!(ended.stdout.contains("│ no compiler"), "{}", ended.stdout);
}

#[tokio::test]
async fn json_is_one_object_a_line_from_run_to_summary() {
    let suite = Suite::new().test("tests/a.sh", "echo hi").test("tests/b.sh", "exit 1");
    let ended = suite.queen(&["run", "--json"]).await.expect(1);
    let lines = ended.lines();
    let types = types(&lines);
    assert_eq!((types[0], types[1]), ("run", "job:queued"));
    assert_eq!(types[types.len() - 2..], ["job:done", "summary"]);
    let events = &lines[1..lines.len() - 1];
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["args"][0] == lines[0]["job"]));
    let summary = lines.last().unwrap();
    assert_eq!((&summary["state"], &summary["exit"]), (&json!("failed"), &json!(1)));
    assert_eq!(
        (
            &summary["files"]["total"],
            &summary["files"]["passed"],
            &summary["files"]["failed"]
        ),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn the_results_are_written_as_junit() {
    let suite = Suite::new()
        .test("tests/a.sh", "true")
        .test("tests/b.sh", "echo why >&2; exit 1");
    let file = suite.beside("results.xml");
    suite.queen(&["run", "--junit", file.to_str().unwrap()]).await.expect(1);
    let xml = fs::read_to_string(file).unwrap();
    for words in ["<testsuites", "tests=\"2\"", "failures=\"1\"", "tests/a.sh", "why"] {
        assert!(xml.contains(words), "{words}: {xml}");
    }
}

#[tokio::test]
async fn only_what_failed_last_runs_again() {
    let suite = Suite::new().test("tests/a.sh", "true").test("tests/b.sh", "exit 1");
    let early = suite.queen(&["run", "--failed"]).await.expect(3);
    assert!(early.stderr.contains("has not run before"), "{}", early.stderr);
    suite.queen(&["run"]).await.expect(1);
    let suite = suite.test("tests/b.sh", "true");
    let again = suite.queen(&["run", "--failed"]).await.expect(0);
    assert!(again.stdout.contains("1 file: 1 passed"), "{}", again.stdout);
    let nothing = suite.queen(&["run", "--failed"]).await.expect(3);
    assert!(nothing.stderr.contains("no file failed"), "{}", nothing.stderr);
}

/// Four groups that each take a while, and one that is there from the second run on.
const GROUPS: &str = "import os, time, pytest
@pytest.mark.parametrize('x', [1, 2])
def test_a(x): time.sleep(0.4)
class TestB:
    def test_b(self): time.sleep(0.8)
    def test_c(self): time.sleep(0.8)
def test_d():
    time.sleep(0.8)
    assert not os.path.exists('bad')
if os.path.exists('more'):
    def test_new(): pass
";

#[tokio::test]
async fn a_file_far_longer_than_the_rest_is_run_in_parts_once_its_groups_are_known() {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin");
    let path = format!("{}:{}", venv.display(), std::env::var("PATH").unwrap());
    let suite = Suite::new()
        .file("pytest.ini", "[pytest]\n")
        .file("tests/test_long.py", GROUPS)
        .file("tests/test_short.py", "def test(): pass\n");
    let run = async |args: &[&str]| {
        let args = [&["run", "--capacity", "2", "--json"], args].concat();
        let mut command = suite.command(&args);
        command.env("PATH", &path);
        ended(command).await
    };
    let files = |ended: &Ended| {
        let lines = ended.lines();
        let done = lines.iter().filter(|line| line["type"] == "job:file:done");
        let mut files: Vec<_> = done
            .map(|line| {
                let (path, result) = (&line["args"][2], &line["args"][4]);
                let counts = (&result["cases"]["passed"], &result["cases"]["failed"]);
                format!(
                    "{} {} {}+{}",
                    path.as_str().unwrap(),
                    result["outcome"].as_str().unwrap(),
                    counts.0,
                    counts.1
                )
            })
            .collect();
        files.sort();
        files
    };
    let first = run(&[]).await.expect(0);
    assert_eq!(
        files(&first),
        ["tests/test_long.py passed 5+0", "tests/test_short.py passed 1+0"]
    );
    fs::write(suite.dir.join("more"), "").unwrap();
    let second = run(&["--junit", "../results.xml"]).await.expect(0);
    let told = files(&second);
    assert_eq!(told[2], "tests/test_short.py passed 1+0");
    let count = |words: &str| {
        words
            .split(' ')
            .nth(2)
            .unwrap()
            .split('+')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert!(told[0].starts_with("tests/test_long.py#1of2 passed"), "{told:?}");
    assert!(told[1].starts_with("tests/test_long.py#2of2 passed"), "{told:?}");
    assert_eq!(
        count(&told[0]) + count(&told[1]),
        6,
        "each case once, the new one too: {told:?}"
    );
    let xml = fs::read_to_string(suite.beside("results.xml")).unwrap();
    assert!(
        xml.contains("tests/test_long.py#2of2") && xml.contains("tests=\"7\""),
        "{xml}"
    );

    // Its history goes on: the next run is split again. What failed of it is run again as the file that it is.
    fs::write(suite.dir.join("bad"), "").unwrap();
    let third = run(&[]).await.expect(1);
    let bad: Vec<_> = files(&third)
        .into_iter()
        .filter(|file| file.contains("failed"))
        .collect();
    assert!(bad.len() == 1 && bad[0].starts_with("tests/test_long.py#"), "{bad:?}");
    fs::remove_file(suite.dir.join("bad")).unwrap();
    let again = run(&["--failed"]).await.expect(0);
    let told = files(&again);
    assert!(
        told.iter().all(|file| file.starts_with("tests/test_long.py")),
        "{told:?}"
    );
    assert_eq!(told.iter().map(|file| count(file)).sum::<u32>(), 6, "{told:?}");

    fs::write(suite.dir.join("skep.toml"), "[test]\nsplit = false\n").unwrap();
    let whole = run(&[]).await.expect(0);
    assert_eq!(files(&whole)[0], "tests/test_long.py passed 6+0");
}

#[tokio::test]
async fn flags_reach_the_tests() {
    let suite = Suite::new().file("checks/one.txt", "x").file("checks/two.txt", "x");
    let mut command = suite.command(&[
        "run",
        "--command",
        "echo got {file} $WORD $KEY",
        "--files",
        "checks/*.txt",
        "--env",
        "WORD=told",
        "--secret",
        "KEY",
        "--only",
        "checks/two.txt",
        "--json",
    ]);
    command.env("KEY", "hunter2secret");
    let ended = ended(command).await.expect(0);
    assert!(ended.stdout.contains("got checks/two.txt told"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("checks/one.txt told"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("hunter2secret"), "a secret is masked");
}

#[tokio::test]
async fn hooks_run_here_before_and_after() {
    let suite = Suite::new().test("tests/a.sh", "true").file(
        "skep.toml",
        "[hooks]\nbefore_originate = 'echo before; echo 1 > made'\nafter_job_finishes = 'echo $SKEP_STATE > ../after'",
    );
    let ended = suite.queen(&["run", "--json"]).await.expect(0);
    assert!(
        ended.stderr.contains("before"),
        "a hook's output stays out of the events: {}",
        ended.stderr
    );
    assert_eq!(fs::read_to_string(suite.beside("after")).unwrap(), "passed\n");
    let suite = suite.file("skep.toml", "[hooks]\nbefore_originate = 'exit 1'");
    let ended = suite.queen(&["run"]).await.expect(2);
    assert!(ended.stderr.contains("before_originate failed"), "{}", ended.stderr);
}

/// Every file below `dir` with its bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn uncommitted_changes_run_and_the_repository_stays_as_it_is() {
    let suite = Suite::new()
        .test("tests/a.sh", "exit 1")
        .file(".gitignore", "ignored\n");
    let repo = git2::Repository::init(&suite.dir).unwrap();
    let mut index = repo.index().unwrap();
    index.add_all(["."], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
    let who = git2::Signature::new("a", "a@b", &git2::Time::new(1, 0)).unwrap();
    repo.commit(Some("HEAD"), &who, &who, "first", &tree, &[]).unwrap();
    let suite = suite
        .test("tests/a.sh", "test ! -e ignored")
        .test("tests/new.sh", "true")
        .file("ignored", "x");
    let before = contents(&suite.dir);
    let ended = suite.queen(&["run"]).await.expect(0);
    assert!(ended.stdout.contains("2 files: 2 passed"), "{}", ended.stdout);
    assert!(contents(&suite.dir) == before, "the run changed the repository");
}

/// Starts a run whose one test waits; answers the program and the numbers of the test's processes.
async fn waiting(suite: &Suite) -> (Running, Vec<String>) {
    let mut run = Running::start(suite.command(&["run", "--json"]));
    let line = run.until("pids:").await;
    let text = serde_json::from_str::<Value>(&line).unwrap()["args"][2]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, pids) = text.split_once("pids:").unwrap();
    let pids: Vec<_> = pids.split_whitespace().map(String::from).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    (run, pids)
}

#[tokio::test]
async fn ctrl_c_cancels_and_leaves_nothing_behind() {
    let suite = Suite::new().test("tests/a.sh", "sleep 1000 & echo pids: $$ $!; wait");
    let (run, pids) = waiting(&suite).await;
    run.signal(libc::SIGINT);
    let (code, rest) = run.end().await;
    assert_eq!(code, 130, "{rest}");
    assert!(
        rest.contains("job:cancelled") && rest.contains("\"state\":\"cancelled\""),
        "{rest}"
    );
    for pid in &pids {
        assert!(!is_alive(pid), "process {pid} is left");
    }
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_the_job() {
    let suite = Suite::new().test(
        "tests/a.sh",
        "trap '' TERM; sleep 1000 & echo pids: $$ $!; while :; do wait; done",
    );
    let (mut run, pids) = waiting(&suite).await;
    run.signal(libc::SIGINT);
    run.complains("cancelling").await;
    run.signal(libc::SIGINT);
    let (code, rest) = run.end().await;
    assert_eq!(code, 130, "{rest}");
    for pid in &pids {
        assert!(!is_alive(pid), "process {pid} is left");
    }
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
}

#[tokio::test]
async fn two_runs_of_one_folder_at_once_both_work() {
    let suite = Suite::new().test("tests/a.sh", "true");
    let (one, two) = tokio::join!(suite.queen(&["run"]), suite.queen(&["run"]));
    let (one, two) = (one.expect(0), two.expect(0));
    // Usually they meet; one that comes late has the history for itself.
    let met = |run: &Ended| run.stderr.contains("warning: another run of this folder is under way");
    let kept = |run: &Ended| run.stdout.contains("queen logs ");
    for run in [&one, &two] {
        assert_ne!(met(run), kept(run), "{run:?}");
    }
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
}

#[tokio::test]
async fn a_history_that_cannot_be_used_is_told_and_left_alone() {
    let suite = Suite::new().test("tests/a.sh", "true");
    suite.queen(&["run"]).await.expect(0);
    let runs = suite.beside("data").join("skep/run");
    let history = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let database = history.join("skep.db");
    for wal in ["skep.db-wal", "skep.db-shm"] {
        let _ = fs::remove_file(history.join(wal));
    }
    fs::write(&database, "no database at all, but a text of some length").unwrap();
    let ended = suite.queen(&["run"]).await.expect(0);
    let told = format!("move {} away to begin anew", history.display());
    assert!(
        ended
            .stderr
            .contains("what earlier runs of this folder have left cannot be used")
            && ended.stderr.contains(&told),
        "{}",
        ended.stderr
    );
    assert!(fs::read(&database).unwrap().starts_with(b"no database"));
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
}

#[tokio::test]
async fn what_a_killed_run_left_is_forgotten() {
    let suite = Suite::new().test("tests/a.sh", "sleep 1000 & echo pids: $$ $!; wait");
    let (run, pids) = waiting(&suite).await;
    run.signal(libc::SIGKILL);
    run.end().await;
    let suite = suite.test("tests/a.sh", "true");
    let ended = suite.queen(&["run", "--json"]).await.expect(0);
    let summary = ended.lines().pop().unwrap();
    assert_eq!(summary["files"]["total"], 1);
    assert!(suite.leftovers().is_empty(), "{:?}", suite.leftovers());
    for pid in &pids {
        assert!(!is_alive(pid), "process {pid} is left");
    }
}

#[tokio::test]
async fn the_log_of_an_embedded_run_can_be_read_later() {
    let suite = Suite::new().test("tests/a.sh", "echo found me");
    let ended = suite.queen(&["run"]).await.expect(0);
    let command = ended
        .stdout
        .lines()
        .find_map(|line| line.split_once("queen logs "))
        .unwrap()
        .1;
    let args: Vec<_> = ["logs"].into_iter().chain(command.split_whitespace()).collect();
    let log = suite.queen(&args).await.expect(0);
    assert!(log.stdout.contains("found me"), "{}", log.stdout);
}
