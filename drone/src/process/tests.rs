//! Real commands against what [`super`] says of groups, output, limits and ends.

use super::*;
use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn env() -> BTreeMap<String, String> {
    BTreeMap::from([("PATH".into(), std::env::var("PATH").unwrap())])
}

fn sh(script: &str) -> Command {
    Command::shell(script, "/", env())
}

struct Ran {
    ended: Ended,
    stdout: String,
    stderr: String,
    pieces: Vec<Output>,
}

async fn run_masked(command: Command, mask: Mask, cancel: &CancellationToken) -> Result<Ran, SpawnError> {
    let (sender, mut receiver) = mpsc::channel(4);
    let collect = async {
        let mut pieces = Vec::new();
        while let Some(piece) = receiver.recv().await {
            pieces.push(piece);
        }
        pieces
    };
    let mask = Arc::new(mask);
    let running = async {
        let ended = run(command, &mask, &sender, cancel).await;
        drop(sender);
        ended
    };
    let (ended, pieces) = timeout(SOON, async { tokio::join!(running, collect) })
        .await
        .expect("it ends");
    let text = |stream| {
        pieces
            .iter()
            .filter(|p| p.stream == stream)
            .map(|p| p.text.as_str())
            .collect()
    };
    Ok(Ran {
        ended: ended?,
        stdout: text(Stream::Stdout),
        stderr: text(Stream::Stderr),
        pieces,
    })
}

async fn run_all(command: Command) -> Result<Ran, SpawnError> {
    run_masked(command, Mask::default(), &CancellationToken::new()).await
}

/// True while `pid` is there and no zombie.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

fn is_gone(pid: &str) -> bool {
    !Path::new(&format!("/proc/{}", pid.trim())).exists()
}

#[tokio::test]
async fn output_and_code_come_back() {
    let ran = run_all(sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!((ran.ended.code, ran.ended.signal), (3, None));
    assert_eq!(ran.ended.stderr_tail, "err\n");
    assert!(ran.ended.peak_memory > 100_000, "{}", ran.ended.peak_memory);
    assert!(!ran.ended.timed_out && !ran.ended.cancelled);
}

#[tokio::test]
async fn what_it_used_is_measured_with_its_children() {
    let work = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; true";
    let ended = run_all(sh(work)).await.unwrap().ended;
    assert!(ended.cpu > Duration::from_millis(20), "{ended:?}");
    assert!(ended.wall >= ended.cpu / 2, "{ended:?}");
}

#[tokio::test]
async fn a_signal_is_128_and_its_number() {
    for (name, number) in [("KILL", 9), ("SEGV", 11), ("TERM", 15)] {
        let ended = run_all(sh(&format!("kill -{name} $$"))).await.unwrap().ended;
        assert_eq!((ended.code, ended.signal), (128 + number, Some(number)));
    }
}

#[tokio::test]
async fn the_environment_is_what_is_given_and_nothing_else() {
    let mut command = sh("env");
    command.env.insert("A".into(), "1".into());
    let out = run_all(command).await.unwrap().stdout;
    let names: HashSet<_> = out.lines().filter_map(|line| line.split('=').next()).collect();
    let shells = ["PWD", "SHLVL", "_", "OLDPWD"];
    let names: HashSet<_> = names.into_iter().filter(|name| !shells.contains(name)).collect();
    assert_eq!(names, HashSet::from(["PATH", "A", "SKEP_COMMAND_ID"]));
}

#[tokio::test]
async fn standard_input_is_empty_and_the_process_leads_its_group() {
    let ran = run_all(sh("cat; ps -o pgid= -p $$ | tr -d ' '; echo $$"))
        .await
        .unwrap();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], lines[1]);
}

