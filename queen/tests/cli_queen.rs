//! The commands that ask a queen, against one that `queen serve` started, with a drone of this process.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

mod cli_support;

use cli_support::{Ended, Running, Suite};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// A queen that serves, in a suite's home.
struct Served {
    suite: Suite,
    queen: Running,
    url: String,
}

impl Served {
    async fn start(suite: Suite, flags: &[&str]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], flags].concat();
        let mut queen = Running::start(suite.command(&args));
        let line = queen.until("listens on ").await;
        let url = line.split_once("listens on ").unwrap().1.to_owned();
        Self { suite, queen, url }
    }

    async fn ask(&self, args: &[&str]) -> Ended {
        let mut command = self.suite.command(args);
        command.env("QUEEN_URL", &self.url);
        cli_support::ended(command).await
    }

    /// Starts a drone that works until the token is cancelled, with one slot.
    async fn drone(&self, token: Option<&str>) -> CancellationToken {
        let config = drone::Config::from_layer(drone::config::Layer {
            queen: Some(self.url.clone()),
            token: token.map(Into::into),
            data: Some(self.suite.beside("drone")),
            capacity: Some(1),
            speed: Some(100),
            name: Some("worker".into()),
            ..drone::config::Layer::default()
        });
        let stop = CancellationToken::new();
        tokio::spawn(drone::run(config.unwrap(), stop.clone()));
        stop
    }

    async fn stop(self) {
        self.queen.signal(libc::SIGTERM);
        let (code, rest) = self.queen.end().await;
        assert_eq!(code, 0, "{rest}");
    }
}

