//! Texts anywhere in a job: the index of trigrams says which jobs may have one, newest first, the pattern which do.
//!
//! The index folds cases further than the pattern does, so it never leaves out a job that the pattern would take.

use crate::store::{StoreError, texts::Candidates};
use sqlx::sqlite::SqlitePool;
use std::collections::BTreeSet;

/// Characters of a text that count: SQLite bounds its patterns.
const TEXT_LIMIT: usize = 1_000;
/// Trigrams of a text that a lookup asks for at once.
const TRIGRAMS: usize = 24;
/// Trigrams that a lookup of one or two characters asks for at once.
const BEGINNINGS: usize = 500;

/// Whether the index knows candidates for `text`, and what it is to be asked for them.
pub async fn question(readers: &SqlitePool, text: &str) -> Result<(Candidates, String), StoreError> {
    // As the index has it: it would end at a zero.
    let chars: Vec<char> = text
        .chars()
        .take(TEXT_LIMIT)
        .map(|c| if c == '\0' { ' ' } else { c })
        .collect();
    if chars.is_empty() {
        return Ok((Candidates::All, String::new()));
    }
    if chars.len() > 2 {
        return Ok((Candidates::Some, trigrams(&chars).join(" ")));
    }
    let mut terms = BTreeSet::new();
    for begin in beginnings(&chars) {
        let end = format!("{begin}{}", char::MAX);
        let some: Vec<String> = sqlx::query_scalar("SELECT term FROM job_terms WHERE term >= ? AND term <= ? LIMIT ?")
            .bind(begin)
            .bind(end)
            .bind(BEGINNINGS as i64 + 1)
            .fetch_all(readers)
            .await?;
        terms.extend(some.iter().map(|term| quoted(term)));
    }
    let candidates = match terms.len() {
        0 => Candidates::None,
        1..=BEGINNINGS => Candidates::Some,
        _ => Candidates::All,
    };
    Ok((candidates, terms.into_iter().collect::<Vec<_>>().join(" OR ")))
}

/// How a trigram may begin that begins with these characters: the index has each in the form that its cases share.
fn beginnings(chars: &[char]) -> BTreeSet<String> {
    let mut all = BTreeSet::from([String::new()]);
    for c in chars {
        let forms = forms(*c);
        all = all
            .iter()
            .flat_map(|begin| forms.iter().map(move |form| format!("{begin}{form}")))
            .collect();
    }
    all
}

/// What the index may have made of a character.
fn forms(c: char) -> BTreeSet<char> {
    let one = |chars: &mut dyn Iterator<Item = char>| match (chars.next(), chars.next()) {
        (Some(c), None) => Some(c),
        _ => None,
    };
    let small = one(&mut c.to_lowercase());
    let great = one(&mut c.to_uppercase());
    let back = great.and_then(|great| one(&mut great.to_lowercase()));
    [Some(c), small, back].into_iter().flatten().collect()
}

/// The trigrams that a text of three characters or more is looked up by. Those beside each other tell about as much as those
/// over each other, for a third of the work.
fn trigrams(chars: &[char]) -> Vec<String> {
    let end = &chars[chars.len().saturating_sub(3)..];
    let three = chars.chunks_exact(3).take(TRIGRAMS).chain([end]);
    three.map(|three| quoted(&three.iter().collect::<String>())).collect()
}

fn quoted(term: &str) -> String {
    format!("\"{}\"", term.replace('"', "\"\""))
}

/// The pattern that says whether a column has `text` in it; letters of ASCII in either case.
pub fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars().take(TEXT_LIMIT) {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;
    use sqlx::Row;

    /// Letters that have a case, and what the index makes of them, which is its own business.
    #[tokio::test]
    async fn the_forms_of_a_letter_have_the_one_in_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).await.unwrap();
        let cased: Vec<char> = ('\u{80}'..char::MAX)
            .filter(|c| c.is_lowercase() || c.is_uppercase() || c.to_lowercase().ne([*c]) || c.to_uppercase().ne([*c]))
            .collect();
        assert!(cased.len() > 2_000);
        store
            .0
            .writer
            .transact(async |sql| {
                for c in &cased {
                    sqlx::query("INSERT INTO job_text (rowid, body) VALUES (?, ?)")
                        .bind(i64::from(u32::from(*c)))
                        .bind(format!("{c}\n\n"))
                        .execute(&mut *sql)
                        .await?;
                }
                Ok(())
            })
            .await
            .unwrap();
        for c in cased {
            let (candidates, matching) = question(&store.0.readers, &c.to_string()).await.unwrap();
            assert_eq!(candidates, Candidates::Some, "{c:?}");
            let found = sqlx::query("SELECT count(*) FROM job_text WHERE job_text MATCH ? AND rowid = ?")
                .bind(matching)
                .bind(i64::from(u32::from(c)))
                .fetch_one(&store.0.readers)
                .await
                .unwrap();
            assert_eq!(found.get::<i64, _>(0), 1, "{c:?}");
        }
    }
}
