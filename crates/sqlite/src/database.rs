//! The SQLite file: connections, transactions, and the steps of its schema. Only what is about the file as a whole is
//! here; the statements on its tables are in the crates that own them.

use crate::failure::{DatabaseError, Problem};
use host_core::storage::{self, UnsupportedFormat};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Mutex;

/// SQLite's `application_id` of the file, by which host recognizes its own: `host` in ASCII.
const APPLICATION_ID: i64 = 0x686f_7374;

/// The steps from an empty file to the present schema. A step that has been released is never changed.
const MIGRATIONS: &[&str] = &[
    concat!(
        include_str!("schema/queue.sql"),
        include_str!("schema/jobs.sql"),
        include_str!("schema/catalog.sql")
    ),
    concat!(include_str!("schema/settings.sql"), include_str!("schema/superseded.sql")),
    include_str!("schema/loads.sql"),
    include_str!("schema/redrive.sql"),
    include_str!("schema/last_error.sql"),
    include_str!("schema/ledger.sql"),
    concat!(include_str!("schema/sequence.sql"), include_str!("schema/unseen.sql")),
    include_str!("schema/breaker.sql"),
    include_str!("schema/shop_removal.sql"),
    include_str!("schema/open_jobs.sql"),
    include_str!("schema/cleared_breaker.sql"),
    include_str!("schema/archive_refused.sql"),
    include_str!("schema/search.sql"),
];

/// How long a transaction waits for those of other processes. These take milliseconds; a process that takes longer
/// hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Most statements that a connection keeps prepared: more than host has.
const PREPARED_STATEMENTS: usize = 128;

/// Why a transaction failed and was rolled back. Code inside the transaction returns it; [`DatabaseError`] adds the
/// file.
#[derive(Debug)]
pub enum Cause {
    /// SQLite's own error.
    Sqlite(rusqlite::Error),
    /// What was read is not what host writes: the file is corrupt.
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// A newer version of host or another program wrote what was read.
    Unsupported(UnsupportedFormat),
    /// The caller asks for something that is not allowed, such as a chunk of a job that has ended; the text says what.
    Refused(String),
}

impl Cause {
    /// The cause if what was read is not what host writes.
    pub fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The text of a JSON column, without a schema number.
pub fn to_json(value: &impl Serialize) -> Result<String, Cause> {
    serde_json::to_string(value).map_err(Cause::corrupt)
}

/// The plain data of a JSON column without a schema number.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Cause> {
    serde_json::from_str(text).map_err(Cause::corrupt)
}

/// The text of a JSON column with a schema number (an envelope), by which other versions of host know whether they can
/// read it.
pub fn to_envelope(value: &impl Serialize) -> Result<String, Cause> {
    storage::to_envelope(value).map_err(Cause::corrupt)
}

/// The plain data of a JSON column with a schema number, which another version of host may have written.
pub fn from_envelope<T: DeserializeOwned>(text: &str) -> Result<T, Cause> {
    storage::from_envelope(text).map_err(Cause::Unsupported)
}

/// A database file. One connection writes, another reads without waiting for it.
pub struct Database {
    path: PathBuf,
    // Declared before the writer, so that it is dropped first: the connection that closes last moves the journal into
    // the file, and that should be the writer, which knows the journal already.
    reader: Arc<Mutex<Connection>>,
    // SQLite has one writer at a time anyway. Waiting for this lock is fair, while waiting for SQLite's lock is
    // polling.
    writer: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens the file, which is created if it is missing, and brings its schema up to date. An error if a newer version
    /// of host or another program wrote the file.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let name = path.display().to_string();
        let writer = connect(path).and_then(|mut writer| {
            let refused = migrate(&mut writer, &name)?;
            Ok((writer, refused))
        });
        let writer = match writer.map_err(|source| DatabaseError::of(name.clone(), source))? {
            (_, Some(refused)) => return Err(refused),
            (writer, None) => writer,
        };
        let reader = connect(path)
            .and_then(|reader| reader.pragma_update(None, "query_only", true).map(|()| reader))
            .map_err(|source| DatabaseError::of(name, source))?;
        Ok(Self {
            path: path.to_owned(),
            writer: Arc::new(Mutex::new(writer)),
            reader: Arc::new(Mutex::new(reader)),
        })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connection that writes, for tests that hold its lock.
    pub fn writer(&self) -> &Arc<Mutex<Connection>> {
        &self.writer
    }

