//! What a job may be, and what is said of one that is not: held against [`super`].

use super::*;
use serde_json::json;

fn minimal() -> Value {
    json!({"project": "a/b", "trigger": {"type": "manual", "timestamp": 1}})
}

fn with(field: &str, value: Value) -> String {
    let mut job = minimal();
    job[field] = value;
    job.to_string()
}

#[test]
fn the_least_job_is_a_test_of_a_project() {
    let job = JobData::parse(&minimal().to_string()).unwrap();
    assert_eq!(job.job_type, JobType::Test);
    assert_eq!(job.repo, None);
}

#[test]
fn job_types_and_their_aliases() {
    for (word, kind) in [
        ("TEST", JobType::Test),
        ("TEST_ONLY", JobType::Test),
        ("DEPLOY", JobType::Deploy),
        ("TEST&DEPLOY", JobType::TestAndDeploy),
        ("TEST_AND_DEPLOY", JobType::TestAndDeploy),
    ] {
        assert_eq!(JobData::parse(&with("job_type", word.into())).unwrap().job_type, kind);
    }
}

#[test]
fn errors_say_what_to_do() {
    for (field, value, message) in [
        ("projct", json!(1), "did you mean \"project\"?"),
        ("spread", json!(0), "leave it out for as many as help"),
        ("ref", json!({"id": "abc"}), "give all 40 hexadecimal digits"),
        ("ref", json!({"branch": "a b"}), "is no name of a branch"),
        ("repo", json!({"url": " "}), "repo.url is empty"),
        ("repo", json!({"url": "--upload-pack=x"}), "is no address"),
        (
            "repo",
            json!({"url": "https://me:p#ss@h/r"}),
            "write '/', '?', '#', '@' and '%' as %2F, %3F, %23, %40 and %25",
        ),
        (
            "repo",
            json!({"url": "https://me:/pass@h/r"}),
            "repo.url cannot be read (its port is empty)",
        ),
        ("job_id", json!("a b"), "use 1 to 64 letters"),
        ("project", json!("nameonly"), "use owner/name"),
        ("secrets", json!({"A-B": "x"}), "no name of an environment variable"),
        ("only", json!([]), "leave it out for all"),
        (
            "cases",
            json!({"a.py": []}),
            "cases has no name for \"a.py\": name some, or leave the file out",
        ),
        ("job_type", json!("TST"), "unknown variant"),
    ] {
        let error = JobData::parse(&with(field, value)).unwrap_err().to_string();
        assert!(error.contains(message), "{field}: {error}");
    }
    let long = with("user_id", "x".repeat(JOB_LIMIT).into());
    assert!(JobData::parse(&long).unwrap_err().to_string().contains("at most"));
}

#[test]
fn secrets_show_only_when_exposed() {
    let text = with("repo", json!({"url": "https://u:p%40ss@h/r", "vcs": "git"}));
    let mut job = JobData::parse(&text).unwrap();
    job.secrets.insert("TOKEN".into(), "t0k".into());
    let shown = format!("{job:?} {}", serde_json::to_string(&job).unwrap());
    assert!(
        !shown.contains("p@ss") && !shown.contains("t0k") && !shown.contains("p%40ss"),
        "{shown}"
    );
    let exposed = job.exposed();
    assert_eq!(exposed["repo"]["auth"]["password"], "p@ss");
    assert_eq!(exposed["repo"]["url"], "https://h/r");
    assert_eq!(exposed["secrets"]["TOKEN"], "t0k");
    let back: JobData = serde_json::from_value(exposed).unwrap();
    assert_eq!(back, job);
    assert!(!back.is_redacted());
    let lost: JobData = serde_json::from_value(serde_json::to_value(&job).unwrap()).unwrap();
    assert!(lost.is_redacted());
}