#[tokio::test]
async fn a_work_tree_runs_on_a_queen_elsewhere() {
    let suite = Suite::new()
        .test("tests/a.sh", "true")
        .test("tests/b.sh", "echo why; exit 3");
    let served = Served::start(suite, &[]).await;
    let drone = served.drone(None).await;
    let ended = served.ask(&["run", "--project", "me/it"]).await.expect(1);
    assert!(
        ended.stdout.contains("failed tests/b.sh (exit 3") && ended.stdout.contains("│ why"),
        "{ended:?}"
    );

    let jobs = served
        .ask(&["jobs", "--json", "--project", "me/it"])
        .await
        .expect(0)
        .json();
    let job = jobs["jobs"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(jobs["jobs"][0]["state"], "failed");
    let table = served.ask(&["jobs"]).await.expect(0);
    assert!(
        table.stdout.starts_with("JOB") && table.stdout.contains("me/it") && table.stdout.contains("2/2, 1 bad"),
        "{table:?}"
    );

    let log = served.ask(&["logs", &job]).await.expect(0);
    assert!(log.stdout.contains("why"), "{log:?}");
    let watched = served.ask(&["watch", &job, "--json"]).await.expect(1);
    assert_eq!(watched.lines().last().unwrap()["state"], "failed");
    let again = served
        .ask(&["rerun", &job, "--failed", "--watch", "--json"])
        .await
        .expect(1);
    assert_eq!(again.lines().last().unwrap()["files"]["total"], 1);
    let good = ["rerun", &job, "--only", "tests/a.sh", "--watch", "--json"];
    let good = served.ask(&good).await.expect(0);
    assert_eq!(good.lines().last().unwrap()["files"]["passed"], 1);
    let none = served.ask(&["rerun", &job, "--only", "tests/c.sh"]).await.expect(1);
    assert!(none.stderr.contains("no test file \"tests/c.sh\""), "{none:?}");
    let quarantine = async |args: &[&str]| served.ask(&[&["quarantine", "me/it"], args].concat()).await;
    let none = quarantine(&[]).await.expect(0);
    assert!(
        none.stdout
            .contains("no file of me/it is under quarantine; `queen quarantine me/it add"),
        "{none:?}"
    );
    let added = quarantine(&["add", "tests/b.sh", "--reason", "races"]).await.expect(0);
    assert!(added.stdout.contains("tests/b.sh is under quarantine"), "{added:?}");
    let listed = quarantine(&[]).await.expect(0);
    assert!(
        listed.stdout.contains("races") && listed.stdout.contains("2 of 2 failed, 0 flaky"),
        "{listed:?}"
    );
    let again = served
        .ask(&["rerun", &job, "--only", "tests/b.sh", "--watch"])
        .await
        .expect(1);
    assert!(
        again.stdout.contains("failed tests/b.sh"),
        "what fails each time is never hidden: {again:?}"
    );
    let listed = quarantine(&["--json"]).await.expect(0).json();
    assert_eq!(listed[0]["runs"].as_array().unwrap().len(), 5, "{listed}");
    let unknown = quarantine(&["add", "tests/c.sh", "--reason", "x"]).await.expect(1);
    assert!(
        unknown.stderr.contains("no test file \"tests/c.sh\" of me/it has run"),
        "{unknown:?}"
    );
    let lifted = quarantine(&["lift", "tests/b.sh"]).await.expect(0);
    assert!(lifted.stdout.contains("no longer under quarantine"), "{lifted:?}");
    let twice = quarantine(&["lift", "tests/b.sh"]).await.expect(1);
    assert!(twice.stderr.contains("is not under quarantine"), "{twice:?}");
    let ended = served.ask(&["cancel", &job]).await.expect(1);
    assert!(ended.stderr.contains("ended already"), "{ended:?}");
    drone.cancel();
    served.stop().await;
}

#[tokio::test]
async fn drones_are_listed_and_drained() {
    let served = Served::start(Suite::new(), &[]).await;
    let none = served.ask(&["drones"]).await.expect(0);
    assert!(none.stdout.contains("no drones"), "{none:?}");
    let drone = served.drone(None).await;
    // A job that needs the drone tells when it is there.
    let job = [
        "submit",
        "--project",
        "a/b",
        "--command",
        "true",
        "--files",
        "*",
        "--job-type",
        "deploy",
        "--watch",
        "--json",
    ];
    served.ask(&job).await;
    let drones = served.ask(&["drones", "--json"]).await.expect(0).json();
    let id = drones[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&drones[0]["name"], &drones[0]["capacity"]),
        (&json!("worker"), &json!(1))
    );
    let table = served.ask(&["drones"]).await.expect(0);
    assert!(
        table.stdout.contains("worker") && table.stdout.contains("idle"),
        "{table:?}"
    );
    let ping = served.ask(&["ping", "--json"]).await.expect(0).json();
    assert_eq!((&ping["ready"], &ping["slots"]), (&json!(true), &json!(1)));
    assert!(served.ask(&["ping"]).await.expect(0).stdout.contains("is well"));
    let is_draining = async || served.ask(&["drones", "--json"]).await.expect(0).json()[0]["draining"].clone();
    served.ask(&["drain", &id]).await.expect(0);
    assert_eq!(is_draining().await, true);
    let off = served.ask(&["drain", &id, "--off"]).await.expect(0);
    assert!(off.stdout.contains("takes work again"), "{off:?}");
    let unknown = served.ask(&["drain", "nobody"]).await.expect(1);
    assert!(unknown.stderr.contains("nobody"), "{unknown:?}");
    drone.cancel();
    served.stop().await;
}

#[tokio::test]
async fn a_job_waits_is_cancelled_and_ends_with_4() {
    let suite = Suite::new().file(
        "job.json",
        r#"{"job_id": "j1", "project": "a/b", "trigger": {"type": "manual", "timestamp": 1}, "labels": ["moon"]}"#,
    );
    let served = Served::start(suite, &[]).await;
    let first = served.ask(&["submit", "job.json", "--json"]).await.expect(0).json();
    assert_eq!((&first["id"], &first["repeated"]), (&json!("j1"), &json!(false)));
    let again = served.ask(&["submit", "job.json"]).await.expect(0);
    assert!(again.stdout.contains("is there already"), "{again:?}");
    let clash = served.ask(&["submit", "job.json", "--priority", "3"]).await.expect(1);
    assert!(clash.stderr.contains("j1"), "{clash:?}");
    let mut watch = served.suite.command(&["watch", "j1", "--json"]);
    watch.env("QUEEN_URL", &served.url);
    let mut watch = Running::start(watch);
    watch.until("job:queued").await;
    served.ask(&["cancel", "j1", "--reason", "not now"]).await.expect(0);
    let (code, rest) = watch.end().await;
    assert_eq!(code, 4, "{rest}");
    let unknown = served.ask(&["watch", "nothing"]).await.expect(1);
    assert!(unknown.stderr.contains("nothing"), "{unknown:?}");
    served.stop().await;
}

