//! Second tries: files that are tried again, flaky ones, the cut after the first bad file, and a rerun of what failed.

use super::{
    fleet::{Fleet, repository, suite},
    grammar,
    harness::http::{Reply, Request},
};
use serde_json::{Value, json};
use shared::{JobId, outcome::FileOutcome};

/// Fails as often as the file `$COUNT/NAME` has lines less than `times`.
fn fails(times: u32) -> String {
    format!(
        "echo >> \"$COUNT/$(basename $0)\"; n=$(wc -l < \"$COUNT/$(basename $0)\"); echo try $n >&2; [ $n -gt {times} ] || exit 3"
    )
}

async fn ask(fleet: &Fleet, method: &str, path: &str, body: &Value) -> Reply {
    let host = fleet.url.strip_prefix("http://").unwrap();
    let request = Request::new(method, path).header("content-type", "application/json");
    request.body(body.to_string()).send(host).await
}

async fn junit(fleet: &Fleet, job: &JobId) -> String {
    let reply = ask(fleet, "GET", &format!("/api/v1/jobs/{job}/junit.xml"), &Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// Path and outcome of each recorded result.
fn results(events: &[Value]) -> Vec<(String, String)> {
    let done = events.iter().filter(|event| event["type"] == "job:file:done");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    done.map(|event| (word(&event["args"][2]), word(&event["args"][4]["outcome"])))
        .collect()
}

fn of<'a>(results: &'a [(String, String)], path: &str) -> Vec<&'a str> {
    let own = results.iter().filter(|(own, _)| own == path);
    own.map(|(_, outcome)| outcome.as_str()).collect()
}