#[tokio::test]
async fn programs_are_found_as_a_shell_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tool"), "#!/bin/sh\necho found $0\n").unwrap();
    fs::set_permissions(folder.path().join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    for (program, path) in [
        ("./tool", "/nowhere"),
        ("tool", "/nowhere:."),
        ("tool", folder.path().to_str().unwrap()),
    ] {
        let env = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        let out = run_all(Command::new(program, folder.path(), env)).await.unwrap().stdout;
        assert!(out.starts_with("found "), "{program} {path}: {out}");
    }
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", "echo", 0o644);
    file("script", "#!/no/such/interpreter -x\n", 0o755);
    file("data", "\u{1}\u{2}", 0o755);
    let path = folder.path().to_str().unwrap();
    let with_path = |program: &str| {
        Command::new(
            program,
            folder.path(),
            BTreeMap::from([("PATH".to_owned(), path.to_owned())]),
        )
    };
    let mut nul = with_path("/bin/true");
    nul.args.push("a\0b".into());
    let mut long = with_path("/bin/true");
    long.args.push("x".repeat(8 << 20));
    let mut lost = with_path("/bin/true");
    lost.cwd = folder.path().join("gone");
    for (command, words) in [
        (
            with_path("python7"),
            format!("python7 is not on PATH ({path}): install it"),
        ),
        (with_path("./none"), "none does not exist".into()),
        (
            with_path("plain"),
            "plain may not be run: it has no permission to execute: set it with chmod +x".into(),
        ),
        (with_path("./plain"), "set it with chmod +x".into()),
        (
            with_path("script"),
            "the interpreter in its first line, /no/such/interpreter, does not exist".into(),
        ),
        (with_path("data"), "no program of this machine".into()),
        (with_path("./."), "it is a folder".into()),
        (nul, "nul byte".into()),
        (long, "too long for this system (83886".into()),
        (lost, "gone cannot be entered: No such file".into()),
    ] {
        let error = run_all(command).await.err().expect("it does not start").to_string();
        assert!(error.contains(&words), "{words:?} is not in {error:?}");
    }
}

#[tokio::test]
async fn invalid_bytes_are_shown_and_pieces_are_bounded() {
    let ran = run_all(sh(r"printf 'a\377b\303'; head -c 10000000 /dev/zero | tr '\0' x >&2"))
        .await
        .unwrap();
    assert_eq!(ran.stdout, "a\\xffb\\xc3");
    assert_eq!(ran.stderr.len(), 10_000_000);
    assert!(
        ran.pieces
            .iter()
            .all(|p| !p.text.is_empty() && p.text.len() <= 32 * 1024)
    );
    assert_eq!(ran.ended.stderr_tail.len(), 8 * 1024);
}

#[tokio::test]
async fn secrets_are_hidden_although_they_are_written_in_pieces() {
    let mask = Mask::new(["hunter2hunter2".to_owned()]);
    let script = "printf hunter2; sleep 0.05; printf hunter2; echo hunter2hunter2 >&2; kill -9 $$";
    let ran = run_masked(sh(script), mask, &CancellationToken::new()).await.unwrap();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("[secret]", "[secret]\n"));
    assert_eq!(ran.ended.stderr_tail, "[secret]\n");
}

/// 200 MB pass through a channel of four pieces: at no time more than that is held.
#[tokio::test]
async fn much_output_passes_with_little_memory() {
    let (sender, mut receiver) = mpsc::channel(4);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    let command = sh("head -c 200000000 /dev/zero | tr '\\0' '\\n'");
    let running = async {
        let ended = run(command, &mask, &sender, &cancel).await.unwrap();
        drop(sender);
        ended
    };
    let counting = async {
        let (mut bytes, mut largest) = (0, 0);
        while let Some(piece) = receiver.recv().await {
            bytes += piece.text.len();
            largest = largest.max(piece.text.len());
        }
        (bytes, largest)
    };
    let (ended, (bytes, largest)) = timeout(SOON * 3, async { tokio::join!(running, counting) })
        .await
        .unwrap();
    assert_eq!((ended.code, bytes), (0, 200_000_000));
    assert!(largest <= 32 * 1024);
}

#[tokio::test]
async fn a_full_channel_stops_the_command_until_somebody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let (sender, mut receiver) = mpsc::channel(1);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    let command = sh(&format!(
        "head -c 1000000 /dev/zero | tr '\\0' x; touch {}",
        done.display()
    ));
    let mut task = tokio::spawn(async move { run(command, &mask, &sender, &cancel).await });
    let first = timeout(SOON, receiver.recv()).await.unwrap().unwrap();
    // Nobody reads on: at most the channel, the batch and the pipe are filled, and the command does not come to its end.
    assert!(timeout(Duration::from_millis(300), &mut task).await.is_err());
    assert!(!done.exists());
    let mut bytes = first.text.len();
    while let Some(piece) = timeout(SOON, receiver.recv()).await.unwrap() {
        bytes += piece.text.len();
    }
    assert_eq!((bytes, task.await.unwrap().unwrap().code), (1_000_000, 0));
    assert!(done.exists());
}

