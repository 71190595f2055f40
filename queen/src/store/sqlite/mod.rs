//! The store in one SQLite file: one writer, a few readers, write-ahead log.
//!
//! Owns the data directory: `skep.db`, `secret.key` and `queen.lock`. Every write is one transaction in a task of its
//! own, so that a caller who is dropped never leaves one half-way. Read next: `open`, then `write` (a batch), then the
//! SQL by subject: `jobs`, `list`, `events`, `history`, `access`, `restore`.

mod open;

use super::StoreError;
use open::Opened;
use std::{path::Path, sync::Arc};

/// A store in a data directory. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Opened>);

impl SqliteStore {
    /// Opens a data directory and makes what is missing in it; it stays locked until the last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another queen has it, [`StoreError::Newer`] if a newer queen wrote it,
    /// [`StoreError::File`] if a file cannot be used or the key is not the database's.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(open::open(dir).await?)))
    }
}
