//! Storage in a data directory on one machine: a SQLite file for queue, jobs, settings, circuit breakers, ledger (what
//! host remembers of products) and relational catalog, and a folder for chunks and other objects.
//!
//! Several processes may share a directory: each change of the database is one transaction that begins by taking
//! the file's write lock, and objects appear under their keys only as a whole.

use async_trait::async_trait;
use host_core::storage::{IngestGuard, JobRemover, Storage, StoreError, StoreErrorKind, Stores};
use host_core::{
    clock::SharedClock,
    model::{Job, JobId},
};
use std::{
    convert::Infallible,
    fs::{DirBuilder, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

mod breakers;
mod chunks;
mod ingest_lock;
mod jobs;
mod ledger;
mod queue;
mod settings;
#[cfg(test)]
mod tests;

use host_sqlite::{Database, DatabaseError};

/// File that every worker process locks (shared). A process that gets the lock exclusively is the only worker, and
/// releases what crashed processes held.
const WORK_LOCK: &str = "work.lock";
/// File that the same processes lock, too. Processes that only look for a worker try this lock and never the other one,
/// because a worker that registers in that moment would not find itself alone.
const PRESENCE_LOCK: &str = "working.lock";

/// The stores and the catalog of one data directory. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct SqliteStorage {
    dir: PathBuf,
    clock: SharedClock,
    pub(crate) database: Arc<Database>,
    folder: chunks::Folder,
    stores: Stores,
    /// The two locks of a worker process, held as long as a clone of this value lives.
    alive: Arc<OnceLock<[File; 2]>>,
}

impl SqliteStorage {
    /// Opens a data directory. Creates it (for its owner only) and everything in it if it is missing, and brings an
    /// older one up to date. Blocks as long as another process does the same.
    pub fn open(dir: impl AsRef<Path>, clock: SharedClock) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let _open_lock = prepare(dir).map_err(|source| StoreError {
            action: format!("opening the data directory {}", dir.display()),
            kind: StoreErrorKind::Permanent,
            source: Box::new(DirectoryError { path: dir.display().to_string(), source }),
        })?;
        let database = Database::open(&dir.join("host.db"))
            .map_err(|error| error.during(format!("opening the data directory {}", dir.display())))?;
        let database = Arc::new(database);
        let folder = chunks::Folder::open(&dir.join("chunks"), clock.now())?;
        let stores = Stores {
            chunks: Arc::new(folder.clone()),
            queue: Arc::new(queue::Messages::new(database.clone(), clock.clone())),
            jobs: Arc::new(jobs::SqliteJobs::new(database.clone(), clock.clone())),
            settings: Arc::new(settings::SqliteSettings::new(database.clone())),
            ledger: Arc::new(ledger::SqliteLedger::new(database.clone())),
            breakers: Arc::new(breakers::SqliteBreakers::new(database.clone())),
        };
        Ok(Self { dir: dir.to_owned(), clock, database, folder, stores, alive: Arc::default() })
    }

    /// Whether a process holds the lock of a file.
    fn is_locked(&self, name: &str) -> bool {
        // Closing the file releases the lock.
        File::open(self.dir.join(name)).is_ok_and(|lock| lock.try_lock().is_err())
    }

    /// Acquires the shared lock of a file. If no other process holds it, `when_alone` runs before another process can
    /// get it.
    async fn lock_shared(
        &self,
        name: &str,
        when_alone: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<File, StoreError> {
        let failed = |source: io::Error| StoreError {
            action: format!("registering in the data directory {}", self.dir.display()),
            kind: StoreErrorKind::Permanent,
            source: Box::new(source),
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.dir.join(name))
            .map_err(failed)?;
        if lock.try_lock().is_ok() {
            when_alone.await?;
            lock.unlock().map_err(failed)?;
        }
        match lock.try_lock_shared() {
            Ok(()) => {}
            // Another process checks whether it is alone, which does not take long.
            Err(TryLockError::WouldBlock) => lock.lock_shared().map_err(failed)?,
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(lock)
    }

    /// The SQLite file, for the relational catalog, whose tables are in it, too.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }
}

#[async_trait]
impl Storage for SqliteStorage {
    fn stores(&self) -> Stores {
        self.stores.clone()
    }

    async fn register(&self) -> Result<(), StoreError> {
        let release_orphaned = async {
            let released = self.database.write(|tx| {
                queue::release_orphaned(tx)?;
                jobs::release_orphaned(tx)
            });
            released.await.map_err(|error| error.during("releasing what a crashed process held"))
        };
        let lock = self.lock_shared(WORK_LOCK, release_orphaned).await?;
        let presence = self.lock_shared(PRESENCE_LOCK, async { Ok(()) }).await?;
        // If `register` was called before, the first call's locks stay, and these are released.
        let _first_call_holds_them = self.alive.set([lock, presence]);
        Ok(())
    }

    fn has_active_worker(&self) -> bool {
        self.is_locked(PRESENCE_LOCK)
    }

    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError> {
        Ok(ingest_lock::is_held(&self.dir, job))
    }

    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError> {
        let lock = ingest_lock::acquire(&self.dir, job, &self.clock).await?;
        let superseded = self.stores.jobs.supersede(job).await?;
        Ok((superseded, Box::new(lock)))
    }

    /// There is nothing to do: the first process that registers after a crash repairs what it left.
    async fn run_maintenance(&self) -> Infallible {
        std::future::pending().await
    }

    fn job_remover(&self) -> Option<&dyn JobRemover> {
        Some(self)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.database.flush().await.map_err(|error| error.during("writing the database to disk"))
    }

    async fn erase(&self) -> Result<(), StoreError> {
        self.database.erase().await.map_err(|error| error.during("erasing what was removed"))
    }

    fn location(&self) -> String {
        self.dir.join("chunks").display().to_string()
    }

    fn poll_interval(&self) -> Option<Duration> {
        None
    }
}

#[async_trait]
impl JobRemover for SqliteStorage {
    async fn may_be_worked(&self, job: &Job) -> Result<bool, StoreError> {
        let id = job.id.clone();
        let needed = self.database.read(move |tx| jobs::is_needed(tx, &id)).await;
        needed.map_err(|error| error.during(format!("looking for messages of job {}", job.id)))
    }

    async fn remove_job(&self, job: &Job) -> Result<bool, StoreError> {
        let during = |error: DatabaseError| error.during(format!("removing job {}", job.id));
        if self.may_be_worked(job).await? {
            return Ok(false);
        }
        self.folder.remove_all(&job.folder()).await?;
        let id = job.id.clone();
        self.database.write(move |tx| jobs::remove(tx, &id)).await.map_err(during)?;
        Ok(true)
    }
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used; use a separate directory on a local disk that it may write to")]
struct DirectoryError {
    path: String,
    #[source]
    source: io::Error,
}

/// Creates the directory, and keeps other processes from opening it until the returned lock is dropped. Two processes
/// that create the schema or switch to the write-ahead log at the same time would get errors, however long they waited.
fn prepare(dir: &Path) -> io::Result<File> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("open.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => lock.lock()?,
        // A file system without locks: only simultaneous first starts are not protected then.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(lock)
}
