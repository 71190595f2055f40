//! The cases of a whole job, and a job beside an earlier one.

use super::*;
use harness::http::Request;

/// A finished job of three files: `a.sh` has 5 cases of every kind, `b.sh` 4 that passed, `c.sh` none.
async fn with_cases(queen: &Queen, drone: &mut FakeDrone, id: &str) {
    queen.submit(json!({"job_id": id})).await;
    let mut work = drone.take(&["a.sh", "b.sh", "c.sh"]).await;
    for _ in 0..3 {
        let (num, path) = drone.begin(&mut work).await;
        let cases = match path.as_str() {
            "a.sh" => json!([
                {"name": "Login works", "outcome": "passed", "duration": 2.5},
                {"name": "logout", "outcome": "failed", "message": "status 503 <b>\u{1b}[31m", "line": 7},
                {"name": "later", "outcome": "skipped", "message": "no time"},
                {"name": "breaks", "outcome": "errored", "message": "Größe 503"},
                {"name": "known", "outcome": "xfailed"},
            ]),
            "b.sh" => json!([
                {"name": "one", "outcome": "passed"}, {"name": "two", "outcome": "passed"},
                {"name": "three login", "outcome": "passed"}, {"name": "four", "outcome": "passed"},
            ]),
            _ => json!([]),
        };
        let outcome = if path == "a.sh" { "failed" } else { "passed" };
        drone.end(&work, (num, path), outcome, cases, json!({})).await;
    }
    drone.finish(&work).await;
    ended(queen, id).await;
}

