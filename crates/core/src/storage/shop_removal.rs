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
