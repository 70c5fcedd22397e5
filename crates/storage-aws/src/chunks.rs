//! Chunks and reports in S3.

use super::failure::{AwsError, failure};
use async_trait::async_trait;
use aws_sdk_s3::{Client, primitives::ByteStream, types::ChecksumAlgorithm};
use host_core::{
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};

/// Attempts to put an object that appears and vanishes meanwhile.
const MAX_PUT_ATTEMPTS: usize = 4;

/// The objects of one bucket.
pub(super) struct Bucket {
    client: Client,
    name: String,
}

/// The object is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("s3://{bucket}/{key} has the digest {found} instead of {expected}; remove it and ingest again")]
struct OtherBytes {
    bucket: String,
    key: String,
    expected: Digest,
    found: Digest,
}

impl Bucket {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    fn error(&self, error: AwsError, action: &str, key: &str) -> StoreError {
        let mut made = error.during(format!("{action} s3://{}/{key}", self.name));
        if made.source.to_string().starts_with("NoSuchBucket") {
            made.source = format!("there is no bucket {}; `host aws bootstrap` creates it", self.name).into();
        }
        made
    }

    /// Puts an object; false if there is one and it must not be replaced.
    async fn put_object(&self, key: &str, bytes: &[u8], replace: bool) -> Result<bool, StoreError> {
        let sent = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .set_if_none_match((!replace).then(|| "*".to_owned()))
            .content_type("application/x-ndjson")
            // The server refuses what it did not receive as it was sent.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await;
        match sent.map_err(failure) {
            Ok(_) => Ok(true),
            Err(error) if !replace && error.code() == Some("PreconditionFailed") => Ok(false),
            Err(error) => Err(self.error(error, "writing", key)),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let got = self.client.get_object().bucket(&self.name).key(key).send().await.map_err(failure);
        let got = match got {
            Ok(got) => got,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.error(error, "reading", key)),
        };
        let bytes = got.body.collect().await.map_err(|error| StoreError {
            action: format!("reading s3://{}/{key}", self.name),
            kind: StoreErrorKind::Transient,
            source: Box::new(error),
        })?;
        Ok(Some(bytes.to_vec()))
    }
}

#[async_trait]
impl Chunks for Bucket {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        for _ in 0..MAX_PUT_ATTEMPTS {
            if self.put_object(key, bytes, false).await? {
                return Ok(Put::Created);
            }
            match self.read(key).await? {
                Some(there) if there == bytes => return Ok(Put::AlreadyExists),
                Some(_) => return Ok(Put::ContentMismatch),
                // It was removed in between.
                None => {}
            }
        }
        Err(StoreError {
            action: format!("writing s3://{}/{key}", self.name),
            kind: StoreErrorKind::Transient,
            source: "another process keeps writing and removing the object".into(),
        })
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_object(key, bytes, true).await.map(drop)
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.read(key).await?;
        if let (Some(bytes), Some(expected)) = (&bytes, sha256) {
            let found = Digest::of(bytes);
            if found != expected {
                let (bucket, key) = (self.name.clone(), key.to_owned());
                return Err(StoreError {
                    action: format!("reading s3://{bucket}/{key}"),
                    kind: StoreErrorKind::Corrupt,
                    source: Box::new(OtherBytes { bucket, key, expected, found }),
                });
            }
        }
        Ok(bytes)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let sent = self.client.delete_object().bucket(&self.name).key(key).send().await;
        match sent.map_err(failure) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(self.error(error, "removing", key)),
        }
    }
}
