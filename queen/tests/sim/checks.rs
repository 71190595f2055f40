//! What must hold when everything has come to its end.

use super::{
    grammar,
    ledger::Book,
    plan::{JobPlan, Kind},
    world::{Manner, Report},
};
use scheduler::{FileState, LeaseState};
use serde_json::Value;
use shared::{JobId, JobState, LeaseToken, Num, outcome::FileOutcome};
use std::collections::{BTreeMap, BTreeSet};

/// Holds what was done and told against what is written.
pub fn at_the_end(book: &Book, jobs: &BTreeMap<JobId, JobPlan>, manner: Manner, report: &mut Report) {
    for plan in jobs.values() {
        let whole = job(book, plan, manner, report).and_then(|events| browsers(book, plan, &events));
        if let Err(why) = whole {
            book.violation(format!("{}: {why}", plan.id));
        }
    }
}

fn rule(ok: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(why()) }
}

fn job(book: &Book, plan: &JobPlan, manner: Manner, report: &mut Report) -> Result<Vec<Value>, String> {
    let ledger = book.ledger();
    rule(ledger.accepted.contains(&plan.id), || "it was never taken".into())?;
    let kept = book.store.durable(&plan.id, |kept| {
        let events: Vec<Value> = kept
            .events
            .iter()
            .map(|event| serde_json::from_str(&event.line).unwrap())
            .collect();
        let files: Vec<_> = kept.files.values().cloned().collect();
        let leases: Vec<_> = kept.leases.values().cloned().collect();
        let results: Vec<_> = kept.results.iter().map(|(_, result)| result.clone()).collect();
        (kept.row.clone(), events, files, leases, results)
    });
    let (row, events, files, leases, results) = kept.ok_or("it is not in the store")?;
    report.history.extend(events.iter().map(ToString::to_string));
    grammar::check_with_loss(&events)?;
    rule(row.state.is_final(), || format!("it has not ended: {row:?}"))?;
    rule(leases.iter().all(|lease| lease.state == LeaseState::Ended), || {
        format!("leases are left: {leases:?}")
    })?;

    // One result an attempt, and an event for each.
    let told: Vec<(u64, String, u64, String)> = events
        .iter()
        .filter(|event| event["type"] == "job:file:done")
        .map(|event| {
            let args = &event["args"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                args[1].as_u64().unwrap(),
                text(&args[2]),
                args[3].as_u64().unwrap(),
                text(&args[4]["outcome"]),
            )
        })
        .collect();
    let of = |result: &queen::store::AttemptResult| {
        (
            u64::from(result.num.0),
            result.path.clone(),
            u64::from(result.attempt.0),
            result.result.outcome.as_str().to_owned(),
        )
    };
    // A file that was run in parts has one result more, as a whole.
    let mut parts: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for file in &files {
        if let Some(part) = &file.part {
            parts.entry(&part.part.file).or_default().push(file.outcome);
        }
    }
    let is_whole = |result: &&queen::store::AttemptResult| result.drone.is_none() && parts.contains_key(&*result.path);
    for (path, outcomes) in &parts {
        let ran = outcomes.iter().all(|outcome| *outcome != Some(FileOutcome::NotRun));
        let wholes = results
            .iter()
            .filter(is_whole)
            .filter(|whole| whole.path == *path)
            .count();
        // A job that is tried again may have had it before.
        rule(wholes >= usize::from(ran) && (wholes <= 1 || row.attempt > 1), || {
            format!("{path} was run in parts and has {wholes} results as a whole: {outcomes:?}")
        })?;
    }
    report.splits += parts.len();
    let results: Vec<_> = results.iter().filter(|result| !is_whole(result)).cloned().collect();
    let written: Vec<_> = results.iter().map(of).collect();
    rule(told == written, || {
        format!("results {written:?}, and the log says {told:?}")
    })?;
    let nums: BTreeSet<_> = told.iter().map(|(num, ..)| num).collect();
    rule(nums.len() == told.len(), || {
        format!("an attempt has two results: {told:?}")
    })?;
    report.results += results.len();

    // Every file is accounted for, and the job ended as its files did.
    let stopped = matches!(row.state, JobState::Cancelled | JobState::Errored);
    for file in &files {
        let outcome = file.outcome.ok_or_else(|| format!("{} has no outcome", file.path))?;
        rule(file.state == FileState::Done, || {
            format!("{} is not accounted for", file.path)
        })?;
        let kind = plan.file(&file.path).kind;
        let may = JobPlan::may_end(kind, outcome, file.lost)
            || outcome == FileOutcome::NotRun && (stopped || plan.plan.fail_fast)
            // Stopped between its attempts.
            || stopped && outcome == FileOutcome::Failed && kind != Kind::Passes
            || plan.plan.fail_fast && kind == Kind::Flaky && outcome == FileOutcome::Failed;
        rule(may, || format!("{} ended as {outcome:?}: {file:?}", file.path))?;
        let last = results
            .iter()
            .rev()
            .find(|result| result.path == file.path && Some(result.num) == file.num);
        rule(outcome == FileOutcome::NotRun || last.is_some(), || {
            format!("{} has no result", file.path)
        })?;
    }
    let bad = files.iter().any(|file| file.outcome.is_some_and(FileOutcome::is_bad));
    match row.state {
        JobState::Passed => rule(!bad && plan.passes, || "it passed, and a file is bad".into())?,
        JobState::Failed => rule(bad, || "it failed, and no file is bad".into())?,
        JobState::Cancelled => rule(plan.cancel_at.is_some(), || "nobody stopped it".into())?,
        JobState::Errored => {
            let kind = row.error.as_ref().map(|error| error.kind.as_str());
            rule(kind == Some("lost") && manner != Manner::Gentle, || {
                format!("it errored: {:?}", row.error)
            })?;
        }
        JobState::Queued | JobState::Running => {}
    }
    if ledger.stopping.contains(&plan.id) {
        rule(row.cancel.is_some(), || "the wish to stop it is lost".into())?;
    }
    let deploys = ledger.deploys.get(&plan.id).copied().unwrap_or(0);
    rule(deploys <= 1, || format!("it was deployed {deploys} times"))?;
    rule(!(row.state == JobState::Passed && plan.deploys) || deploys == 1, || {
        "it was never deployed".into()
    })?;
    if manner == Manner::Gentle {
        let lost = row.lost > 0
            || files
                .iter()
                .any(|file| file.lost > 0 && plan.file(&file.path).kind != Kind::Dies);
        rule(!lost, || "something was lost although nobody was away for long".into())?;
    }
    lines(&ledger.written, plan, &events, manner, report)?;
    Ok(events)
}

