//! Opens a data directory: the lock, the database with its schema, the key.
//!
//! Order matters: nothing is changed before the directory is ours alone and its schema is one that this program knows.

use super::{place::Place, session::Writer};
use crate::store::{
    StoreError,
    home::{Home, KEY_CHECK, at, owned},
    seal::Sealer,
};
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use std::{path::Path, time::Duration};

/// The database's file.
const DATABASE: &str = "skep.db";
/// Readers beside the one writer.
const READERS: u32 = 4;
/// Pages of 4 KiB in the write-ahead log before they are copied into the database: 16 MiB, so that a burst of output
/// waits for the disk seldom.
const CHECKPOINT: &str = "4000";
/// KiB of pages that the writer and each reader keep, so that indexes of a large database are not read again and again.
const WRITER_CACHE: &str = "-32768";
const READER_CACHE: &str = "-8192";

/// The steps of the schema in order: version, what it brings, SQL.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "base", include_str!("../../../../migrations/sqlite/0001_base.sql")),
    (
        2,
        "retention",
        include_str!("../../../../migrations/sqlite/0002_retention.sql"),
    ),
    (
        3,
        "open rows",
        include_str!("../../../../migrations/sqlite/0003_open_rows.sql"),
    ),
    (
        4,
        "arrivals",
        include_str!("../../../../migrations/sqlite/0004_arrivals.sql"),
    ),
    (5, "pulse", include_str!("../../../../migrations/sqlite/0005_pulse.sql")),
    (6, "ahead", include_str!("../../../../migrations/sqlite/0006_ahead.sql")),
    (
        7,
        "quarantine",
        include_str!("../../../../migrations/sqlite/0007_quarantine.sql"),
    ),
    (8, "split", include_str!("../../../../migrations/sqlite/0008_split.sql")),
];

/// An open data directory.
#[derive(Debug)]
pub struct Opened {
    /// The one connection that writes.
    pub writer: Writer,
    /// Connections that read.
    pub readers: SqlitePool,
    /// Encrypts secrets.
    pub sealer: Sealer,
    /// Keeps the directory ours.
    _home: Home,
}

/// Opens `dir`; see [`SqliteStore::open`](super::SqliteStore::open).
pub async fn open(dir: &Path) -> Result<Opened, StoreError> {
    let home = Home::open(dir)?;
    let database = dir.join(DATABASE);
    // Says so when the database itself cannot be written, and gives it and the files beside it their mode.
    owned(&database).map_err(at(&database))?;

    let options = SqliteConnectOptions::new()
        .filename(&database)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(200)
        .disable_statement_logging();
    refuse_newer(&options).await?;

    let writing = options
        .clone()
        // Counts for a new database only: it can give back what retention frees.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", CHECKPOINT)
        .pragma("cache_size", WRITER_CACHE);
    let mut sql = writing.connect().await?;
    migrator()
        .run_direct(None, &mut sql, false)
        .await
        .map_err(sqlx::Error::from)?;
    let sealer = sealer(&home, &mut sql).await?;
    let readers = readers(options).await?;
    Ok(Opened {
        writer: Writer::new(writing, Place::of(&database)?, sql),
        readers,
        sealer,
        _home: home,
    })
}

async fn readers(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    // The connections are files on this machine: they do not go stale, and asking them first would cost a round trip.
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false);
    let options = options.read_only(true).pragma("cache_size", READER_CACHE);
    Ok(pool.connect_with(options).await?)
}

async fn refuse_newer(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let mut connection = options.clone().read_only(true).connect().await?;
    let versioned: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
            .fetch_one(&mut connection)
            .await?;
    let found = match versioned {
        true => newest(&mut connection).await?,
        false => 0,
    };
    connection.close().await?;
    let known = newest_known();
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(())
}

/// The newest schema that this program knows.
#[must_use]
pub fn newest_known() -> i64 {
    MIGRATIONS.iter().map(|step| step.0).max().unwrap_or(0)
}

/// The schema that a database has.
pub async fn newest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
}

fn migrator() -> Migrator {
    let steps = MIGRATIONS.iter().map(|&(version, what, sql)| {
        Migration::new(version, what.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

async fn sealer(home: &Home, sql: &mut SqliteConnection) -> Result<Sealer, StoreError> {
    let check: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE name = ?")
        .bind(KEY_CHECK)
        .fetch_optional(&mut *sql)
        .await?;
    let (sealer, new) = home.sealer(check.as_deref())?;
    if let Some(check) = new {
        sqlx::query("INSERT INTO meta (name, value) VALUES (?, ?)")
            .bind(KEY_CHECK)
            .bind(check)
            .execute(sql)
            .await?;
    }
    Ok(sealer)
}
