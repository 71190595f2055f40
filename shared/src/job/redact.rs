//! Takes the secrets of a job out of what is shown of it.
//!
//! Owns where somebody may have written one out: any text, and keys and numbers of what plugins get. Must not know where
//! secrets come from. Read next: [`super::JobData::shown`].

use crate::secret::REDACTED;
use serde_json::Value;

/// Shorter values stand in too many innocent texts to be looked for.
const MASKED: usize = 4;

/// Hides all of `secrets` in a job's JSON.
pub(super) fn hide<'a>(job: &mut Value, secrets: impl Iterator<Item = &'a str>) {
    let mut secrets: Vec<&str> = secrets
        .map(str::trim)
        .filter(|secret| secret.len() >= MASKED && *secret != REDACTED)
        .collect();
    if secrets.is_empty() {
        return;
    }
    // The longest first: no other takes a part out of it and leaves the rest.
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    hide_in_texts(job, &secrets);
    if let Some(config) = job.get_mut("config") {
        hide_in_config(config, &secrets);
    }
}

fn hide_in_texts(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::String(text) => hide_in(text, secrets),
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in_texts(value, secrets)),
        Value::Object(map) => map.values_mut().for_each(|value| hide_in_texts(value, secrets)),
        _ => {}
    }
}

/// Keys and numbers: elsewhere they are the contract's own.
fn hide_in_config(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::Number(number) => {
            let digits = number.to_string();
            if secrets.iter().any(|secret| digits.contains(secret)) {
                *value = REDACTED.into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in_config(value, secrets)),
        Value::Object(map) => {
            for (mut key, mut value) in std::mem::take(map) {
                hide_in(&mut key, secrets);
                hide_in_config(&mut value, secrets);
                map.insert(key, value);
            }
        }
        _ => {}
    }
}

/// A mark is not looked into again, so that a secret that is a part of it does not multiply it.
fn hide_in(text: &mut String, secrets: &[&str]) {
    for secret in secrets {
        if text.contains(secret) {
            let parts: Vec<_> = text
                .split(REDACTED)
                .map(|part| part.replace(secret, REDACTED))
                .collect();
            *text = parts.join(REDACTED);
        }
    }
}
