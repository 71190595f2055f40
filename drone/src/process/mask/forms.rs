//! The forms in which programs print a secret.
//!
//! Owns the list of forms; must not know how they are searched for.

use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};

/// A longer form is searched for in pieces of this length, so that little of a stream is ever held back.
const PIECE: usize = 4096;

/// Line lengths at which tools wrap base64: `base64` and MIME, PEM.
const WRAPS: [usize; 2] = [76, 64];

/// Adds all forms of `value` to `patterns`; some may be too short to be used.
pub fn all(value: &str, patterns: &mut Vec<Vec<u8>>) {
    let mut add = |form: &[u8]| pieces(form, patterns);
    add(value.as_bytes());
    for line in value.lines() {
        add(line.trim().as_bytes());
    }
    for alphabet in [&STANDARD, &URL_SAFE] {
        for shift in 0..3 {
            add(encoded_inside(value.as_bytes(), shift, alphabet).as_bytes());
        }
        let whole = encoded_inside(value.as_bytes(), 0, alphabet);
        for wrap in WRAPS {
            whole.as_bytes().chunks(wrap).for_each(&mut add);
        }
    }
    for keep in ["-_.~", "-_.~!'()*"] {
        for upper in [true, false] {
            let percent = url_encoded(value, keep, upper);
            add(percent.replace("%20", "+").as_bytes());
            add(percent.as_bytes());
        }
    }
    if let Ok(json) = serde_json::to_string(value) {
        add(json.trim_matches('"').as_bytes());
        let json = &json[1..json.len() - 1];
        add(json.as_bytes());
        add(json_in_ascii(json).as_bytes());
    }
}

fn pieces(form: &[u8], patterns: &mut Vec<Vec<u8>>) {
    if form.len() <= PIECE {
        patterns.push(form.to_vec());
        return;
    }
    patterns.extend(form.chunks(PIECE).map(<[u8]>::to_vec));
    // The last piece may be short; this one overlaps with the piece before it.
    patterns.push(form[form.len() - PIECE..].to_vec());
}

/// The characters that `value` alone decides when it is encoded as a part of longer data, `shift` bytes after a
/// boundary of three: `user:password` in an Authorization header, for example.
fn encoded_inside(value: &[u8], shift: usize, alphabet: &Alphabet) -> String {
    let mut data = vec![0; shift];
    data.extend_from_slice(value);
    let text = GeneralPurpose::new(alphabet, NO_PAD).encode(&data);
    let (from, to) = ((shift * 8).div_ceil(6), data.len() * 8 / 6);
    text[from..to].to_owned()
}

/// As writers of JSON do it that trust nobody to read UTF-8: Python's, for one.
fn json_in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            let units = c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            text.push_str(&units);
        }
    }
    text
}

fn url_encoded(value: &str, keep: &str, upper: bool) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || keep.contains(char::from(b)) => text.push(char::from(b)),
            b if upper => text.push_str(&format!("%{b:02X}")),
            b => text.push_str(&format!("%{b:02x}")),
        }
    }
    text
}
