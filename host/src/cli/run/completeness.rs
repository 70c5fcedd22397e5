//! What the platform says that an export has: `--bulk-operation` and `--expect-…`.

use super::super::failure::Failure;
use clap::Args;
use host_export::Expected;
use jiff::Timestamp;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Largest file that is taken for a bulk operation, in bytes: Shopify's object has less than a kilobyte.
const MAX_FILE: u64 = 1 << 20;

/// What the export has when it is whole.
#[derive(Debug, Default, Args)]
pub(super) struct CompletenessArgs {
    /// Shopify's object of the bulk operation that made the export, as its API answered it: the export must have as many
    /// objects, and was taken at its `createdAt`
    #[arg(long, value_name = "FILE", requires = "sources")]
    bulk_operation: Option<PathBuf>,
    /// Lines that the export must have, or nothing of it is used
    #[arg(long, value_name = "N", requires = "sources")]
    expect_objects: Option<u64>,
    /// Lines without a parent that the export must have
    #[arg(long, value_name = "N", requires = "sources")]
    expect_root_objects: Option<u64>,
    /// Bytes that the export must have, unpacked
    #[arg(long, value_name = "N", requires = "sources")]
    expect_bytes: Option<u64>,
}

/// What is known about an export before it is read.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    pub(super) expected: Expected,
    /// When the bulk operation was created.
    pub(super) created_at: Option<Timestamp>,
}

impl CompletenessArgs {
    /// Reads the bulk operation's file; the other options come before its numbers.
    pub(super) fn read(&self) -> Result<Completeness, Failure> {
        let operation = match &self.bulk_operation {
            Some(path) => BulkOperation::read(path)?,
            None => BulkOperation::default(),
        };
        let expected = Expected {
            objects: self.expect_objects.or(operation.object_count),
            root_objects: self.expect_root_objects.or(operation.root_object_count),
            bytes: self.expect_bytes.or(operation.file_size),
        };
        Ok(Completeness { expected, created_at: operation.created_at })
    }
}

/// The fields of Shopify's `BulkOperation` that say whether an export is whole
/// (<https://shopify.dev/docs/api/admin-graphql/latest/objects/BulkOperation>).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkOperation {
    status: String,
    error_code: Option<String>,
    #[serde(default, deserialize_with = "unsigned")]
    object_count: Option<u64>,
    #[serde(default, deserialize_with = "unsigned")]
    root_object_count: Option<u64>,
    #[serde(default, deserialize_with = "unsigned")]
    file_size: Option<u64>,
    created_at: Option<Timestamp>,
}

/// Shopify writes its `UnsignedInt64` as a string.
fn unsigned<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u64),
        Text(String),
    }
    Option::<Number>::deserialize(json)?
        .map(|number| match number {
            Number::Number(number) => Ok(number),
            Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
        })
        .transpose()
}

impl BulkOperation {
    fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let unreadable = |error: std::io::Error| Failure::usage(format!("cannot read `{name}`: {error}"));
        let length = path.metadata().map_err(unreadable)?.len();
        if length > MAX_FILE {
            return Err(Failure::usage(format!("`{name}` is no bulk operation: it has {length} bytes"))
                .help("name the file with Shopify's answer about the operation, not the export"));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let operation = Self::find(&text).ok_or_else(|| {
            Failure::usage(format!("`{name}` has no bulk operation")).help(
                "save the answer of `bulkOperation(id: …) { status errorCode objectCount rootObjectCount fileSize createdAt }`",
            )
        })?;
        // The API answers in capitals, the webhook about the end of the operation in small letters.
        if !operation.status.eq_ignore_ascii_case("COMPLETED") {
            let code = operation.error_code.map(|code| format!(", {code}")).unwrap_or_default();
            let status = operation.status;
            return Err(Failure::usage(format!("the bulk operation in `{name}` is {status}{code}")).help(
                "wait until it is COMPLETED, or run it again: what it made until now is not the whole shop",
            ));
        }
        Ok(operation)
    }

    /// The operation alone, or inside the answer to a query: `{"data":{"bulkOperation":{…}}}`.
    fn find(text: &str) -> Option<Self> {
        let mut value: serde_json::Value = serde_json::from_str(text).ok()?;
        for _ in 0..3 {
            if value.get("status").is_some() {
                return serde_json::from_value(value).ok();
            }
            value = value.as_object_mut()?.values_mut().find(|value| value.is_object())?.take();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<Completeness, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, content).unwrap();
        let args = CompletenessArgs { bulk_operation: Some(file.path().to_owned()), ..Default::default() };
        args.read().map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn an_operation_is_read_alone_and_in_answers() {
        let operation = r#"{"id":"gid://shopify/BulkOperation/1","status":"COMPLETED","errorCode":null,
            "createdAt":"2026-05-04T09:00:00Z","objectCount":"57","rootObjectCount":23,"fileSize":"1234"}"#;
        for answer in [
            operation.to_owned(),
            format!(r#"{{"data":{{"bulkOperation":{operation}}}}}"#),
            format!(r#"{{"extensions":1,"data":{{"currentBulkOperation":{operation}}}}}"#),
            operation.replace("COMPLETED", "completed"),
        ] {
            let Completeness { expected, created_at } = read(&answer).unwrap();
            let whole = Expected { objects: Some(57), root_objects: Some(23), bytes: Some(1234) };
            assert_eq!(expected, whole);
            assert_eq!(created_at.unwrap().to_string(), "2026-05-04T09:00:00Z");
        }
    }

    #[test]
    fn an_operation_that_is_not_completed_is_refused() {
        for content in [
            r#"{"status":"FAILED","errorCode":"TIMEOUT","objectCount":"5"}"#,
            r#"{"data":{"bulkOperation":{"status":"RUNNING","objectCount":"5"}}}"#,
            r#"{"status":"COMPLETED","objectCount":"-1"}"#,
            r#"{"id":1}"#,
            "no JSON",
        ] {
            assert!(read(content).is_err(), "{content}");
        }
    }
}
