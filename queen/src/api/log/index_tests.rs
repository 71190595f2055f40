//! The index beside the plain reading of the same events: whatever they are, the same lines.

use super::{
    super::{
        naive_tests::{self as naive, event},
        pick::{CUT, LINE, Line, Pick},
    },
    *,
};
use crate::api::output::Channel;
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashMap;

/// An index that has taken the events in portions.
fn index(events: &[Event], portion: usize, most: usize) -> LineIndex {
    let mut index = LineIndex {
        most,
        ..LineIndex::default()
    };
    for portion in events.chunks(portion) {
        index.take(portion);
    }
    index
}

fn pick(index: &LineIndex, events: &[Event], num: u32, from: u64, count: u64) -> (Vec<Line>, [Option<String>; 2]) {
    let place = index.place(Num(num), from).unwrap();
    let (next, last) = (place.next, place.last);
    let mut pick = Pick::new(Num(num), from, count, place);
    for event in events.iter().filter(|event| (next..=last).contains(&event.seq)) {
        if pick.is_done() {
            break;
        }
        pick.take(event);
    }
    pick.into_lines()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_stretch_of_lines_is_the_same(
        events in naive::events(),
        portion in 1..20_usize,
        most in prop_oneof![Just(MARKS), 0..5_usize],
        from in 1..2_000_u64,
        count in prop_oneof![1..5_u64, 1..2_000_u64],
    ) {
        let index = index(&events, portion, most);
        for (num, command) in naive::read(&events) {
            let total = command.lines.len() as u64;
            let place = index.place(Num(num), 1).unwrap();
            prop_assert_eq!((place.total, place.ended), (total, command.ended));
            for from in [from, 1, total.max(1), from % (total + 1) + 1] {
                let (lines, styles) = pick(&index, &events, num, from, count);
                let wanted = command.lines.iter().skip(usize::try_from(from - 1).unwrap());
                let wanted: Vec<_> = wanted.take(usize::try_from(count).unwrap()).collect();
                prop_assert_eq!(lines.len(), wanted.len(), "of {} from {}", num, from);
                for (line, wanted) in lines.iter().zip(&wanted) {
                    prop_assert_eq!((line.channel, line.at), (wanted.channel, wanted.at));
                    prop_assert_eq!(&line.text, &wanted.text);
                }
                for channel in [Channel::Out, Channel::Err] {
                    let first = wanted.iter().find(|line| line.channel == channel);
                    prop_assert_eq!(&styles[channel as usize], &first.and_then(|line| line.style.clone()));
                }
            }
        }
    }

    #[test]
    fn how_a_job_stood_before_an_event_is_told_of_any(
        events in naive::events(),
        most in prop_oneof![Just(MARKS), 0..5_usize],
        from in 1..60_u64,
    ) {
        let index = index(&events, 7, most);
        let from = Seq(from.min(events.len() as u64 + 1));
        let at = usize::try_from(from.0 - 1).unwrap();
        let before = index.before(from);
        let mut running = before.running;
        let mut counts: HashMap<_, _> =
            before.commands.iter().map(|(num, count, seq)| (*num, (*count, *seq))).collect();
        for event in events[..at].iter().filter(|event| event.seq >= before.next) {
            match hear(&event.line) {
                Heard::Start(num) => running.start(num),
                Heard::Done(num) => running.done(num),
                Heard::Text { num, channel, text } => {
                    let num = num.or(running.latest()).unwrap_or(Num(0));
                    if let Some((count, _)) = counts.get_mut(&num).filter(|(_, seq)| event.seq >= *seq) {
                        count.take(channel, &text);
                    }
                }
                _ => {}
            }
        }
        let stood = naive::read(&events[..at]);
        let end = naive::read(&events);
        for (num, command) in &end {
            let known = stood.get(num).cloned().unwrap_or_default();
            match counts.get(&Num(*num)) {
                Some((count, _)) => prop_assert_eq!(
                    [count.lines, count.open(Channel::Out), count.open(Channel::Err)],
                    [known.lines.len(), known.open[0], known.open[1]].map(|n| n as u64)
                ),
                None => prop_assert_eq!(&known.lines, &command.lines, "what is not told of has not changed"),
            }
        }
        let mut plain = Running::default();
        for event in &events[..at] {
            if let Some(seen) = crate::api::output::read(&event.line) {
                plain.follow(&seen.event);
            }
        }
        prop_assert_eq!(running.latest(), plain.latest());
    }
}