async fn outcomes(fleet: &Fleet, job: &JobId) -> Vec<(String, FileOutcome)> {
    let files = fleet.context.store.files(job).await.unwrap();
    files
        .into_iter()
        .map(|file| (file.row.path, file.row.outcome.unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_passes_after_it_failed_is_flaky_wherever_it_is_told() {
    let fleet = Fleet::with_drone().await;
    let count = fleet.dir.path().join("count");
    std::fs::create_dir(&count).unwrap();
    let (once, always) = (fails(1), fails(9));
    let scripts = [("always", always.as_str()), ("good", "true"), ("once", once.as_str())];
    let repo = suite(&fleet.dir.path().join("repo"), "[test]\nretries = 2\n", &scripts);
    let config = json!({"config": {"env": {"COUNT": count}}});
    let job = fleet.submit(&repo, config.clone()).await;
    let events = fleet.finished(&job).await;
    grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
    let told = results(&events);
    assert_eq!(of(&told, "tests/once"), ["failed", "flaky"]);
    assert_eq!(
        of(&told, "tests/always"),
        ["failed", "failed", "failed"],
        "two retries, then it is bad"
    );
    assert_eq!(of(&told, "tests/good"), ["passed"]);
    assert_eq!(fleet.state(&job).await, "failed");
    let ended = [
        ("tests/always", FileOutcome::Failed),
        ("tests/good", FileOutcome::Passed),
        ("tests/once", FileOutcome::Flaky),
    ];
    assert_eq!(
        outcomes(&fleet, &job).await,
        ended.map(|(path, outcome)| (path.to_owned(), outcome))
    );

    let history = ask(&fleet, "GET", "/api/v1/projects/test/project", &Value::Null)
        .await
        .json();
    let files = history["files"].as_array().unwrap();
    let once = files.iter().find(|file| file["path"] == "tests/once").unwrap();
    assert_eq!((&once["flaky"], &once["bad"]), (&json!(1), &json!(1)), "{once}");

    let xml = junit(&fleet, &job).await;
    let (_, once) = xml.split_once("<testsuite name=\"tests/once\"").unwrap();
    assert!(
        once.contains("<flakyFailure ") && once.contains("<stackTrace>try 1"),
        "{xml}"
    );
    let (_, always) = xml.split_once("<testsuite name=\"tests/always\"").unwrap();
    let (always, _) = always.split_once("</testsuite>").unwrap();
    assert_eq!(always.matches("<rerunFailure ").count(), 2, "{always}");
    assert!(
        always.contains("<failure message=\"exit code 3\" type=\"failed\">try 3"),
        "{always}"
    );

    // Whoever reads the page's own rows finds the same.
    let rows = ask(&fleet, "GET", &format!("/api/v1/jobs/{job}/files"), &Value::Null)
        .await
        .json();
    let once = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["path"] == "tests/once")
        .unwrap();
    assert_eq!(
        (&once["outcome"], &once["attempt"]),
        (&json!("flaky"), &json!(2)),
        "{once}"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_under_quarantine_is_tried_again_although_nothing_else_is() {
    let fleet = Fleet::with_drone().await;
    let (twice, always) = (fails(2), fails(9));
    let scripts = [("always", always.as_str()), ("twice", twice.as_str())];
    let settings = "[test]\nfail_fast = false\n";
    let repo = suite(&fleet.dir.path().join("repo"), settings, &scripts);
    let run = async |name: &str, more: Value| {
        let count = fleet.dir.path().join(name);
        std::fs::create_dir(&count).unwrap();
        let mut wanted = json!({"config": {"env": {"COUNT": count}}});
        for (key, value) in more.as_object().unwrap() {
            wanted[key] = value.clone();
        }
        let job = fleet.submit(&repo, wanted).await;
        let events = fleet.finished(&job).await;
        grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
        let told = results(&events);
        let of = |path| of(&told, path).into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
        (fleet.state(&job).await, of("tests/twice"), of("tests/always"))
    };
    let (state, twice, always) = run("first", json!({})).await;
    assert_eq!(
        (state.as_str(), twice, always),
        ("failed", vec!["failed".to_owned()], vec!["failed".to_owned()])
    );
    for path in ["tests/always", "tests/twice"] {
        let place = format!("/api/v1/projects/test/project/quarantine?path={path}");
        let put = ask(&fleet, "PUT", &place, &json!({"reason": "it is chance"})).await;
        assert_eq!(put.status, 204, "{}", put.body);
    }
    let (state, twice, always) = run("second", json!({})).await;
    assert_eq!(state, "failed", "what fails each time is never hidden");
    assert_eq!(twice, ["failed", "failed", "flaky"]);
    assert_eq!(always, ["failed", "failed", "failed"]);
    let (state, twice, _) = run("third", json!({"only": ["tests/twice"]})).await;
    assert_eq!((state.as_str(), twice.last().unwrap().as_str()), ("passed", "flaky"));
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_fast_stops_what_runs_and_says_what_was_not_run() {
    let fleet = Fleet::with_drone().await;
    let fifo = fleet.dir.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let settings =
        "[test]\nfail_fast = true\norder = 'listed'\n[hooks]\nafter_complete = 'echo ended $SKEP_WORKER_ID'\n";
    let scripts = [
        ("a", "cat \"$FIFO\"; exit 3"),
        ("b", "echo begun > \"$FIFO\"; exec sleep 600"),
        ("c", "echo never"),
        ("d", "echo never"),
    ];
    let repo = suite(&fleet.dir.path().join("repo"), settings, &scripts);
    let job = fleet.submit(&repo, json!({"config": {"env": {"FIFO": fifo}}})).await;
    let events = fleet.finished(&job).await;
    grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
    assert_eq!(fleet.state(&job).await, "failed");
    let told = [("tests/a", "failed"), ("tests/b", "notrun")];
    assert_eq!(
        results(&events),
        told.map(|(path, outcome)| (path.to_owned(), outcome.to_owned()))
    );
    let ended: Vec<_> = outcomes(&fleet, &job)
        .await
        .into_iter()
        .map(|(_, outcome)| outcome)
        .collect();
    let not_run = FileOutcome::NotRun;
    assert_eq!(ended, [FileOutcome::Failed, not_run, not_run, not_run]);
    let stopped = events
        .iter()
        .filter(|event| event["type"] == "job:cmd:done" && event["args"][2] == 143);
    assert_eq!(stopped.count(), 1, "the other one was stopped: {events:#?}");
    let text = events.iter().filter(|event| event["type"] == "job:cmd:stdout");
    let text: String = text.map(|event| event["args"][2].as_str().unwrap()).collect();
    assert!(!text.contains("never") && text.matches("ended ").count() == 2, "{text}");
    let xml = junit(&fleet, &job).await;
    assert!(
        xml.contains("tests=\"4\" skipped=\"3\" failures=\"1\" errors=\"0\""),
        "{xml}"
    );
    assert_eq!(
        xml.matches("<skipped message=\"this file was not run").count(),
        3,
        "{xml}"
    );
    fleet.stop().await;
}

const UNITTEST: &str = "import unittest

class Sums(unittest.TestCase):
    def test_good(self):
        print('ran good')

    def test_bad(self):
        print('ran bad')
        self.fail('no')

    def test_größer(self):
        print('ran größer')
        self.assertEqual(1, 2)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_of_what_failed_runs_the_failed_cases_where_the_framework_can_choose() {
    let fleet = Fleet::with_drone().await;
    let broken = "import unittest\nimport nothing_of_this_name\n";
    let files = [
        ("test_sums.py", UNITTEST),
        ("test_broken.py", broken),
        (
            "test_fine.py",
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n",
        ),
    ];
    let repo = repository(&fleet.dir.path().join("repo"), &files);
    let by_command = json!({"config": {"test": {"runner": "unittest", "isolation": "process"}}});
    let job = fleet.submit(&repo, by_command).await;
    fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "failed");

    let reply = ask(
        &fleet,
        "POST",
        &format!("/api/v1/jobs/{job}/rerun"),
        &json!({"failed": true}),
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let again: JobId = reply.json()["id"].as_str().unwrap().parse().unwrap();
    let events = fleet.finished(&again).await;
    let data = fleet.context.store.job_data(&again).await.unwrap().unwrap();
    assert_eq!(data.only.unwrap(), ["test_broken.py", "test_sums.py"]);
    assert_eq!(data.cases["test_sums.py"], ["Sums.test_bad", "Sums.test_größer"]);
    let files = fleet.context.store.files(&again).await.unwrap();
    let sums = files.iter().find(|file| file.row.path == "test_sums.py").unwrap();
    let counts = sums.result.as_ref().unwrap().cases;
    assert_eq!((counts.failed, counts.passed, counts.total()), (2, 0, 2), "{events:#?}");
    let text = events.iter().filter(|event| event["type"] == "job:cmd:stdout");
    let text: String = text.map(|event| event["args"][2].as_str().unwrap()).collect();
    assert!(
        text.contains("ran bad") && text.contains("ran größer") && !text.contains("ran good"),
        "{text}"
    );

    // A part of a file says nothing of how long the whole takes.
    let known = fleet
        .context
        .store
        .history(&"test/project".parse().unwrap())
        .await
        .unwrap();
    let sums = known.iter().find(|file| file.path == "test_sums.py").unwrap();
    assert_eq!((sums.runs, sums.bad), (2, 2));
    fleet.stop().await;
}
