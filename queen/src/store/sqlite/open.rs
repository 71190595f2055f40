//! Opens a data directory: the lock, the database with its schema, the key.
//!
//! Order matters: nothing is changed before the directory is ours alone and its schema is one that this program knows.

use crate::store::{
    StoreError,
    seal::{KEY_BYTES, Sealer},
};
use rustix::fs::{FlockOperation, flock};
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

const LOCK: &str = "queen.lock";
const KEY: &str = "secret.key";
const DATABASE: &str = "skep.db";
/// Readers beside the one writer.
const READERS: u32 = 4;
/// Pages of 4 KiB in the write-ahead log before they are copied into the database: 16 MiB, so that a burst of output
/// waits for the disk seldom.
const CHECKPOINT: &str = "4000";
/// KiB of pages that the writer and each reader keep, so that indexes of a large database are not read again and again.
const WRITER_CACHE: &str = "-32768";
const READER_CACHE: &str = "-8192";
/// What the database keeps under the key, to know it again.
const KEY_CHECK: &str = "key-check";

/// The steps of the schema in order: version, what it brings, SQL.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "base", include_str!("../../../../migrations/sqlite/0001_base.sql")),
    (
        2,
        "retention",
        include_str!("../../../../migrations/sqlite/0002_retention.sql"),
    ),
];

/// An open data directory.
#[derive(Debug)]
pub struct Opened {
    /// The one connection that writes.
    pub writer: SqlitePool,
    /// Connections that read.
    pub readers: SqlitePool,
    /// Encrypts secrets.
    pub sealer: Sealer,
    /// Held as long as the directory is in use.
    _lock: File,
}

/// Opens `dir`; see [`SqliteStore::open`](super::SqliteStore::open).
pub async fn open(dir: &Path) -> Result<Opened, StoreError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::File { path, error }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(at(dir))?;
    let lock = lock(dir)?;
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

    // One connection: writes queue here, in order, rather than at SQLite's lock.
    let writer = pool(1)
        .connect_with(
            options
                .clone()
                // Counts for a new database only: it can give back what retention frees.
                .auto_vacuum(SqliteAutoVacuum::Incremental)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .pragma("wal_autocheckpoint", CHECKPOINT)
                .pragma("cache_size", WRITER_CACHE),
        )
        .await?;
    migrator().run(&writer).await.map_err(sqlx::Error::from)?;
    let sealer = sealer(&dir.join(KEY), &writer).await?;
    let readers = pool(READERS)
        .connect_with(options.read_only(true).pragma("cache_size", READER_CACHE))
        .await?;
    Ok(Opened {
        writer,
        readers,
        sealer,
        _lock: lock,
    })
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = owned(&path).map_err(|error| StoreError::File {
        path: path.clone(),
        error,
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(dir.to_owned())),
        Err(error) => Err(StoreError::File {
            path,
            error: error.into(),
        }),
    }
}

/// Opens a file to be read and written, made with mode 0600 if it is not there.
fn owned(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    // The connections are files on this machine: they do not go stale, and asking them first would cost a round trip.
    SqlitePoolOptions::new()
        .max_connections(connections)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
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
    let known = MIGRATIONS.iter().map(|step| step.0).max().unwrap_or(0);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(())
}

async fn newest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
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

/// Reads the key, or makes it for a new database. A database knows its key again: with another one its secrets would
/// be lost, and the queen says so now rather than when a job needs them.
async fn sealer(path: &Path, writer: &SqlitePool) -> Result<Sealer, StoreError> {
    let bad = |message: &str| StoreError::File {
        path: path.to_owned(),
        error: io::Error::new(io::ErrorKind::InvalidData, message),
    };
    let check: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE name = ?")
        .bind(KEY_CHECK)
        .fetch_optional(writer)
        .await?;
    let key = match (read_key(path), &check) {
        (Ok(Some(key)), _) => key,
        (Ok(None), None) => make_key(path).map_err(|error| StoreError::File {
            path: path.to_owned(),
            error,
        })?,
        (Ok(None), Some(_)) => {
            return Err(bad(
                "the key of this database is gone: put it back from a backup, or give another data directory",
            ));
        }
        (Err(error), _) => {
            return Err(StoreError::File {
                path: path.to_owned(),
                error,
            });
        }
    };
    let sealer = Sealer::new(&key);
    match check {
        Some(check) => {
            sealer.open(KEY_CHECK, &check).map_err(|_| {
                bad("this is not the key that the database was written with: put that one back from a backup")
            })?;
        }
        None => {
            let check = sealer
                .seal(KEY_CHECK, b"")
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            sqlx::query("INSERT INTO meta (name, value) VALUES (?, ?)")
                .bind(KEY_CHECK)
                .bind(check)
                .execute(writer)
                .await?;
        }
    }
    Ok(sealer)
}

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = bytes.len();
    bytes.try_into().map(Some).map_err(|_| {
        let message = format!("it has {found} bytes, a key has {KEY_BYTES}: put the right one back from a backup");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let key: [u8; KEY_BYTES] = rand::random();
    // Under another name first, so that a queen killed here never leaves half a key.
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(draft, path)?;
    Ok(key)
}
