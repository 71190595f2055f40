//! A copy of the whole database, as one moment of it while a queen goes on writing, and its way into an empty one.
//!
//! A file for each table, in the server's own binary form of COPY, and nothing of the schema: the queen's own steps make
//! that anew, up to the same version. So no other program is needed, and the two servers may be of different versions.
//! Knows nothing of where the files go from there.

use super::{
    address::Address,
    open::{migrate, utf8, version},
    session::{PATIENCE, Writer, timed_out},
};
use crate::store::{
    FAR, StoreError,
    home::{self, KEY_CHECK, at},
    value::corrupt,
};
use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, postgres::PgConnection};
use std::{collections::BTreeSet, path::Path};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncWriteExt, BufWriter},
    time::timeout,
};

/// Every table that a queen keeps something in, of all versions of the schema. What only tells queens apart at one
/// database stays there.
const TABLES: [&str; 20] = [
    "ahead",
    "cases",
    "drone_lives",
    "drones",
    "durations",
    "endings",
    "events",
    "files",
    "job_authors",
    "job_data",
    "job_text",
    "jobs",
    "leases",
    "meta",
    "projects",
    "quarantine",
    "results",
    "streams",
    "throughput",
    "tokens",
];

/// Copies the database at `address` into the empty folder `to`, whose files only their owner can read; answers its schema.
///
/// # Errors
/// [`StoreError::Server`] if it cannot be read or holds no queen's data, [`StoreError::File`] if a file cannot be written,
/// or if the key in the data directory `home` is not the one that the database was written with.
pub async fn copy(address: &Address, home: &Path, to: &Path) -> Result<i64, StoreError> {
    copied(address, home, to)
        .await
        .map_err(|error| explained(address, error))
}

async fn copied(address: &Address, home: &Path, to: &Path) -> Result<i64, StoreError> {
    let options = address.options().clone().application_name("queen, backup");
    let connected = timeout(PATIENCE, options.disable_statement_logging().connect()).await;
    let mut sql = connected.unwrap_or_else(|_| Err(sqlx::Error::Io(timed_out("it does not answer"))))?;
    let mut moment = sql
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    unhurried(&mut moment).await?;
    let schema = version(&mut moment).await?;
    if schema == 0 {
        return Err(StoreError::Server {
            place: address.place().to_owned(),
            why: "it holds no queen's data".into(),
            advice: "give the address that the queen is served with".into(),
        });
    }
    let check: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
        .bind(KEY_CHECK)
        .fetch_optional(&mut *moment)
        .await?;
    if let Some(check) = check {
        home::fits(home, &check)?;
    }
    for table in tables(&mut moment).await? {
        let path = to.join(&table);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).await;
        let mut file = BufWriter::new(file.map_err(at(&path))?);
        let mut rows = moment
            .copy_out_raw(&format!("COPY {table} TO STDOUT (FORMAT binary)"))
            .await?;
        while let Some(bytes) = rows.try_next().await? {
            file.write_all(&bytes).await.map_err(at(&path))?;
        }
        file.flush().await.map_err(at(&path))?;
    }
    moment.rollback().await?;
    sql.close().await?;
    Ok(schema)
}

/// Puts what [`copy`] wrote to the folder `from` out of a database with that `schema` into the empty one at `address`, ready
/// to be used; wholly or not at all. Between everything else and the end it does `last`, and nothing if that fails.
///
/// # Errors
/// [`StoreError::Taken`] if a queen uses the database, [`StoreError::Server`] if it is not empty or cannot be used,
/// [`StoreError::Refused`] if the folder does not hold the tables of that schema; those of `last`.
pub async fn put_back<E: From<StoreError>>(
    address: &Address,
    from: &Path,
    schema: i64,
    last: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let told = |error: StoreError| explained(address, error);
    let (_, mut session) = Writer::open(address.clone()).await?;
    let mut whole = session.sql.begin().await.map_err(|error| told(error.into()))?;
    fill(&mut whole, address, from, schema).await.map_err(told)?;
    last()?;
    whole.commit().await.map_err(|error| told(error.into()))?;
    // It is there; the server lets go of a broken connection by itself.
    let _ = session.sql.close().await;
    Ok(())
}

async fn fill(sql: &mut PgConnection, address: &Address, from: &Path, schema: i64) -> Result<(), StoreError> {
    unhurried(sql).await?;
    utf8(sql, address).await?;
    if version(sql).await? != 0 || !tables(sql).await?.is_empty() {
        return Err(StoreError::Server {
            place: address.place().to_owned(),
            why: "it holds data already, which was not touched".into(),
            advice: "make an empty one with `createdb` and give that with --database".into(),
        });
    }
    migrate(sql, Some(schema)).await?;
    let tables = tables(sql).await?;
    let found = names(from).map_err(at(from))?;
    if tables != found {
        let why = format!("the backup holds {found:?}, and its schema {schema} has {tables:?}");
        return Err(StoreError::Refused(why));
    }
    for table in tables {
        let path = from.join(&table);
        let file = File::open(&path).await.map_err(at(&path))?;
        // A step of the schema may have put a first row into it.
        sqlx::query(AssertSqlSafe(format!("TRUNCATE {table}")))
            .execute(&mut *sql)
            .await?;
        let mut rows = sql
            .copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
            .await?;
        rows.read_from(file).await?;
        rows.finish().await?;
    }
    go_on(sql).await
}

