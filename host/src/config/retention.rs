//! The settings `[retention]`: how long jobs, their reports and their chunks (the files of documents that ingest
//! publishes and workers write) are kept.

use host_pipeline::retention::Retention;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// What is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How long jobs and their reports are kept, in days. In a data directory from their end on: the newest job of each
    /// index stays, and jobs that can still be written. In AWS from their beginning on, and at least 29 days, because a
    /// message may lead to them for so long; `host aws bootstrap` sets it for objects.
    pub days: NonZeroU32,
    /// Whether the chunks of a job are kept for as long. Otherwise they are removed at its end if no item failed; in a
    /// data directory, those of a job with failures when there is a later job and none of its dead letters is left.
    pub keep_chunks: bool,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { days: const { NonZeroU32::new(30).expect("is not 0") }, keep_chunks: false }
    }
}

impl RetentionConfig {
    /// How long jobs are kept.
    pub fn age(&self) -> Duration {
        Duration::from_secs(u64::from(self.days.get()) * 86_400)
    }

    /// The settings in the form that the removal of old jobs takes.
    pub fn of_jobs(&self) -> Retention {
        Retention { age: self.age(), keep_chunks: self.keep_chunks }
    }
}
