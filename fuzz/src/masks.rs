//! Masks: however output is cut, the same comes out, and neither a secret nor an encoding of one is in it.

use crate::choices::Choices;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use drone::process::{Mask, mask::SHORTEST};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use shared::secret::REDACTED;
use std::sync::Arc;

/// As a form is encoded, and as a path is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `data` chooses secrets, an output that has them in many forms, and where it is cut.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut secrets: Vec<String> = Vec::new();
    for _ in 0..choices.below(4) {
        let secret = match choices.below(3) {
            0 => choices.text(24),
            // Few letters, so that secrets overlap, repeat and begin inside each other.
            1 => choices
                .bytes(9)
                .iter()
                .map(|byte| char::from(b'a' + byte % 2))
                .collect(),
            _ => choices
                .bytes(12)
                .iter()
                .map(|byte| char::from(b' ' + byte % 95))
                .collect(),
        };
        secrets.push(secret);
    }
    let cut_by = choices.bytes(33);
    let mut output = Vec::new();
    while !choices.is_over() {
        piece(&mut choices, &secrets, &mut output);
    }
    let mask = Arc::new(Mask::new(secrets.iter().cloned()));
    let whole = streamed(&mask, [&output[..]]);
    let cuts = Choices::new(cut_by).cuts(output.len());
    let pieces = cuts.windows(2).map(|pair| &output[pair[0]..pair[1]]);
    assert_eq!(streamed(&mask, pieces), whole, "cut at {cuts:?}");
    assert_eq!(streamed(&mask, output.chunks(1)), whole);
    let is_text = std::str::from_utf8(&output);
    if let Ok(text) = is_text.as_ref()
        && !text.contains("://")
    {
        assert_eq!(mask.sanitize(text), whole);
    }
    for secret in &secrets {
        hidden(secret, &whole, is_text.is_ok());
    }
}

fn streamed<'a>(mask: &Arc<Mask>, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = mask.stream();
    let mut text: String = pieces.into_iter().map(|piece| stream.push(piece)).collect();
    text.push_str(&stream.finish());
    text
}

/// Adds anything, or a secret in one of the forms in which programs print it.
fn piece(choices: &mut Choices<'_>, secrets: &[String], output: &mut Vec<u8>) {
    let form = choices.below(11);
    let secret = secrets.get(choices.below(4)).map_or("", |secret| secret.trim());
    let percent = utf8_percent_encode(secret, COMPONENT).to_string();
    let around = |before: &[u8], after: &[u8]| [before, secret.as_bytes(), after].concat();
    let text = match form {
        0 | 1 => return output.extend_from_slice(choices.bytes(20)),
        2 => secret.to_owned(),
        3 => STANDARD.encode(around(choices.bytes(4), choices.bytes(4))),
        4 => URL_SAFE_NO_PAD.encode(around(choices.bytes(4), choices.bytes(4))),
        5 => percent,
        6 => percent.replace("%20", "+"),
        7 => lower(&percent),
        8 => serde_json::to_string(secret).expect("text"),
        9 => in_ascii(&serde_json::to_string(secret).expect("text")),
        // The beginning of one, which may go on as something else.
        _ => secret.chars().take(choices.below(24)).collect(),
    };
    output.extend_from_slice(text.as_bytes());
}

/// With the digits of escapes in lower case.
fn lower(percent: &str) -> String {
    let mut parts = percent.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (digits, rest) = part.split_at(2);
        format!("{text}%{}{rest}", digits.to_ascii_lowercase())
    })
}

/// JSON without a letter beyond ASCII.
fn in_ascii(json: &str) -> String {
    let units = json.encode_utf16();
    units
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect()
}

/// `is_text`: the output was, so that nothing in `whole` stands for a byte that is no text.
fn hidden(secret: &str, whole: &str, is_text: bool) {
    for line in secret.lines().chain([secret]).map(str::trim) {
        // What stands for a hidden secret, or for a byte, may look like another secret.
        if line.len() < SHORTEST || line.contains(REDACTED) || (!is_text && line.contains('\\')) {
            continue;
        }
        let mut forms = vec![line.to_owned()];
        // Of a secret of many lines, each is hidden as it is, and the whole in every form.
        let is_encoded = is_text && line == secret.trim();
        if is_encoded {
            let percent = utf8_percent_encode(line, COMPONENT).to_string();
            let json = serde_json::to_string(line).expect("text");
            let json = &json[1..json.len() - 1];
            forms.extend([
                lower(&percent),
                percent.replace("%20", "+"),
                percent,
                in_ascii(json),
                json.to_owned(),
            ]);
        }
        for part in whole.split(REDACTED) {
            for form in &forms {
                assert!(!part.contains(form.as_str()), "{form:?} is in {part:?}");
            }
            if is_encoded {
                assert!(!decodes_to(part, line.as_bytes()), "{line:?} is in {part:?}, in base64");
            }
        }
    }
}

/// True if some run of base64 in `text` holds `secret`.
fn decodes_to(text: &str, secret: &[u8]) -> bool {
    let holds = |run: &str, engine: &dyn Fn(&[u8]) -> Vec<u8>| {
        let starts = 0..run.len().min(4);
        starts.into_iter().any(|start| {
            let bytes = engine(&run.as_bytes()[start..]);
            bytes.windows(secret.len()).any(|window| window == secret)
        })
    };
    [b"+/", b"-_"].into_iter().any(|[plus, slash]| {
        let digit = |byte: u8| match byte {
            b'A'..=b'Z' => Some(byte - b'A'),
            b'a'..=b'z' => Some(byte - b'a' + 26),
            b'0'..=b'9' => Some(byte - b'0' + 52),
            byte if byte == *plus => Some(62),
            byte if byte == *slash => Some(63),
            _ => None,
        };
        let decode = |run: &[u8]| {
            let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
            for digit in run.iter().filter_map(|byte| digit(*byte)) {
                (bits, count) = (bits << 6 | u32::from(digit), count + 6);
                if count >= 8 {
                    count -= 8;
                    bytes.push((bits >> count & 0xff) as u8);
                }
            }
            bytes
        };
        let runs = text.split(|c: char| u8::try_from(c).ok().and_then(digit).is_none());
        runs.into_iter().any(|run| holds(run, &decode))
    })
}
