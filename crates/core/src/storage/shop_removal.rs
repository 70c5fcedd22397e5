//! The removal of a shop: the record that stays after all data of the shop is deleted (`host shop forget`).

use super::LedgerScope;
use crate::{index::TargetId, model::Digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The record that a shop is being removed, or was removed: all that stays of it. It is stored under a digest of the
/// shop's id and does not contain the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopRemoval {
    /// When its removal began.
    pub began_at: Timestamp,
    /// When nothing was left of it; `None` while it is being removed.
    pub ended_at: Option<Timestamp>,
    /// How much there was of it when its removal began.
    pub counts: ShopCounts,
    /// Its indexes, which an interrupted removal must still know once the shop's jobs are deleted; empty once the
    /// removal has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<ShopIndex>,
    /// Documents that it did not remove, in the order of its indexes; empty in receipts of older versions, which do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<DocumentsLeft>,
}

/// Documents of an index that the removal of a shop did not remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentsLeft {
    /// The digest of the index's name, which may be the shop's.
    pub index: Digest,
    /// How many they are.
    pub documents: u64,
    /// Why they were not removed.
    pub reason: LeftReason,
}

/// Why the removal of a shop did not remove documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftReason {
    /// The index has more documents than it lists: these are all that it has, and some may be the shop's.
    Unlisted,
    /// Jobs wrote them that are no longer known, and no other shop is known to write to the index: they may be the shop's.
    Unattributed,
    /// The operator said that the index is gone with its server. These are the documents that the ledger named in it.
    WithoutIndex,
}

impl LeftReason {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Unattributed => "unattributed",
            Self::WithoutIndex => "without-index",
        }
    }
}

impl ShopRemoval {
    /// The key under which the removal of a shop is stored.
    pub fn key(shop_id: &str) -> String {
        Digest::of(shop_id.as_bytes()).hex()
    }

    /// Whether the removal has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Whether an index may still have documents of the shop. One that the operator said is gone has none.
    pub fn may_have_left_documents(&self) -> bool {
        self.left.iter().any(|left| left.reason != LeftReason::WithoutIndex)
    }
}

/// An index that jobs of a shop wrote to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopIndex {
    /// The server or database that the index is in.
    pub target: TargetId,
    /// Name of the index.
    pub index_name: String,
    /// Whether no other shop is known to write to an index of this name: then its settings are removed, too.
    pub is_exclusive: bool,
}

impl ShopIndex {
    /// The indexes of a shop, ordered by name and target. `known` lists those of all shops.
    pub fn of_shop(shop_id: &str, known: &[LedgerScope]) -> Vec<Self> {
        let own = known.iter().filter(|scope| scope.shop_id == shop_id).map(|scope| {
            let LedgerScope { target, index_name, .. } = scope.clone();
            let is_of_other =
                |other: &LedgerScope| other.shop_id != shop_id && other.index_name == scope.index_name;
            let is_exclusive = !known.iter().any(is_of_other);
            let key = (index_name.clone(), target.to_string());
            (key, Self { target, index_name, is_exclusive })
        });
        own.collect::<BTreeMap<_, _>>().into_values().collect()
    }
}

/// How much there is of a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopCounts {
    /// Documents in its indexes.
    pub documents: u64,
    /// Messages and dead letters.
    pub messages: u64,
    /// Stored objects: chunks, reports, products kept for a replay.
    pub objects: u64,
    /// Records of the ledger.
    pub products: u64,
    /// Jobs.
    pub jobs: u64,
    /// Settings of indexes.
    pub settings: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_of_an_older_version_is_read() {
        let stored = r#"{"began_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:01Z",
            "counts":{"documents":3,"messages":0,"objects":2,"products":3,"jobs":1,"settings":0}}"#;
        let receipt: ShopRemoval = serde_json::from_str(stored).unwrap();
        assert_eq!((receipt.counts.documents, receipt.left.len()), (3, 0));
        assert!(!receipt.is_open() && !receipt.may_have_left_documents());
        assert!(!serde_json::to_string(&receipt).unwrap().contains("left"), "an older version reads it too");
    }
}
