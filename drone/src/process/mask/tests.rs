//! Secrets in pieces, in encodings and side by side: none comes through [`super`].

use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

fn mask(secrets: &[&str]) -> Arc<Mask> {
    Arc::new(Mask::new(secrets.iter().map(|s| (*s).to_owned())))
}

fn streamed<'a>(mask: &Arc<Mask>, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = mask.stream();
    let mut text: String = pieces.into_iter().map(|piece| stream.push(piece)).collect();
    text.push_str(&stream.finish());
    text
}

#[test]
fn a_secret_is_hidden_in_every_form() {
    let value = "p\u{e4}ss w/ord+\"1\"?";
    let mask = mask(&[value]);
    let header = STANDARD.encode(format!("user:{value}"));
    let longer = STANDARD.encode(format!("someone:{value} and more"));
    for text in [
        value.to_owned(),
        STANDARD.encode(value),
        header,
        longer,
        "p%C3%A4ss%20w%2Ford%2B%221%22%3F".to_owned(),
        "p%c3%a4ss+w%2ford%2b%221%22%3f".to_owned(),
        serde_json::to_string(value).unwrap(),
        r#"{"key": "p\u00e4ss w/ord+\"1\"?"}"#.to_owned(),
    ] {
        let masked = mask.sanitize(&text);
        assert!(masked.contains(REDACTED), "{text} → {masked}");
        let left = masked.replace(REDACTED, "");
        assert!(left.len() < 25 && !left.contains("ss"), "{text} → {masked}");
        assert_eq!(masked, streamed(&mask, [text.as_bytes()]));
    }
}

#[test]
fn a_key_of_many_lines_is_hidden_line_by_line_and_when_wrapped() {
    let key = "-----BEGIN KEY-----\nAAAAB3NzaC1yc2EAAAADAQABAAABgQ\nbm9wcXJzdHV2d3h5eg==\n-----END KEY-----\n";
    let mask = mask(&[key]);
    assert_eq!(streamed(&mask, [key.as_bytes()]), "[secret]\n");
    assert_eq!(mask.sanitize("  bm9wcXJzdHV2d3h5eg==\r\nx"), "  [secret]\r\nx");
    let wrapped: Vec<_> = STANDARD.encode(key).as_bytes().chunks(76).map(<[u8]>::to_vec).collect();
    let wrapped = String::from_utf8(wrapped.join(&b'\n')).unwrap();
    let masked = mask.sanitize(&wrapped);
    assert_eq!(masked.lines().next(), Some(REDACTED), "{masked}");
    assert!(masked.lines().all(|line| line.len() < REDACTED.len() + 4), "{masked}");
}

#[test]
fn overlapping_secrets_leave_nothing_visible() {
    assert_eq!(mask(&["abcd", "cdef"]).sanitize("xabcdefx"), "x[secret]x");
    assert_eq!(
        mask(&["abcd", "abcdefgh"]).sanitize("abcdef abcdefgh"),
        "[secret]ef [secret]"
    );
    assert_eq!(mask(&["aaaa"]).sanitize("baaaaaaaaab"), "b[secret]b");
    assert_eq!(mask(&["abcd"]).sanitize("abcdabcd"), "[secret][secret]");
}

#[test]
fn short_and_empty_secrets_do_not_ruin_the_output() {
    let mask = mask(&["", "  ", "a", "abc"]);
    assert_eq!(mask.too_short(), 2);
    assert_eq!(mask.sanitize("abc a"), "abc a");
}

#[test]
fn a_very_long_secret_holds_back_little() {
    let long: String = (0..20_000).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    let mask = mask(&[&long]);
    let text = streamed(&mask, long.as_bytes().chunks(100));
    assert!(text.replace(REDACTED, "").is_empty(), "{}", text.len());
    let mut stream = mask.stream();
    let _ = stream.push(&long.as_bytes()[..10_000]);
    assert!(stream.held.is_some_and(|held| held.bytes.len() <= 4096));
}

#[test]
fn only_a_possible_beginning_is_held_back() {
    let mask = mask(&["hunter2"]);
    let mut stream = mask.stream();
    assert_eq!(stream.push(b"the password is hun"), "the password is ");
    assert_eq!(stream.push(b"ting"), "hunting");
    assert_eq!(stream.push(b" hunter"), " ");
    assert_eq!(stream.push(b"2!"), "[secret]!");
    assert_eq!(stream.push(b"hunter2"), "[secret]", "nothing longer can come");
    assert_eq!(stream.push(b"h"), "");
    assert_eq!(stream.finish(), "h");
}

#[test]
fn bytes_that_are_no_text_are_shown() {
    let none = mask(&[]);
    assert_eq!(
        streamed(&none, [&b"a\xff\xfeb\xc3"[..], b"\xa4c\xe2\x82"]),
        "a\\xff\\xfebäc\\xe2\\x82"
    );
    assert_eq!(
        streamed(&mask(&["secret"]), [&b"\xe2secret\x82\xac"[..]]),
        "\\xe2[secret]\\x82\\xac"
    );
}

#[test]
fn passwords_in_urls_are_hidden_without_being_known() {
    let none = Mask::default();
    for (text, masked) in [
        (
            "git clone https://me:pw@x.org/a b",
            "git clone https://me:[secret]@x.org/a b",
        ),
        ("https://token@x.org", "https://[secret]@x.org"),
        ("ssh://git@x.org/a", "ssh://git@x.org/a"),
        ("postgres://u:p@w@h/db", "postgres://u:[secret]@h/db"),
        ("https://x.org/a@b and http://y", "https://x.org/a@b and http://y"),
        ("://", "://"),
        (
            "\"https://a:b@c\", 'http://d:e@f'",
            "\"https://a:[secret]@c\", 'http://d:[secret]@f'",
        ),
    ] {
        assert_eq!(none.sanitize(text), masked);
    }
}

#[test]
fn debug_shows_nothing() {
    assert_eq!(format!("{:?}", mask(&["hunter2"])), "Mask");
}

proptest! {
    /// Few letters, so that secrets overlap, repeat and begin inside each other.
    #[test]
    fn any_cut_gives_the_same_text(
        secrets in prop::collection::vec("[ab\u{e4}]{4,9}", 0..4),
        parts in prop::collection::vec(prop_oneof![
            prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xc3), Just(0xa4), Just(b'\n')], 0..12),
            "[ab\u{e4}]{0,12}".prop_map(String::into_bytes),
        ], 0..8),
        cuts in prop::collection::vec(0usize..100, 0..12),
    ) {
        let mask = Arc::new(Mask::new(secrets.clone()));
        let bytes = parts.concat();
        let whole = streamed(&mask, [&bytes[..]]);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(&streamed(&mask, pieces), &whole);
        prop_assert_eq!(&streamed(&mask, bytes.chunks(1)), &whole);
        for secret in &secrets {
            prop_assert!(!whole.contains(secret.as_str()), "{} in {}", secret, whole);
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(mask.sanitize(text), whole);
        }
    }
}
