//! The port for indexes that keep a record of each load.

use super::{IndexError, WriteTarget};
use crate::storage::JobSnapshot;
use async_trait::async_trait;

/// An index that records the jobs that loaded it, for those who query it.
#[async_trait]
pub trait LoadLog: Send + Sync {
    /// Records how a job ended and how many documents were archived after it, with a note on why not all were. The second call
    /// adds to the number and replaces the rest.
    async fn record_load(
        &self,
        target: &WriteTarget,
        job: &JobSnapshot,
        archived: u64,
        note: Option<String>,
    ) -> Result<(), IndexError>;
}