/// Events of one command with these pieces of standard output.
fn outputs(pieces: impl IntoIterator<Item = String>) -> Vec<Event> {
    let mut events = Vec::new();
    for text in pieces {
        events.push(event(&events, "job:cmd:stdout", &json!(["job", 0, text])));
    }
    events
}

#[test]
fn a_gap_and_what_is_known_are_not_taken() {
    let events = outputs((0..9).map(|n| format!("{n}\n")));
    let mut index = LineIndex::default();
    index.take(&events[1..]);
    assert_eq!(index.seq(), Seq(0), "not from the middle on");
    index.take(&events[..4]);
    index.take(&events[5..]);
    assert_eq!(index.seq(), Seq(4));
    index.take(&events);
    assert_eq!((index.seq(), index.place(Num(0), 1).unwrap().total), (Seq(9), 9));
}

#[test]
fn a_long_line_is_cut_with_a_note() {
    let long = |more: usize| vec!["é".repeat(LINE), "x".repeat(more), "\nnext\n".into()];
    for (more, wanted) in [
        (0, "é".repeat(LINE)),
        (1, "é".repeat(LINE) + CUT),
        (9, "é".repeat(LINE) + CUT),
    ] {
        let events = outputs(long(more));
        let (lines, _) = pick(&index(&events, 9, MARKS), &events, 0, 1, 9);
        let lines: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        assert!(lines == [wanted, "next".into()], "{more} more");
    }
}

#[test]
fn an_answer_has_a_bound_but_at_least_a_line() {
    let events = outputs((0..400).map(|_| "é".repeat(LINE) + "\n"));
    let index = index(&events, 9, MARKS);
    let (lines, _) = pick(&index, &events, 0, 1, 400);
    let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
    let (limit, line) = (super::super::pick::ANSWER, 2 * LINE);
    assert!((limit..limit + line).contains(&bytes), "{bytes} bytes");
    let (rest, _) = pick(&index, &events, 0, lines.len() as u64 + 1, 1);
    assert_eq!(rest.len(), 1);
}

#[test]
fn reading_begins_near_and_memory_stays_small() {
    let mut events = Vec::new();
    for num in 0..500_u32 {
        events.push(event(&events, "job:cmd:start", &json!(["job", num, "make"])));
        for line in 0..10 {
            let text = format!("line {line} of command {num}\n").repeat(100);
            events.push(event(&events, "job:cmd:stdout", &json!(["job", num, text])));
        }
        events.push(event(&events, "job:cmd:done", &json!(["job", num, 0])));
    }
    let index = index(&events, 100, MARKS);
    for line in [1, 500, 777, 1_000] {
        let place = index.place(Num(321), line).unwrap();
        let apart = line - 1 - place.count.lines;
        assert!(
            apart < LINES + 100,
            "reads {apart} lines for nothing before line {line}"
        );
    }
    assert!(index.bytes() < 500 * 1_000, "{} bytes for 500,000 lines", index.bytes());
    let thin = self::index(&events, 100, 10);
    assert!(thin.marks <= 10, "{} marks", thin.marks);
    assert_eq!(pick(&thin, &events, 321, 990, 20), pick(&index, &events, 321, 990, 20));
    assert_eq!(index.place(Num(321), 1_001).unwrap().total, 1_000);
    assert!(index.place(Num(500), 1).is_none());
}
