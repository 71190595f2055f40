//! The badge of a project: a small picture of how its newest job ended, for pages elsewhere.
//!
//! Owns the picture alone; `projects.rs` says of which job. What the picture shows of others' words is text.

use shared::JobState;
use std::fmt::Write;

const LABEL: &str = "tests";

/// The picture for a newest job of this state, none if there is no such job; `of` says what it is about.
pub fn svg(state: Option<JobState>, of: &str) -> String {
    // White on each of them is read well.
    let (word, colour) = match state {
        Some(JobState::Passed) => ("passed", "#217a37"),
        Some(JobState::Failed) => ("failed", "#b3261e"),
        Some(JobState::Errored) => ("errored", "#8f4a00"),
        _ => ("no result", "#5f6368"),
    };
    let (left, right) = (width(LABEL) + 12, width(word) + 12);
    let whole = left + right;
    let title = escaped(&format!("{of}: {LABEL} {word}"));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" aria-label=\"{title}\">\
         <title>{title}</title><clipPath id=\"r\"><rect width=\"{whole}\" height=\"20\" rx=\"3\"/></clipPath>\
         <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#3c4043\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/></g>\
         <g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">"
    );
    for (x, text) in [(6, LABEL), (left + 6, word)] {
        // Writing to a String does not fail.
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"14\" textLength=\"{}\">{text}</text>",
            width(text)
        );
    }
    svg.push_str("</g></svg>");
    svg
}

/// About how wide a text is, in pixels; the picture stretches it to be exactly so.
fn width(text: &str) -> u32 {
    text.chars().map(|c| if "filrt ".contains(c) { 5 } else { 7 }).sum()
}

/// Text for an element or an attribute. What XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_word_and_no_text_gets_out_of_its_place() {
        for (state, word) in [
            (Some(JobState::Passed), ">passed<"),
            (Some(JobState::Failed), ">failed<"),
            (Some(JobState::Errored), ">errored<"),
            (None, ">no result<"),
        ] {
            assert!(svg(state, "a/b").contains(word), "{word}");
        }
        let svg = svg(None, "a/b <script>\"'&\u{1b}\u{0}\u{ffff}");
        let told = "a/b &lt;script&gt;&quot;&apos;&amp;: tests no result";
        assert!(svg.contains(&format!("<title>{told}</title>")), "{svg}");
        assert!(svg.contains(&format!("aria-label=\"{told}\"")), "{svg}");
    }
}
