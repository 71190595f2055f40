//! A job's output by the line: the past in outline, lines by their numbers, beside a plain reading of the events.

use super::*;
use harness::live::Live;
use std::collections::BTreeMap;

/// A command's lines and which is open on each stream (0: none), read in the plainest way.
#[derive(Debug, Default, Clone, PartialEq)]
struct Plain {
    /// Stream, text, time.
    lines: Vec<(&'static str, String, i64)>,
    open: [usize; 2],
}

fn plain(events: &[Value]) -> BTreeMap<u64, Plain> {
    let mut commands = BTreeMap::<u64, Plain>::new();
    let mut running: Vec<u64> = Vec::new();
    for event in events {
        let args = &event["args"];
        let (stream, name, num, text) = match event["type"].as_str().unwrap() {
            "job:cmd:start" => {
                running.push(args[1].as_u64().unwrap());
                commands.entry(args[1].as_u64().unwrap()).or_default();
                continue;
            }
            "job:cmd:done" => {
                running.retain(|num| *num != args[1].as_u64().unwrap());
                continue;
            }
            "job:cmd:stdout" => (0, "stdout", args[1].as_u64(), &args[2]),
            "job:cmd:stderr" => (1, "stderr", args[1].as_u64(), &args[2]),
            "job:stdout" => (0, "stdout", running.last().copied(), &args[1]),
            "job:stderr" => (1, "stderr", running.last().copied(), &args[1]),
            _ => continue,
        };
        let command = commands.entry(num.unwrap_or(0)).or_default();
        for c in text.as_str().unwrap().chars() {
            if command.open[stream] == 0 {
                command.lines.push((name, String::new(), event["at"].as_i64().unwrap()));
                command.open[stream] = command.lines.len();
            }
            match c {
                '\n' => command.open[stream] = 0,
                c => command.lines[command.open[stream] - 1].1.push(c),
            }
        }
    }
    commands
}

async fn lines(queen: &Queen, id: &str, query: &str) -> Value {
    let reply = queen.get(&format!("/api/v1/jobs/{id}/log/lines?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// Output of every kind: side by side, cut anywhere, named and not.
async fn chatter(drone: &mut FakeDrone, work: &mut Work) {
    let id = work.job.clone();
    drone.say("job:stdout", json!([id, "of nobody\nand on"])).await;
    let (a, path_a) = drone.begin(work).await;
    let (b, path_b) = drone.begin(work).await;
    drone.out(work, a, "\u{1b}[31mred\r\nstill ").await;
    drone.say("job:cmd:stderr", json!([id, a, "warn"])).await;
    drone.out(work, b, "\n\n").await;
    drone.out(work, a, "red \u{1f41d}\nopen").await;
    drone.say("job:stderr", json!([id, "of the latest\n"])).await;
    drone.say("job:cmd:stderr", json!([id, a, "ing\n\u{1b}[1;"])).await;
    drone.say("job:cmd:stderr", json!([id, a, "32mgreen\nx"])).await;
    drone.say("job:cmd:stderr", json!([id, b, ""])).await;
    let cases = json!([
        {"name": "one", "outcome": "failed", "message": "1 != 2"},
        {"name": "two", "outcome": "passed"},
        {"name": "three", "outcome": "passed"},
        {"name": "four", "outcome": "errored"}
    ]);
    drone.end(work, (a, path_a), "failed", cases, json!({})).await;
    drone.say("job:stdout", json!([id, "of b again"])).await;
    drone.say("job:cmd:stderr", json!([id, a, " said late\n"])).await;
    let none = json!([{"name": "one", "outcome": "passed"}]);
    drone.end(work, (b, path_b), "passed", none, json!({})).await;
}

/// Holds an outline of the events from `from` on against the events themselves.
fn check_outline(from: u64, outline: &[Value], all: &[Value]) {
    let from = from.max(1);
    let upto = |seq: u64| plain(&all[..usize::try_from(seq).unwrap()]);
    let before = upto((from - 1).min(all.len() as u64));
    let mut known = BTreeMap::new();
    let mut last = from - 1;
    for message in outline {
        let seq = message["seq"].as_u64().unwrap();
        assert!(seq > last, "{seq} after {last}");
        last = seq;
        let stored = &all[usize::try_from(seq).unwrap() - 1];
        match message["type"].as_str().unwrap() {
            "job:lines" => {
                assert_eq!(message["args"][0], stored["args"][0]);
                assert_eq!(message["at"], stored["at"]);
                for count in message["args"][1].as_array().unwrap() {
                    known.insert(
                        count[0].as_u64().unwrap(),
                        [1, 2, 3].map(|n| count[n].as_u64().unwrap()),
                    );
                }
            }
            "job:cases" => {
                let cases = stored["args"][3].as_array().unwrap();
                let bad = |case: &&Value| ["failed", "errored"].contains(&case["outcome"].as_str().unwrap());
                let wanted: Vec<_> = cases.iter().filter(bad).collect();
                assert_eq!(message["args"][3], json!(wanted));
                let passed = cases.iter().filter(|case| case["outcome"] == "passed").count();
                assert_eq!(message["args"][4]["passed"], passed);
                assert_eq!(
                    message["args"][4]["errored"],
                    cases.iter().filter(|case| case["outcome"] == "errored").count()
                );
                assert_eq!(message["args"][1], stored["args"][1]);
            }
            _ => assert_eq!(message, stored),
        }
        // Whoever has this message has heard of all output before it.
        for (num, command) in upto(seq) {
            if before.get(&num) != Some(&command) && !command.lines.is_empty() {
                let wanted = [command.lines.len(), command.open[0], command.open[1]].map(|n| n as u64);
                assert_eq!(known.get(&num), Some(&wanted), "of {num} at {seq} from {from}");
            }
        }
    }
    let told = |event: &&Value| !event["type"].as_str().unwrap().contains("std");
    let wanted = all
        .iter()
        .filter(|event| event["seq"].as_u64().unwrap() >= from)
        .filter(told)
        .count();
    let plain = outline.iter().filter(|message| message["type"] != "job:lines").count();
    assert_eq!(plain, wanted, "every other event is told");
}

async fn outline(queen: &Queen, id: &str, from: u64) -> (Vec<Value>, Live) {
    let mut client = Live::open(queen).await;
    client.outline(id, from).await;
    let mut seen = client.until("live").await;
    seen.pop();
    (seen, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_comes_in_outline_and_then_every_event_whole() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 2).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh", "b.sh", "c.sh"]).await;
    chatter(&mut drone, &mut work).await;
    let (num, path) = drone.begin(&mut work).await;
    drone.out(&work, num, "half a ").await;
    drone.acked().await;
    let so_far = stored(&queen, &id).await;
    let mut clients = Vec::new();
    for from in 0..=so_far.len() as u64 + 2 {
        let (seen, client) = outline(&queen, &id, from).await;
        check_outline(from, &seen, &so_far);
        clients.push((from, client));
    }
    drone.out(&work, num, "line\nand more\n").await;
    drone
        .end(
            &work,
            (num, path),
            "passed",
            json!([{"name": "x", "outcome": "passed"}]),
            json!({}),
        )
        .await;
    drone.finish(&work).await;
    ended(&queen, &id).await;
    let all = stored(&queen, &id).await;
    for (from, mut client) in clients {
        let live = client.until("job:done").await;
        let first = usize::try_from(from.max(1)).unwrap().max(so_far.len() + 1);
        assert_eq!(live, &all[first - 1..], "from {from}");
    }
    for from in 0..=all.len() as u64 + 1 {
        check_outline(from, &outline(&queen, &id, from).await.0, &all);
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_those_of_the_events() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 2).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh", "b.sh"]).await;
    drone.acked().await;
    assert_eq!(
        lines(&queen, &id, "num=7").await,
        json!({"num": 7, "total": 0, "done": false, "seq": 0, "lines": []}),
        "it may still come"
    );
    chatter(&mut drone, &mut work).await;
    drone.acked().await;
    for finished in [false, true] {
        if finished {
            drone.finish(&work).await;
            ended(&queen, &id).await;
        }
        let events = stored(&queen, &id).await;
        let wanted = plain(&events);
        assert_eq!(wanted.len(), 3, "{wanted:?}");
        for (num, command) in wanted {
            // The event after which the command said nothing more.
            let whole = |seen: &usize| plain(&events[..*seen]).get(&num) == Some(&command);
            let last = (1..=events.len()).find(whole).unwrap();
            let total = command.lines.len();
            for from in 1..=total + 1 {
                for count in 1..=total + 1 {
                    let got = lines(&queen, &id, &format!("num={num}&from={from}&count={count}")).await;
                    assert_eq!(
                        (got["num"].as_u64(), got["total"].as_u64()),
                        (Some(num), Some(total as u64))
                    );
                    assert_eq!(got["done"], true, "{num}");
                    assert_eq!(got["seq"], events[last - 1]["seq"], "{num}");
                    let wanted: Vec<_> = command.lines.iter().skip(from - 1).take(count).collect();
                    let wanted: Vec<_> = wanted
                        .iter()
                        .map(|(stream, text, at)| json!({"stream": stream, "text": text, "at": at}))
                        .collect();
                    assert_eq!(got["lines"], json!(wanted), "{num} from {from}");
                }
            }
        }
    }
    let styled = lines(&queen, &id, "num=1&from=2").await;
    assert_eq!(styled["style"], json!({"out": "\u{1b}[31m"}), "{styled}");
    let styled = lines(&queen, &id, "num=1&from=6").await;
    assert_eq!(
        styled["lines"][0],
        json!({"stream": "stderr", "text": "x said late", "at": styled["lines"][0]["at"]})
    );
    assert_eq!(styled["style"], json!({"err": "\u{1b}[1;32m"}), "{styled}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_read_where_it_is_looked_at() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let (num, path) = drone.begin(&mut work).await;
    let mut from = 0;
    for _ in 0..200 {
        let text: String = (from + 1..=from + 1_000)
            .map(|line| format!("line {line} of many\n"))
            .collect();
        drone.out(&work, num, &text).await;
        from += 1_000;
    }
    drone.acked().await;
    // While it runs, and then what has come since.
    let got = lines(&queen, &id, &format!("num={num}&from=199999&count=9")).await;
    assert_eq!(
        (got["total"].as_u64(), got["done"].as_bool()),
        (Some(200_000), Some(false))
    );
    assert_eq!(got["lines"].as_array().unwrap().len(), 2);
    let (seen, _client) = outline(&queen, &id, 1).await;
    let told: usize = seen.iter().map(|message| message.to_string().len()).sum();
    assert!(told < 64 * 1024, "{told} bytes in outline");
    drone.out(&work, num, "the last").await;
    drone.end(&work, (num, path), "passed", json!([]), json!({})).await;
    drone.finish(&work).await;
    ended(&queen, &id).await;
    for from in [1_u64, 777, 100_000, 198_001] {
        let got = lines(&queen, &id, &format!("num={num}&from={from}&count=2000")).await;
        assert_eq!(
            (got["total"].as_u64(), got["done"].as_bool()),
            (Some(200_001), Some(true))
        );
        for (line, number) in got["lines"].as_array().unwrap().iter().zip(from..) {
            assert_eq!(line["text"], format!("line {number} of many"));
        }
        assert_eq!(got["lines"].as_array().unwrap().len(), 2_000);
    }
    let got = lines(&queen, &id, &format!("num={num}&from=200001")).await;
    assert_eq!(got["lines"][0]["text"], "the last");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_the_lines_that_have_it() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 2).await;
    let id = queen.submit(json!({})).await;
    let search = |query: &str| {
        let path = format!("/api/v1/jobs/{id}/log/search?{query}");
        let queen = &queen;
        async move {
            let reply = queen.get(&path).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply.json()
        }
    };
    let none = json!({"total": 0, "capped": false, "matches": []});
    assert_eq!(search("text=red").await, none, "nothing runs yet");
    assert_eq!(search("text=red&num=1").await, none, "it may still come");
    let mut work = drone.take(&["a.sh", "b.sh"]).await;
    chatter(&mut drone, &mut work).await;
    drone.acked().await;
    for finished in [false, true] {
        if finished {
            drone.finish(&work).await;
            ended(&queen, &id).await;
        }
        let found =
            |matches: Value| json!({"total": matches.as_array().unwrap().len(), "capped": false, "matches": matches});
        // Colours are not seen, nor is the break within the escape sequence.
        assert_eq!(search("text=RED").await, found(json!([[1, 1], [1, 2]])));
        assert_eq!(search("text=still+red+%F0%9F%90%9D").await, found(json!([[1, 2]])));
        assert_eq!(search("text=e").await["total"], 7);
        let all = search("text=e").await["matches"].clone();
        assert_eq!(
            search("text=e&num=1").await["matches"],
            json!(all.as_array().unwrap()[1..6]),
            "{all}"
        );
        assert_eq!(search("text=of+nobody").await, found(json!([[0, 2]])));
        assert_eq!(
            search("text=e&limit=2").await,
            json!({"total": 7, "capped": true, "matches": [all[0], all[1]]})
        );
        assert_eq!(search("text=nowhere").await, none);
        assert_eq!(search("text=green&num=0").await, none);
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_lines_are_whole_and_in_their_order() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({})).await;
    let mut work = drone.take(&["a.sh"]).await;
    let (num, path) = drone.begin(&mut work).await;
    // A line of dots that stays open beside more than may wait for it.
    let warning = |n: u32| format!("warning {n} {}\r\n", "\u{e9}".repeat(500));
    for turn in 0..100 {
        drone.out(&work, num, ".").await;
        let text: String = (turn * 30..turn * 30 + 30).map(warning).collect();
        drone.say("job:cmd:stderr", json!([id, num, text])).await;
    }
    drone.out(&work, num, "done\nnext").await;
    drone.acked().await;
    let raw = |query: String| {
        let path = format!("/api/v1/jobs/{id}/log?num={num}{query}");
        let queen = &queen;
        async move {
            let reply = queen.get(&path).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply.body
        }
    };
    let dots = format!("{}done\n", ".".repeat(100));
    let warnings: String = (0..3_000).map(warning).collect();
    for finished in [false, true] {
        if finished {
            drone
                .end(&work, (num, path.clone()), "passed", json!([]), json!({}))
                .await;
            drone.finish(&work).await;
            ended(&queen, &id).await;
        }
        assert!(raw("&from=1".into()).await == format!("{dots}{warnings}next"));
        assert_eq!(raw("&to=2".into()).await, format!("{dots}{}", warning(0)));
        assert_eq!(raw("&from=2000&to=2001".into()).await, warning(1_998) + &warning(1_999));
        assert_eq!(raw("&from=3002&to=9999".into()).await, "next");
        assert_eq!(raw("&from=9000".into()).await, "");
        assert_eq!(raw("&to=3&stream=stderr".into()).await, warning(0) + &warning(1));
        assert_eq!(raw("&from=1&stream=stdout".into()).await, format!("{dots}next"));
        assert!(
            raw(String::new()).await.starts_with(&format!(".{}", warning(0))),
            "as it came"
        );
    }
    queen.stop().await;
}
