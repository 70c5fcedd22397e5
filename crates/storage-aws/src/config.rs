//! The settings of the storage on AWS, the section `[aws]` of `host.toml`.

use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// Storage on AWS. Credentials are found as by every AWS program: environment, profile, instance role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsConfig {
    /// First part of the names of bucket, tables and queues, such as `dev` or `prod`.
    pub env: String,
    /// Region; without one, that of AWS_REGION or the profile.
    pub region: Option<String>,
    /// URL of a server that answers in place of AWS, for all services: for tests and demos.
    pub endpoint_url: Option<String>,
    /// Name of the bucket; by default `{env}-ecom-product-data-bucket`.
    pub bucket: Option<String>,
    /// Buckets besides `bucket` from which chunks are read if messages of programs other than host name them.
    pub source_buckets: Vec<String>,
    /// Ingest lease in seconds; another process may take over once it expires.
    pub ingest_lease_seconds: NonZeroU32,
    /// Interval of the recovery sweep in minutes, one sweep for all `host work` processes together; 0 for never, where
    /// `host aws sweep` does it.
    pub sweep_minutes: u32,
    /// How long a chunk may wait before the sweep sends its message again, in minutes. More than 5, because SQS drops a
    /// message that it saw within the last 5.
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
            source_buckets: Vec::new(),
            ingest_lease_seconds: const { NonZeroU32::new(60).expect("is not 0") },
            sweep_minutes: 10,
            resend_minutes: const { NonZeroU32::new(60).expect("is not 0") },
            lambda_reserve_seconds: 120,
        }
    }
}

/// SQS keeps a message for up to 14 days in the queue and 14 more in the dead-letter queue. The chunk that the message
/// names must exist for longer.
const LONGER_THAN_MESSAGES: Duration = Duration::from_secs(29 * 86_400);

/// How long jobs, chunks and reports are kept if the settings ask for `retention`. It is never shorter than the life of
/// a message, because S3 and DynamoDB remove what has expired without asking whether a message still needs it.
pub(crate) fn kept(retention: Duration) -> Duration {
    retention.max(LONGER_THAN_MESSAGES)
}

/// Characters of the longest `env`: the name of the bucket, which adds 25, may have 63.
const MAX_ENV: usize = 38;

impl AwsConfig {
    /// Whether AWS takes the names that `env` begins; the error is a sentence for the user.
    pub fn check_env(&self) -> Result<(), String> {
        let Self { env, bucket, .. } = self;
        let fits = |c: char| match bucket {
            Some(_) => c.is_ascii_alphanumeric() || "-_".contains(c),
            None => c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
        };
        let begins = env.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && env.len() <= MAX_ENV && env.chars().all(fits) {
            return Ok(());
        }
        let what = match bucket {
            Some(_) => "A-Z a-z 0-9 - _",
            None => "a-z 0-9 - (also A-Z and _ if `aws.bucket` is set)",
        };
        Err(format!(
            "`aws.env` is `{env}`, which names in AWS cannot begin with; use 1 to {MAX_ENV} characters of {what}, the first a letter \
             or a digit"
        ))
    }

    /// How long the ingest lease lasts without a renewal; another process may take over once it expires.
    pub(crate) fn ingest_lease(&self) -> Duration {
        Duration::from_secs(self.ingest_lease_seconds.get().into())
    }

    /// How long a chunk may wait before its message is sent again.
    pub(crate) fn resend_after(&self) -> Duration {
        Duration::from_secs(u64::from(self.resend_minutes.get()) * 60)
    }

    /// Interval of the recovery sweep; none for never.
    pub(crate) fn sweep_interval(&self) -> Option<Duration> {
        (self.sweep_minutes > 0).then(|| Duration::from_secs(u64::from(self.sweep_minutes) * 60))
    }

    /// How much of a Lambda function's time must be left to begin a chunk.
    pub fn lambda_reserve(&self) -> Duration {
        Duration::from_secs(self.lambda_reserve_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Names;

    #[test]
    fn an_environment_that_aws_refuses_is_refused_at_the_start() {
        let check = |env: &str, bucket: Option<&str>| {
            let (env, bucket) = (env.to_owned(), bucket.map(str::to_owned));
            AwsConfig { env, bucket, ..AwsConfig::default() }.check_env()
        };
        let longest = "e".repeat(MAX_ENV);
        for good in ["dev", "staging-2", &longest] {
            check(good, None).unwrap();
        }
        check("Dev_1", Some("own")).unwrap();
        let too_long = "e".repeat(MAX_ENV + 1);
        for bad in ["", "Dev", "dev_1", "-dev", "dev.eu", "d\u{e4}v", "a b", &too_long] {
            assert!(check(bad, None).unwrap_err().contains("aws.env"), "{bad}");
        }
        let names = Names::new(&longest, None);
        assert!(names.bucket().len() <= 63, "{}", names.bucket());
        assert!(names.dead_letter_queue(&"s".repeat(100)).len() <= 80);
    }
}
