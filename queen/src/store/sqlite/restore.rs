//! What a queen finds at its start, as one moment of the database. Read next: the store's own `unfinished`, which asks.

use crate::store::{Restored, StoreError, seal::Sealer, unfinished};
use sqlx::sqlite::SqlitePool;

/// See [`Store::restore`](crate::store::Store::restore).
pub async fn restore(readers: &SqlitePool, sealer: &Sealer) -> Result<Restored, StoreError> {
    let mut moment = readers.begin().await?;
    let restored = unfinished::all(&mut *moment, sealer).await?;
    moment.rollback().await?;
    Ok(restored)
}
