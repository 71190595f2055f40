//! What a queen finds at its start, as one moment of the database. Read next: the store's own `unfinished`, which asks.

use super::session::Writer;
use crate::store::{Restored, StoreError, seal::Sealer, unfinished};
use sqlx::Connection;

/// See [`Store::restore`](crate::store::Store::restore). Read by the writer: when it has its turn, nothing that was
/// under way before can change what is read.
pub async fn restore(writer: &Writer, sealer: &Sealer) -> Result<Restored, StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session| {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let mut moment = session.sql.begin_with(begin).await?;
        writer.fence(&mut moment).await?;
        let restored = unfinished::all(&mut *moment, sealer).await?;
        moment.rollback().await?;
        Ok(restored)
    })
    .await
}
