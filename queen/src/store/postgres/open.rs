//! Opens a database: the right to write, the schema, the key; and the connections that read.
//!
//! Order matters: nothing is changed before the data directory and the database are ours alone and the schema is one
//! that this program knows; and nothing is migrated before an earlier owner can write no more.

use super::{
    address::Address,
    session::{Session, Writer},
};
use crate::store::{
    StoreError,
    home::{Home, KEY_CHECK},
    seal::Sealer,
};
use sqlx::{
    ConnectOptions, Executor, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnection, PgPool, PgPoolOptions},
};
use std::{path::Path, time::Duration};

/// Readers beside the one writer.
const READERS: u32 = 8;
/// How long a reader waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The steps of the schema in order: version, what it brings, SQL.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "base", include_str!("../../../../migrations/postgres/0001_base.sql")),
    (
        2,
        "retention",
        include_str!("../../../../migrations/postgres/0002_retention.sql"),
    ),
    (
        3,
        "open rows",
        include_str!("../../../../migrations/postgres/0003_open_rows.sql"),
    ),
    (
        4,
        "arrivals",
        include_str!("../../../../migrations/postgres/0004_arrivals.sql"),
    ),
    (
        5,
        "pulse",
        include_str!("../../../../migrations/postgres/0005_pulse.sql"),
    ),
    (
        6,
        "ahead",
        include_str!("../../../../migrations/postgres/0006_ahead.sql"),
    ),
    (
        7,
        "quarantine",
        include_str!("../../../../migrations/postgres/0007_quarantine.sql"),
    ),
    (
        8,
        "split",
        include_str!("../../../../migrations/postgres/0008_split.sql"),
    ),
];

/// An open database.
pub struct Opened {
    /// The one connection that writes.
    pub writer: Writer,
    /// Connections that read.
    pub readers: PgPool,
    /// Encrypts secrets.
    pub sealer: Sealer,
    /// Keeps the data directory ours.
    _home: Home,
}

/// Opens the database at `address`; see [`PgStore::open`](super::PgStore::open).
pub async fn open(dir: &Path, address: &Address) -> Result<Opened, StoreError> {
    let home = Home::open(dir)?;
    let (writer, mut session) = Writer::open(address.clone()).await?;
    let ready = prepare(&writer, &mut session, &home).await;
    let sealer = ready.map_err(|error| match error {
        StoreError::Database(error) => address.explain(error),
        other => other,
    })?;
    writer.begin(session).await;
    Ok(Opened {
        readers: readers(address),
        writer,
        sealer,
        _home: home,
    })
}

async fn prepare(writer: &Writer, session: &mut Session, home: &Home) -> Result<Sealer, StoreError> {
    let sql = &mut session.sql;
    utf8(sql, writer.address()).await?;
    let found = version(sql).await?;
    let known = newest_known();
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found > 0 {
        own(writer, sql).await?;
    }
    migrate(sql, None).await?;
    own(writer, sql).await?;
    sealer(home, sql).await
}

/// The newest schema that this program knows.
pub fn newest_known() -> i64 {
    MIGRATIONS.iter().map(|step| step.0).max().unwrap_or(0)
}

/// The schema that a database has; 0 if it has none.
pub async fn version(sql: &mut PgConnection) -> Result<i64, StoreError> {
    let versioned: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *sql)
        .await?;
    if !versioned {
        return Ok(0);
    }
    let newest = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations");
    Ok(newest.fetch_one(sql).await?)
}

/// Refuses a database that cannot hold every text.
pub async fn utf8(sql: &mut PgConnection, address: &Address) -> Result<(), StoreError> {
    let encoding: String = sqlx::query_scalar("SHOW server_encoding").fetch_one(sql).await?;
    match &*encoding {
        "UTF8" => Ok(()),
        _ => Err(StoreError::Server {
            place: address.place().to_owned(),
            why: format!("its texts are in {encoding}"),
            advice: "make one with `createdb --encoding=UTF8 --template=template0`".into(),
        }),
    }
}

/// Brings the schema up to the version `to`, or to the newest.
pub async fn migrate(sql: &mut PgConnection, to: Option<i64>) -> Result<(), StoreError> {
    let steps = MIGRATIONS.iter().map(|&(version, what, sql)| {
        Migration::new(version, what.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let done = Migrator::with_migrations(steps.collect())
        .run_direct(to, sql, false)
        .await;
    Ok(done.map_err(|error| match error {
        MigrateError::Execute(error) => error,
        other => other.into(),
    })?)
}

/// Writes this queen's name into the database. It waits for a transaction of the owner before, which is its last.
async fn own(writer: &Writer, sql: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO owner (name) VALUES ($1) ON CONFLICT (one) DO UPDATE SET name = excluded.name")
        .bind(writer.name())
        .execute(sql)
        .await?;
    Ok(())
}

async fn sealer(home: &Home, sql: &mut PgConnection) -> Result<Sealer, StoreError> {
    let check: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
        .bind(KEY_CHECK)
        .fetch_optional(&mut *sql)
        .await?;
    let (sealer, new) = home.sealer(check.as_deref())?;
    if let Some(check) = new {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
            .bind(KEY_CHECK)
            .bind(check)
            .execute(sql)
            .await?;
    }
    Ok(sealer)
}

/// The connections that read. Everything they ask is answered by an index, in its order if there is one to ask for:
/// plans that read whole tables or sort are never better here, whatever statistics say, or say nothing yet.
fn readers(address: &Address) -> PgPool {
    let options = address.options().clone().application_name("queen, reading");
    PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(PATIENCE)
        .after_connect(|sql, _| {
            Box::pin(async move {
                let set = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
                    SET enable_sort = off; SET jit = off; SET default_transaction_read_only = on;
                    SET statement_timeout = '30s'; SET client_min_messages = warning";
                sql.execute(set).await.map(drop)
            })
        })
        .connect_lazy_with(options.disable_statement_logging())
}
