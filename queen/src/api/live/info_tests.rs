//! Tests of the sizes and cuts of an answer to `job:query-info`.

use super::*;

fn cut(texts: &[&str], share: usize) -> Cut {
    let mut cut = Cut {
        share,
        ..Cut::default()
    };
    texts.iter().for_each(|text| cut.measure(text));
    texts.iter().for_each(|text| cut.keep(text));
    cut
}

#[test]
fn text_within_its_share_is_whole() {
    let cut = cut(&["ab\n", "cd"], 6);
    assert_eq!((cut.text().as_str(), cut.lost), ("ab\ncd", 0));
}

#[test]
fn text_over_its_share_keeps_its_beginning_and_end() {
    let cut = cut(&["0123456789", "abcdefghij", "ÄÖÜ"], 10);
    let text = cut.text();
    assert!(text.starts_with("01234\n[…"), "{text}");
    assert!(text.ends_with("…]\nÖÜ"), "{text}");
    assert_eq!(cut.lost, 23 + 3 - 5 - 4);
}

#[test]
fn the_cost_is_what_json_takes() {
    for text in ["plain", "\u{1b}[1m", "a\"b\\c\n\t\r", "ü€🐝", "\u{7f}"] {
        assert_eq!(cost(text), serde_json::to_string(text).unwrap().len() - 2, "{text:?}");
    }
}

#[test]
fn shares_favour_the_small() {
    assert_eq!(share(&[10, 20], 100), usize::MAX);
    assert_eq!(share(&[10, 500, 600], 100), 45);
    assert_eq!(share(&[], 100), usize::MAX);
}

#[test]
fn commands_in_the_middle_go_first() {
    let long = Command {
        command: "x".repeat(LINE),
        ..Command::default()
    };
    let mut commands: BTreeMap<_, _> = (0..200)
        .map(|num| {
            (
                Some(Num(num)),
                Command {
                    command: long.command.clone(),
                    ..Command::default()
                },
            )
        })
        .collect();
    let dropped = drop_middle(&mut commands);
    assert!(dropped > 100 && commands.len() == 200 - dropped);
    assert!(commands.contains_key(&Some(Num(0))) && commands.contains_key(&Some(Num(199))));
}
