//! Tokens: who may do what. Only hashes of their values are here.

use super::{session::Writer, value::refuse_twice};
use crate::store::{AccessToken, StoreError, rows};
use sqlx::sqlite::SqlitePool;

/// See [`Store::add_token`](crate::store::Store::add_token).
pub async fn add(writer: &Writer, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
    let add = sqlx::query("INSERT INTO tokens (id, name, role, hash, created) VALUES (?, ?, ?, ?, ?)")
        .bind(&token.id)
        .bind(&token.name)
        .bind(rows::role(token.role))
        .bind(&hash[..])
        .bind(token.created.0);
    writer
        .run(async |session| match add.execute(&mut session.sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refuse_twice(error, || format!("there is a token {} already", token.id))),
        })
        .await
}

/// See [`Store::tokens`](crate::store::Store::tokens).
pub async fn all(readers: &SqlitePool) -> Result<Vec<AccessToken>, StoreError> {
    let rows = sqlx::query("SELECT id, name, role, created FROM tokens ORDER BY created, id")
        .fetch_all(readers)
        .await?;
    rows.iter().map(rows::token).collect()
}

/// See [`Store::remove_token`](crate::store::Store::remove_token).
pub async fn remove(writer: &Writer, id: &str) -> Result<bool, StoreError> {
    let remove = sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id);
    writer
        .run(async |session| Ok(remove.execute(&mut session.sql).await?.rows_affected() > 0))
        .await
}

/// See [`Store::token`](crate::store::Store::token).
pub async fn find(readers: &SqlitePool, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
    let row = sqlx::query("SELECT id, name, role, created FROM tokens WHERE hash = ?")
        .bind(&hash[..])
        .fetch_optional(readers)
        .await?;
    row.as_ref().map(rows::token).transpose()
}