#[tokio::test]
async fn tokens_are_made_before_and_while_serving() {
    let suite = Suite::new();
    let made = suite.queen(&["token", "add", "--role", "admin", "me"]).await.expect(0);
    let token = made.stdout.trim().to_owned();
    let served = Served::start(suite, &["--require-token"]).await;
    let refused = served.ask(&["jobs"]).await.expect(1);
    assert!(refused.stderr.contains("token"), "{refused:?}");
    let with = async |args: &[&str]| {
        let mut command = served.suite.command(args);
        command.env("QUEEN_URL", &served.url).env("QUEEN_TOKEN", &token);
        cli_support::ended(command).await
    };
    with(&["jobs"]).await.expect(0);
    let made = with(&["token", "add", "--role", "read", "page", "--json"])
        .await
        .expect(0)
        .json();
    let id = made["id"].as_str().unwrap();
    let list = with(&["token", "list"]).await.expect(0);
    assert!(
        list.stdout.contains("page") && list.stdout.contains("admin") && !list.stdout.contains(&token),
        "{list:?}"
    );
    with(&["token", "revoke", id]).await.expect(0);
    with(&["token", "revoke", id]).await.expect(1);
    let busy = served.suite.queen(&["token", "list"]).await.expect(1);
    assert!(busy.stderr.contains("QUEEN_URL"), "{busy:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_queen_that_cannot_serve_says_why() {
    let served = Served::start(Suite::new(), &[]).await;
    let address = served.url.strip_prefix("http://").unwrap();
    let other = Suite::new();
    let taken = other.queen(&["serve", "--listen", address]).await.expect(1);
    assert!(taken.stderr.contains("--listen"), "{taken:?}");
    let open = other.queen(&["serve", "--listen", "0.0.0.0:0"]).await.expect(1);
    assert!(open.stderr.contains("queen token add"), "{open:?}");
    let same = served
        .suite
        .queen(&["serve", "--listen", "127.0.0.1:0"])
        .await
        .expect(1);
    assert!(same.stderr.contains("in use"), "{same:?}");
    served.stop().await;
    let nobody = other.queen(&["jobs", "--queen", "http://127.0.0.1:9"]).await.expect(5);
    assert!(nobody.stderr.contains("start one with `queen serve`"), "{nobody:?}");
}

#[tokio::test]
async fn settings_come_from_a_file() {
    let suite = Suite::new().file(
        "queen.toml",
        "[serve]\nlisten = '127.0.0.1:0'\ndata = 'elsewhere'\nrequire-token = true\n",
    );
    let mut queen = Running::start(suite.command(&["serve", "--config", "queen.toml"]));
    assert!(!queen.until("listens on ").await.contains(":7874"));
    assert!(queen.until("data: ").await.ends_with("elsewhere"));
    queen.signal(libc::SIGINT);
    assert_eq!(queen.end().await.0, 0);
    let suite = suite.file("queen.toml", "[serve]\nlitsen = 'x'\n");
    let bad = suite.queen(&["serve", "--config", "queen.toml"]).await.expect(3);
    assert!(bad.stderr.contains("did you mean \"listen\"?"), "{bad:?}");
}

#[tokio::test]
async fn init_writes_once() {
    let suite = Suite::new().test("tests/a.sh", "true");
    let first = suite.queen(&["init"]).await.expect(0);
    assert!(first.stdout.contains("finds 1 test files"), "{first:?}");
    suite.queen(&["run"]).await.expect(0);
    let second = suite.queen(&["init"]).await.expect(1);
    assert!(second.stderr.contains("is there already"), "{second:?}");
    assert!(
        suite
            .queen(&["completions", "bash"])
            .await
            .expect(0)
            .stdout
            .contains("_queen")
    );
}
