use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Where the stores in AWS are. Credentials come from where all AWS programs look for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsConfig {
    /// First part of the names of bucket, tables and queues: `dev`, `prod`.
    pub env: String,
    /// Region; without one, AWS_REGION or the profile says it.
    pub region: Option<String>,
    /// One address of all services, for a stand-in.
    pub endpoint_url: Option<String>,
    /// Name of the bucket; without one, `{env}-ecom-product-data-bucket`.
    pub bucket: Option<String>,
    /// For how long jobs, chunks and reports are kept, in days. Longer than messages, which SQS keeps for 14.
    pub retention_days: NonZeroU32,
    /// For how long an ingest that gives no sign of life keeps others of its shop and index away, in seconds.
    pub ingest_lease_seconds: NonZeroU32,
    /// How often `host work` mends what dead processes have left, in minutes, however many of them work; 0 for never, where
    /// `host aws sweep` does it.
    pub sweep_minutes: u32,
    /// For how long a chunk may wait before the sweeper sends its message again, in minutes. More than 5, for which SQS remembers the
    /// first one.
    pub resend_minutes: NonZeroU32,
    /// A Lambda function begins no chunk when less time is left, in seconds.
    pub lambda_reserve_seconds: u32,
}

impl Default for AwsConfig {
    fn default() -> Self {
        Self {
            env: "dev".to_owned(),
            region: None,
            endpoint_url: None,
            bucket: None,
            retention_days: const { NonZeroU32::new(30).expect("is not 0") },
            ingest_lease_seconds: const { NonZeroU32::new(60).expect("is not 0") },
            sweep_minutes: 10,
            resend_minutes: const { NonZeroU32::new(60).expect("is not 0") },
            lambda_reserve_seconds: 120,
        }
    }
}

#[cfg(feature = "aws")]
impl AwsConfig {
    /// For how long a chunk may wait before its message is sent again.
    pub fn resend(&self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.resend_minutes.get()) * 60)
    }

    /// The same for the stores.
    pub fn options(&self) -> host_storage_aws::AwsOptions {
        host_storage_aws::AwsOptions {
            env: self.env.clone(),
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            bucket: self.bucket.clone(),
            retention: std::time::Duration::from_secs(u64::from(self.retention_days.get()) * 86_400),
            ingest_lease: std::time::Duration::from_secs(self.ingest_lease_seconds.get().into()),
        }
    }
}
