//! Whose documents an index holds: shops may share an index.

use host_core::{
    clock::MAX_CLOCK_DIFFERENCE,
    model::JobId,
    storage::{StoreError, Stores},
};
use jiff::Timestamp;
use std::collections::HashMap;

/// Who a job belongs to, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// It is a job of this shop.
    Own,
    /// It is a job of another shop.
    OtherShop,
    /// There is no record of it: it was removed with age, or the job is another program's.
    Unknown,
}

/// Looks the shops of jobs up, each job once.
pub(crate) struct Writers<'a> {
    stores: &'a Stores,
    shop_id: &'a str,
    known: HashMap<JobId, Writer>,
}

impl<'a> Writers<'a> {
    pub(crate) fn new(stores: &'a Stores, shop_id: &'a str) -> Self {
        Self { stores, shop_id, known: HashMap::new() }
    }

    /// Who the job belongs to that wrote a document.
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

    /// Whether a job of this shop wrote a document of which the ledger's last word is that of job `said_by`. A job that is no longer
    /// known is taken for one of this shop if it is no newer than that word, as far as clocks tell: that of its ingest, and that of the
    /// worker which recorded the word.
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

/// When a job was created, which its id says.
fn created_at(id: &JobId) -> Option<Timestamp> {
    let (seconds, nanoseconds) = uuid::Uuid::parse_str(id.as_str()).ok()?.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}
