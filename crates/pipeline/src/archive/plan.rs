//! Finds out which documents of an index a full sync did not have.

use super::{
    ArchiveError, Plan, Sorting,
    ids::{self, Keeper, Mark},
    refused,
};
use host_core::{
    index::{Index, StoredVersion, WriteTarget},
    model::{Digest, DocumentId, JobId, Operation, document::WRITTEN_BY},
    storage::{JobSnapshot, Stores},
};
use host_export::sort::{Frame, SortOptions, Sorted, Sorter};
use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufWriter, Write},
};

/// Ids that the index is asked about at once.
const ASKED: usize = 1_000;

// What is known of an id, as bits.
/// The full sync had a document of it.
const DOCUMENT: u64 = 1;
/// The full sync had a removal of it.
const REMOVAL: u64 = 2;
/// The index may have it from before.
const BEFORE: u64 = 4;
/// A later job had a document of it, so the shop has it.
const LATER: u64 = 8;
/// A product that the full sync had and the plug-in refused may be of it, so the shop may have it.
const REFUSED: u64 = 16;

/// Finds the documents that the index has of earlier jobs, while neither the full sync nor a later job had them. The caller has
/// made sure that the export was the whole shop. With `keep`, the ids are kept beside the
/// chunks, for the next full sync to compare with.
pub(super) async fn plan(
    stores: &Stores,
    index: &dyn Index,
    job: &JobSnapshot,
    sorting: &Sorting,
    keep: bool,
) -> Result<Plan, ArchiveError> {
    let is_same = |other: &JobSnapshot| {
        other.job.index_name == job.job.index_name && other.job.target == job.job.target
    };
    let mut jobs = stores.jobs.list(Some(&job.job.shop_id), usize::MAX).await?;
    jobs.retain(|other| is_same(other) && other.job.id != job.job.id);
    let (later, before): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|other| other.job.created_at > job.job.created_at);

    let sorting = sorting.options();
    let mut sorter = IdSorter(Sorter::new(&sorting));
    let is_kept = ids::is_kept(stores, &job.job).await?;
    if is_kept {
        ids::kept(stores, &job.job, |mark, id| sorter.push(bits(mark), id)).await?;
    } else {
        let take = |operation, id: &str| sorter.push(bits(mark(operation)), id);
        ids::published(stores, job, true, take).await?;
        // Newest first, as far back as the last full sync that kept its list, which has what was before.
        for other in &before {
            if other.job.full && ids::is_kept(stores, &other.job).await? {
                ids::kept(stores, &other.job, |_, id| sorter.push(BEFORE, id)).await?;
                break;
            }
            ids::published(stores, other, false, |_, id| sorter.push(BEFORE, id)).await?;
        }
    }
    for other in &later {
        let take = |operation, id: &str| match operation {
            // What it removed, the shop does not have either.
            Operation::DeleteDocuments => Ok(()),
            Operation::AddDocuments | Operation::UpdateDocuments => sorter.push(LATER, id),
        };
        ids::published(stores, other, true, take).await?;
    }

    refused::named(stores, job, |name| sorter.push(REFUSED, name)).await?;

    let removals = sorting.temp_files().create()?;
    let mut search = Search {
        index,
        target: WriteTarget::of(&job.job),
        older: before.iter().map(|other| &other.job.id).chain([&job.job.id]).cloned().collect(),
        keeper: (keep && !is_kept).then(|| Keeper::new(stores, &job.job)),
        asked: Vec::with_capacity(ASKED),
        missing: 0,
        removals: BufWriter::new(removals),
        sorting: &sorting,
    };
    let documents = search.run(sorter.0.sorted()?).await?;
    let (missing, removals) = search.finish().await?;
    let is_open = |later: &&JobSnapshot| later.seal.is_none() && !later.status.has_ended();
    let ingesting = later.iter().find(is_open).map(|later| later.job.id.clone());
    Ok(Plan { missing, documents, ingesting, is_first: before.is_empty(), removals, sorting })
}

fn mark(operation: Operation) -> Mark {
    match operation {
        Operation::AddDocuments | Operation::UpdateDocuments => Mark::Document,
        Operation::DeleteDocuments => Mark::Removal,
    }
}

fn bits(mark: Mark) -> u64 {
    match mark {
        Mark::Document => DOCUMENT,
        Mark::Removal => REMOVAL,
        Mark::Before => BEFORE,
    }
}

/// Brings together what is known of each id.
struct IdSorter(Sorter);