fn names(page: &Value) -> Vec<String> {
    let cases = page["cases"].as_array().unwrap().iter();
    cases
        .map(|case| format!("{} {}", case["path"].as_str().unwrap(), case["name"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_of_a_job_are_searched_filtered_and_counted() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    with_cases(&queen, &mut drone, "cased").await;
    let ask = async |query: &str| {
        let reply = queen.get(&format!("/api/v1/jobs/cased/cases{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.body);
        reply.json()
    };
    let all = ask("").await;
    assert_eq!(all["cases"].as_array().unwrap().len(), 9);
    assert_eq!(all["next"], Value::Null);
    let counts = json!({"passed": 5, "failed": 1, "errored": 1, "skipped": 1, "xfailed": 1, "xpassed": 0});
    assert_eq!(all["counts"], counts);
    let failed = &all["cases"][1];
    assert_eq!(
        *failed,
        json!({"path": "a.sh", "num": failed["num"], "attempt": 1, "name": "logout", "outcome": "failed",
            "message": "status 503 <b>\u{1b}[31m", "line": 7})
    );
    for (query, found) in [
        ("?text=LOGIN", vec!["a.sh Login works", "b.sh three login"]),
        ("?text=503", vec!["a.sh logout", "a.sh breaks"]),
        ("?text=gr%C3%B6%C3%9Fe", vec!["a.sh breaks"]),
        (
            "?text=B.sh",
            vec!["b.sh one", "b.sh two", "b.sh three login", "b.sh four"],
        ),
        ("?outcome=failed,errored", vec!["a.sh logout", "a.sh breaks"]),
        ("?outcome=xpassed", vec![]),
        ("?outcome=passed&path=a.sh", vec!["a.sh Login works"]),
        ("?path=c.sh", vec![]),
        ("?path=none.sh", vec![]),
    ] {
        let page = ask(query).await;
        assert_eq!(names(&page), found, "{query}");
        assert_eq!(page["next"], Value::Null, "{query}");
    }
    // Counts are of what has text and path, whatever its outcome.
    let login = ask("?text=login&outcome=failed").await;
    assert_eq!(
        (login["cases"].as_array().unwrap().len(), &login["counts"]["passed"]),
        (0, &json!(2))
    );
    assert_eq!(ask("?path=b.sh&limit=1").await["counts"]["passed"], 4);

    for filter in ["", "&outcome=passed", "&text=o"] {
        let whole = names(&ask(&format!("?limit=1000{filter}")).await);
        for limit in [1, 2, 3, 4] {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = ask(&format!("?limit={limit}{filter}{after}")).await;
                assert_eq!(page.get("counts").is_some(), after.is_empty(), "on the first page");
                found.extend(names(&page));
                let Some(next) = page["next"].as_str() else { break };
                assert_eq!(page["cases"].as_array().unwrap().len(), limit);
                after = format!("&after={next}");
            }
            assert_eq!(found, whole, "{limit} at once with {filter:?}");
        }
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_of_a_file_that_ran_again_are_those_of_its_last_attempt() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    queen.submit(json!({"job_id": "again"})).await;
    let plan = json!({"runner": "command", "retries": 1});
    let mut work = drone.take_with(&["a.sh"], plan).await;
    for (outcome, attempt) in [("failed", 1), ("passed", 2)] {
        let (num, path) = drone.begin(&mut work).await;
        let args = json!([work.job, num, attempt, [{"name": "holds", "outcome": outcome}]]);
        drone.say("job:cases", args).await;
        let result = json!({"outcome": outcome, "exit": i32::from(outcome == "failed"), "duration": 5.0});
        drone
            .say("job:file:done", json!([work.job, num, path, attempt, result]))
            .await;
    }
    drone.finish(&work).await;
    assert_eq!(ended(&queen, "again").await, "passed");
    let page = queen.get("/api/v1/jobs/again/cases").await.json();
    let cases: Vec<_> = page["cases"].as_array().unwrap().iter().collect();
    assert_eq!(cases.len(), 1, "{page}");
    assert_eq!(
        (&cases[0]["attempt"], &cases[0]["outcome"]),
        (&json!(2), &json!("passed"))
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_about_cases_and_comparisons_say_what_to_do() {
    let (queen, _drone, id) = with_failed_job().await;
    for (path, status, kind, message) in [
        (
            format!("{id}/cases?limit=0"),
            400,
            "bad-query",
            "limit is 0: choose 1 to 1000",
        ),
        (format!("{id}/cases?limit=1001"), 400, "bad-query", "choose 1 to 1000"),
        (
            format!("{id}/cases?outcome=passed,bad"),
            400,
            "bad-query",
            "\"bad\" is no outcome of a case: use passed",
        ),
        (
            format!("{id}/cases?after=7"),
            400,
            "bad-query",
            "after is \"7\", which is no cursor",
        ),
        (
            format!("{id}/cases?after=-1~2"),
            400,
            "bad-query",
            "give the \"next\" of the page before",
        ),
        (format!("{id}/cases?txt=a"), 400, "bad-query", "unknown field `txt`"),
        ("missing/cases".into(), 404, "not-found", "there is no job missing"),
        ("missing/compare".into(), 404, "not-found", "there is no job missing"),
        (
            format!("{id}/compare?with=missing"),
            404,
            "not-found",
            "there is no job missing",
        ),
        (format!("{id}/compare?with=a%20b"), 400, "bad-query", "with: "),
        (
            format!("{id}/compare?with={id}"),
            400,
            "bad-query",
            "compared with itself: give another job",
        ),
        (format!("{id}/compare?to=x"), 400, "bad-query", "unknown field `to`"),
    ] {
        let reply = queen.get(&format!("/api/v1/jobs/{path}")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        let (found, why) = reply.error();
        assert!(found == kind && why.contains(message), "{path}: {why}");
    }
    let all = queen::store::Oldest {
        before: shared::Timestamp(i64::MAX),
        bytes: 0,
    };
    let now = shared::Timestamp(1_700_000_000_000);
    queen.context.store.remove_logs(all, now).await.unwrap();
    let gone = queen.get(&format!("/api/v1/jobs/{id}/cases")).await;
    assert_eq!((gone.status, gone.error().0.as_str()), (410, "log-removed"));
    // Results stay, and can be compared.
    assert_eq!(queen.get(&format!("/api/v1/jobs/{id}/compare")).await.status, 200);
    queen.stop().await;
}

/// Runs a job whose files end as `files` say: path, outcome, milliseconds, names of failed cases.
async fn run(queen: &Queen, drone: &mut FakeDrone, more: Value, files: &[(&str, &str, f64, &[&str])]) -> String {
    let id = queen.submit(more).await;
    let paths: Vec<&str> = files.iter().map(|file| file.0).collect();
    let mut work = drone.take(&paths).await;
    for _ in files {
        let (num, path) = drone.begin(&mut work).await;
        let (_, outcome, duration, failed) = files.iter().find(|file| file.0 == path).unwrap();
        let case = |name: &&str| json!({"name": name, "outcome": "failed", "message": "no"});
        let cases: Vec<Value> = failed.iter().map(case).collect();
        let result = json!({"duration": duration, "cases": {"failed": failed.len()},
            "failures": cases.iter().take(20).collect::<Vec<_>>()});
        drone.end(&work, (num, path), outcome, json!(cases), result).await;
    }
    drone.finish(&work).await;
    ended(queen, &id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_compared_with_the_last_that_passed() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let branch = |name: &str| json!({"ref": {"branch": name}});
    let compare = async |path: String| {
        let reply = queen.get(&format!("/api/v1/jobs/{path}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    let old = [("a.sh", "passed", 10.0, &[][..]), ("gone.sh", "passed", 10.0, &[])];
    let other_branch = run(&queen, &mut drone, branch("main"), &old).await;
    let nothing = json!({"with": null, "new_failures": [], "fixed": [], "slower": [], "faster": [],
        "added": [], "removed": []});
    assert_eq!(compare(format!("{other_branch}/compare")).await, nothing);

    let first = run(&queen, &mut drone, branch("topic"), &[("a.sh", "failed", 10.0, &["x"])]).await;
    let found = compare(format!("{first}/compare")).await;
    assert_eq!(
        found["with"]["id"],
        other_branch.as_str(),
        "of its project, when its branch has none"
    );

    let only = |files: &[&str]| json!({"ref": {"branch": "topic"}, "only": files});
    let mended = run(&queen, &mut drone, only(&["a.sh"]), &old[..1]).await;
    let found = compare(format!("{mended}/compare")).await;
    assert_eq!(
        (&found["added"], &found["removed"]),
        (&json!([]), &json!([])),
        "it was asked for a part only"
    );
    let after = run(&queen, &mut drone, branch("topic"), &[("a.sh", "failed", 10.0, &["x"])]).await;
    let found = compare(format!("{after}/compare")).await;
    assert_eq!(
        found["with"]["id"],
        other_branch.as_str(),
        "a part is no measure while there is a whole"
    );

    let base = [
        ("a.sh", "passed", 1_000.0, &[][..]),
        ("b.sh", "passed", 1_000.0, &[]),
        ("c.sh", "passed", 1_000.0, &[]),
        ("d.sh", "passed", 10.0, &[]),
        ("gone.sh", "passed", 10.0, &[]),
    ];
    let passed = run(&queen, &mut drone, branch("topic"), &base).await;
    let part = run(&queen, &mut drone, only(&["a.sh"]), &base[..1]).await;
    let files = [
        ("a.sh", "failed", 9_000.0, &["y", "x"][..]),
        ("b.sh", "passed", 1_300.0, &[]),
        ("c.sh", "passed", 100.0, &[]),
        ("d.sh", "passed", 90.0, &[]),
        ("e.sh", "crashed", 10.0, &[]),
        ("new.sh", "passed", 10.0, &[]),
    ];
    let failed = run(&queen, &mut drone, branch("topic"), &files).await;
    let found = compare(format!("{failed}/compare")).await;
    assert_eq!(
        found["with"]["id"],
        passed.as_str(),
        "not the part {part} and not what failed"
    );
    let told = |key: &str, part: &str| {
        let all = found[key].as_array().unwrap().iter();
        all.map(|one| format!("{} {}", one["path"].as_str().unwrap(), one[part]))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("new_failures", "name"), ["a.sh \"x\"", "a.sh \"y\"", "e.sh null"]);
    assert!(found["new_failures"][0]["num"].is_u64() && found["new_failures"][0]["with_num"].is_u64());
    assert_eq!(found["new_failures"][2]["with_num"], Value::Null);
    assert_eq!(told("slower", "after"), ["b.sh 1300.0"], "d.sh is within what is noise");
    assert_eq!(told("faster", "before"), ["c.sh 1000.0"]);
    assert_eq!(
        (&found["added"], &found["removed"]),
        (&json!(["e.sh", "new.sh"]), &json!(["gone.sh"]))
    );
    assert_eq!(found["fixed"], json!([]));

    // The other way around, and what a part does not have was not taken away.
    let turned = compare(format!("{passed}/compare?with={failed}")).await;
    assert_eq!(turned["fixed"].as_array().unwrap().len(), 2, "{turned}");
    assert_eq!(turned["new_failures"], json!([]));
    let few = compare(format!("{part}/compare?with={passed}")).await;
    assert_eq!(few["removed"], json!([]));
    let few = compare(format!("{passed}/compare?with={part}")).await;
    assert_eq!(few["added"], json!([]));
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_on_a_slower_drone_is_not_slower() {
    let queen = Queen::start().await;
    let drone = async |name: &str, speed: u32| {
        let mut drone = FakeDrone::join(&queen, name, 1).await;
        let info = json!({"speed": speed, "capacity": 1, "plugins": ["git", "shell"], "runners": ["command"],
            "labels": [name], "platform": "linux-x86_64", "version": "test"});
        drone.say("drone:info", json!([info])).await;
        drone.acked().await;
        drone
    };
    let (mut fast, mut slow) = (drone("fast", 200).await, drone("slow", 100).await);
    let on = |name: &str| json!({"labels": [name]});
    let times = |a: f64, b: f64, c: f64| {
        [("a.sh", a), ("b.sh", b), ("c.sh", c)].map(|(path, took)| (path, "passed", took, &[][..]))
    };
    run(&queen, &mut fast, on("fast"), &times(1_000.0, 1_000.0, 1_000.0)).await;
    let id = run(&queen, &mut slow, on("slow"), &times(2_000.0, 4_000.0, 1_000.0)).await;
    let reply = queen.get(&format!("/api/v1/jobs/{id}/compare")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let found = reply.json();
    let told = |key: &str| {
        let all = found[key].as_array().unwrap().iter();
        all.map(|one| one["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (told("slower"), told("faster")),
        (vec!["b.sh".to_owned()], vec!["c.sh".to_owned()]),
        "{found}"
    );
    let slower = &found["slower"][0];
    assert_eq!(
        (&slower["before"], &slower["after"]),
        (&json!(1_000.0), &json!(4_000.0))
    );
    let expected = slower["expected"].as_f64().unwrap();
    assert!((1_500.0..2_500.0).contains(&expected), "{slower}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_beyond_those_of_the_result_are_compared_too() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let many: Vec<String> = (0..30).map(|n| format!("case {n:02}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let before = run(&queen, &mut drone, json!({}), &[("a.sh", "failed", 9.0, &names[1..])]).await;
    let after = run(&queen, &mut drone, json!({}), &[("a.sh", "failed", 9.0, &names[..29])]).await;
    let reply = queen
        .send(Request::new(
            "GET",
            &format!("/api/v1/jobs/{after}/compare?with={before}"),
        ))
        .await;
    let found = reply.json();
    let only = |key: &str| {
        let all = found[key].as_array().unwrap();
        assert_eq!(all.len(), 1, "{key}: {all:?}");
        all[0]["name"].clone()
    };
    assert_eq!(
        (only("new_failures"), only("fixed")),
        (json!("case 00"), json!("case 29"))
    );
    queen.stop().await;
}
