//! Texts anywhere in a job: an index of character groups says which jobs may have one, the text itself which do.
//!
//! Of every text the hashes of each one, two and three characters that follow each other are kept; a text that is looked
//! for has groups of its own, and a job without one of them cannot have it. With them is the number of the block of keys
//! that the job is in: this kind of index answers in no order, and with all that there is, so it is asked for some blocks
//! at once (`texts`). PostgreSQL's own trigrams are not used: they are of words, leave out signs, fold cases by the
//! database's locale, and need an extension.

use super::write::plain;
use crate::store::{Submitted, texts::BLOCK};
use std::ops::Range;

/// Characters of a text that is looked for which count.
const TEXT_LIMIT: usize = 1_000;
/// Groups that a lookup asks for at once.
const GRAMS: usize = 24;

/// What of a job is searched.
pub struct Text {
    /// Id, project and branch in lines: none of them has a line break.
    pub names: String,
    /// The message of the trigger.
    pub message: String,
    /// Hashes of both texts' groups of characters, and the mark of the job's block.
    pub grams: Vec<i32>,
}

impl Text {
    /// The text of a new job with this key.
    pub fn of(job: &Submitted, key: i64) -> Self {
        let (spec, data) = (&job.spec, &job.data);
        let branch = data.branch().unwrap_or_default();
        let names = folded(&format!("{}\n{}\n{branch}", spec.id, spec.project));
        let message = folded(&data.trigger.message);
        let mut grams = Vec::new();
        for text in names.split('\n').chain([message.as_str()]) {
            let chars: Vec<char> = text.chars().collect();
            for length in 1..=3 {
                grams.extend(chars.windows(length).map(gram));
            }
        }
        grams.push(mark(key));
        grams.sort_unstable();
        grams.dedup();
        Self { names, message, grams }
    }
}

/// Text in small letters. Letters of ASCII only, as patterns and both databases do it.
fn folded(text: &str) -> String {
    let mut text = plain(text);
    text.make_ascii_lowercase();
    text
}

/// The hash of a group of characters (FNV-1a). It is on disk: it never changes.
fn gram(chars: &[char]) -> i32 {
    let bytes = chars.iter().flat_map(|c| u32::from(*c).to_le_bytes());
    bytes
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
        .cast_signed()
}

/// What stands among the groups for the block of a job.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it wraps after 2^45 jobs, and the keys are compared as well"
)]
fn mark(key: i64) -> i32 {
    (key >> BLOCK) as i32
}

/// What stands among the groups of any job with one of these keys.
pub fn marks(keys: &Range<i64>) -> Vec<i32> {
    (keys.start >> BLOCK..=(keys.end - 1) >> BLOCK)
        .map(|block| mark(block << BLOCK))
        .collect()
}

/// A text that is looked for.
pub struct Wanted {
    /// What `LIKE` says of a text that has it.
    pub pattern: String,
    /// It may be in a name: it has no line break.
    pub in_names: bool,
    /// What the index is asked for: all of it is among a job's groups.
    pub grams: Vec<i32>,
}

impl Wanted {
    /// Takes the text in.
    pub fn of(text: &str) -> Self {
        let text: String = folded(text).chars().take(TEXT_LIMIT).collect();
        let mut pattern = String::from("%");
        for c in text.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        let chars: Vec<char> = text.chars().collect();
        // Groups beside each other tell about as much as groups over each other, for a third of the work.
        let ends = chars.len().checked_sub(3).map(|last| &chars[last..]);
        let mut grams: Vec<i32> = match ends {
            None if chars.is_empty() => Vec::new(),
            None => vec![gram(&chars)],
            Some(end) => chars.chunks_exact(3).take(GRAMS).chain([end]).map(gram).collect(),
        };
        grams.sort_unstable();
        grams.dedup();
        Self {
            pattern,
            in_names: !text.contains('\n'),
            grams,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_text_are_those_on_disk() {
        // Written by every queen so far: another value would lose what is in the databases.
        assert_eq!(gram(&['ï']), -1_060_387_382);
        assert_eq!(gram(&['a', 'b', 'c']), -224_585_515);
    }

    #[test]
    fn a_pattern_takes_signs_as_they_are() {
        let wanted = Wanted::of("50%_\\A\0");
        assert_eq!(wanted.pattern, "%50\\%\\_\\\\a\u{fffd}%");
        assert!(wanted.in_names && !Wanted::of("a\nb").in_names);
        assert_eq!(Wanted::of("").grams.len(), 0);
        assert_eq!(Wanted::of("abcd").grams.len(), 2);
    }

    #[test]
    fn the_blocks_of_keys_are_those_on_disk() {
        assert_eq!((mark(2_047), mark(2_048)), (0, 1));
        assert_eq!(marks(&(0..2_048)), [0]);
        assert_eq!(marks(&(2_047..4_097)), [0, 1, 2]);
    }
}
