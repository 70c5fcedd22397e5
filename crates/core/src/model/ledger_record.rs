//! What host remembers of a product between two jobs, in a *ledger* for each index of each shop (`docs/ledger.md`). A
//! *version* here is the set of a document's version fields, such as `updated_at`, as a JSON object; an empty one is
//! unknown.

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

/// Id of a product as its source spells it: 1 to 512 bytes without control characters. For a product without such an
/// id, the id of its first document takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProductId(String);

/// A text that is not a product id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a product id; it must have 1 to {MAX_ID_BYTES} bytes and no control characters")]
pub struct InvalidProductId(String);

/// In DynamoDB the id is a sort key, which has at most 1,024 bytes; half of them is ample for an id.
const MAX_ID_BYTES: usize = 512;
/// Characters of an invalid id that an error shows.
const MAX_SHOWN_CHARACTERS: usize = 80;

impl ProductId {
    /// Validates an id.
    ///
    /// # Errors
    /// The id is empty, too long or has a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidProductId> {
        let id = id.into();
        if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
            return Err(InvalidProductId(id.chars().take(MAX_SHOWN_CHARACTERS).collect()));
        }
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&DocumentId> for ProductId {
    /// The product of a document that names none: it has the document's id.
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

/// Whether the index has a product, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProductState {
    /// The index has documents of it.
    Live,
    /// A removal of the product took it out of the index: a tombstone. Only a version newer than the removal comes
    /// back.
    Removed,
    /// It has no document in the index any more, though the product was not removed: it was missing from a full sync
    /// (an export of the whole shop), or its documents were removed one by one. An older version does not come back;
    /// the same version may.
    Absent,
    /// None of its documents has been in the index; its refusal says why.
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
    /// The job that first left it out for this reason.
    pub job_id: JobId,
    /// When that job was created.
    pub at: Timestamp,
    /// That job's number in its index, 0 in records of older versions of host. What a job with a lower number writes
    /// does not clear the refusal.
    #[serde(default)]
    pub sequence: u64,
}

/// Longest message that is kept, so that a record stays small.
const MAX_MESSAGE_BYTES: usize = 2 << 10;

impl LastRefusal {
    /// The refusal that a job's report entry states.
    pub fn of(entry: &ReportEntry, job: &Job) -> Self {
        let message = truncated(&entry.message).to_owned();
        let (job_id, at, sequence) = (job.id.clone(), job.created_at, job.sequence);
        Self { class: entry.class, code: entry.code.clone(), message, job_id, at, sequence }
    }

    /// Whether this repeats the refusal that is stored as `earlier` (JSON). A stored text that cannot be read is no
    /// refusal.
    pub fn repeats_stored(&self, earlier: Option<&str>) -> bool {
        earlier.and_then(|text| serde_json::from_str(text).ok()).is_some_and(|earlier| self.repeats(&earlier))
    }

    /// Whether this is the same refusal again. Then the earlier one is kept, because it says since when.
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
    /// Whether the index has it.
    pub state: ProductState,
    /// Its documents in the index; for a product that has left the index, the documents that it had.
    pub documents: BTreeSet<DocumentId>,
    /// Whether the product has more documents than `documents` holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub documents_left_out: bool,
    /// Documents that left the product while it stayed, each with the version of the product that no longer had it; at
    /// most 50.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<DocumentId, Map<String, Value>>,
    /// The version of the product in which a job last named all of its documents. A document that is not in `documents`
    /// and comes in an older version is not the product's any more.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub complete_version: Map<String, Value>,
    /// Version of what was written last, or of the removal.
    #[serde(default)]
    pub version: Map<String, Value>,
    /// Digest of what its documents were made of (its lines in the export, the plug-ins and their configuration), as
    /// long as the index holds exactly these documents: an export with the same digest changes nothing. `None`
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// The job that last changed the record.
    pub job_id: JobId,
    /// When it changed the record.
    pub at: Timestamp,
    /// When a comparison with the index last changed what the record says; `None` if a job has done so since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired_at: Option<Timestamp>,
    /// The place of that job among the jobs of its index; `None` in records of older versions of host, which come
    /// before all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<JobRecency>,
    /// Why the product or a document of it was left out last; `None` once an export that has it was accepted. Stored
    /// beside the record.
    #[serde(skip)]
    pub refusal: Option<LastRefusal>,
}

/// Most documents that a record names. This and the limits below keep a record cheap to read and write.
const MAX_DOCUMENTS: usize = 2_000;
/// Most bytes of document ids that a record names.
const MAX_DOCUMENT_BYTES: usize = 32 << 10;
/// Longest version as JSON, in bytes. A longer one is not kept, and counts as unknown.
const MAX_VERSION_BYTES: usize = 4 << 10;
/// Most documents that a record remembers as gone.
const MAX_GONE: usize = 50;
/// Longest version of a document that is gone, in bytes: there may be [`MAX_GONE`] of them. A longer one is not kept.
const MAX_GONE_VERSION_BYTES: usize = 256;