/// Lets keys go on behind those that are there, and tokens behind those that nobody knows of any more.
async fn go_on(sql: &mut PgConnection) -> Result<(), StoreError> {
    let counted: Vec<(String, String)> = sqlx::query_as(
        "SELECT relname::text, attname::text
         FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE attidentity != '' AND nspname = current_schema() AND relname = ANY($1)",
    )
    .bind(TABLES)
    .fetch_all(&mut *sql)
    .await?;
    for (table, key) in counted {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{key}'), coalesce(max({key}), 0) + 1, false) FROM {table}"
        );
        sqlx::query(AssertSqlSafe(next)).execute(&mut *sql).await?;
    }
    let unfinished: Vec<(i64, String)> =
        sqlx::query_as("SELECT key, standing FROM jobs WHERE state IN ('queued', 'running')")
            .fetch_all(&mut *sql)
            .await?;
    for (key, standing) in unfinished {
        let mut standing: Value = serde_json::from_str(&standing).map_err(|error| corrupt("a job", error))?;
        let token = standing.get("next_token").and_then(Value::as_i64).unwrap_or(0);
        standing["next_token"] = (token + FAR).into();
        sqlx::query("UPDATE jobs SET standing = $1 WHERE key = $2")
            .bind(standing.to_string())
            .bind(key)
            .execute(&mut *sql)
            .await?;
    }
    Ok(())
}

/// A table takes as long as it takes, and so does the disk on this side.
async fn unhurried(sql: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query(
        "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)",
    )
    .execute(sql)
    .await?;
    Ok(())
}

/// Which of the tables there are, by name.
async fn tables(sql: &mut PgConnection) -> Result<BTreeSet<String>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relkind = 'r' AND nspname = current_schema() AND relname = ANY($1)",
    )
    .bind(TABLES)
    .fetch_all(sql)
    .await?;
    Ok(names.into_iter().collect())
}

fn names(folder: &Path) -> std::io::Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(folder)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn explained(address: &Address, error: StoreError) -> StoreError {
    match error {
        StoreError::Database(error) => address.explain(error),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        JobFilter, Store,
        postgres::{PgStore, newest_known, server::shared},
    };

    async fn address() -> Address {
        shared().url(&shared().database().await).parse().unwrap()
    }

    async fn connection(address: &Address) -> PgConnection {
        address.options().connect().await.unwrap()
    }

    #[tokio::test]
    async fn every_table_is_copied_but_those_that_tell_queens_apart() {
        let address = address().await;
        let mut sql = connection(&address).await;
        migrate(&mut sql, None).await.unwrap();
        let all: Vec<String> = sqlx::query_scalar(
            "SELECT table_name::text FROM information_schema.tables
             WHERE table_schema = 'public' AND table_name NOT IN ('owner', '_sqlx_migrations') ORDER BY 1",
        )
        .fetch_all(&mut sql)
        .await
        .unwrap();
        let copied: Vec<String> = tables(&mut sql).await.unwrap().into_iter().collect();
        assert_eq!(copied, all);
        assert_eq!(version(&mut sql).await.unwrap(), newest_known());
    }

    #[tokio::test]
    async fn an_older_schema_comes_back_as_it_was_and_is_brought_up_to_date_by_the_queen() {
        let (from, to) = (address().await, address().await);
        let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut sql = connection(&from).await;
        migrate(&mut sql, Some(1)).await.unwrap();
        let standing = r#"{"state":"passed","attempt":1,"lost":0,"finished":7,"next_token":3,"next_num":1,
            "deploy_given":false,"files_total":0,"files_done":0,"files_bad":0}"#;
        sqlx::query(
            "INSERT INTO jobs (id, project, kind, submitted, state, standing) VALUES ('j', 1, 'manual', 5, 'passed', $1)",
        )
        .bind(standing)
        .execute(&mut sql)
        .await
        .unwrap();
        assert_eq!(copy(&from, home.path(), folder.path()).await.unwrap(), 1);
        put_back(&to, folder.path(), 1, || Ok::<_, StoreError>(()))
            .await
            .unwrap();
        let mut sql = connection(&to).await;
        assert_eq!(version(&mut sql).await.unwrap(), 1);
        let store = PgStore::open(home.path(), &to).await.unwrap();
        assert_eq!(version(&mut sql).await.unwrap(), newest_known());
        let finished: i64 = sqlx::query_scalar("SELECT at FROM endings")
            .fetch_one(&mut sql)
            .await
            .unwrap();
        assert_eq!(finished, 7);
        let next: i64 = sqlx::query_scalar("SELECT nextval('jobs_key_seq')")
            .fetch_one(&mut sql)
            .await
            .unwrap();
        assert_eq!(next, 2, "keys go on behind those that are there");
        store.jobs(&JobFilter::default()).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_there_unless_all_of_it_is() {
        let (from, to) = (address().await, address().await);
        let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut sql = connection(&from).await;
        migrate(&mut sql, None).await.unwrap();
        let newest = newest_known();
        copy(&from, home.path(), folder.path()).await.unwrap();
        let fail = async |words: &str| {
            let error = put_back(&to, folder.path(), newest, || Ok::<_, StoreError>(()))
                .await
                .unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            let mut sql = connection(&to).await;
            assert_eq!(
                (version(&mut sql).await.unwrap(), tables(&mut sql).await.unwrap()),
                (0, BTreeSet::new())
            );
        };
        let last = put_back(&to, folder.path(), newest, || Err(StoreError::Refused("last".into()))).await;
        assert!(last.unwrap_err().to_string().contains("last"));
        let path = folder.path().join("tokens");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..15]).unwrap();
        fail("invalid COPY file header").await;
        std::fs::write(&path, "nothing of the kind").unwrap();
        fail("COPY file signature not recognized").await;
        std::fs::remove_file(&path).unwrap();
        fail("the backup holds").await;
        std::fs::write(&path, whole).unwrap();
        put_back(&to, folder.path(), newest, || Ok::<_, StoreError>(()))
            .await
            .unwrap();
    }
}