#[test]
fn a_token_for_a_user_name_leaves_the_address_over_http() {
    const TOKEN: &str = "ghp_0123456789abcdefghij";
    let job = |repo: Value| JobData::parse(&with("repo", repo)).unwrap();
    let shown = |job: &JobData| format!("{job:?} {} {}", serde_json::to_string(job).unwrap(), job.shown());
    for url in [
        format!("https://{TOKEN}@h/r"),
        format!("HTTP://{TOKEN}:@h/r"),
        format!("https://{TOKEN}:x-oauth-basic@h/r"),
        format!(" https:{TOKEN}@h/r"),
    ] {
        let mut job = job(json!({"url": url}));
        job.config = json!({"env": {"A": format!("x{TOKEN}y")}}).as_object().unwrap().clone();
        assert!(!job.shown().to_string().contains(TOKEN), "{}", job.shown());
        job.config.clear();
        assert!(!shown(&job).contains(TOKEN), "{}", shown(&job));
        assert!(job.values().eq([TOKEN]) && job.has_secrets());
        let exposed = job.exposed();
        assert_eq!(exposed["repo"]["auth"]["username"], TOKEN);
        assert!(exposed["repo"]["url"].as_str().unwrap().ends_with("://h/r"));
        assert_eq!(serde_json::from_value::<JobData>(exposed).unwrap(), job);
        assert!(serde_json::from_value::<JobData>(job.shown()).unwrap().is_redacted());
    }
    // A name that is a word goes from the address, and is not looked for elsewhere.
    let named = job(json!({"url": "https://bob@h/bob/r"}));
    assert_eq!(named.shown()["repo"]["url"], "https://h/bob/r");
    assert_eq!(named.shown()["repo"]["auth"]["username"], REDACTED);
    assert_eq!(named.values().count(), 0);
    // Beside a password it is a name.
    let auth = json!({"type": "https", "password": "hunter2"});
    let both = job(json!({"url": "https://bob@h/r", "auth": auth})).exposed();
    assert_eq!(both["repo"]["url"], "https://h/r");
    assert_eq!(
        both["repo"]["auth"],
        json!({"type": "https", "username": "bob", "password": "hunter2"})
    );
    // Elsewhere a name alone says nothing that is secret, and is needed.
    for url in ["git@h:r", "ssh://bob@h/r", "rsync://bob@h/r", "/srv/a@b"] {
        let job = job(json!({"url": url}));
        assert_eq!(
            (job.shown()["repo"]["url"].clone(), job.has_secrets()),
            (json!(url), false)
        );
    }
    let ssh = job(json!({"url": "ssh://bob:hunter2@h/r"})).exposed();
    assert_eq!(ssh["repo"]["url"], "ssh://bob@h/r");
    assert_eq!(
        ssh["repo"]["auth"],
        json!({"type": "https", "username": "bob", "password": "hunter2"})
    );
}

#[test]
fn states_move_only_forward() {
    use JobState::*;
    let all = [Queued, Running, Passed, Failed, Errored, Cancelled];
    for from in all {
        assert_eq!(JobState::parse(from.as_str()), Some(from));
        for to in all {
            let legal = match (from, to) {
                (Queued, Running | Errored | Cancelled) => true,
                (Running, to) => to.is_final(),
                _ => false,
            };
            assert_eq!(from.may_become(to), legal, "{from} to {to}");
        }
    }
}

#[test]
fn an_error_does_not_repeat_a_whole_job() {
    let long = "ü ".repeat(10_000);
    for (field, value) in [
        ("repo", json!({"url": format!("-{long}")})),
        ("ref", json!({"branch": long})),
        ("ref", json!({"id": long})),
        ("secrets", json!({&long: "x"})),
        ("priority", json!(long)),
        (&long, json!(1)),
    ] {
        let error = JobData::parse(&with(field, value)).unwrap_err().to_string();
        assert!(error.len() < 600 && error.contains("ü ü"), "{error}");
    }
}

#[test]
fn a_job_is_an_object() {
    let error = JobData::parse(r#"[null, null, "a/b"]"#).unwrap_err().to_string();
    assert!(error.contains("invalid type: sequence, expected an object"), "{error}");
}

#[test]
fn a_secret_is_hidden_wherever_it_was_written_out() {
    let mut job = minimal();
    job["secrets"] = json!({"A": "hunter2\n", "B": "12345678", "C": "hunt", "D": "secret"});
    job["config"] = json!({"x": {"is hunter2": [12_345_678, 0.5, "hunter"]}, "test": {"timeout": 5}});
    job["trigger"]["message"] = "hunter2 hunt secret".into();
    let shown = JobData::parse(&job.to_string()).unwrap().shown();
    assert_eq!(
        shown["config"],
        json!({"x": {"is [secret]": ["[secret]", 0.5, "[secret]er"]}, "test": {"timeout": 5}})
    );
    assert_eq!(shown["trigger"]["message"], "[secret] [secret] [secret]");
}
