//! The JSON reports of jest and rspec.
//!
//! Both are read as they are, field by field; what is missing is left out. Must not know who started the writer.

#[cfg(test)]
mod tests;

use super::found::{Found, case, say};
use serde_json::Value;
use shared::outcome::CaseOutcome;

/// `jest --json`.
pub(super) fn jest(bytes: &[u8]) -> Found {
    let report: Value = match serde_json::from_slice(bytes) {
        Ok(report) => report,
        Err(error) => return Found::unreadable(format!("jest's report cannot be read: {error}")),
    };
    let mut found = Found::default();
    for file in list(&report["testResults"]) {
        let tests = list(&file["assertionResults"]);
        for test in tests {
            let titles = list(&test["ancestorTitles"]).iter().filter_map(Value::as_str);
            let name = titles.chain(test["title"].as_str()).collect::<Vec<_>>().join(" > ");
            let outcome = match text(&test["status"]) {
                "passed" => CaseOutcome::Passed,
                "failed" => CaseOutcome::Failed,
                _ => CaseOutcome::Skipped,
            };
            let mut result = case(name, outcome);
            result.duration = test["duration"].as_f64();
            result.line = test["location"]["line"]
                .as_u64()
                .and_then(|line| u32::try_from(line).ok());
            for message in list(&test["failureMessages"]).iter().filter_map(Value::as_str) {
                say(&mut result, message);
            }
            found.add(result);
        }
        if tests.is_empty() && text(&file["status"]) == "failed" {
            let mut result = case("(loading the file)", CaseOutcome::Errored);
            say(&mut result, text(&file["message"]));
            found.add(result);
        }
    }
    found.says_none = found.cases.is_empty();
    found.finish()
}

/// `rspec --format json`.
pub(super) fn rspec(bytes: &[u8]) -> Found {
    let report: Value = match serde_json::from_slice(bytes) {
        Ok(report) => report,
        Err(error) => return Found::unreadable(format!("rspec's report cannot be read: {error}")),
    };
    let mut found = Found::default();
    for example in list(&report["examples"]) {
        let outcome = match text(&example["status"]) {
            "passed" => CaseOutcome::Passed,
            "failed" => CaseOutcome::Failed,
            "pending" => CaseOutcome::Skipped,
            // It had begun when the run was ended.
            _ => continue,
        };
        let mut result = case(text(&example["full_description"]), outcome);
        result.duration = example["run_time"].as_f64().map(|seconds| seconds * 1000.0);
        let file = text(&example["file_path"]).trim_start_matches("./");
        result.file = (!file.is_empty()).then(|| file.to_owned());
        result.line = example["line_number"]
            .as_u64()
            .and_then(|line| u32::try_from(line).ok());
        say(&mut result, text(&example["pending_message"]));
        let exception = &example["exception"];
        if !exception.is_null() {
            say(
                &mut result,
                &format!("{}: {}", text(&exception["class"]), text(&exception["message"])),
            );
            for line in list(&exception["backtrace"]).iter().filter_map(Value::as_str) {
                say(&mut result, line);
            }
        }
        found.add(result);
    }
    let outside = report["summary"]["errors_outside_of_examples_count"]
        .as_u64()
        .unwrap_or(0);
    if outside > 0 {
        let mut result = case("(loading the file)", CaseOutcome::Errored);
        for message in list(&report["messages"]).iter().filter_map(Value::as_str) {
            say(&mut result, message);
        }
        found.add(result);
    }
    found.says_none = found.cases.is_empty();
    found.finish()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
