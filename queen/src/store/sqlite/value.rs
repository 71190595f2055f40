//! Values between Rust and columns: numbers without loss, JSON, ids; each error names what could not be read.

use crate::store::StoreError;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{ColumnIndex, Decode, Row, Sqlite, Type, sqlite::SqliteRow};
use std::fmt::Display;

/// A number as SQLite keeps it. One that SQLite cannot keep refuses the batch.
pub fn int(value: impl TryInto<i64> + Display + Copy) -> Result<i64, StoreError> {
    value
        .try_into()
        .map_err(|_| StoreError::Refused(format!("{value} is too large to be stored")))
}

/// An unsigned number that [`int`] wrote.
pub fn uint<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| corrupt(what, format!("{value} is out of range")))
}

/// The error for what makes no sense.
pub fn corrupt(what: &'static str, why: impl Display) -> StoreError {
    StoreError::Corrupt {
        what,
        why: why.to_string(),
    }
}

/// A value as JSON text.
pub fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Refused(error.to_string()))
}

/// A value from JSON text.
pub fn from_json<T: DeserializeOwned>(what: &'static str, text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text).map_err(|error| corrupt(what, error))
}

/// A column of any type that SQLite has.
pub fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
    &'static str: ColumnIndex<SqliteRow>,
{
    row.try_get(column).map_err(StoreError::from)
}

/// A column with an unsigned number.
pub fn get_uint<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    uint(column, get(row, column)?)
}

/// A column with JSON.
pub fn get_json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    from_json(column, get::<&[u8]>(row, column)?)
}

/// A column with text that has a form of its own: an id, a name, a word.
pub fn get_word<'r, T, E: Display>(
    row: &'r SqliteRow,
    column: &'static str,
    parse: impl FnOnce(&'r str) -> Result<T, E>,
) -> Result<T, StoreError> {
    parse(get(row, column)?).map_err(|error| corrupt(column, error))
}

/// The bytes of a SHA-256.
pub fn get_hash(row: &SqliteRow, column: &'static str) -> Result<[u8; 32], StoreError> {
    get::<&[u8]>(row, column)?
        .try_into()
        .map_err(|_| corrupt(column, "it has not 32 bytes"))
}

/// Says in words that a row is there already; passes other errors on.
pub fn refuse_twice(error: sqlx::Error, say: impl FnOnce() -> String) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::Refused(say()),
        _ => error.into(),
    }
}
