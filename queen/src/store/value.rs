//! Values between Rust and columns: numbers without loss, JSON, ids; each error names what could not be read.
//!
//! Both databases keep integers as 64 bits, flags as what their driver reads as `bool`, and JSON as text. Read next:
//! `rows`, which makes the model's types of them.

use super::StoreError;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, postgres::PgRow, sqlite::SqliteRow};
use std::fmt::Display;

/// A number as the databases keep it. One that they cannot keep refuses the batch.
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

/// A row's columns by name, whatever database the row is of.
pub trait Cells {
    /// An integer.
    fn int(&self, column: &'static str) -> Result<i64, StoreError>;
    /// An integer or nothing.
    fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, StoreError>;
    /// A number.
    fn real(&self, column: &'static str) -> Result<f64, StoreError>;
    /// A number or nothing.
    fn maybe_real(&self, column: &'static str) -> Result<Option<f64>, StoreError>;
    /// Yes or no.
    fn flag(&self, column: &'static str) -> Result<bool, StoreError>;
    /// Text.
    fn text(&self, column: &'static str) -> Result<&str, StoreError>;
    /// Text or nothing.
    fn maybe_text(&self, column: &'static str) -> Result<Option<&str>, StoreError>;
    /// Bytes.
    fn bytes(&self, column: &'static str) -> Result<&[u8], StoreError>;
    /// Bytes or nothing.
    fn maybe_bytes(&self, column: &'static str) -> Result<Option<&[u8]>, StoreError>;
}

macro_rules! cells {
    ($row:ty: $($name:ident -> $kind:ty),*) => {
        impl Cells for $row {
            $(fn $name(&self, column: &'static str) -> Result<$kind, StoreError> {
                self.try_get(column).map_err(StoreError::from)
            })*
        }
    };
    ($($row:ty),*) => {
        $(cells! {
            $row: int -> i64, maybe_int -> Option<i64>, real -> f64, maybe_real -> Option<f64>, flag -> bool,
            text -> &str, maybe_text -> Option<&str>, bytes -> &[u8], maybe_bytes -> Option<&[u8]>
        })*
    };
}

cells!(SqliteRow, PgRow);

/// A column with an unsigned number.
pub fn get_uint<T: TryFrom<i64>>(row: &impl Cells, column: &'static str) -> Result<T, StoreError> {
    uint(column, row.int(column)?)
}

/// A column with an unsigned number or nothing.
pub fn get_maybe_uint<T: TryFrom<i64>>(row: &impl Cells, column: &'static str) -> Result<Option<T>, StoreError> {
    row.maybe_int(column)?.map(|value| uint(column, value)).transpose()
}

/// A column with JSON.
pub fn get_json<T: DeserializeOwned>(row: &impl Cells, column: &'static str) -> Result<T, StoreError> {
    from_json(column, row.text(column)?.as_bytes())
}

/// A column with text that has a form of its own: an id, a name, a word.
pub fn get_word<'r, T, E: Display>(
    row: &'r impl Cells,
    column: &'static str,
    parse: impl FnOnce(&'r str) -> Result<T, E>,
) -> Result<T, StoreError> {
    parse(row.text(column)?).map_err(|error| corrupt(column, error))
}

/// A column with such a text or nothing.
pub fn get_maybe_word<'r, T, E: Display>(
    row: &'r impl Cells,
    column: &'static str,
    parse: impl FnOnce(&'r str) -> Result<T, E>,
) -> Result<Option<T>, StoreError> {
    let text = row.maybe_text(column)?;
    text.map(parse).transpose().map_err(|error| corrupt(column, error))
}

/// The bytes of a SHA-256.
pub fn get_hash(row: &impl Cells, column: &'static str) -> Result<[u8; 32], StoreError> {
    row.bytes(column)?
        .try_into()
        .map_err(|_| corrupt(column, "it has not 32 bytes"))
}

/// Says in words that a row is there already; passes other errors on.
pub fn refuse_twice(error: StoreError, say: impl FnOnce() -> String) -> StoreError {
    match &error {
        StoreError::Database(sqlx::Error::Database(database)) if database.is_unique_violation() => {
            StoreError::Refused(say())
        }
        _ => error,
    }
}
