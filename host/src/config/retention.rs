use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// What is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How long jobs with their chunks and reports are kept in a data directory after their end, in days. The newest job of each index
    /// stays, and jobs that can still be written. In AWS: `aws.retention_days`.
    pub days: NonZeroU32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { days: const { NonZeroU32::new(30).expect("is not 0") } }
    }
}

impl RetentionConfig {
    /// How long jobs are kept.
    pub fn age(&self) -> Duration {
        Duration::from_secs(u64::from(self.days.get()) * 86_400)
    }
}
