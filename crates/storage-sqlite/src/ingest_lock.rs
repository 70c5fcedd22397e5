//! The ingest lease of a shop and index, by which one process at a time ingests for them: a locked file. The operating
//! system releases the lock when the process ends.

use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{Digest, Job},
    storage::{IngestGuard, StoreError, StoreErrorKind},
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Folder of the lock files in the data directory.
const FOLDER: &str = "ingest";

/// Time between two attempts at a lock that another process holds.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The lock, held as long as the value lives.
pub(super) struct IngestLock {
    _file: File,
}

#[async_trait]
impl IngestGuard for IngestLock {
    async fn lost(&self) {
        std::future::pending::<()>().await;
    }

    async fn release(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The lock file of a job's shop and index. Its name is a digest, because their names may have any characters.
fn path(dir: &Path, job: &Job) -> PathBuf {
    let name = Digest::of(format!("{}\n{}", job.shop_id, job.index_name).as_bytes()).hex();
    dir.join(FOLDER).join(format!("{}.lock", &name[..32]))
}

/// Whether a process ingests for the job's shop and index.
pub(super) fn is_held(dir: &Path, job: &Job) -> bool {
    // Closing the file releases the lock.
    File::open(path(dir, job)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Waits until no other process ingests for the job's shop and index.
pub(super) async fn acquire(dir: &Path, job: &Job, clock: &SharedClock) -> Result<IngestLock, StoreError> {
    let failed = |source: io::Error| StoreError {
        action: format!("locking the index {} of {} in {}", job.index_name, job.shop_id, dir.display()),
        kind: StoreErrorKind::Permanent,
        source: Box::new(source),
    };
    fs::create_dir_all(dir.join(FOLDER)).map_err(failed)?;
    let options = File::options().create(true).truncate(false).write(true).clone();
    let file = options.open(path(dir, job)).map_err(failed)?;
    let mut polls = 0_u32;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(IngestLock { _file: file }),
            // A file system without locks: the user must not ingest twice at a time.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(IngestLock { _file: file });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        polls += 1;
        // Not at the first attempt, since another process may hold the lock for a moment only to see whether it is
        // free.
        if polls == 2 {
            tracing::warn!(
                shop_id = job.shop_id,
                index_name = job.index_name,
                "another process ingests for this shop and index; waiting for its end"
            );
        }
        clock.sleep(POLL_INTERVAL).await;
    }
}
