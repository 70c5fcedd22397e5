//! Documents that a full sync did not have leave the index: [`Archive`] is the use case.
//!
//! For an index without archiving of its own, `plan` compares the ids of a full sync with those of the full sync before and of all jobs in between (`ids`), sorted on
//! disk, and asks the index about those that are missing. `Plan::publish` makes removals of them: a job of its own,
//! whose chunks stand in the lanes of their documents behind all that was published before, so that workers carry them out
//! under write protection, count them, and go on with them after a crash.

use crate::ingest::{
    chunk::{ChunkBounds, Chunker, NewLine},
    publish::{PublishError, Publisher},
    run::IngestError,
};
use crate::worker::Stop;
use host_core::{
    index::{ArchiveLimit, ArchiveRefusal, IndexError},
    model::{Counts, DocumentId, Job, JobId, Operation, ProductId, Quarantined, Seal, SourceStats},
    storage::{StoreError, Stores},
};
use host_export::{ExportError, Options, sort::SortOptions};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek},
    path::PathBuf,
};

mod ids;
mod plan;
mod refused;
mod run;
#[cfg(test)]
mod tests;

pub use run::{Archive, ArchiveOutcome, Missing, RemovalSettings};

use plan::plan;
use refused::refused;

/// Why archiving failed. Nothing is lost: it can be done again.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index could not be asked.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Ids could not be sorted on disk.
    #[error(transparent)]
    Sort(#[from] ExportError),
    /// A chunk of removals could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The worker stopped while it carried removals out.
    #[error("the worker stopped while job {job} removed documents")]
    Stopped {
        /// The job of the removals.
        job: JobId,
        /// Why.
        #[source]
        stop: Box<Stop>,
    },
    /// Another process ingests for the same index now.
    #[error("another process has taken over while removals were published")]
    LeaseLost,
    /// What a job's plug-in refused cannot be read.
    #[error(transparent)]
    Refused(#[from] IngestError),
    /// An object of a job is gone, so it is not known which documents the shop has.
    #[error(
        "{key} is gone or damaged, so it is not known which documents the job had; run the full sync again"
    )]
    Lost {
        /// The object's key.
        key: String,
    },
    /// An object of a job holds something else than documents.
    #[error("{key} holds a line that is no document; run the full sync again")]
    Line {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Where ids are sorted.
#[derive(Clone, Debug)]
pub struct Sorting {
    /// Folder for temporary files.
    pub scratch_dir: PathBuf,
    /// Memory in bytes; what does not fit goes to temporary files.
    pub memory: usize,
}

impl Sorting {
    fn options(&self) -> SortOptions {
        SortOptions::of(&Options::new(&self.scratch_dir)).with_memory(self.memory)
    }
}

/// The documents that are to leave an index.
#[derive(Debug)]
struct Plan {
    /// Documents that the index has and the full sync did not.
    missing: u64,
    /// Documents of the full sync.
    documents: u64,
    /// A later job that is still being ingested: what it will have is not known.
    ingesting: Option<JobId>,
    /// Whether there was no earlier job to compare with.
    is_first: bool,
    /// A line each: the id, perhaps with its product, a tab, and what the removal says.
    removals: File,
    sorting: SortOptions,
}

/// A document that is to leave an index.
#[derive(Debug)]
struct PlannedRemoval {
    document: DocumentId,
    /// Its lane is that of the product, behind all that was published of it.
    product: ProductId,
    /// What the removal says.
    removal: String,
}

impl Plan {
    /// Documents that are in the index as far as the plan knows.
    fn active(&self) -> u64 {
        self.documents + self.missing
    }

    /// The refusal if the documents may not leave the index.
    fn refusal(&self, limit: ArchiveLimit) -> Option<ArchiveRefusal> {
        let ingesting = self.ingesting.clone().map(ArchiveRefusal::Ingesting);
        ingesting.or_else(|| limit.refusal(self.missing, self.active()).map(ArchiveRefusal::Share))
    }

    /// The ids of the documents, in their order.
    fn ids(self) -> Result<Vec<DocumentId>, ArchiveError> {
        let sorting = self.sorting.clone();
        let lines = self.lines()?;
        let ids = lines
            .map(|line| Ok(line.map_err(|error| sorting.temp_files().failed("reading", error))?.document));
        let mut ids: Vec<DocumentId> = ids.collect::<Result<_, ExportError>>()?;
        ids.sort();
        Ok(ids)
    }

    /// Publishes the removals as this job, and seals it. The caller holds the right to ingest for it.
    async fn publish(
        self,
        stores: &Stores,
        job: &Job,
        bounds: ChunkBounds,
        lanes: u16,
    ) -> Result<(), ArchiveError> {
        stores.jobs.create(job).await?;
        let (missing, sorting) = (self.missing, self.sorting.clone());
        let mut chunker = Chunker::new(bounds, lanes);
        let mut publisher = Publisher::new(stores, job);
        for line in self.lines()? {
            let PlannedRemoval { document, product, removal } =
                line.map_err(|error| sorting.temp_files().failed("reading", error))?;
            let operation = Operation::DeleteDocuments;
            let new = NewLine {
                operation,
                product: &product,
                product_stays: false,
                siblings: None,
                object: &removal,
            };
            for full in chunker.push(document, new) {
                publisher.publish(full).await?;
            }
        }
        for full in chunker.finish() {
            publisher.publish(full).await?;
        }
        let source =
            SourceStats { products: missing, grouping: "archive".to_owned(), ..SourceStats::default() };
        let seal = Seal {
            chunks: publisher.chunks(),
            total_items: missing,
            refused: Counts::default(),
            source,
            samples: Vec::new(),
            reports: Vec::new(),
            quarantine: Quarantined::default(),
            ids_in_products: false,
        };
        Ok(stores.jobs.seal(&job.id, &seal).await?)
    }

    fn lines(self) -> Result<impl Iterator<Item = io::Result<PlannedRemoval>>, ExportError> {
        let Self { mut removals, sorting, .. } = self;
        removals.rewind().map_err(|error| sorting.temp_files().failed("reading", error))?;
        Ok(BufReader::new(removals).lines().map(|line| {
            let line = line?;
            let (id, removal) = line.rsplit_once('\t').ok_or(io::ErrorKind::InvalidData)?;
            let (document, product) = ids::split(id);
            let document = DocumentId::new(document).map_err(io::Error::other)?;
            let product = match product {
                Some(product) => ProductId::new(product).map_err(io::Error::other)?,
                None => ProductId::from(&document),
            };
            Ok(PlannedRemoval { document, product, removal: removal.to_owned() })
        }))
    }
}
