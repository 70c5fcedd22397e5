//! Which server or database a job writes to.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which server or database a job writes to: the kind of index (`marqo`, or `catalog`, the relational catalog), and
/// which one of that kind where a shop may have several. Within it, [`WriteTarget`](super::WriteTarget) names the
/// shop's index. Holds no secret.
///
/// It is stored as text, `marqo` or `catalog:postgres://db:5432/shop`. Records of older versions of host name the kind
/// alone (`catalog`), or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct TargetId {
    kind: String,
    instance: Option<String>,
}

impl TargetId {
    /// The only index of a kind. The kind is named as the setting `target` does.
    pub fn of_kind(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), instance: None }
    }

    /// One of several indexes of a kind.
    pub fn of_instance(kind: impl Into<String>, instance: impl Into<String>) -> Self {
        Self { kind: kind.into(), instance: Some(instance.into()) }
    }

    /// The kind of index, as the setting `target` names it; empty in records of versions that knew one kind only.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether a job with this target may be written to `index`. A part that the job's record does not name matches
    /// any.
    pub fn includes(&self, index: &Self) -> bool {
        (self.kind.is_empty() || self.kind == index.kind)
            && (self.instance.is_none() || self.instance == index.instance)
    }
}

impl From<&str> for TargetId {
    fn from(text: &str) -> Self {
        match text.split_once(':') {
            Some((kind, instance)) => Self::of_instance(kind, instance),
            None => Self::of_kind(text),
        }
    }
}

impl From<String> for TargetId {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<TargetId> for String {
    fn from(id: TargetId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.instance.as_ref().map_or(Ok(()), |instance| write!(f, ":{instance}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_texts_are_read_and_written_unchanged() {
        for text in ["", "marqo", "catalog", "catalog:embedded", "catalog:postgres://db:5432/shop"] {
            let id: TargetId = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&id).unwrap(), text);
            assert_eq!(id.kind(), text.split(':').next().unwrap());
        }
    }

    #[test]
    fn a_job_includes_its_own_target_and_an_older_record_each_one_that_it_does_not_exclude() {
        let id = |text: &str| TargetId::from(text);
        for (job, target, is_included) in [
            ("catalog:embedded", "catalog:embedded", true),
            ("catalog:embedded", "catalog:postgres://db:5432/shop", false),
            ("catalog", "catalog:embedded", true),
            ("catalog", "marqo", false),
            ("marqo", "marqo", true),
            ("marqo", "catalog:embedded", false),
            ("", "marqo", true),
            ("", "catalog:embedded", true),
        ] {
            assert_eq!(id(job).includes(&id(target)), is_included, "`{job}` and `{target}`");
        }
    }
}
