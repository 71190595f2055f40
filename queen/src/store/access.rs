//! Tokens: who may do what. Only hashes of their values are here.
//!
//! The statements are the same for both databases; texts are as the database keeps them.

use super::{AccessToken, StoreError, rows, sql::Sql, value::refuse_twice};

/// See [`Store::add_token`](super::Store::add_token).
pub async fn add(sql: &mut impl Sql, token: &AccessToken, name: &str, hash: [u8; 32]) -> Result<(), StoreError> {
    let add = "INSERT INTO tokens (id, name, role, hash, created) VALUES ($1, $2, $3, $4, $5)";
    let (id, role) = (token.id.as_str(), rows::role(token.role));
    let done = sql
        .run(
            add,
            &[
                id.into(),
                name.into(),
                role.into(),
                hash[..].into(),
                token.created.0.into(),
            ],
        )
        .await;
    done.map(drop)
        .map_err(|error| refuse_twice(error, || format!("there is a token {id} already")))
}

/// See [`Store::tokens`](super::Store::tokens).
pub async fn all(sql: &mut impl Sql) -> Result<Vec<AccessToken>, StoreError> {
    let all = "SELECT id, name, role, created FROM tokens ORDER BY created, id";
    sql.rows(all, &[]).await?.iter().map(rows::token).collect()
}

/// See [`Store::remove_token`](super::Store::remove_token).
pub async fn remove(sql: &mut impl Sql, id: &str) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM tokens WHERE id = $1", &[id.into()]).await? > 0)
}

/// See [`Store::token`](super::Store::token).
pub async fn find(sql: &mut impl Sql, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
    let find = "SELECT id, name, role, created FROM tokens WHERE hash = $1";
    sql.row(find, &[hash[..].into()])
        .await?
        .as_ref()
        .map(rows::token)
        .transpose()
}
