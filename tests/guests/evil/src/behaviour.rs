//! The misbehaviours of this plug-in, by the names in its configuration.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only the component uses the behaviours"))]

use serde::Deserialize;

/// How the plug-in behaves; in the configuration by its name in kebab-case.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behaviour {
    /// It does what the contract demands.
    #[default]
    Good,
    /// No documents for any product, so that the bare cost of a call can be measured.
    Nothing,
    /// `transform.run` never returns.
    Loop,
    /// `configure` never returns.
    LoopConfigure,
    /// `transform.run` takes memory until it is refused, then traps.
    Memory,
    /// `transform.run` returns as much as it can, a gigabyte if its memory allows: many documents, each of a megabyte.
    BigOutput,
    /// `transform.run` calls itself until the stack is used up.
    Recursion,
    /// `transform.run` traps (aborts) if a product of the batch contains `bomb`.
    TrapOne,
    /// `transform.run` logs a million short lines, then a thousand lines of a megabyte.
    LogFlood,
    /// The counts of `transform.run` add up to one document more than there are.
    WrongCounts,
    /// `transform.run` returns no counts at all.
    MissingCounts,
    /// Document ids with a slash, a hash, nothing at all, and 300 characters, in turns.
    IllegalIds,
    /// Document fields that are not JSON.
    InvalidJson,
    /// Document fields that are a JSON array.
    FieldsNotObject,
    /// Document fields that contain `_id`.
    IdInFields,
    /// NUL characters in the id and the title, the latter as an escape.
    NulBytes,
    /// Raw line breaks between the tokens of the fields: legal JSON, which must survive a file of JSON lines.
    NewlineInFields,
    /// An issue for an item after the end of the batch.
    IssueOutOfRange,
    /// A million issues for the first item.
    IssueFlood,
    /// A removal for an item after the end of the batch.
    RemovalOutOfRange,
    /// `transform.run` returns a failure.
    Failure,
    /// A failure with a megabyte of message, full of control characters and terminal escapes.
    FailureLong,
    /// Document fields with 10,000 arrays in each other.
    DeepJson,
    /// All documents have the same id.
    DuplicateIds,
    /// 100,000 documents for each product.
    ManyDocuments,
    /// `validate.run` traps if a document of the batch contains `bomb`.
    ValidateTrapOne,
    /// `validate.run` returns an issue for an item after the end of the batch.
    ValidateOutOfRange,
    /// `version.compare` returns one ordering too few.
    CompareShort,
    /// `version.compare` traps.
    CompareTrap,
    /// `transform.run` panics, with a message in the log.
    Panic,
    /// Each line becomes a document with the fields that it has, or a removal if it has `"removed": true`. Nothing is
    /// checked, so that tests can send documents that index servers refuse.
    Verbatim,
    /// The documents depend on how many calls the instance has had before.
    Impure,
}

/// The configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How to behave.
    #[serde(rename = "do", default)]
    pub(crate) behaviour: Behaviour,
}

/// JSON Schema of the configuration.
pub(crate) const CONFIG_SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "do": {
      "type": "string",
      "default": "good",
      "description": "The misbehaviour, by its name in src/behaviour.rs."
    }
  }
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_are_named_in_kebab_case() {
        let config: Config = serde_json::from_str(r#"{"do":"issue-out-of-range"}"#).unwrap();
        assert_eq!(config.behaviour, Behaviour::IssueOutOfRange);
    }

    #[test]
    fn the_default_is_good_and_unknown_names_are_refused() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config.behaviour, Behaviour::Good);
        assert!(serde_json::from_str::<Config>(r#"{"do":"repent"}"#).is_err());
    }

    #[test]
    fn the_schema_is_json() {
        assert!(serde_json::from_str::<serde_json::Value>(CONFIG_SCHEMA).is_ok());
    }
}
