//! Texts anywhere in a job: the index of trigrams says which jobs may have one, the pattern which do.
//!
//! The index folds cases further than the pattern does, so it never leaves out a job that the pattern would take.

use crate::store::StoreError;
use sqlx::sqlite::SqlitePool;

/// A text with at most this many candidates is looked up; one with more is found soon by walking.
const CANDIDATES: i64 = 1_000;
/// Characters of a text that count: SQLite bounds its patterns.
const TEXT_LIMIT: usize = 1_000;
/// Trigrams that a lookup asks for at once.
const TRIGRAMS: usize = 64;

/// Which jobs may have a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Candidates {
    /// No job.
    None,
    /// Those that match this query of the index.
    Few(String),
    /// So many, or so hard to say, that walking over all jobs is the better way.
    TooMany,
}

/// Asks the index for `text`.
pub async fn candidates(readers: &SqlitePool, text: &str) -> Result<Candidates, StoreError> {
    let matching = match text.chars().count() {
        _ if text.contains('\0') => None,
        0 => None,
        1 | 2 => match short(readers, text).await? {
            Some(terms) if terms.is_empty() => return Ok(Candidates::None),
            terms => terms.map(|terms| terms.join(" OR ")),
        },
        _ => Some(trigrams(text).join(" ")),
    };
    let Some(matching) = matching else {
        return Ok(Candidates::TooMany);
    };
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM (SELECT 1 FROM job_text WHERE job_text MATCH ? LIMIT ?)")
        .bind(&matching)
        .bind(CANDIDATES + 1)
        .fetch_one(readers)
        .await?;
    Ok(match count {
        0 => Candidates::None,
        1..=CANDIDATES => Candidates::Few(matching),
        _ => Candidates::TooMany,
    })
}

/// The trigrams that begin with a text of one or two characters, unless they are many.
async fn short(readers: &SqlitePool, text: &str) -> Result<Option<Vec<String>>, StoreError> {
    // Beyond ASCII, Rust and SQLite may disagree about cases.
    if text
        .chars()
        .any(|c| !c.is_ascii() && (c.is_lowercase() || c.is_uppercase()))
    {
        return Ok(None);
    }
    let first = text.to_ascii_lowercase();
    let last = format!("{first}{}", char::MAX);
    let terms: Vec<String> = sqlx::query_scalar("SELECT term FROM job_terms WHERE term >= ? AND term <= ? LIMIT ?")
        .bind(first)
        .bind(last)
        .bind(TRIGRAMS as i64 + 1)
        .fetch_all(readers)
        .await?;
    Ok((terms.len() <= TRIGRAMS).then(|| terms.iter().map(|term| quoted(term)).collect()))
}

/// The trigrams of a text, as the index is asked for them.
fn trigrams(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().take(TEXT_LIMIT).collect();
    let three = chars.windows(3).take(TRIGRAMS);
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
