//! Job data: what is taken is taken again, and no secret of it is ever shown.

use crate::{LONGEST_ERROR, choices::Choices, is_same};
use serde_json::{Value, json};
use shared::{JobData, Secret, job::Auth, secret::REDACTED};

/// `data` is a job; its bytes also choose secrets, and where somebody wrote them out.
pub fn target(data: &[u8]) {
    parse(&String::from_utf8_lossy(data));
    let mut choices = Choices::new(data);
    planted(&mut choices);
    in_address(&mut choices);
}

fn parse(text: &str) -> Option<JobData> {
    let job = match JobData::parse(text) {
        Ok(job) => job,
        Err(error) => {
            let said = error.to_string();
            assert!(
                !said.is_empty() && said.len() <= LONGEST_ERROR,
                "{} bytes: {said}",
                said.len()
            );
            return None;
        }
    };
    assert_eq!(job.check(), Ok(()));
    let again = JobData::parse(&job.exposed().to_string()).expect("what is passed on is taken");
    assert!(is_same(&again.exposed(), &job.exposed()), "{again:?}");
    hidden(&job);
    Some(job)
}

/// No secret is in what people are shown.
fn hidden(job: &JobData) {
    let auth = match job.repo.as_ref().and_then(|repo| repo.auth.as_ref()) {
        Some(Auth::Https { password, .. }) => Some(password),
        Some(Auth::Ssh { key }) => Some(key),
        None => None,
    };
    let shown = job.shown();
    let mut texts = Vec::new();
    gather(&shown, &mut texts, false);
    for secret in job.secrets.values().chain(auth).map(Secret::expose) {
        let secret = secret.trim();
        if secret.len() < 4 || secret.contains(REDACTED) {
            continue;
        }
        for text in &texts {
            // The mark itself may hold letters of the secret.
            let is_shown = text.split(REDACTED).any(|part| part.contains(secret));
            assert!(!is_shown, "{secret:?} is shown in {text:?}");
        }
    }
}

/// All texts in a job that came from outside: values, and keys of its config.
fn gather(value: &Value, texts: &mut Vec<String>, with_keys: bool) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) if with_keys => texts.push(number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts, with_keys)),
        Value::Object(map) => {
            for (key, value) in map {
                if with_keys {
                    texts.push(key.clone());
                }
                gather(value, texts, with_keys || key == "config");
            }
        }
        _ => {}
    }
}

fn planted(choices: &mut Choices<'_>) {
    let mut job = json!({"project": "o/n", "trigger": {"type": "manual", "timestamp": 1}, "secrets": {}, "config": {}});
    for name in ["A", "B", "C"].into_iter().take(1 + choices.below(3)) {
        let secret = match choices.below(3) {
            0 => choices.text(12),
            1 => choices
                .bytes(9)
                .iter()
                .map(|byte| char::from(b'0' + byte % 10))
                .collect(),
            _ => choices
                .bytes(9)
                .iter()
                .map(|byte| char::from(b'a' + byte % 3))
                .collect(),
        };
        let around = format!("{}{secret}{}", choices.text(4), choices.text(4));
        match choices.below(6) {
            0 => job["trigger"]["message"] = around.into(),
            1 => job["config"][name] = json!([{"x": around}]),
            2 => job["config"][name] = json!({around: 1}),
            3 => job["config"][name] = serde_json::from_str(secret.trim()).unwrap_or(Value::Null),
            4 => job["user_id"] = around.into(),
            _ => job["labels"] = json!([around]),
        }
        job["secrets"][name] = secret.into();
    }
    assert!(parse(&job.to_string()).is_some(), "{job}");
}

/// A password in an address is hidden, or the address is refused.
fn in_address(choices: &mut Choices<'_>) {
    let scheme = choices.pick(&["https", "http", "ssh", "git"]);
    let password: String = choices
        .bytes(12)
        .iter()
        .map(|byte| char::from(b'!' + byte % 94))
        .collect();
    let password = format!("{password}secret9");
    // `me:80/…` is a host and a port, and `me:a@b/…` a password and a host, whatever was meant.
    let (start, rest) = password.split_at(password.find(['/', '?', '#', '\\']).unwrap_or(password.len()));
    let is_port = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_digit());
    if !rest.is_empty() && (is_port || start.contains('@')) {
        return;
    }
    let url = format!(
        "{scheme}://me:{password}@example.org{}",
        choices.pick(&["/a/b", "", ":8080/x", ":99999/x"])
    );
    let job = json!({
        "project": "o/n", "trigger": {"type": "manual", "timestamp": 1}, "repo": {"url": url}
    });
    if let Some(job) = parse(&job.to_string()) {
        let shown = job.shown().to_string();
        assert!(!shown.contains("secret9"), "{url}: {shown}");
    }
}
