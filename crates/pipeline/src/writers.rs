//! Finds out which shop's job wrote a document, because shops may share an index and none may remove another's
//! documents.

use host_core::{
    clock::MAX_CLOCK_DIFFERENCE,
    model::JobId,
    storage::{StoreError, Stores},
};
use jiff::Timestamp;
use std::collections::HashMap;

/// Which shop a job belongs to, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// It is a job of this shop.
    Own,
    /// It is a job of another shop.
    OtherShop,
    /// There is no record of it: retention has removed it, or a program other than the host wrote the document.
    Unknown,
}

/// Looks up which shop a job belongs to, and remembers the answers.
pub(crate) struct Writers<'a> {
    stores: &'a Stores,
    shop_id: &'a str,
    known: HashMap<JobId, Writer>,
}

impl<'a> Writers<'a> {
    /// `shop_id` is the shop whose own jobs are told from those of others.
    pub(crate) fn new(stores: &'a Stores, shop_id: &'a str) -> Self {
        Self { stores, shop_id, known: HashMap::new() }
    }

    /// Which shop the job belongs to that wrote a document.
    pub(crate) async fn of(&mut self, job: &JobId) -> Result<Writer, StoreError> {
        if let Some(known) = self.known.get(job) {
            return Ok(*known);
        }
        let writer = match self.stores.jobs.get(job).await? {
            Some(found) if found.job.shop_id == self.shop_id => Writer::Own,
            Some(_) => Writer::OtherShop,
            None => Writer::Unknown,
        };
        self.known.insert(job.clone(), writer);
        Ok(writer)
    }

    /// Whether `job`, which the index names as the writer of a document, belongs to this shop. The shop's ledger was
    /// last changed for that document's product by the job `said_by`, at `said_at`. Without a record of `job`, it
    /// counts as this shop's if it was created before `said_at`; the clocks of the ingest and of the worker may
    /// differ by [`MAX_CLOCK_DIFFERENCE`].
    pub(crate) async fn wrote(
        &mut self,
        job: &JobId,
        said_by: &JobId,
        said_at: Timestamp,
    ) -> Result<bool, StoreError> {
        if job == said_by {
            return Ok(true);
        }
        Ok(match self.of(job).await? {
            Writer::Own => true,
            Writer::OtherShop => false,
            Writer::Unknown => {
                let latest = said_at.saturating_add(MAX_CLOCK_DIFFERENCE).unwrap_or(Timestamp::MAX);
                created_at(job).is_some_and(|created_at| created_at <= latest)
            }
        })
    }
}

/// When a job was created: the host's job ids are UUIDs of version 7, which contain it. `None` for an id of another
/// form.
fn created_at(id: &JobId) -> Option<Timestamp> {
    let (seconds, nanoseconds) = uuid::Uuid::parse_str(id.as_str()).ok()?.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}
