//! Statements that both databases understand, asked of either: values go in, rows with named columns come out.
//!
//! Owns no statement. Parameters are written `$1`, `$2`, which both take. Read next: `access`, the
//! shortest of those that live on it.

use super::{StoreError, value::Cells};
use sqlx::{
    postgres::{PgConnection, PgPool, PgRow},
    sqlite::{SqliteConnection, SqlitePool, SqliteRow},
};

/// The value of a parameter.
#[derive(Debug, Clone, Copy)]
pub enum Arg<'a> {
    /// A number.
    Int(i64),
    /// A number or nothing.
    MaybeInt(Option<i64>),
    /// A text.
    Text(&'a str),
    /// A text or nothing.
    MaybeText(Option<&'a str>),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::MaybeInt(value)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::MaybeText(value)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

/// One of the databases: a connection, or a pool of those that read.
pub trait Sql {
    /// What it answers with.
    type Row: Cells;
    /// Runs a statement; answers how many rows it changed.
    async fn run(&mut self, statement: &'static str, args: &[Arg<'_>]) -> Result<u64, StoreError>;
    /// The first row that a statement answers with.
    async fn row(&mut self, statement: &'static str, args: &[Arg<'_>]) -> Result<Option<Self::Row>, StoreError>;
    /// All rows that a statement answers with.
    async fn rows(&mut self, statement: &'static str, args: &[Arg<'_>]) -> Result<Vec<Self::Row>, StoreError>;
}

macro_rules! sql {
    ($($place:ty => $row:ty, $asked:ident => $by:expr);*) => {
        $(impl Sql for $place {
            type Row = $row;

            async fn run(&mut self, statement: &'static str, args: &[Arg<'_>]) -> Result<u64, StoreError> {
                let $asked = self;
                Ok(bound!(statement, args).execute($by).await?.rows_affected())
            }

            async fn row(&mut self, statement: &'static str, args: &[Arg<'_>]) -> Result<Option<$row>, StoreError> {
                let $asked = self;
                Ok(bound!(statement, args).fetch_optional($by).await?)
            }

            async fn rows(&mut self, statement: &'static str, args: &[Arg<'_>]) -> Result<Vec<$row>, StoreError> {
                let $asked = self;
                Ok(bound!(statement, args).fetch_all($by).await?)
            }
        })*
    };
}

macro_rules! bound {
    ($statement:expr, $args:expr) => {
        $args.iter().fold(sqlx::query($statement), |query, arg| match *arg {
            Arg::Int(value) => query.bind(value),
            Arg::MaybeInt(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::MaybeText(value) => query.bind(value),
            Arg::Bytes(value) => query.bind(value),
        })
    };
}

sql!(
    SqliteConnection => SqliteRow, connection => connection;
    SqlitePool => SqliteRow, pool => &*pool;
    PgConnection => PgRow, connection => connection;
    PgPool => PgRow, pool => &*pool
);
