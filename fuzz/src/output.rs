//! Output without secrets: text comes through as it is, colours and all; a byte that is no text is shown as one.

use crate::choices::Choices;
use drone::process::Mask;
use shared::secret::REDACTED;
use std::sync::Arc;

/// `data` is output; its first bytes also choose where it is cut.
pub fn target(data: &[u8]) {
    let expected: String = data
        .utf8_chunks()
        .flat_map(|chunk| {
            let shown = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once(chunk.valid().to_owned()).chain(shown)
        })
        .collect();
    // A mask that nothing in the output is likely to match takes the other way through the code.
    for mask in [Mask::default(), Mask::new(["\u{10ffff}\u{10fffe}".repeat(20)])] {
        let mask = Arc::new(mask);
        let cuts = Choices::new(data).cuts(data.len());
        let mut stream = mask.stream();
        let pieces = cuts.windows(2).map(|pair| stream.push(&data[pair[0]..pair[1]]));
        let text = pieces.collect::<String>() + &stream.finish();
        // libFuzzer sees what the mask compares with, and has written its secret out in base64: a mark that was not there.
        let marks = |text: &str| text.matches(REDACTED).count();
        if marks(&text) == marks(&expected) {
            assert_eq!(text, expected, "cut at {cuts:?}");
        }
    }
}
