//! Exports that an ingest reads from S3, as `s3://bucket/key`. Objects are read in ranges, so that a broken connection
//! costs one range.

use aws_sdk_s3::{Client, error::ProvideErrorMetadata};
use host_core::error::chain;
use host_export::{Remote, RemoteSource};
use std::{
    io::{self, ErrorKind, Read},
    time::SystemTime,
};
use tokio::runtime::Handle;

/// Bytes per ranged GET: large enough that the overhead of a request is negligible.
const RANGE_BYTES: u64 = 8 << 20;

/// Attempts per range. Within each, the SDK itself retries failures that come before the first byte.
const ATTEMPTS: usize = 5;

/// Opens objects with one client. Reading blocks, and must happen outside of the runtime's own threads.
#[derive(Debug)]
pub struct S3Objects {
    client: Client,
    runtime: Handle,
}

impl S3Objects {
    /// Objects that this client reaches. Must be called within a Tokio runtime, which then does the reading.
    pub fn new(client: Client) -> Self {
        Self { client, runtime: Handle::current() }
    }

    fn open_object(&self, bucket: &str, key: &str) -> io::Result<Object> {
        let request = self.client.head_object().bucket(bucket).key(key).send();
        let head = self.runtime.block_on(request).map_err(|error| {
            let is_absent = error.as_service_error().is_some_and(|error| error.is_not_found());
            let kind = if is_absent { ErrorKind::NotFound } else { ErrorKind::Other };
            io::Error::new(kind, error_text(&error))
        })?;
        let length = head.content_length.and_then(|length| u64::try_from(length).ok());
        // An object of unknown length would be read as empty, and one without an ETag could be replaced while it is
        // read: either would lose products.
        let (Some(length), Some(etag)) = (length, head.e_tag) else {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the service did not return both its length and its ETag",
            ));
        };
        Ok(Object {
            client: self.client.clone(),
            runtime: self.runtime.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag,
            length,
            modified_at: head.last_modified.and_then(|at| SystemTime::try_from(at).ok()),
            next: 0,
            range: io::Cursor::default(),
        })
    }
}

/// The service's error code and message, or the error chain if the call did not reach the service.
fn error_text<E: ProvideErrorMetadata + std::error::Error + 'static>(
    error: &aws_sdk_s3::error::SdkError<E>,
) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => chain(error),
    }
}

impl Remote for S3Objects {
    fn open(&self, name: &str) -> Option<io::Result<RemoteSource>> {
        let (bucket, key) = name.strip_prefix("s3://")?.split_once('/')?;
        Some(self.open_object(bucket, key).map(|object| {
            let modified_at = object.modified_at;
            RemoteSource { reader: Box::new(object), modified_at }
        }))
    }
}

/// An object, read from its beginning.
struct Object {
    client: Client,
    runtime: Handle,
    bucket: String,
    key: String,
    /// Every range is of the same object: another one under the key is an error.
    etag: String,
    length: u64,
    modified_at: Option<SystemTime>,
    /// Offset of the range to read next.
    next: u64,
    /// The range that was read last, and how much of it is used.
    range: io::Cursor<Vec<u8>>,
}

impl Object {
    /// `Interrupted` marks errors that [`Object::read`] retries; it does not leave this file.
    fn read_range(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let request = async {
            let got = self
                .client
                .get_object()
                .bucket(&self.bucket)
                .key(&self.key)
                .if_match(&self.etag)
                .range(format!("bytes={from}-{}", to - 1))
                .send()
                .await;
            let got = got.map_err(|error| match error.code() {
                Some("PreconditionFailed") => {
                    io::Error::new(ErrorKind::InvalidData, "the object was replaced while it was read")
                }
                Some(_) => io::Error::other(error_text(&error)),
                None => io::Error::new(ErrorKind::Interrupted, error_text(&error)),
            })?;
            let bytes = got.body.collect().await;
            bytes
                .map(|bytes| bytes.to_vec())
                .map_err(|error| io::Error::new(ErrorKind::Interrupted, chain(&error)))
        };
        let bytes = self.runtime.block_on(request)?;
        if bytes.len() as u64 == to - from {
            return Ok(bytes);
        }
        let message = format!("{} bytes came instead of {}", bytes.len(), to - from);
        Err(io::Error::new(ErrorKind::Interrupted, message))
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.range.position() == self.range.get_ref().len() as u64 && self.next < self.length {
            let to = (self.next + RANGE_BYTES).min(self.length);
            let mut last = None;
            let read = (0..ATTEMPTS).find_map(|_| match self.read_range(self.next, to) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    last = Some(error.to_string());
                    None
                }
                read => Some(read),
            });
            let bytes = read.unwrap_or_else(|| Err(io::Error::other(last.unwrap_or_default())))?;
            self.range = io::Cursor::new(bytes);
            self.next = to;
        }
        self.range.read(buffer)
    }
}
