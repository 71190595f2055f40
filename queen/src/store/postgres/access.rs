//! Tokens: who may do what. Only hashes of their values are here.

use super::{session::Writer, write::plain};
use crate::store::{AccessToken, StoreError, rows, value::refuse_twice};
use sqlx::{Connection, postgres::PgPool};

/// See [`Store::add_token`](crate::store::Store::add_token).
pub async fn add(writer: &Writer, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session| {
        let mut transaction = session.sql.begin().await?;
        writer.fence(&mut transaction).await?;
        let done = sqlx::query("INSERT INTO tokens (id, name, role, hash, created) VALUES ($1, $2, $3, $4, $5)")
            .bind(&token.id)
            .bind(plain(&token.name))
            .bind(rows::role(token.role))
            .bind(&hash[..])
            .bind(token.created.0)
            .execute(&mut *transaction)
            .await;
        match done {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) => {
                transaction.rollback().await?;
                Err(refuse_twice(error, || format!("there is a token {} already", token.id)))
            }
        }
    })
    .await
}

/// See [`Store::tokens`](crate::store::Store::tokens).
pub async fn all(pool: &PgPool) -> Result<Vec<AccessToken>, StoreError> {
    let rows = sqlx::query("SELECT id, name, role, created FROM tokens ORDER BY created, id")
        .fetch_all(pool)
        .await?;
    rows.iter().map(rows::token).collect()
}

/// See [`Store::remove_token`](crate::store::Store::remove_token).
pub async fn remove(writer: &Writer, id: &str) -> Result<bool, StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session| {
        let mut transaction = session.sql.begin().await?;
        writer.fence(&mut transaction).await?;
        let done = sqlx::query("DELETE FROM tokens WHERE id = $1")
            .bind(plain(id))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    })
    .await
}

/// See [`Store::token`](crate::store::Store::token).
pub async fn find(pool: &PgPool, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
    let row = sqlx::query("SELECT id, name, role, created FROM tokens WHERE hash = $1")
        .bind(&hash[..])
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(rows::token).transpose()
}