    /// Runs a transaction that holds the file's write lock from its beginning, so that no other writer changes what it
    /// has read. It takes effect as a whole or not at all; dropping the future does not stop it.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.run(&self.writer, TransactionBehavior::Immediate, work).await
    }

    /// Runs queries that all see the state of one moment, without waiting for a writer.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.run(&self.reader, TransactionBehavior::Deferred, work).await
    }

    /// Makes all transactions so far survive a power cut. Closing the file has the same effect, unless another process
    /// has it open.
    pub async fn flush(&self) -> Result<(), DatabaseError> {
        let connection = self.writer.clone().lock_owned().await;
        let journal = self.journal();
        let flushed = tokio::task::spawn_blocking(move || {
            let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
            let (written, checkpointed): (i64, i64) =
                connection.query_row(checkpoint, [], |row| Ok((row.get(1)?, row.get(2)?)))?;
            // The part of the journal that another process still reads was not moved into the file, so the journal
            // itself is synced.
            if written != checkpointed {
                File::options()
                    .write(true)
                    .open(journal)
                    .and_then(|journal| journal.sync_all())
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            }
            Ok(())
        });
        match flushed.await {
            Ok(flushed) => {
                flushed.map_err(|source| DatabaseError::of(self.path.display().to_string(), source))
            }
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(Problem::Ending.into()),
        }
    }

    /// Makes removed data unreadable: merges the full-text index `product_words`, whose segments keep the words of
    /// removed products; writes the file anew without its free pages; and empties the journal. It needs twice the
    /// file's size of free disk space, and other processes wait meanwhile. (SQLite's `secure_delete` would not do: it
    /// does not overwrite the rows that stay behind in a page when the page is split.)
    pub async fn erase(&self) -> Result<(), DatabaseError> {
        let merge = "INSERT INTO product_words (product_words) VALUES ('optimize')";
        self.write(|tx| Ok(tx.execute(merge, [])?)).await?;
        let writer = self.writer.clone().lock_owned().await;
        let path = self.path.clone();
        let erased = tokio::task::spawn_blocking(move || {
            let _no_other_writer = writer;
            // A connection of its own, with default pragmas: the others keep temporary data, here a copy of the file,
            // in memory.
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.execute("VACUUM", [])?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
        });
        let path = || self.path.display().to_string();
        match erased.await {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                Err(DatabaseError::of(path(), rusqlite::Error::SqliteFailure(busy, None)))
            }
            Ok(Err(source)) => Err(DatabaseError::of(path(), source)),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(Problem::Ending.into()),
        }
    }

    /// The path of SQLite's write-ahead log, here called the journal.
    fn journal(&self) -> PathBuf {
        let mut journal = self.path.clone().into_os_string();
        journal.push("-wal");
        journal.into()
    }

    async fn run<T: Send + 'static>(
        &self,
        connection: &Arc<Mutex<Connection>>,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let connection = connection.clone();
        // In a task, because the runtime always polls a task. The caller's future may not be polled for a while, such
        // as one of several in a stream, and would hold the connection's lock meanwhile.
        let done = tokio::spawn(async move {
            let mut connection = connection.lock_owned().await;
            let work = move || {
                let transaction = connection.transaction_with_behavior(behavior)?;
                let result = work(&transaction)?;
                transaction.commit()?;
                Ok(result)
            };
            tokio::task::spawn_blocking(work).await
        });
        let done = done.await.and_then(|done| done);
        let path = || self.path.display().to_string();
        match done {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(Cause::Sqlite(source))) => Err(DatabaseError::of(path(), source)),
            Ok(Err(Cause::Unreadable(source))) => Err(Problem::Unreadable { path: path(), source }.into()),
            Ok(Err(Cause::Unsupported(source))) => Err(Problem::Unsupported { path: path(), source }.into()),
            Ok(Err(Cause::Refused(why))) => Err(Problem::Refused(why).into()),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(Problem::Ending.into()),
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // After a power cut the last transactions may be gone, all of them from some moment on. That is safe because queue,
    // jobs and relational catalog are in this one file: they go back to the same moment, and the work after it is done
    // again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // 8 MiB: SQLite takes a negative number as KiB. A larger cache is not faster, because writes rarely touch the same
    // pages again, and the operating system caches the file as well.
    connection.pragma_update(None, "cache_size", -8_192)?;
    // 64 MiB. The journal is reused, and without a limit it would never shrink.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(connection)
}

/// Applies the missing steps of the schema in one transaction. Returns an error, and changes nothing, if a newer
/// version of host or another program wrote the file.
fn migrate(connection: &mut Connection, path: &str) -> rusqlite::Result<Option<DatabaseError>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma: &str| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let found = number("user_version")?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if number("application_id")? != APPLICATION_ID && (tables > 0 || found != 0) {
        return Ok(Some(Problem::Foreign { path: path.to_owned() }.into()));
    }
    let known = MIGRATIONS.len();
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Ok(Some(Problem::NewerSchema { path: path.to_owned(), found, known: known as i64 }.into()));
    };
    if !missing.is_empty() {
        for step in missing {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    Ok(None)
}
