//! Raw lines beside the plain reading of the same events, however little may wait.

use super::{
    super::{index::LineIndex, naive_tests as naive},
    *,
};
use proptest::prelude::*;
use serde_json::json;

/// All that is written; `portion` events at a time, with room for `room` bytes that wait.
fn written(index: &LineIndex, events: &[Event], wanted: &Wanted, portion: usize, room: usize) -> String {
    let place = index.place(wanted.num, wanted.first()).unwrap();
    let mut text = Text::new(wanted.clone(), place, room);
    while let Some((next, last)) = text.unread() {
        let unread: Vec<_> = events
            .iter()
            .filter(|event| (next..=last).contains(&event.seq))
            .take(portion)
            .collect();
        let unread: Vec<Event> = unread.into_iter().cloned().collect();
        if let Some(line) = text.take(&unread) {
            text.go_to(index.place(wanted.num, line).unwrap());
        }
    }
    text.ready
}

fn plainly(command: &naive::Command, wanted: &Wanted) -> String {
    let lines = wanted.lines.clone().unwrap();
    let mut text = String::new();
    let mut open = false;
    for (line, number) in command.lines.iter().zip(1..) {
        if lines.contains(&number) && wanted.channel.is_none_or(|channel| channel == line.channel) {
            if open {
                text.push('\n');
            }
            text.push_str(&line.text);
            open = command.open.iter().any(|open| *open as u64 == number);
            if !open {
                text.push('\n');
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn lines_are_written_whole_and_in_order(
        events in naive::events(),
        portion in 1..20_usize,
        room in prop_oneof![Just(HELD), 0..200_usize],
        from in 1..600_u64,
        count in prop_oneof![0..5_u64, 0..2_000_u64],
        channel in prop_oneof![Just(None), Just(Some(Channel::Out)), Just(Some(Channel::Err))],
    ) {
        let mut index = LineIndex::default();
        index.take(&events);
        for (num, command) in naive::read(&events) {
            for from in [1, from, from % (command.lines.len() as u64 + 1) + 1] {
                let wanted = Wanted { num: Num(num), channel, lines: Some(from..=from + count) };
                prop_assert_eq!(written(&index, &events, &wanted, portion, room), plainly(&command, &wanted));
            }
        }
    }
}

#[test]
fn a_line_that_stays_open_holds_nothing_up() {
    let mut events = Vec::new();
    for n in 0..50 {
        events.push(naive::event(&events, "job:cmd:stdout", &json!(["job", 1, "."])));
        events.push(naive::event(
            &events,
            "job:cmd:stderr",
            &json!(["job", 1, format!("warning {n}\n")]),
        ));
    }
    let mut index = LineIndex::default();
    index.take(&events);
    let all = Wanted {
        num: Num(1),
        channel: None,
        lines: Some(1..=u64::MAX),
    };
    let warnings: String = (0..50).map(|n| format!("warning {n}\n")).collect();
    let wanted = format!("{}\n{warnings}", ".".repeat(50));
    for room in [0, 100, HELD] {
        assert_eq!(written(&index, &events, &all, 7, room), wanted);
    }
    let some = Wanted {
        lines: Some(2..=3),
        ..all
    };
    assert_eq!(written(&index, &events, &some, 7, 0), "warning 0\nwarning 1\n");
}
