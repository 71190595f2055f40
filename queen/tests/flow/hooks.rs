//! The hooks on the drones: each in its place and order, on the home drone and on helpers, also when one fails. Those of
//! the client are held in `cli_run.rs`.

use super::{
    fleet::{Fleet, suite},
    grammar,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};

/// Every hook writes its name, its worker and where it runs; `more` comes first in `after_sync`.
fn settings(more: &str) -> String {
    let say = |name: &str| format!("echo {name} ${{SKEP_WORKER_ID:--}} $(pwd) >> \"$LOG\"");
    let hooks = [
        "before_creating_workers",
        "before_start",
        "after_complete",
        "after_creating_workers",
    ];
    let hooks: String = hooks.iter().map(|name| format!("{name} = '{}'\n", say(name))).collect();
    format!(
        "[hooks]\nafter_sync = '{more}{}'\n{hooks}[prepare]\nrun = '{}'\n[cleanup]\nrun = '{}'\n",
        say("after_sync"),
        say("prepare"),
        say("cleanup")
    )
}

/// What was written on the drone of that name: (hook, worker).
fn written(log: &Path, drone: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let here = format!("/{drone}/");
    let own = text.lines().filter(|line| line.contains(&here));
    own.map(|line| {
        let mut words = line.split(' ');
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    })
    .collect()
}

fn names(written: &[(String, String)]) -> Vec<&str> {
    written.iter().map(|(name, _)| name.as_str()).collect()
}

fn output(events: &[Value]) -> String {
    let is_output = |event: &&Value| ["job:cmd:stdout", "job:cmd:stderr"].contains(&event["type"].as_str().unwrap());
    let text = events.iter().filter(is_output);
    text.map(|event| event["args"][2].as_str().unwrap()).collect()
}