#[tokio::test]
async fn a_closed_channel_does_not_stop_the_command() {
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    let command = sh("head -c 1000000 /dev/zero; exit 4");
    let ended = timeout(SOON, run(command, &mask, &sender, &cancel))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ended.code, 4);
}

#[tokio::test]
async fn output_comes_while_the_command_runs() {
    let (sender, mut receiver) = mpsc::channel(4);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    let stop = cancel.clone();
    let task = tokio::spawn(async move { run(sh("printf prompt; sleep 100"), &mask, &sender, &cancel).await });
    let piece = timeout(SOON, receiver.recv()).await.unwrap().unwrap();
    assert_eq!((piece.stream, piece.text.as_str()), (Stream::Stdout, "prompt"));
    stop.cancel();
    assert!(timeout(SOON, task).await.unwrap().unwrap().unwrap().cancelled);
}

#[tokio::test]
async fn the_time_limit_ends_the_whole_group() {
    let mut command = sh("sleep 100 & echo $!; sh -c 'echo $$; sleep 100; true'; true");
    command.timeout = Some(Duration::from_millis(200));
    let ran = run_all(command).await.unwrap();
    assert!(ran.ended.timed_out && !ran.ended.cancelled);
    assert_eq!((ran.ended.code, ran.ended.signal), (143, Some(15)));
    assert!(ran.ended.wall < Duration::from_secs(5));
    assert_eq!(ran.stdout.lines().count(), 2);
    assert!(ran.stdout.lines().all(is_gone), "{}", ran.stdout);
}

#[tokio::test]
async fn a_command_that_ignores_term_is_killed_after_the_grace() {
    let mut command = sh("trap '' TERM; echo ready; while true; do sleep 0.1; done");
    command.timeout = Some(Duration::from_millis(100));
    command.grace = Duration::from_millis(300);
    let ended = run_all(command).await.unwrap().ended;
    assert_eq!((ended.code, ended.timed_out), (137, true));
    assert!(ended.wall >= Duration::from_millis(400), "{ended:?}");
}

#[tokio::test]
async fn a_command_may_use_the_grace_to_tidy_up() {
    let mut command = sh("trap 'echo tidy; exit 0' TERM; echo ready; while true; do sleep 0.05; done");
    command.timeout = Some(Duration::from_millis(100));
    let ran = run_all(command).await.unwrap();
    assert_eq!(ran.stdout, "ready\ntidy\n");
    assert_eq!((ran.ended.code, ran.ended.timed_out), (0, true));
}

#[tokio::test]
async fn a_command_cancelled_before_it_begins_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let mut command = sh("touch begun");
    command.cwd = folder.path().into();
    let ran = run_masked(command, Mask::default(), &cancel).await.unwrap();
    assert!(ran.ended.cancelled && ran.ended.code == 143);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_stays_in_the_group_is_stopped() {
    let ran = run_all(sh("sleep 100 & echo $!; exit 7")).await.unwrap();
    assert_eq!(ran.ended.code, 7);
    assert!(is_gone(&ran.stdout));
    assert!(ran.ended.wall < Duration::from_secs(1));
}

/// Each leaves the group in another way; none may live on or hold the pipe open.
#[tokio::test]
async fn daemons_do_not_outlive_their_command() {
    let pid = tempfile::NamedTempFile::new().unwrap();
    let file = pid.path().display();
    for script in [
        format!("setsid sh -c 'echo $$ > {file}; exec sleep 100' & until [ -s {file} ]; do sleep 0.01; done"),
        format!("(setsid sh -c 'echo $$ > {file}; sleep 100; true' &); until [ -s {file} ]; do sleep 0.01; done"),
        format!(
            "(setsid sh -c 'trap \"\" TERM HUP; echo $$ > {file}; while true; do sleep 0.1; done' >/dev/null 2>&1 &)
             until [ -s {file} ]; do sleep 0.01; done"
        ),
        format!(
            "(setsid env -i /bin/sh -c 'echo $$ > {file}; exec sleep 100' &); until [ -s {file} ]; do sleep 0.01; done"
        ),
    ] {
        fs::write(pid.path(), "").unwrap();
        let start = clock::instant();
        let ran = run_all(sh(&script)).await.unwrap();
        let daemon = fs::read_to_string(pid.path()).unwrap();
        assert!(!daemon.trim().is_empty() && is_gone(&daemon), "{script}: {daemon}");
        assert_eq!(ran.ended.code, 0);
        assert!(start.elapsed() < Duration::from_secs(5), "{script}");
    }
}

