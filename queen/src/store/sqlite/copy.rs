//! A copy of the whole database, as one moment of it, while somebody else may go on writing; and what a copy needs
//! before it is used in the place of what came after it.

use super::open::newest;
use crate::store::{FAR, StoreError, home::at};
use sqlx::{
    ConnectOptions, Connection,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions},
};
use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

/// Copies the database in `from` to `to`, which must not be there yet and which only its owner can read; answers its
/// schema. The copy has no free pages, and gives back later what is removed from it.
pub async fn copy(from: &Path, to: &Path) -> Result<i64, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    // SQLite writes into an empty file that is there, and leaves its mode alone.
    options.open(to).map_err(at(to))?;
    let mut sql = SqliteConnectOptions::new()
        .filename(from)
        .create_if_missing(false)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
        .connect()
        .await?;
    let done = sqlx::query("VACUUM INTO ?")
        .bind(to.to_string_lossy())
        .execute(&mut sql)
        .await;
    let schema = newest(&mut sql).await;
    sql.close().await?;
    done?;
    Ok(schema?)
}

/// Makes the copy in `path` ready to be the database.
pub async fn after_copy(path: &Path) -> Result<(), StoreError> {
    let mut sql = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .disable_statement_logging()
        .connect()
        .await?;
    let done = sqlx::query(
        "UPDATE jobs SET standing = json_set(standing, '$.next_token', (standing ->> 'next_token') + ?)
         WHERE state IN ('queued', 'running')",
    )
    .bind(FAR)
    .execute(&mut sql)
    .await;
    sql.close().await?;
    done?;
    Ok(())
}
