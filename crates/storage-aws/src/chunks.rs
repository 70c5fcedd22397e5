//! Chunks (files of documents that a worker writes at once) and reports (files of refused items) as objects in S3, and
//! the objects of other programs, which host only reads.

use super::failure::{AwsError, failure};
use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    primitives::{ByteStream, ByteStreamError},
    types::{ChecksumAlgorithm, Delete, ObjectIdentifier},
};
use host_core::{
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};

/// Most objects that one request removes, as S3 allows.
const MAX_DELETE: usize = 1_000;

/// Attempts to put an object that other processes keep writing and removing.
const MAX_PUT_ATTEMPTS: usize = 4;

/// The objects of one bucket.
pub(super) struct Bucket {
    client: Client,
    name: String,
}

/// The content of an object is not what ingest wrote.
#[derive(Debug, thiserror::Error)]
#[error("s3://{bucket}/{key} has the digest {found} instead of {expected}; remove it and ingest again")]
struct ObjectDigestMismatch {
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
        let mut failed = error.during(format!("{action} s3://{}/{key}", self.name));
        if failed.source.to_string().starts_with("NoSuchBucket") {
            failed.source =
                format!("there is no bucket {}; `host aws bootstrap` creates it", self.name).into();
        }
        failed
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
            // S3 refuses a body that was damaged on its way.
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

    async fn read_all(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let got = self.client.get_object().bucket(&self.name).key(key).send().await.map_err(failure);
        let got = match got {
            Ok(got) => got,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.error(error, "reading", key)),
        };
        let bytes = got.body.collect().await.map_err(|error| self.broken_body(key, error))?;
        Ok(Some(bytes.to_vec()))
    }
}

/// The result of reading an object that a program other than host has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignObject {
    /// Its bytes.
    Found(Vec<u8>),
    /// No object has this key.
    Missing,
    /// It is larger than the caller accepts.
    TooLarge,
    /// S3 refuses the request, for this reason.
    Refused(String),
}

/// A bucket that programs other than host write to.
#[async_trait]
pub trait ForeignBucket: Send + Sync {
    /// Reads an object of at most `max_bytes`; stops reading a larger one there. Changes nothing in the bucket.
    async fn read(&self, key: &str, max_bytes: u64) -> Result<ForeignObject, StoreError>;
}

#[async_trait]
impl ForeignBucket for Bucket {
    async fn read(&self, key: &str, max_bytes: u64) -> Result<ForeignObject, StoreError> {
        let mut got = match self.client.get_object().bucket(&self.name).key(key).send().await.map_err(failure)
        {
            Ok(got) => got,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(ForeignObject::Missing),
            Err(error) if error.code().is_some() && error.kind() == StoreErrorKind::Permanent => {
                return Ok(ForeignObject::Refused(error.to_string()));
            }
            Err(error) => return Err(self.error(error, "reading", key)),
        };
        let length = got.content_length.and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length > max_bytes) {
            return Ok(ForeignObject::TooLarge);
        }
        let mut bytes = Vec::new();
        while let Some(part) = got.body.try_next().await.map_err(|error| self.broken_body(key, error))? {
            if bytes.len() as u64 + part.len() as u64 > max_bytes {
                return Ok(ForeignObject::TooLarge);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(ForeignObject::Found(bytes))
    }
}

impl Bucket {
    fn broken_body(&self, key: &str, error: ByteStreamError) -> StoreError {
        StoreError {
            action: format!("reading s3://{}/{key}", self.name),
            kind: StoreErrorKind::Transient,
            source: Box::new(error),
        }
    }

    /// The first parts of all keys, such as `shopify/`: the platforms of shops.
    async fn platforms(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.client.list_objects_v2().bucket(&self.name).delimiter("/");
        let (mut pages, mut platforms) = (listed.into_paginator().send(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(failure(error), "listing", ""))?;
            let found = page.common_prefixes.unwrap_or_default();
            platforms.extend(found.into_iter().filter_map(|found| found.prefix));
        }
        Ok(platforms)
    }