#[tokio::test]
async fn a_dropped_command_is_killed_and_reaped() {
    let (sender, mut receiver) = mpsc::channel(4);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    let script = "setsid sh -c 'echo $$; exec sleep 100' & sleep 0.1; echo $$; sleep 100; true";
    let task = tokio::spawn(async move { run(sh(script), &mask, &sender, &cancel).await });
    let mut pids = String::new();
    while pids.lines().count() < 2 {
        pids.push_str(&timeout(SOON, receiver.recv()).await.unwrap().unwrap().text);
    }
    assert!(pids.lines().all(lives));
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let gone = async {
        while !pids.lines().all(is_gone) {
            tokio::task::yield_now().await
        }
    };
    timeout(SOON, gone).await.expect("they go");
}

#[tokio::test]
async fn commands_that_run_side_by_side_leave_each_other_alone() {
    let (sender, mut receiver) = mpsc::channel(4);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    let stop = cancel.clone();
    // A daemon of a command that still runs, known by its marker.
    let script = "(setsid sh -c 'echo $$; exec sleep 100' >&2 &); sleep 100; true";
    let task = tokio::spawn(async move { run(sh(script), &mask, &sender, &cancel).await });
    let pid = timeout(SOON, receiver.recv()).await.unwrap().unwrap().text;
    for _ in 0..5 {
        assert_eq!(run_all(sh("sleep 100 & exit 0")).await.unwrap().ended.code, 0);
        assert!(lives(&pid));
    }
    stop.cancel();
    assert!(timeout(SOON, task).await.unwrap().unwrap().unwrap().cancelled);
    assert!(is_gone(&pid));
}

#[tokio::test]
async fn a_command_line_reads_as_it_is_typed() {
    assert_eq!(sh("make test && x").display(), "make test && x");
    let mut command = Command::new("pytest", "/", env());
    command.args = vec!["tests/test_a.py".into(), "-k".into(), "it's".into(), String::new()];
    assert_eq!(command.display(), r"pytest tests/test_a.py -k 'it'\''s' ''");
}

/// In a process of its own, so that the descriptors and children of other tests are not counted.
#[tokio::test]
async fn many_commands_leave_no_descriptor_and_no_zombie() {
    const CHILD: &str = "SKEP_TEST_LEAKS";
    if std::env::var_os(CHILD).is_none() {
        let exe = std::env::current_exe().unwrap();
        let name = "process::tests::many_commands_leave_no_descriptor_and_no_zombie";
        let mut command = Command::new(exe.to_str().unwrap(), "/", env());
        command.args = vec!["--exact".into(), name.into(), "--nocapture".into()];
        command.env.insert(CHILD.into(), "1".into());
        let ran = run_all(command).await.unwrap();
        assert_eq!(ran.ended.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("1 passed"), "{}", ran.stdout);
        return;
    }
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let children = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .count()
    };
    run_all(sh("true")).await.unwrap();
    let before = descriptors();
    for i in 0..200 {
        let script = ["true", "sleep 100 & exit 0", "(sleep 0 &); exit 3", "kill -9 $$"][i % 4];
        run_all(sh(script)).await.unwrap();
        let _ = run_all(Command::new("no-such-program", "/", env())).await.is_err();
    }
    assert_eq!(descriptors(), before);
    assert_eq!(children(), 0);
}

/// Between fork and exec a process has all of the drone's descriptors and no mark yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_just_starting_is_not_taken_for_what_another_one_left() {
    let done = CancellationToken::new();
    let start = || {
        let done = done.clone();
        tokio::spawn(async move {
            while !done.is_cancelled() {
                let ran = run_all(sh("exit 3")).await.unwrap();
                assert_eq!((ran.ended.code, ran.ended.signal), (3, None));
            }
        })
    };
    let starters = [start(), start(), start()];
    for _ in 0..100 {
        run_all(sh("sleep 1000 & exit 0")).await.unwrap();
    }
    done.cancel();
    for starter in starters {
        starter.await.expect("no command was killed");
    }
}