impl IdSorter {
    fn push(&mut self, bits: u64, id: &str) -> Result<(), ArchiveError> {
        let key = Digest::of(ids::split(id).0.as_bytes()).prefix();
        Ok(self.0.push(Frame { key, a: bits, b: 0, body: id.as_bytes() })?)
    }
}

/// Goes through the ids and asks the index about those that are missing.
struct Search<'a> {
    index: &'a dyn Index,
    target: WriteTarget,
    /// Jobs that are no newer than the full sync.
    older: HashSet<JobId>,
    keeper: Option<Keeper<'a>>,
    /// Ids with their products.
    asked: Vec<String>,
    missing: u64,
    removals: BufWriter<File>,
    sorting: &'a SortOptions,
}

impl Search<'_> {
    /// Gives the number of documents that the full sync had.
    async fn run(&mut self, mut sorted: Sorted) -> Result<u64, ArchiveError> {
        let mut documents = 0;
        // Ids of one key: hardly ever more than one.
        let mut known: BTreeMap<String, (u64, Option<String>)> = BTreeMap::new();
        let mut key = None;
        loop {
            let is_more = sorted.advance()?;
            if !is_more || key != Some(sorted.frame().key) {
                for (id, (bits, product)) in std::mem::take(&mut known) {
                    documents += u64::from(bits & DOCUMENT != 0);
                    self.take(ids::with_product(&id, product.as_deref()), bits).await?;
                }
            }
            if !is_more {
                break;
            }
            let frame = sorted.frame();
            key = Some(frame.key);
            let body = String::from_utf8_lossy(frame.body);
            let (id, product) = ids::split(&body);
            let (bits, of_product) = known.entry(id.to_owned()).or_default();
            *bits |= frame.a;
            // What older jobs said of it names no product.
            *of_product = of_product.take().or_else(|| product.map(str::to_owned));
        }
        self.ask().await?;
        Ok(documents)
    }

    async fn take(&mut self, id: String, bits: u64) -> Result<(), ArchiveError> {
        let had = match bits {
            bits if bits & DOCUMENT != 0 => Some(Mark::Document),
            bits if bits & REMOVAL != 0 => Some(Mark::Removal),
            bits if bits & BEFORE == 0 && bits & (LATER | REFUSED) != 0 => return Ok(()),
            bits if bits & (LATER | REFUSED) != 0 => Some(Mark::Before),
            _ => None,
        };
        match had {
            Some(mark) => self.keep(mark, &id).await,
            None => {
                self.asked.push(id);
                if self.asked.len() == ASKED { self.ask().await } else { Ok(()) }
            }
        }
    }

    async fn ask(&mut self) -> Result<(), ArchiveError> {
        // Ids of chunks are those of documents.
        let with_id = |asked: String| Some((DocumentId::new(ids::split(&asked).0).ok()?, asked));
        let asked = std::mem::take(&mut self.asked).into_iter().filter_map(with_id);
        let (ids, asked): (Vec<DocumentId>, Vec<String>) = asked.unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let stored = self.index.stored(&self.target, &ids).await?;
        for (id, stored) in asked.iter().zip(stored) {
            let Some(stored) = stored else { continue };
            self.keep(Mark::Before, id).await?;
            if let Some(removal) = self.removal(stored) {
                self.missing += 1;
                writeln!(self.removals, "{id}\t{removal}")
                    .map_err(|error| self.sorting.temp_files().failed("writing", error))?;
            }
        }
        Ok(())
    }

    /// The line of a document's removal; none if the document stays, because another program wrote it or a job that is newer
    /// than the full sync.
    fn removal(&self, stored: StoredVersion) -> Option<String> {
        let StoredVersion { version: mut removal, job_id, .. } = stored;
        let job_id = job_id.and_then(JobId::new).filter(|job_id| self.older.contains(job_id))?;
        removal.insert(WRITTEN_BY.to_owned(), job_id.as_str().into());
        Some(serde_json::Value::from(removal).to_string())
    }

    async fn keep(&mut self, mark: Mark, id: &str) -> Result<(), ArchiveError> {
        if let Some(keeper) = &mut self.keeper {
            keeper.add(mark, id).await?;
        }
        Ok(())
    }

    async fn finish(self) -> Result<(u64, File), ArchiveError> {
        if let Some(keeper) = self.keeper {
            keeper.finish().await?;
        }
        let removals = self.removals.into_inner().map_err(std::io::IntoInnerError::into_error);
        Ok((self.missing, removals.map_err(|error| self.sorting.temp_files().failed("writing", error))?))
    }
}