    /// Counts the objects whose keys begin with `prefix`, and removes them unless `dry_run`.
    async fn remove_prefix(&self, prefix: &str, dry_run: bool) -> Result<u64, StoreError> {
        let listed = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let (mut pages, mut objects) = (listed.into_paginator().send(), 0);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(failure(error), "listing", prefix))?;
            let found = page.contents.unwrap_or_default();
            let keys: Vec<String> = found.into_iter().filter_map(|found| found.key).collect();
            objects += keys.len() as u64;
            if !dry_run && !keys.is_empty() {
                self.remove_objects(prefix, keys).await?;
            }
        }
        Ok(objects)
    }

    /// Removes the objects of one page of a list.
    async fn remove_objects(&self, prefix: &str, keys: Vec<String>) -> Result<(), StoreError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>, kind| StoreError {
            action: format!("removing s3://{}/{prefix}", self.name),
            kind,
            source,
        };
        let objects = keys.into_iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let request = objects
            .collect::<Result<Vec<_>, _>>()
            .and_then(|keys| Delete::builder().set_objects(Some(keys)).quiet(true).build());
        let request = request.map_err(|error| failed(Box::new(error), StoreErrorKind::Permanent))?;
        let sent = self.client.delete_objects().bucket(&self.name).delete(request).send().await;
        let done = sent.map_err(|error| self.error(failure(error), "removing", prefix))?;
        match done.errors.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(error) => {
                let parts: Vec<String> =
                    [error.key, error.code, error.message].into_iter().flatten().collect();
                Err(failed(parts.join(": ").into(), StoreErrorKind::Transient))
            }
        }
    }
}

#[async_trait]
impl Chunks for Bucket {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        for _ in 0..MAX_PUT_ATTEMPTS {
            if self.put_object(key, bytes, false).await? {
                return Ok(Put::Created);
            }
            match self.read_all(key).await? {
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
        let bytes = self.read_all(key).await?;
        if let (Some(bytes), Some(expected)) = (&bytes, sha256) {
            let found = Digest::of(bytes);
            if found != expected {
                let (bucket, key) = (self.name.clone(), key.to_owned());
                return Err(StoreError {
                    action: format!("reading s3://{bucket}/{key}"),
                    kind: StoreErrorKind::Corrupt,
                    source: Box::new(ObjectDigestMismatch { bucket, key, expected, found }),
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

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        // The batch with the first key comes last: while that object exists, others may.
        for keys in keys.chunks(MAX_DELETE).rev() {
            self.remove_objects(&keys[0], keys.to_vec()).await?;
        }
        Ok(())
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let mut objects = 0;
        for platform in self.platforms().await? {
            objects += self.remove_prefix(&format!("{platform}{shop_id}/"), dry_run).await?;
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AwsConfig, Clients};
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    /// The address of a server that gives each request this answer, and leaves the connection open.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = BufReader::new(&stream).lines().map_while(Result::ok);
                head.take_while(|line| !line.is_empty()).for_each(drop);
                stream.write_all(answer.as_bytes()).unwrap();
                open.push(stream);
            }
        });
        url
    }

    #[tokio::test]
    async fn a_foreign_object_is_read_up_to_the_limit_and_each_refusal_has_its_answer() {
        let found = |bytes: &str| ForeignObject::Found(bytes.as_bytes().to_vec());
        let in_parts =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n";
        let denied = "HTTP/1.1 403 Forbidden\r\ncontent-length: 68\r\n\r\n\
                      <Error><Code>AccessDenied</Code><Message>not yours</Message></Error>";
        let missing =
            "HTTP/1.1 404 Not Found\r\ncontent-length: 37\r\n\r\n<Error><Code>NoSuchKey</Code></Error>";
        for (answer, max_bytes, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde", 5, found("abcde")),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde", 4, ForeignObject::TooLarge),
            // The server announces a body that it never sends.
            ("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n", 1_000, ForeignObject::TooLarge),
            (in_parts, 10, found("abcdefghij")),
            (in_parts, 9, ForeignObject::TooLarge),
            (denied, 9, ForeignObject::Refused("AccessDenied: not yours".to_owned())),
            (missing, 9, ForeignObject::Missing),
        ] {
            let (endpoint_url, region) = (Some(server(answer)), Some("eu-central-1".to_owned()));
            let config = AwsConfig { endpoint_url, region, ..AwsConfig::default() };
            let clients = Clients::connect_with_keys(&config, "id", "key").await;
            let bucket = Bucket::new(clients.s3, "theirs".to_owned());
            let read = ForeignBucket::read(&bucket, "key", max_bytes).await.unwrap();
            assert_eq!(read, expected, "{answer}");
        }
    }
}
