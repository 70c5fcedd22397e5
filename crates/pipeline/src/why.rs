//! The use case: where a product is, and why.

use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    model::{ChunkLine, ChunkRef, Digest, DocumentId, Job, JobId, LedgerRecord, ProductId, ProductState},
    storage::{DeadLetter, LedgerScope, StoreError, Stores},
};
use std::collections::BTreeMap;

/// Records of one page of the ledger.
const PAGE: usize = 1_000;
/// Most records that are looked through for a document whose product does not follow from its id.
const MAX_RECORDS: usize = 1_000_000;
/// Most chunks that are looked through.
const MAX_CHUNKS: usize = 500;
/// Chunks read concurrently.
const READS: usize = 8;

/// What is known of a product.
#[derive(Clone, Debug)]
pub struct Why {
    /// The product.
    pub product: ProductId,
    /// What the ledger says; none if no chunk of it was ever written.
    pub record: Option<LedgerRecord>,
    /// The job that said so; otherwise that of the first chunk that has it, or that of the refusal. None if it is not known any more.
    pub job: Option<Job>,
    /// Chunks that have it and are not counted yet, in the order of their jobs.
    pub waiting: Vec<ChunkRef>,
    /// Chunks among the dead letters that have it, oldest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Whether there are more chunks than were looked through.
    pub more_waiting: bool,
}

/// Chunks of a job whose products cannot all be read, since their objects are gone or not what was published. Any product may be among
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableChunks {
    /// The job.
    pub job_id: JobId,
    /// How many of them are dead letters.
    pub dead_letters: u64,
    /// How many of them wait.
    pub waiting: u64,
}

/// The answer to a question about a product.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What is known of it; none if nothing is.
    pub why: Option<Why>,
    /// Where it may be besides, by job.
    pub unreadable: Vec<UnreadableChunks>,
}

/// What is known of the product that a text names: by its own id, by the last part of it as in a URL, or by a document's id.
pub async fn why(stores: &Stores, scope: &LedgerScope, text: &str) -> Result<Answer, StoreError> {
    let record = find(stores, scope, text).await?;
    let waiting = waiting(stores, scope, text, record.as_ref()).await?;
    let dead = dead_letters(stores, scope, text, record.as_ref()).await?;
    let unreadable = unreadable(&waiting.unreadable, &dead.unreadable);
    let product = record.as_ref().map(|record| record.product.clone());
    let product = product.or_else(|| waiting.found.first().map(|(product, _)| product.clone()));
    let Some(product) = product.or_else(|| dead.found.first().map(|(product, _)| product.clone())) else {
        return Ok(Answer { why: None, unreadable });
    };
    let Searched { found, more, .. } = waiting;
    let waiting: Vec<ChunkRef> = found.into_iter().map(|(_, chunk)| chunk).collect();
    let dead_letters: Vec<DeadLetter> = dead.found.into_iter().map(|(_, dead_letter)| dead_letter).collect();
    let said = record.as_ref().filter(|record| record.state != ProductState::Refused);
    let first = waiting.iter().chain(dead_letters.iter().map(|dead_letter| &dead_letter.chunk)).next();
    let refusal = record.as_ref().and_then(|record| record.refusal.as_ref());
    let id = said.map(|record| &record.job_id).or(first.map(|chunk| &chunk.job_id));
    let job = match id.or(refusal.map(|refusal| &refusal.job_id)) {
        Some(id) => stores.jobs.get(id).await?.map(|found| found.job),
        None => None,
    };
    let why = Why { product, record, job, waiting, dead_letters, more_waiting: more || dead.more };
    Ok(Answer { why: Some(why), unreadable })
}

/// The jobs of chunks that cannot be read, with how many there are of each.
fn unreadable(waiting: &[JobId], dead: &[JobId]) -> Vec<UnreadableChunks> {
    let mut jobs: BTreeMap<&JobId, (u64, u64)> = BTreeMap::new();
    dead.iter().for_each(|job| jobs.entry(job).or_default().0 += 1);
    waiting.iter().for_each(|job| jobs.entry(job).or_default().1 += 1);
    let chunks = |(job, (dead_letters, waiting)): (&JobId, _)| UnreadableChunks {
        job_id: job.clone(),
        dead_letters,
        waiting,
    };
    jobs.into_iter().map(chunks).collect()
}

