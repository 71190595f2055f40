//! What finished jobs hold, weighed when they end, and the file, made smaller. What is removed is the business of the store's
//! own `retention`.

use super::{session::Writer, write::Write};
use crate::store::{
    StoreError,
    retention::{Words, weigh},
    rows::ended,
};
use scheduler::Record;
use sqlx::{Row, sqlite::SqliteConnection};

/// Free pages that stay in the database for what comes next; giving them back would only make it grow again.
const SPARE_PAGES: i64 = 500;
/// Pages that are given back at once: each may have to be moved first.
const COMPACT_PAGES: i64 = 500;

/// What SQLite says otherwise.
pub const WORDS: Words = Words {
    begun: "SELECT job, log, rest FROM endings WHERE going = 1 LIMIT 1",
    text: "DELETE FROM job_text WHERE rowid = $1",
};

/// Notes what the jobs hold that `records` say have ended.
pub async fn weigh_ended(write: &mut Write<'_>, records: &[Record]) -> Result<(), StoreError> {
    for (id, row) in ended(records) {
        let key = write.job(id).await?;
        weigh(&mut *write.sql, key, row.finished).await?;
    }
    Ok(())
}

/// See [`Store::compact`](crate::store::Store::compact). Does nothing in a database that was made before there was
/// something to give back: there free pages are taken for what is new, and a restored backup is as small as can be.
pub async fn compact(writer: &Writer) -> Result<u64, StoreError> {
    writer
        .run(async |session| {
            let sql = &mut session.sql;
            let free = free_pages(sql).await?;
            let pages = (free - SPARE_PAGES).min(COMPACT_PAGES);
            if pages <= 0 {
                return Ok(0);
            }
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})")))
                .execute(&mut *sql)
                .await?;
            let given = free - free_pages(sql).await?;
            let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(sql).await?;
            Ok(u64::try_from(given * size).unwrap_or(0))
        })
        .await
}

async fn free_pages(sql: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query("PRAGMA freelist_count").fetch_one(sql).await?.try_get(0)?)
}
