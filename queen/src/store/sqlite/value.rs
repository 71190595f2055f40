//! Columns of SQLite's rows by Rust's types; what both databases share is the room's own `value`.

use crate::store::StoreError;
pub use crate::store::value::*;
use sqlx::{ColumnIndex, Decode, Row, Sqlite, Type, sqlite::SqliteRow};

/// A column of any type that SQLite has.
pub fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
    &'static str: ColumnIndex<SqliteRow>,
{
    row.try_get(column).map_err(StoreError::from)
}
