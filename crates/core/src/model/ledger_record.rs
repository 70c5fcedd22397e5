//! What the host remembers of a product between two jobs (`docs/ledger.md`).

use crate::{
    model::{Digest, DocumentId, EntryClass, Job, JobId, JobRecency, ReportEntry},
    storage::{UnsupportedFormat, from_envelope},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Id of a product as its source spells it: 1 to 512 bytes without control characters. A product without such an id goes by
/// its first document's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProductId(String);

/// A text that is not a product id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a product id; it must have 1 to {MAX_ID_BYTES} bytes and no control characters")]
pub struct InvalidProductId(String);

/// Storage sorts by the id, and DynamoDB's sort keys have at most 1,024 bytes.
const MAX_ID_BYTES: usize = 512;

impl ProductId {
    /// Validates an id.
    ///
    /// # Errors
    /// The id is empty, too long or has a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidProductId> {
        let id = id.into();
        if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
            return Err(InvalidProductId(id.chars().take(80).collect()));
        }
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&DocumentId> for ProductId {
    /// The product of a document that belongs to no other.
    fn from(id: &DocumentId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ProductId> for String {
    fn from(id: ProductId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ProductId {
    type Error = InvalidProductId;

    fn try_from(id: String) -> Result<Self, InvalidProductId> {
        Self::new(id)
    }
}

/// Where a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProductState {
    /// The index has documents of it.
    Live,
    /// A removal took it out of the index: a tombstone. What is not newer than the removal does not come back.
    Removed,
    /// It has no document in the index, but no removal said so of the product: a full sync did not have it, or its documents
    /// were removed one by one. Older versions do not come back; the same version may.
    Absent,
    /// None of its documents has been in the index: see the refusal.
    Refused,
}

/// Why a product, or a document of it, was left out last; that it left the index since changes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// Skipped, failed or in conflict.
    pub class: EntryClass,
    /// Stable name of the reason, in kebab-case.
    pub code: String,
    /// One sentence for people, at most 2 KB.
    pub message: String,
    /// The job that said so first.
    pub job_id: JobId,
    /// When that job was created.
    pub at: Timestamp,
    /// That job's number in its index: the refusal of a later job outlasts what an earlier one writes.
    #[serde(default)]
    pub sequence: u64,
}

/// Longest message that is kept.
const MAX_MESSAGE_BYTES: usize = 2 << 10;

impl LastRefusal {
    /// Keeps a job's report entry.
    pub fn of(entry: &ReportEntry, job: &Job) -> Self {
        let message = truncated(&entry.message).to_owned();
        let (job_id, at, sequence) = (job.id.clone(), job.created_at, job.sequence);
        Self { class: entry.class, code: entry.code.clone(), message, job_id, at, sequence }
    }

    /// Whether this is the refusal that is stored already; what cannot be read is none.
    pub fn repeats_stored(&self, earlier: Option<&str>) -> bool {
        earlier.and_then(|text| serde_json::from_str(text).ok()).is_some_and(|earlier| self.repeats(&earlier))
    }

    /// Whether this is the same refusal again: then the first one is kept, which says since when.
    pub fn repeats(&self, earlier: &Self) -> bool {
        (self.class, &self.code, &self.message) == (earlier.class, &earlier.code, &earlier.message)
    }
}

fn truncated(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

/// What the ledger says of one product in one index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// The product.
    pub product: ProductId,
    /// Where it is.
    pub state: ProductState,
    /// Its documents in the index; of one that has left the index, those that it had.
    pub documents: BTreeSet<DocumentId>,
    /// Whether it has more documents than a record holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub documents_left_out: bool,
    /// Documents that left the product while it stayed, with the version of it that did not have them; at most 50.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<DocumentId, Map<String, Value>>,
    /// The version of the product in which a job last named all of its documents. Others of an older version are not its own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub complete_version: Map<String, Value>,
    /// Version fields of what was written last, or of the removal.
    #[serde(default)]
    pub version: Map<String, Value>,
    /// Digest of what its documents were made of, if the index has exactly these since: an export with the same lines, transformed in
    /// the same way, changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// The job that said so.
    pub job_id: JobId,
    /// When.
    pub at: Timestamp,
    /// When a comparison with the index last changed what the record says; none if a job has done so since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired_at: Option<Timestamp>,
    /// The order of that job; none in records of older versions, which are before all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<JobRecency>,
    /// Why it was left out last; none once an export was accepted that has it. Stored beside the record.
    #[serde(skip)]
    pub refusal: Option<LastRefusal>,
}

/// Limits of what a record keeps, so that it costs little to read and write. A product with more documents is found by its other
/// ones; a version that is longer decides nothing.
const MAX_DOCUMENTS: usize = 2_000;
const MAX_DOCUMENT_BYTES: usize = 32 << 10;
const MAX_VERSION_BYTES: usize = 4 << 10;
const MAX_GONE: usize = 50;
/// Versions of documents that are gone are many, and shorter than this or not kept.
const MAX_GONE_VERSION_BYTES: usize = 256;

impl LedgerRecord {
    /// A product of which nothing is known.
    pub fn new(product: ProductId, job_id: JobId, at: Timestamp) -> Self {
        Self {
            product,
            state: ProductState::Refused,
            documents: BTreeSet::new(),
            documents_left_out: false,
            gone: BTreeMap::new(),
            complete_version: Map::new(),
            version: Map::new(),
            source_digest: None,
            job_id,
            at,
            repaired_at: None,
            order: None,
            refusal: None,
        }
    }

    /// What is known of a product that was only ever refused.
    pub fn of_refusal(product: ProductId, refusal: LastRefusal) -> Self {
        let record = Self::new(product, refusal.job_id.clone(), refusal.at);
        Self { refusal: Some(refusal), ..record }
    }

    /// What the record says of the product beside its refusal; none if that is nothing, since it was only ever refused.
    pub fn without_refusal(&self) -> Option<Self> {
        let only_refused =
            self.refusal.clone().map(|refusal| Self::of_refusal(self.product.clone(), refusal));
        (only_refused.as_ref() != Some(self)).then(|| Self { refusal: None, ..self.clone() })
    }

    /// The record of stored texts, each with its schema number: what is known of the product, which is nothing if it was only
    /// ever refused, and its last refusal.
    ///
    /// # Errors
    /// A text is not what this version writes.
    pub fn from_stored(
        product: &str,
        record: Option<&str>,
        refusal: Option<&str>,
    ) -> Result<Self, UnsupportedFormat> {
        let foreign = |reason: &dyn fmt::Display| serde_json::Error::custom(reason);
        let refusal: Option<LastRefusal> = refusal.map(from_envelope).transpose()?;
        match (record, refusal) {
            (Some(record), refusal) => Ok(Self { refusal, ..from_envelope(record)? }),
            (None, Some(refusal)) => {
                let product = ProductId::new(product).map_err(|error| foreign(&error))?;
                Ok(Self::of_refusal(product, refusal))
            }
            (None, None) => Err(foreign(&"it has neither a state nor a refusal").into()),
        }
    }

    /// Adds a document, if the record has room.
    pub fn add_document(&mut self, id: DocumentId) {
        self.source_digest = None;
        self.documents.insert(id);
        let mut bytes: usize = self.documents.iter().map(|id| id.as_str().len()).sum();
        while self.documents.len() > MAX_DOCUMENTS || bytes > MAX_DOCUMENT_BYTES {
            // Always the last, so that the same documents give the same record in any order.
            let Some(last) = self.documents.pop_last() else { return };
            bytes -= last.as_str().len();
            self.documents_left_out = true;
        }
    }

    /// Remembers in which version of the product a document left it, if the record has room.
    pub fn remove_document(&mut self, id: &DocumentId, version: &Map<String, Value>) {
        self.source_digest = None;
        let was_here = self.documents.remove(id);
        if was_here && !version.is_empty() && size(version) <= MAX_GONE_VERSION_BYTES {
            self.gone.insert(id.clone(), version.clone());
            while self.gone.len() > MAX_GONE {
                self.gone.pop_last();
            }
        }
    }

    /// Notes that the index was found at `now` not to have these documents, though the record says so: the next sync writes them again,
    /// while what is older than the record does not come back.
    pub fn lose(&mut self, missing: &BTreeSet<DocumentId>, now: Timestamp) {
        self.source_digest = None;
        self.repaired_at = Some(now);
        if self.documents.is_subset(missing) {
            // No export said that it is gone.
            (self.state, self.order) = (ProductState::Absent, None);
        } else {
            self.documents.retain(|id| !missing.contains(id));
        }
    }

    /// Sets the version, unless it is too long to be kept.
    pub fn set_version(&mut self, version: Map<String, Value>) {
        self.version = if size(&version) > MAX_VERSION_BYTES { Map::new() } else { version };
    }

    /// Sets the version in which all documents are known, unless it is too long to be kept.
    pub fn set_complete_version(&mut self, version: &Map<String, Value>) {
        self.complete_version =
            if size(version) > MAX_GONE_VERSION_BYTES { Map::new() } else { version.clone() };
    }

    /// The number of its documents, if the index has exactly what would be made of this source again.
    pub fn unchanged_documents(&self, source_digest: Digest) -> Option<u64> {
        let is_same = self.state == ProductState::Live
            && self.source_digest == Some(source_digest)
            && self.refusal.is_none()
            && !self.documents_left_out;
        is_same.then_some(self.documents.len() as u64)
    }

    /// Versions of the product in which it did not have this document any more, as far as is known; in no order.
    pub fn versions_without(&self, id: &DocumentId) -> impl Iterator<Item = &Map<String, Value>> {
        let is_unknown = !self.documents.contains(id) && !self.documents_left_out;
        let versions = is_unknown.then_some(&self.complete_version).into_iter().chain(self.gone.get(id));
        versions.filter(|version| !version.is_empty())
    }

    /// Whether both say the same of the product, whichever job said it and when.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let same_refusal = match (&self.refusal, &other.refusal) {
            (Some(one), Some(two)) => one.repeats(two),
            (None, None) => true,
            _ => false,
        };
        same_refusal
            && (self.state, self.documents_left_out) == (other.state, other.documents_left_out)
            && (&self.documents, &self.gone) == (&other.documents, &other.gone)
            && (&self.complete_version, &self.version) == (&other.complete_version, &other.version)
            && self.source_digest == other.source_digest
    }
}

fn size(version: &Map<String, Value>) -> usize {
    serde_json::to_vec(version).expect("JSON values always serialize").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LedgerRecord {
        let product = ProductId::new("gid://shopify/Product/1").unwrap();
        LedgerRecord::new(product, JobId::new("job").unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_id_is_any_short_text() {
        for good in ["1", "gid://shopify/Product/1", "Tasse blé 7", &"x".repeat(512)] {
            assert_eq!(ProductId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(513)] {
            assert!(ProductId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_record_stays_small() {
        let mut few = record();
        let ids: Vec<DocumentId> = (0..3_000).map(|n| DocumentId::new(format!("{n:05}")).unwrap()).collect();
        ids.iter().for_each(|id| few.add_document(id.clone()));
        let mut reversed = record();
        ids.iter().rev().for_each(|id| reversed.add_document(id.clone()));
        assert_eq!((few.documents.len(), few.documents_left_out), (MAX_DOCUMENTS, true));
        assert_eq!(few, reversed);
        let long = "x".repeat(240);
        (0..3_000).for_each(|n| few.add_document(DocumentId::new(format!("{n:04}{long}")).unwrap()));
        assert!(serde_json::to_vec(&few).unwrap().len() < 40 << 10);
        assert!(truncated(&"é".repeat(5_000)).len() <= MAX_MESSAGE_BYTES);
        for number in 0..300 {
            let id = DocumentId::new(format!("gone-{number:03}")).unwrap();
            few.documents.insert(id.clone());
            few.remove_document(&id, &Map::from_iter([("v".to_owned(), 1.into())]));
        }
        assert_eq!(few.gone.len(), MAX_GONE);
        few.set_version(Map::from_iter([("v".to_owned(), "x".repeat(5_000).into())]));
        assert!(few.version.is_empty());
    }

    #[test]
    fn a_product_without_documents_is_absent() {
        let ids = ["1", "2"].map(|id| DocumentId::new(id).unwrap());
        let mut product = record();
        product.state = ProductState::Live;
        product.documents = ids.clone().into();
        let now = Timestamp::UNIX_EPOCH;
        product.lose(&[ids[0].clone()].into(), now);
        assert_eq!((product.state, &product.documents), (ProductState::Live, &[ids[1].clone()].into()));
        product.lose(&ids.clone().into(), now);
        assert_eq!((product.state, &product.documents), (ProductState::Absent, &[ids[1].clone()].into()));
    }

    #[test]
    fn a_record_that_changes_is_not_that_of_its_source_any_more() {
        let (one, two) = (DocumentId::new("1").unwrap(), DocumentId::new("2").unwrap());
        let digest = Digest::of(b"source");
        let mut product = record();
        product.state = ProductState::Live;
        product.add_document(one.clone());
        product.source_digest = Some(digest);
        assert_eq!(product.unchanged_documents(digest), Some(1));
        assert_eq!(product.unchanged_documents(Digest::of(b"other")), None);
        let refusal = LastRefusal {
            class: EntryClass::Failed,
            code: "bad".to_owned(),
            message: "so".to_owned(),
            job_id: product.job_id.clone(),
            at: product.at,
            sequence: 1,
        };
        let changes: [&dyn Fn(&mut LedgerRecord); 6] = [
            &|record| record.refusal = Some(refusal.clone()),
            &|record| record.add_document(two.clone()),
            &|record| record.remove_document(&one, &Map::new()),
            &|record| record.lose(&[two.clone()].into(), Timestamp::UNIX_EPOCH),
            &|record| record.state = ProductState::Absent,
            &|record| record.documents_left_out = true,
        ];
        for (position, change) in changes.into_iter().enumerate() {
            let mut changed = product.clone();
            change(&mut changed);
            assert_eq!(changed.unchanged_documents(digest), None, "change {position}");
        }
    }

    #[test]
    fn an_unknown_state_is_named() {
        let text = serde_json::to_string(&record()).unwrap().replace("refused", "hibernating");
        let error = serde_json::from_str::<LedgerRecord>(&text).unwrap_err().to_string();
        assert!(error.contains("hibernating"), "{error}");
    }
}
