//! The search beside the plain reading of the same events, line by line as it is seen.

use super::{super::naive_tests as naive, *};
use proptest::prelude::*;
use serde_json::json;

/// What is seen of a line, told in the plainest way.
fn seen(line: &str) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let line = line.rsplit('\r').next().unwrap();
    let mut text = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            if c == '\t' || !c.is_control() {
                text.extend(c.to_lowercase());
            }
            continue;
        }
        match rest.peek() {
            Some('[') => {
                rest.next();
                while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
                rest.next_if(|c| ('@'..='~').contains(c));
            }
            Some(']') => {
                while rest.next_if(|c| !['\x07', '\x1b'].contains(c)).is_some() {}
                if rest.peek() == Some(&'\x07') {
                    rest.next();
                } else if rest.clone().nth(1) == Some('\\') {
                    rest.nth(1);
                }
            }
            _ => {
                while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
                rest.next_if(|c| ('0'..='~').contains(c));
            }
        }
    }
    text
}

fn find(events: &[Event], text: &str, limit: usize) -> Hits {
    let mut find = Find::new(&needle(text).unwrap(), limit);
    for event in events {
        find.take(event);
    }
    find.into_hits()
}

fn found(lines: &str, text: &str) -> Vec<u64> {
    let whole = find(&[naive::event(&[], "job:stdout", &json!(["job", lines]))], text, 99);
    // However it is cut it is the same.
    for at in 0..=lines.chars().count() {
        let (mut events, at) = (
            Vec::new(),
            lines.char_indices().nth(at).map_or(lines.len(), |(at, _)| at),
        );
        for piece in [&lines[..at], "", &lines[at..]] {
            events.push(naive::event(&events, "job:stdout", &json!(["job", piece])));
        }
        assert_eq!(find(&events, text, 99).first, whole.first, "{lines:?} cut at {at}");
    }
    whole.first.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn a_line_is_found_as_it_is_seen() {
    assert_eq!(found("one\ntwo\nThree two\n\ntwo", "TWO"), [2, 3, 5]);
    assert_eq!(found("aab\nab\n", "ab"), [1, 2]);
    assert_eq!(found("a\nb\n", "a\tb"), [] as [u64; 0]);
    assert_eq!(found("er\x1b[1mr\x1b[0mor\n\x1b]0;error\x07no\n", "error"), [1]);
    assert_eq!(
        found("\x1b]8;;http://error\x1b\\link\x1b]8;;\x1b\\ text\n", "link text"),
        [1]
    );
    assert_eq!(found("10%\r20%\r\n20%\r100%\n30%\r\n", "0%"), [1, 2, 3]);
    assert_eq!(
        found("10%\r20%\r\n20%\r100%\n", "20%"),
        [1],
        "what was written over is not seen"
    );
    assert_eq!(found("crlf\r\nline\r\n", "crlf"), [1]);
    assert_eq!(found("crlf\r\nline\r\n", "line"), [2]);
    assert_eq!(found("Ärger\närger\narger\n", "ÄRGER"), [1, 2]);
    assert_eq!(found("ΟΔΟΣ\nοδος\n", "οδΟς"), [1, 2]);
    assert_eq!(found("273 \u{212a}\n", "273 k"), [1], "the sign of the kelvin");
    assert_eq!(found("\u{1f41d}\u{1f41d}\n\u{1f41d}\n", "\u{1f41d}\u{1f41d}"), [1]);
    assert_eq!(found("a\0b\x7fc\n", "abc"), [1], "control characters are not seen");
    assert_eq!(found("a\tb\n", "a\tb"), [1]);
    assert_eq!(found("[1m\n\x1b[1m\n", "[1m"), [1]);
    assert_eq!(found("x\x1b(Bok\x1b7 \x1b\x1b[1mgo", "ok go"), [1]);
}

#[test]
fn a_needle_is_what_can_be_seen_of_it() {
    assert_eq!(needle(""), None);
    assert_eq!(needle("\x1b[1m\0"), None);
    assert_eq!(needle("\x1b[1mÄ B"), Some("ä b".into()));
}

#[test]
fn the_first_hits_are_kept_and_all_are_counted() {
    let mut events = Vec::new();
    for num in [3, 1, 2] {
        events.push(naive::event(
            &events,
            "job:cmd:stdout",
            &json!(["job", num, "hit\nmiss\nhit\n"]),
        ));
    }
    let hits = find(&events, "hit", 3);
    let first: Vec<_> = hits.first.into_iter().map(|(num, line)| (num.0, line)).collect();
    assert_eq!((hits.total, first), (6, vec![(1, 1), (1, 3), (2, 1)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_lines_found_are_those_that_have_it(
        events in naive::events(),
        text in prop_oneof!["[ab]{1,3}", "err", "är", "k", "err?(r|är)", "\u{1f41d}"],
        limit in prop_oneof![1..20_usize, Just(usize::MAX)],
    ) {
        let mut wanted = Vec::new();
        let lower: String = text.chars().flat_map(char::to_lowercase).collect();
        for (num, command) in naive::read(&events) {
            for (line, number) in command.lines.iter().zip(1..) {
                if seen(&line.text).contains(&lower) {
                    wanted.push((Num(num), number));
                }
            }
        }
        let hits = find(&events, &text, limit);
        prop_assert_eq!(hits.total, wanted.len() as u64);
        wanted.truncate(limit);
        prop_assert_eq!(hits.first.into_iter().collect::<Vec<_>>(), wanted);
    }
}