/// Files that run until `open` exists.
fn gated(count: usize) -> Vec<(String, String)> {
    let body = "echo file $SKEP_WORKER_ID $(pwd) >> \"$LOG\"; echo begun; until [ -e \"$OPEN\" ]; do sleep 0.02; done";
    (0..count).map(|at| (format!("t{at:02}"), body.to_owned())).collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(name, body)| (name.as_str(), body.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hook_has_its_place_on_the_home_drone_and_on_helpers() {
    let mut fleet = Fleet::start().await;
    fleet.drone("d1", 200, 2).await;
    fleet.drone("d2", 100, 1).await;
    let (log, open) = (fleet.dir.path().join("log"), fleet.dir.path().join("open"));
    let repo = suite(&fleet.dir.path().join("repo"), &settings(""), &borrowed(&gated(12)));
    let job = fleet
        .submit(&repo, json!({"config": {"env": {"LOG": log, "OPEN": open}}}))
        .await;
    let mut used = BTreeSet::new();
    fleet
        .wait(&job, |event| {
            if event["type"] == "job:file:start" {
                used.insert((event["args"][5].to_string(), event["args"][3].to_string()));
            }
            (used.len() == 3).then_some(())
        })
        .await;
    fs::write(&open, "").unwrap();
    let events = fleet.finished(&job).await;
    grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
    assert_eq!(fleet.state(&job).await, "passed");
    let mut machine = BTreeSet::new();
    for (drone, slots) in [("d1", 2), ("d2", 1)] {
        let all = written(&log, drone);
        let names = names(&all);
        assert_eq!(
            names[..3],
            ["after_sync", "prepare", "before_creating_workers"],
            "{all:?}"
        );
        assert_eq!(
            names[names.len() - 2..],
            ["after_creating_workers", "cleanup"],
            "{all:?}"
        );
        let of = |name: &str| -> Vec<String> {
            let own = all.iter().filter(|(own, _)| own == name);
            own.map(|(_, worker)| worker.clone()).collect()
        };
        let workers: BTreeSet<String> = of("file").into_iter().collect();
        assert_eq!(workers.len(), slots, "{all:?}");
        for worker in &workers {
            assert!(
                machine.insert(worker.clone()),
                "two workers of the machine are {worker}: {all:?}"
            );
        }
        for name in ["before_start", "after_complete"] {
            let mut once = of(name);
            once.sort();
            assert_eq!(
                once,
                workers.iter().cloned().collect::<Vec<_>>(),
                "{name} once a worker: {all:?}"
            );
        }
        for worker in &workers {
            let own: Vec<&str> = all
                .iter()
                .filter(|(_, of)| of == worker)
                .map(|(name, _)| name.as_str())
                .collect();
            assert_eq!(
                (own[0], own[own.len() - 1]),
                ("before_start", "after_complete"),
                "{all:?}"
            );
        }
        assert!(
            [of("after_sync"), of("cleanup")]
                .concat()
                .iter()
                .all(|worker| worker == "-"),
            "{all:?}"
        );
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_after_sync_ends_the_share_of_a_helper_alone() {
    let mut fleet = Fleet::start().await;
    fleet.drone("d1", 200, 1).await;
    fleet.drone("d2", 100, 1).await;
    let (log, open) = (fleet.dir.path().join("log"), fleet.dir.path().join("open"));
    let fails = "case $(pwd) in */d2/*) echo no room here; exit 7;; esac; ";
    let repo = suite(&fleet.dir.path().join("repo"), &settings(fails), &borrowed(&gated(8)));
    let job = fleet
        .submit(&repo, json!({"config": {"env": {"LOG": log, "OPEN": open}}}))
        .await;
    let warning = fleet.event(&job, "job:warning").await;
    let said = warning["args"][1]["message"].as_str().unwrap().to_owned();
    assert!(
        said.contains("could not prepare the job: a command ended with 7"),
        "{said}"
    );
    fs::write(&open, "").unwrap();
    let events = fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "passed");
    assert!(output(&events).contains("no room here\n"), "{events:#?}");
    assert_eq!(names(&written(&log, "d2")), ["cleanup"], "no worker was there");
    assert_eq!(
        names(&written(&log, "d1"))
            .iter()
            .filter(|name| **name == "file")
            .count(),
        8
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_before_the_workers_ends_the_job_with_its_output() {
    for (hook, more) in [
        ("after_sync", "echo no room here; exit 7; "),
        ("before_creating_workers", ""),
    ] {
        let fleet = Fleet::with_drone().await;
        let log = fleet.dir.path().join("log");
        let mut settings = settings(more);
        if more.is_empty() {
            settings = settings.replace("'echo before_creating_workers", "'echo no room here; exit 7; echo x");
        }
        let repo = suite(&fleet.dir.path().join("repo"), &settings, &[("a", "true")]);
        let job = fleet.submit(&repo, json!({"config": {"env": {"LOG": log}}})).await;
        let events = fleet.finished(&job).await;
        let outline = grammar::check(&events).unwrap_or_else(|why| panic!("{why}\n{events:#?}"));
        assert!(outline.contains(&"prepare done 7".into()), "{hook}: {outline:?}");
        assert_eq!(fleet.state(&job).await, "failed", "{hook}");
        assert!(output(&events).contains("no room here\n"), "{hook}: {events:#?}");
        let by = events.iter().filter(|event| event["type"] == "job:cmd:start");
        let by: Vec<_> = by.map(|event| event["args"][4]["plugin"].as_str().unwrap()).collect();
        assert!(by.contains(&hook), "{by:?}");
        assert!(!events.iter().any(|event| event["type"] == "job:file:start"), "{hook}");
        let all = written(&log, "d1");
        assert_eq!(*names(&all).last().unwrap(), "cleanup", "{hook}: {all:?}");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hooks_after_the_workers_run_also_when_the_job_is_cancelled() {
    let fleet = Fleet::with_drone().await;
    let (log, open) = (fleet.dir.path().join("log"), fleet.dir.path().join("open"));
    let repo = suite(&fleet.dir.path().join("repo"), &settings(""), &borrowed(&gated(1)));
    let job = fleet
        .submit(&repo, json!({"config": {"env": {"LOG": log, "OPEN": open}}}))
        .await;
    let begun = |event: &Value| (event["type"] == "job:cmd:stdout" && event["args"][2] == "begun\n").then_some(());
    fleet.wait(&job, begun).await;
    fleet.context.engine.cancel(job.clone(), "enough".into()).await.unwrap();
    fleet.finished(&job).await;
    assert_eq!(fleet.state(&job).await, "cancelled");
    let all = written(&log, "d1");
    assert_eq!(
        names(&all)[3..],
        [
            "before_start",
            "file",
            "after_complete",
            "after_creating_workers",
            "cleanup"
        ],
        "{all:?}"
    );
    assert_eq!(all[3].1, all[5].1, "in the same slot: {all:?}");
    fleet.stop().await;
}
