//! One batch, one transaction, in the order in which its parts refer to each other.
//!
//! A round trip to the server costs as much as its work, so each part is one statement with a row for each element of
//! its arrays, however many there are. A batch of nothing but events is a single statement, which is a transaction by
//! itself. What is written is in the files by subject; `session` owns the connection and the right to write.

use super::{
    events, history, jobs, retention,
    session::{Session, Writer},
};
use crate::store::{Batch, StoreError, rows::no_job, seal::Sealer, stream::Stream};
use scheduler::Record;
use shared::{JobId, Project};
use sqlx::{Connection, postgres::PgConnection};
use std::collections::{BTreeSet, HashMap};

/// Writes `batch` wholly or not at all.
pub async fn commit(writer: &Writer, sealer: &Sealer, batch: &Batch) -> Result<(), StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session| {
        if batch.is_output() && events::at_once(writer, session, batch).await? {
            return Ok(());
        }
        transact(writer, sealer, session, batch).await
    })
    .await
}

async fn transact(writer: &Writer, sealer: &Sealer, session: &mut Session, batch: &Batch) -> Result<(), StoreError> {
    let mut transaction = session.sql.begin().await?;
    writer.fence(&mut transaction).await?;
    let mut write = Write {
        sql: &mut transaction,
        owner: writer.name(),
        sealer,
        known: &session.memory.streams,
        streams: HashMap::new(),
        projects: HashMap::new(),
    };
    match write.all(batch).await {
        Ok(()) => {
            let Write { streams, .. } = write;
            transaction.commit().await?;
            session.memory.keep(streams, &batch.records, &batch.applied);
            Ok(())
        }
        Err(error) => {
            // What failed first is what matters; a transaction that is dropped is rolled back as well.
            if matches!(error, StoreError::Refused(_)) {
                transaction.rollback().await?;
            }
            Err(error)
        }
    }
}

/// A transaction on its way.
pub struct Write<'a> {
    /// The connection, inside the transaction.
    pub sql: &'a mut PgConnection,
    /// This queen's name in the database.
    pub owner: &'a str,
    /// For secrets.
    pub sealer: &'a Sealer,
    known: &'a HashMap<JobId, Stream>,
    streams: HashMap<JobId, Stream>,
    projects: HashMap<Project, i64>,
}

impl Write<'_> {
    async fn all(&mut self, batch: &Batch) -> Result<(), StoreError> {
        jobs::submit(self, batch).await?;
        self.load(batch).await?;
        jobs::record(self, &batch.records).await?;
        events::append(self, &batch.events).await?;
        events::close_ended(self, &batch.records).await?;
        history::results(self, &batch.results).await?;
        history::cases(self, &batch.cases).await?;
        retention::weigh_ended(self, &batch.records).await?;
        jobs::applied(self, &batch.applied).await
    }

    /// Looks up every job that the batch speaks of and that is not known yet; one that is not there refuses it.
    async fn load(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let records = batch.records.iter().filter_map(|record| match record {
            Record::Job(row) => Some(&row.id),
            Record::File(row) => Some(&row.job),
            Record::NoFiles(id) => Some(id),
            Record::Lease(row) => Some(&row.job),
            Record::Drain { .. } | Record::Learned { .. } => None,
        });
        let ids: BTreeSet<&JobId> = records
            .chain(batch.events.iter().map(|event| &event.job))
            .chain(batch.results.iter().map(|result| &result.job))
            .chain(batch.cases.iter().map(|part| &part.job))
            .collect();
        let mut missing = Vec::new();
        for id in ids {
            match self.known.get(id).copied() {
                _ if self.streams.contains_key(id) => {}
                Some(stream) => self.know(id, stream),
                None => missing.push(id),
            }
        }
        for (id, stream) in events::load(self.sql, &missing).await? {
            self.know(&id, stream);
        }
        match missing.into_iter().find(|id| !self.streams.contains_key(*id)) {
            Some(id) => Err(no_job(id)),
            None => Ok(()),
        }
    }

    /// Remembers how a job's stream stands.
    pub fn know(&mut self, job: &JobId, stream: Stream) {
        self.streams.insert(job.clone(), stream);
    }

    /// How a job's stream stands.
    pub fn stream(&self, id: &JobId) -> Result<Stream, StoreError> {
        self.streams.get(id).copied().ok_or_else(|| no_job(id))
    }

    /// The key of a job.
    pub fn job(&self, id: &JobId) -> Result<i64, StoreError> {
        Ok(self.stream(id)?.job)
    }

    /// The keys of projects, which are made if they are new.
    pub async fn projects(&mut self, names: BTreeSet<&Project>) -> Result<&HashMap<Project, i64>, StoreError> {
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| !self.projects.contains_key(**name))
            .map(|name| name.as_str())
            .collect();
        if !missing.is_empty() {
            // The update changes nothing; without it, a row that was there would not be told.
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "INSERT INTO projects (name) SELECT * FROM unnest($1::text[])
                 ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING name, key",
            )
            .bind(&missing)
            .fetch_all(&mut *self.sql)
            .await?;
            let known: HashMap<String, i64> = rows.into_iter().collect();
            for name in names {
                if let Some(key) = known.get(name.as_str()) {
                    self.projects.insert(name.clone(), *key);
                }
            }
        }
        Ok(&self.projects)
    }
}

/// Text as PostgreSQL can keep it: it has no zero character.
pub fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Text as an index can keep it: PostgreSQL's take rows of less than 2,700 bytes, so that a long text is told by its
/// beginning and a hash.
pub fn indexed(text: &str) -> String {
    const LONGEST: usize = 1_000;
    let text = plain(text);
    if text.len() <= LONGEST {
        return text;
    }
    use sha2::Digest;
    let hash: [u8; 32] = sha2::Sha256::digest(text.as_bytes()).into();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let begin = text.floor_char_boundary(LONGEST - hex.len() - '…'.len_utf8());
    format!("{}…{hex}", &text[..begin])
}

/// Writes one row, as cheaply as can be: is the database well, and ours?
pub async fn ping(writer: &Writer) -> Result<(), StoreError> {
    let turn = writer.turn().await?;
    turn.run(async |session| {
        let done = sqlx::query("UPDATE owner SET pings = pings + 1 WHERE name = $1")
            .bind(writer.name())
            .execute(&mut session.sql)
            .await?;
        match done.rows_affected() {
            0 => Err(writer.lost()),
            _ => Ok(()),
        }
    })
    .await
}
