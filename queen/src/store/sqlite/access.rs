//! Tokens: who may do what. Only hashes of their values are here.

use super::value::refuse_twice;
use crate::store::{AccessToken, StoreError, rows};
use sqlx::sqlite::SqlitePool;

/// See [`Store::add_token`](crate::store::Store::add_token).
pub async fn add(writer: &SqlitePool, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO tokens (id, name, role, hash, created) VALUES (?, ?, ?, ?, ?)")
        .bind(&token.id)
        .bind(&token.name)
        .bind(rows::role(token.role))
        .bind(&hash[..])
        .bind(token.created.0)
        .execute(writer)
        .await
        .map_err(|error| refuse_twice(error, || format!("there is a token {} already", token.id)))?;
    Ok(())
}

/// See [`Store::tokens`](crate::store::Store::tokens).
pub async fn all(readers: &SqlitePool) -> Result<Vec<AccessToken>, StoreError> {
    let rows = sqlx::query("SELECT id, name, role, created FROM tokens ORDER BY created, id")
        .fetch_all(readers)
        .await?;
    rows.iter().map(rows::token).collect()
}

/// See [`Store::remove_token`](crate::store::Store::remove_token).
pub async fn remove(writer: &SqlitePool, id: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM tokens WHERE id = ?")
        .bind(id)
        .execute(writer)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// See [`Store::token`](crate::store::Store::token).
pub async fn find(readers: &SqlitePool, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
    let row = sqlx::query("SELECT id, name, role, created FROM tokens WHERE hash = ?")
        .bind(&hash[..])
        .fetch_optional(readers)
        .await?;
    row.as_ref().map(rows::token).transpose()
}
