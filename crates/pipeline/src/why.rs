//! The use case: where a product is, and why.

use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    model::{ChunkLine, ChunkRef, DocumentId, Job, LedgerRecord, ProductId, ProductState},
    storage::{DeadLetter, LedgerScope, StoreError, Stores},
};

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

/// What is known of the product that a text names: by its own id, by the last part of it as in a URL, or by a document's id.
/// None if nothing is known.
pub async fn why(stores: &Stores, scope: &LedgerScope, text: &str) -> Result<Option<Why>, StoreError> {
    let record = find(stores, scope, text).await?;
    let Waiting { found, more } = waiting(stores, scope, text, record.as_ref()).await?;
    let dead = dead_letters(stores, scope, text, record.as_ref()).await?;
    let product = record.as_ref().map(|record| record.product.clone());
    let product = product.or_else(|| found.first().map(|(product, _)| product.clone()));
    let Some(product) = product.or_else(|| dead.found.first().map(|(product, _)| product.clone())) else {
        return Ok(None);
    };
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
    Ok(Some(Why { product, record, job, waiting, dead_letters, more_waiting: more || dead.more }))
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

/// The chunks of a product, among those that were looked through.
struct Waiting<T> {
    found: Vec<(ProductId, T)>,
    more: bool,
}

/// The dead letters whose chunk has the product.
async fn dead_letters(
    stores: &Stores,
    scope: &LedgerScope,
    text: &str,
    record: Option<&LedgerRecord>,
) -> Result<Waiting<DeadLetter>, StoreError> {
    let mut dead_letters = stores.queue.dead_letters(&scope.shop_id).await?;
    let more = dead_letters.len() > MAX_CHUNKS;
    dead_letters.truncate(MAX_CHUNKS);
    let search = |dead_letter: DeadLetter| async move {
        let chunk = &dead_letter.chunk;
        // Its object may be damaged: that is a reason to be a dead letter.
        let Some(bytes) = stores.chunks.get(&chunk.key, None).await? else { return Ok(None) };
        let Some(product) = product_in(&bytes, text, record) else { return Ok(None) };
        let job = stores.jobs.get(&chunk.job_id).await?.map(|found| found.job);
        let is_of_scope =
            job.is_some_and(|job| job.index_name == scope.index_name && job.target.includes(&scope.target));
        Ok::<_, StoreError>(is_of_scope.then_some((product, dead_letter)))
    };
    let found: Vec<_> =
        stream::iter(dead_letters.into_iter().map(search)).buffered(READS).try_collect().await?;
    Ok(Waiting { found: found.into_iter().flatten().collect(), more })
}

async fn waiting(
    stores: &Stores,
    scope: &LedgerScope,
    text: &str,
    record: Option<&LedgerRecord>,
) -> Result<Waiting<ChunkRef>, StoreError> {
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
        let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await?.unwrap_or_default();
        let product = product_in(&bytes, text, record);
        Ok::<_, StoreError>(product.map(|product| (product, chunk)))
    };
    let found: Vec<_> = stream::iter(chunks.into_iter().map(search)).buffered(READS).try_collect().await?;
    Ok(Waiting { found: found.into_iter().flatten().collect(), more })
}

/// The product that is looked for, if a chunk has it.
fn product_in(chunk: &[u8], text: &str, record: Option<&LedgerRecord>) -> Option<ProductId> {
    chunk.split(|byte| *byte == b'\n').find_map(|line| names(line, text, record))
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
