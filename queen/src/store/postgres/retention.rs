//! What finished jobs hold, weighed when they end. What is removed is the business of the store's own `retention`, and the
//! space is PostgreSQL's to use again.

use super::write::Write;
use crate::store::{
    StoreError,
    retention::{Words, weigh},
    rows::ended,
};
use scheduler::Record;

/// What PostgreSQL says otherwise.
pub const WORDS: Words = Words {
    begun: "SELECT job, log, rest FROM endings WHERE going LIMIT 1",
    text: "DELETE FROM job_text WHERE job = $1",
};

/// Notes what the jobs hold that `records` say have ended.
pub async fn weigh_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    for (id, row) in ended(records) {
        let key = write.job(id)?;
        weigh(&mut *write.sql, key, row.finished).await?;
    }
    Ok(())
}