impl LedgerRecord {
    /// The record of a product of which nothing is known yet.
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

    /// The record of a product that was only ever refused: it says nothing but the refusal.
    pub fn of_refusal(product: ProductId, refusal: LastRefusal) -> Self {
        let record = Self::new(product, refusal.job_id.clone(), refusal.at);
        Self { refusal: Some(refusal), ..record }
    }

    /// The record without its refusal; `None` if nothing else is known of the product, because it was only ever
    /// refused.
    pub fn without_refusal(&self) -> Option<Self> {
        let only_refused =
            self.refusal.clone().map(|refusal| Self::of_refusal(self.product.clone(), refusal));
        (only_refused.as_ref() != Some(self)).then(|| Self { refusal: None, ..self.clone() })
    }

    /// Reads a record from its stored texts, each JSON with a schema number: `record` is the record without the
    /// refusal, `None` if the product was only ever refused; `refusal` is the last refusal, `None` if there is none.
    ///
    /// # Errors
    /// A newer version of host or another program wrote a text.
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

    /// Adds a document. If the record is full, the greatest id is left out.
    pub fn add_document(&mut self, id: DocumentId) {
        self.source_digest = None;
        self.documents.insert(id);
        let mut bytes: usize = self.documents.iter().map(|id| id.as_str().len()).sum();
        while self.documents.len() > MAX_DOCUMENTS || bytes > MAX_DOCUMENT_BYTES {
            // Always the greatest id, so that the same documents give the same record in whatever order they are added.
            let Some(last) = self.documents.pop_last() else { return };
            bytes -= last.as_str().len();
            self.documents_left_out = true;
        }
    }

    /// Removes a document, and remembers the version of the product that no longer had it, if the record has room.
    pub fn remove_document(&mut self, id: &DocumentId, version: &Map<String, Value>) {
        self.source_digest = None;
        let was_listed = self.documents.remove(id);
        if was_listed && !version.is_empty() && size(version) <= MAX_GONE_VERSION_BYTES {
            self.gone.insert(id.clone(), version.clone());
            while self.gone.len() > MAX_GONE {
                self.gone.pop_last();
            }
        }
    }

    /// Corrects the record if the index, at `now`, lacks these documents although the record lists them. The next sync
    /// writes them again; older versions do not come back.
    pub fn lose(&mut self, missing: &BTreeSet<DocumentId>, now: Timestamp) {
        self.source_digest = None;
        self.repaired_at = Some(now);
        if self.documents.is_subset(missing) {
            // Without the job's place, because no export said that the product is gone: any later export may bring it
            // back.
            (self.state, self.order) = (ProductState::Absent, None);
        } else {
            self.documents.retain(|id| !missing.contains(id));
        }
    }

    /// Sets the version; one that is too long to be kept becomes unknown (empty).
    pub fn set_version(&mut self, version: Map<String, Value>) {
        self.version = if size(&version) > MAX_VERSION_BYTES { Map::new() } else { version };
    }

    /// Sets the version in which all documents are known; one that is too long to be kept becomes unknown (empty).
    pub fn set_complete_version(&mut self, version: &Map<String, Value>) {
        self.complete_version =
            if size(version) > MAX_GONE_VERSION_BYTES { Map::new() } else { version.clone() };
    }

    /// The number of its documents, if the index holds exactly those that would be made of this source again; otherwise
    /// `None`.
    pub fn unchanged_documents(&self, source_digest: Digest) -> Option<u64> {
        let is_same = self.state == ProductState::Live
            && self.source_digest == Some(source_digest)
            && self.refusal.is_none()
            && !self.documents_left_out;
        is_same.then_some(self.documents.len() as u64)
    }

    /// Versions of the product that no longer had this document, as far as is known; in no order.
    pub fn versions_without(&self, id: &DocumentId) -> impl Iterator<Item = &Map<String, Value>> {
        let is_unlisted = !self.documents.contains(id) && !self.documents_left_out;
        let versions = is_unlisted.then_some(&self.complete_version).into_iter().chain(self.gone.get(id));
        versions.filter(|version| !version.is_empty())
    }

    /// Whether both records say the same of the product; which job changed them, and when, is ignored.
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

/// Length of a version as JSON, in bytes.
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
    fn a_product_that_loses_its_last_document_is_absent() {
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
    fn a_record_that_changes_no_longer_counts_as_unchanged() {
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
    fn the_error_for_an_unknown_state_names_it() {
        let text = serde_json::to_string(&record()).unwrap().replace("refused", "hibernating");
        let error = serde_json::from_str::<LedgerRecord>(&text).unwrap_err().to_string();
        assert!(error.contains("hibernating"), "{error}");
    }
}
