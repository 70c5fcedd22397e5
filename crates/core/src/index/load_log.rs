//! The port for indexes that keep a record of each load, as the relational catalog does in its table `loads`.

use super::{IndexError, WriteTarget};
use crate::storage::JobSnapshot;
use async_trait::async_trait;

/// An index that records the jobs that loaded it, for those who query it.
#[async_trait]
pub trait LoadLog: Send + Sync {
    /// Records how a job ended, how many documents were archived after it, and in `note` why archiving was refused or
    /// incomplete. A second call for the same job adds to `archived` and replaces the rest.
    async fn record_load(
        &self,
        target: &WriteTarget,
        job: &JobSnapshot,
        archived: u64,
        note: Option<String>,
    ) -> Result<(), IndexError>;
}
