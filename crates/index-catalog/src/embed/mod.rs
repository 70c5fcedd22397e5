//! Embeddings, made after the load's commits.
//!
//! A load queues what it changed in its own transaction. The queue is worked here, never within a transaction: a text is sent to the
//! endpoint, its vector is stored if the product still has this text, and only then it leaves the queue.

use super::Catalog;
use crate::Hit;
use futures::{StreamExt, TryStreamExt};
use host_core::index::{IndexError, WriteTarget};
use serde::Serialize;

mod client;

pub use client::{CallError, Embedder};

/// The outcome of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EmbedReport {
    /// Products that have an embedding of their present text now.
    pub embedded: u64,
    /// Products whose text changed in the meantime; they stay in the queue.
    pub changed: u64,
    /// Products whose text the endpoint refuses, or who have none.
    pub refused: u64,
}

/// Embedding stopped. What was embedded is stored; the same call resumes.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] IndexError),
    /// The endpoint failed.
    #[error(transparent)]
    Endpoint(#[from] CallError),
    /// Another process is doing it.
    #[error("another process makes the embeddings of {shop_id}, index {index_name}, already")]
    Busy {
        /// The shop.
        shop_id: String,
        /// The index.
        index_name: String,
    },
}

impl Catalog {
    /// Makes the embeddings of all products that wait for one. Resumable and idempotent; may be cancelled.
    pub async fn embed(&self, target: &WriteTarget, embedder: &Embedder) -> Result<EmbedReport, EmbedError> {
        let during = |failed: super::Failed| failed.during("embedding", target);
        let Some(lock) = self.dialect.lock_embedding(target).await.map_err(during)? else {
            let (shop_id, index_name) = (target.shop_id.clone(), target.index_name.clone());
            return Err(EmbedError::Busy { shop_id, index_name });
        };
        let report = self.embed_queued(target, embedder).await;
        // After a failure too, so that the same command can continue at once.
        let unlocked = self.dialect.unlock_embedding(lock).await.map_err(during);
        report.and_then(|report| Ok(unlocked.map(|()| report)?))
    }

    async fn embed_queued(
        &self,
        target: &WriteTarget,
        embedder: &Embedder,
    ) -> Result<EmbedReport, EmbedError> {
        let during = |failed: super::Failed| failed.during("embedding", target);
        let config = embedder.config();
        let (batch_size, concurrency) = (config.batch_size.get(), config.concurrency.get());
        self.dialect.queue_other_models(target, &config.model_id()).await.map_err(during)?;
        let at_once = batch_size * concurrency;
        let (mut report, mut after, mut changed) = (EmbedReport::default(), 0, 0);
        loop {
            let queued = self.dialect.to_embed(target, after, at_once).await.map_err(during)?;
            let Some(last) = queued.last() else {
                // Products whose text changed meanwhile are queued before this position.
                if changed == 0 {
                    return Ok(report);
                }
                (after, changed) = (0, 0);
                continue;
            };
            after = last.product_id;
            let batches = queued.chunks(batch_size).map(|batch| self.embed_batch(target, embedder, batch));
            let mut done = futures::stream::iter(batches).buffer_unordered(concurrency);
            while let Some(some) = done.try_next().await? {
                report.embedded += some.embedded;
                report.changed += some.changed;
                report.refused += some.refused;
                changed += some.changed;
            }
        }
    }

    /// Active products whose text is most like another text, best first.
    pub async fn similar(
        &self,
        target: &WriteTarget,
        embedder: &Embedder,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Hit>, EmbedError> {
        let vector = embedder.embed(&[text]).await?.pop().unwrap_or_default();
        let nearest = self.dialect.nearest(target, &embedder.config().model_id(), &vector, limit).await;
        Ok(nearest.map_err(|failed| failed.during("searching", target))?)
    }

    async fn embed_batch(
        &self,
        target: &WriteTarget,
        embedder: &Embedder,
        batch: &[Unembedded],
    ) -> Result<EmbedReport, EmbedError> {
        let during = |failed: super::Failed| failed.during("embedding", target);
        let mut report = EmbedReport::default();
        let mut texts = Vec::with_capacity(batch.len());
        for product in batch {
            let fields =
                serde_json::from_str(&product.fields).map_err(|e| during(super::Failed::permanent(e)))?;
            let text = self.texts.to_embed(&fields);
            if text.is_empty() {
                let reason = "there is no text in the fields that are embedded";
                self.dialect.refuse_embedding(product, reason).await.map_err(during)?;
                report.refused += 1;
            } else {
                texts.push((product, text));
            }
        }
        // A batch that is refused is halved until the bad text is alone.
        let mut parts = vec![texts.as_slice()];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let texts: Vec<&str> = part.iter().map(|(_, text)| text.as_str()).collect();
            match embedder.embed(&texts).await {
                Ok(vectors) => {
                    let of = |((product, _), vector): (&(&Unembedded, String), Vec<f32>)| Embedded {
                        product_id: product.product_id,
                        text_hash: product.text_hash.clone(),
                        vector,
                    };
                    let embedded: Vec<Embedded> = part.iter().zip(vectors).map(of).collect();
                    let name = embedder.config().model_id();
                    let stored = self.dialect.put_embeddings(&name, &embedded).await.map_err(during)?;
                    report.embedded += stored;
                    report.changed += (part.len() as u64).saturating_sub(stored);
                }
                Err(CallError::Refused { message, .. }) if part.len() == 1 => {
                    let (product, _) = &part[0];
                    tracing::warn!(
                        document = product.source_id,
                        message,
                        "the endpoint refuses the text of a product"
                    );
                    self.dialect.refuse_embedding(product, &message).await.map_err(during)?;
                    report.refused += 1;
                }
                Err(CallError::Refused { .. }) => {
                    let (one, other) = part.split_at(part.len() / 2);
                    parts.extend([other, one]);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(report)
    }
}

/// A product that waits for its embedding.
#[derive(Clone, Debug)]
pub(super) struct Unembedded {
    pub(super) product_id: i64,
    pub(super) source_id: String,
    /// Of its present text.
    pub(super) text_hash: String,
    /// Its fields, JSON.
    pub(super) fields: String,
}

/// A vector of a product's text.
#[derive(Clone, Debug)]
pub(super) struct Embedded {
    pub(super) product_id: i64,
    /// Of the text that it is of.
    pub(super) text_hash: String,
    pub(super) vector: Vec<f32>,
}

/// How near two vectors are, from -1 to 1; 0 if they cannot be compared.
pub(super) fn cosine(one: &[f32], other: &[f32]) -> f64 {
    if one.len() != other.len() {
        return 0.0;
    }
    let dot = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    if lengths == 0.0 { 0.0 } else { dot(one, other) / lengths }
}
