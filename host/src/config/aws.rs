use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Storage on AWS. Credentials are found as by every AWS program: environment, profile, instance role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsConfig {
    /// First part of the names of bucket, tables and queues, such as `dev` or `prod`.
    pub env: String,
    /// Region; by default `AWS_REGION` or the profile decides.
    pub region: Option<String>,
    /// One endpoint for all services, for a stand-in.
    pub endpoint_url: Option<String>,
    /// Name of the bucket; by default `{env}-ecom-product-data-bucket`.
    pub bucket: Option<String>,
    /// Days for which jobs, chunks and reports are kept; more than the 14 for which SQS keeps messages.
    pub retention_days: NonZeroU32,
    /// Ingest lease in seconds; another process may take over once it expires.
    pub ingest_lease_seconds: NonZeroU32,
    /// Interval of the recovery sweep of `host work`, in minutes, however many workers run; 0 where `host aws sweep` does it.
    pub sweep_minutes: u32,
    /// Minutes that a chunk waits before the recovery sweep sends its message again; more than the 5 for which SQS deduplicates.
    pub resend_minutes: NonZeroU32,
    /// A Lambda function begins no chunk when less than this time is left, in seconds.
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