/// The record of the product that a text names.
async fn find(stores: &Stores, scope: &LedgerScope, text: &str) -> Result<Option<LedgerRecord>, StoreError> {
    let ledger = stores.ledger.as_ref();
    let mut candidates: Vec<ProductId> = ProductId::new(text).into_iter().collect();
    // Products of one source are spelled alike: the first one shows how a resource number becomes an id.
    let first = ledger.page(scope, None, 1).await?;
    candidates.extend(first.first().and_then(|record| spelled_like(&record.product, text)));
    candidates.dedup();
    if let Some(record) = ledger.get(scope, &candidates).await?.into_iter().flatten().next() {
        return Ok(Some(record));
    }
    let Ok(document) = DocumentId::new(text) else { return Ok(None) };
    let (mut after, mut seen) = (None, 0);
    while seen < MAX_RECORDS {
        let page = ledger.page(scope, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        (after, seen) = (Some(last.product.clone()), seen + page.len());
        if let Some(record) = page.into_iter().find(|record| record.documents.contains(&document)) {
            return Ok(Some(record));
        }
    }
    tracing::warn!(
        records = seen,
        "looked through the first records of the ledger only; name the product by its own id"
    );
    Ok(None)
}

/// The id of a product that ends with `number` and begins as another one's does: `gid://shopify/Product/`.
fn spelled_like(other: &ProductId, number: &str) -> Option<ProductId> {
    let (prefix, _) = other.as_str().rsplit_once('/')?;
    ProductId::new(format!("{prefix}/{number}")).ok()
}

/// The chunks that were looked through.
struct Searched<T> {
    /// Those that have the product.
    found: Vec<(ProductId, T)>,
    /// The jobs of those that may have it.
    unreadable: Vec<JobId>,
    /// Whether there are more.
    more: bool,
}

impl<T> Searched<T> {
    fn new(chunks: Vec<(T, InChunk)>, job_of: impl Fn(&T) -> &JobId, more: bool) -> Self {
        let mut searched = Self { found: Vec::new(), unreadable: Vec::new(), more };
        for (chunk, is_in) in chunks {
            match is_in {
                InChunk::Product(product) => searched.found.push((product, chunk)),
                InChunk::Unreadable => searched.unreadable.push(job_of(&chunk).clone()),
                InChunk::Nothing => {}
            }
        }
        searched
    }
}

/// What a chunk has of the product that is looked for.
enum InChunk {
    /// A document of it.
    Product(ProductId),
    /// Nothing.
    Nothing,
    /// Nothing that could be read, but not all could.
    Unreadable,
}

/// The dead letters whose chunk has the product.
async fn dead_letters(
    stores: &Stores,
    scope: &LedgerScope,
    text: &str,
    record: Option<&LedgerRecord>,
) -> Result<Searched<DeadLetter>, StoreError> {
    let mut dead_letters = stores.queue.dead_letters(&scope.shop_id).await?;
    let more = dead_letters.len() > MAX_CHUNKS;
    dead_letters.truncate(MAX_CHUNKS);
    let search = |dead_letter: DeadLetter| async move {
        let is_in = search(stores, &dead_letter.chunk, text, record).await?;
        if let InChunk::Nothing = is_in {
            return Ok((dead_letter, is_in));
        }
        let job = stores.jobs.get(&dead_letter.chunk.job_id).await?.map(|found| found.job);
        let is_elsewhere = match (&job, &is_in) {
            (Some(job), _) => job.index_name != scope.index_name || !job.target.includes(&scope.target),
            // Of a job that is gone, the index is not known.
            (None, InChunk::Product(_)) => true,
            (None, _) => false,
        };
        let is_in = if is_elsewhere { InChunk::Nothing } else { is_in };
        Ok::<_, StoreError>((dead_letter, is_in))
    };
    let searched = stream::iter(dead_letters.into_iter().map(search)).buffered(READS).try_collect().await?;
    Ok(Searched::new(searched, |dead_letter| &dead_letter.chunk.job_id, more))
}

async fn waiting(
    stores: &Stores,
    scope: &LedgerScope,
    text: &str,
    record: Option<&LedgerRecord>,
) -> Result<Searched<ChunkRef>, StoreError> {
    let mut jobs = stores.jobs.list_open(Some(&scope.shop_id), usize::MAX).await?;
    jobs.retain(|job| {
        job.job.index_name == scope.index_name
            && job.job.target.includes(&scope.target)
            && job.completed_chunks < job.chunks
    });
    let mut chunks = Vec::new();
    for job in &jobs {
        // One more, to see whether there are more.
        let budget = MAX_CHUNKS + 1 - chunks.len();
        chunks.extend(stores.jobs.uncounted(&job.job.id, budget).await?);
        if chunks.len() > MAX_CHUNKS {
            break;
        }
    }
    let more = chunks.len() > MAX_CHUNKS;
    chunks.truncate(MAX_CHUNKS);
    let search = |chunk: ChunkRef| async move {
        let is_in = search(stores, &chunk, text, record).await?;
        Ok::<_, StoreError>((chunk, is_in))
    };
    let searched = stream::iter(chunks.into_iter().map(search)).buffered(READS).try_collect().await?;
    Ok(Searched::new(searched, |chunk| &chunk.job_id, more))
}

/// Looks for the product in a chunk, whose object may be gone or damaged: that makes a dead letter of it.
async fn search(
    stores: &Stores,
    chunk: &ChunkRef,
    text: &str,
    record: Option<&LedgerRecord>,
) -> Result<InChunk, StoreError> {
    let Some(bytes) = stores.chunks.get(&chunk.key, None).await? else { return Ok(InChunk::Unreadable) };
    let lines = || bytes.split(|byte| *byte == b'\n');
    if let Some(product) = lines().find_map(|line| names(line, text, record)) {
        return Ok(InChunk::Product(product));
    }
    if Digest::of(&bytes) == chunk.sha256 {
        return Ok(InChunk::Nothing);
    }
    let is_document =
        |line: &&[u8]| std::str::from_utf8(line).is_ok_and(|line| ChunkLine::parse(line).is_ok());
    let documents = lines().filter(is_document).count();
    Ok(if documents < chunk.documents as usize { InChunk::Unreadable } else { InChunk::Nothing })
}

/// The product of a line, if it is the one that is looked for.
fn names(line: &[u8], text: &str, record: Option<&LedgerRecord>) -> Option<ProductId> {
    let line = std::str::from_utf8(line).ok().filter(|line| {
        record.map_or(line.contains(text), |record| {
            let id = record.product.as_str();
            // Ids with quotes or backslashes are escaped in the line.
            line.contains(id) || id.contains(['"', '\\'])
        })
    })?;
    let ChunkLine { document, product, .. } = ChunkLine::parse(line).ok()?;
    let is_it = match record {
        Some(record) => product == record.product,
        None => {
            product.as_str() == text
                || document.id.as_str() == text
                || spelled_like(&product, text).as_ref() == Some(&product)
        }
    };
    is_it.then_some(product)
}

#[cfg(test)]
mod tests;
