//! What a server reports about itself and an index, as far as the form of requests depends on it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What is known of an index and its server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerInfo {
    /// Major and minor version of the server; unknown behind a gateway that withholds it.
    pub(super) version: Option<(u32, u32)>,
    /// Whether the index is structured: it has its own schema, and accepts no tensor fields with documents.
    pub(super) is_structured: bool,
    /// The tensor fields of that schema, which the server computes vectors of.
    pub(super) tensor_fields: Vec<String>,
    /// The length of its vectors, if its settings state it.
    pub(super) dimensions: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IndexAnswer {
    r#type: String,
    tensor_fields: Vec<String>,
    model_properties: Option<Map<String, Value>>,
}

impl ServerInfo {
    /// Reads the answers to the requests for version and settings.
    pub(super) fn read(version: Option<&[u8]>, settings: &[u8]) -> serde_json::Result<Self> {
        let answer: IndexAnswer = serde_json::from_slice(settings)?;
        let dimensions = answer.model_properties.as_ref().and_then(|model| model.get("dimensions"));
        Ok(Self {
            version: version.and_then(read_version),
            is_structured: answer.r#type == "structured",
            tensor_fields: answer.tensor_fields,
            dimensions: dimensions.and_then(Value::as_u64).and_then(|number| number.try_into().ok()),
        })
    }

    /// Whether the server is known to be older than this version.
    pub(super) fn is_before(&self, major: u32, minor: u32) -> bool {
        self.version.is_some_and(|version| version < (major, minor))
    }
}

fn read_version(body: &[u8]) -> Option<(u32, u32)> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let mut numbers = answer["version"].as_str()?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_also_without_a_version_or_optional_fields() {
        let version = br#"{"message":"Welcome to Marqo","version":"2.13.0"}"#.as_slice();
        let settings = br#"{"type":"structured","tensorFields":["a"],"allFields":[],"modelProperties":{"dimensions":4}}"#;
        let server_info = ServerInfo::read(Some(version), settings).unwrap();
        let tensor_fields = vec!["a".to_owned()];
        let expected =
            ServerInfo { version: Some((2, 13)), is_structured: true, tensor_fields, dimensions: Some(4) };
        assert_eq!(server_info, expected);
        assert!(
            server_info.is_before(2, 14) && !server_info.is_before(2, 13) && !server_info.is_before(2, 9)
        );
        let gateway = Some(b"<html>".as_slice());
        assert_eq!(ServerInfo::read(gateway, br#"{"type":"unstructured"}"#).unwrap(), ServerInfo::default());
        assert!(!ServerInfo::default().is_before(2, 14));
        assert!(ServerInfo::read(None, b"<html>").is_err());
    }
}