/// Every line that was written, once and in order.
fn lines(
    written: &BTreeMap<(JobId, LeaseToken, Num), super::ledger::Written>,
    plan: &JobPlan,
    events: &[Value],
    manner: Manner,
    report: &mut Report,
) -> Result<(), String> {
    // Which lease a command was under, and how many of its lines there are.
    let mut logged: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut ended: BTreeSet<u32> = BTreeSet::new();
    for event in events {
        let num = || u32::try_from(event["args"][1].as_u64().unwrap_or(0)).unwrap();
        match event["type"].as_str().unwrap_or_default() {
            "job:cmd:stdout" => {
                let text = event["args"][2].as_str().unwrap_or_default();
                let token = text.split(':').next().and_then(|word| word.parse().ok());
                let token: u64 = token.ok_or_else(|| format!("{text:?} is nobody's"))?;
                let (under, next) = logged.entry(num()).or_insert((token, 0));
                let expected = format!("{under}:{}:{next}:{}\n", num(), "x".repeat(plan.padding));
                rule(text == expected, || {
                    format!("{text:?} stands where {expected:?} belongs")
                })?;
                *next += 1;
            }
            // The drone says how long it took, the queen does not.
            "job:cmd:done" if event["args"][3].is_u64() => {
                ended.insert(num());
            }
            _ => {}
        }
    }
    report.lines += logged.values().map(|(_, lines)| lines).sum::<u64>();
    for ((_, token, num), written) in written.iter().filter(|((job, ..), _)| *job == plan.id) {
        let own = logged.get(&num.0).filter(|(under, _)| *under == token.0);
        let lines = own.map_or(0, |(_, lines)| *lines);
        rule(lines <= written.lines, || {
            format!("command {num} has {lines} lines and wrote {}", written.lines)
        })?;
        let told = own.is_some() && ended.contains(&num.0);
        let whole = written.ended && (told || manner == Manner::Gentle && written.awaited);
        rule(!whole || lines == written.lines, || {
            format!("command {num} wrote {} lines, and the log has {lines}", written.lines)
        })?;
    }
    Ok(())
}

/// What browsers were shown is all that there is.
fn browsers(book: &Book, plan: &JobPlan, events: &[Value]) -> Result<(), String> {
    let ledger = book.ledger();
    for ((browser, _), seen) in ledger.seen.iter().filter(|((_, job), _)| *job == plan.id) {
        rule(seen.as_slice() == events, || {
            format!(
                "browser {browser} saw {} events of {}, or others",
                seen.len(),
                events.len()
            )
        })?;
    }
    Ok(())
}
