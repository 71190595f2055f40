//! Statements that both databases understand, asked of either: numbers go in, rows with named columns come out.
//!
//! Owns no statement. Parameters are written `$1`, `$2`, which both take. Read next: `retention`, which lives on it.

use super::{StoreError, value::Cells};
use sqlx::{
    postgres::{PgConnection, PgRow},
    sqlite::{SqliteConnection, SqliteRow},
};

/// A connection to one of the databases.
pub trait Sql {
    /// What it answers with.
    type Row: Cells;
    /// Runs a statement; answers how many rows it changed.
    async fn run(&mut self, statement: &'static str, numbers: &[i64]) -> Result<u64, StoreError>;
    /// The first row that a statement answers with.
    async fn row(&mut self, statement: &'static str, numbers: &[i64]) -> Result<Option<Self::Row>, StoreError>;
}

macro_rules! sql {
    ($($connection:ty => $row:ty),*) => {
        $(impl Sql for $connection {
            type Row = $row;

            async fn run(&mut self, statement: &'static str, numbers: &[i64]) -> Result<u64, StoreError> {
                let query = numbers.iter().fold(sqlx::query(statement), |query, number| query.bind(*number));
                Ok(query.execute(self).await?.rows_affected())
            }

            async fn row(&mut self, statement: &'static str, numbers: &[i64]) -> Result<Option<$row>, StoreError> {
                let query = numbers.iter().fold(sqlx::query(statement), |query, number| query.bind(*number));
                Ok(query.fetch_optional(self).await?)
            }
        })*
    };
}

sql!(SqliteConnection => SqliteRow, PgConnection => PgRow);
