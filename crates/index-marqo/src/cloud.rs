//! The addresses of indexes in Marqo Cloud, each of which has a server of its own. Its control plane, the API that
//! lists the indexes, is asked for them, and the answer is cached.

use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::HashMap, time::Duration};

/// Least time between two good answers of the control plane.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(15);

/// The last answer of a control plane.
#[derive(Debug, Default)]
pub(super) struct IndexList {
    indexes: HashMap<String, IndexLocation>,
    /// When it came; `None` before the first one.
    refreshed: Option<Timestamp>,
    /// An address could not be reached since: the index may have moved.
    is_invalidated: bool,
}

/// Where an index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IndexLocation {
    /// It can be written to, at this address.
    Ready { endpoint: String },
    /// It is being created.
    Creating,
}

#[derive(Debug, Deserialize)]
struct Listing {
    results: Vec<IndexEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    index_name: String,
    index_status: Option<String>,
    marqo_endpoint: Option<String>,
}

impl IndexList {
    /// The location of an index, if it is known.
    pub(super) fn location(&self, index: &str) -> Option<&IndexLocation> {
        self.indexes.get(index)
    }

    /// Whether a refresh is due: the index is not known to be ready or its address was invalidated, and the last good answer is
    /// old enough.
    pub(super) fn is_due(&self, index: &str, now: Timestamp) -> bool {
        let is_ready = matches!(self.location(index), Some(IndexLocation::Ready { .. }));
        (!is_ready || self.is_invalidated)
            && self
                .refreshed
                .is_none_or(|then| now.duration_since(then).unsigned_abs() > MIN_REFRESH_INTERVAL)
    }

    /// Records that an address could not be reached, so that a later call asks again.
    pub(super) fn invalidate(&mut self) {
        self.is_invalidated = true;
    }

    /// Replaces the list by the one in `body`. If that cannot be read, the old addresses are kept.
    pub(super) fn refresh(&mut self, body: &[u8], now: Timestamp) -> serde_json::Result<()> {
        let listing: Listing = serde_json::from_slice(body)?;
        self.indexes = listing.results.into_iter().filter_map(location_of).collect();
        self.refreshed = Some(now);
        self.is_invalidated = false;
        Ok(())
    }
}

fn location_of(entry: IndexEntry) -> Option<(String, IndexLocation)> {
    let location = match entry.index_status.as_deref() {
        Some("READY" | "MODIFYING") => IndexLocation::Ready { endpoint: entry.marqo_endpoint? },
        Some("CREATING") => IndexLocation::Creating,
        _ => return None,
    };
    Some((entry.index_name, location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::clock::{Clock, SystemClock};

    #[test]
    fn the_list_is_refreshed_seldom_and_kept_when_an_answer_cannot_be_read() {
        let now = SystemClock.now();
        let mut index_list = IndexList::default();
        assert!(index_list.is_due("a", now));
        let body = br#"{"results":[
            {"indexName":"a","indexStatus":"READY","marqoEndpoint":"http://a"},
            {"indexName":"b","indexStatus":"MODIFYING","marqoEndpoint":"http://b"},
            {"indexName":"c","indexStatus":"CREATING"},
            {"indexName":"d","indexStatus":"DELETING","marqoEndpoint":"http://d"}]}"#;
        index_list.refresh(body, now).unwrap();
        let at = |url: &str| IndexLocation::Ready { endpoint: url.to_owned() };
        assert_eq!(index_list.location("a"), Some(&at("http://a")));
        assert_eq!(index_list.location("b"), Some(&at("http://b")));
        assert_eq!(index_list.location("c"), Some(&IndexLocation::Creating));
        assert_eq!(index_list.location("d"), None);

        let later = now + Duration::from_secs(16);
        assert!(!index_list.is_due("a", later) && !index_list.is_due("c", now));
        assert!(index_list.is_due("c", later) && index_list.is_due("d", later));
        index_list.invalidate();
        assert!(!index_list.is_due("a", now) && index_list.is_due("a", later));
        assert!(index_list.refresh(b"<html>", later).is_err());
        assert_eq!(index_list.location("a"), Some(&at("http://a")));
    }
}
