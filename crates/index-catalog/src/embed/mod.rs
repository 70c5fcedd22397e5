//! Makes the embeddings (vectors) of products' texts, after a load (a job's writes) has committed.
//!
//! A load queues the products whose text it changed, in its own transactions. This module works through the queue
//! outside of any transaction: it sends a text to the endpoint, stores the vector if the product still has this text,
//! and only then removes the product from the queue.

use super::Catalog;
use crate::Hit;
use futures::{StreamExt, TryStreamExt};
use host_core::index::{IndexError, WriteTarget};
use serde::Serialize;

mod client;

pub use client::{CallError, Embedder};

/// What became of the queued products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EmbedReport {
    /// Products that have an embedding of their present text now.
    pub embedded: u64,
    /// How often a product's text changed while its vector was computed; the product stays in the queue.
    pub changed: u64,
    /// Products whose text the endpoint refuses, or which have no text.
    pub refused: u64,
}

/// Embedding stopped. Vectors made so far are stored; the same call continues.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] IndexError),
    /// The endpoint failed.
    #[error(transparent)]
    Endpoint(#[from] CallError),
    /// Another process is making the embeddings of this index.
    #[error("another process makes the embeddings of {shop_id}, index {index_name}, already")]
    Busy {
        /// The shop.
        shop_id: String,
        /// The index.
        index_name: String,
    },
}

impl Catalog {
    /// Makes the embeddings of all products that wait for one. Idempotent; may be cancelled, after which another call
    /// continues.
    pub async fn embed(&self, target: &WriteTarget, embedder: &Embedder) -> Result<EmbedReport, EmbedError> {
        let during = |failed: super::Failed| failed.during("embedding", target);
        let Some(lock) = self.dialect.lock_embedding(target).await.map_err(during)? else {
            let (shop_id, index_name) = (target.shop_id.clone(), target.index_name.clone());
            return Err(EmbedError::Busy { shop_id, index_name });
        };
        let report = self.embed_queued(target, embedder).await;
        // Also after a failure, so that the same command can be run again immediately.
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
                // Products whose text changed meanwhile are still queued, before this position: start again from the
                // first.
                if changed == 0 {
                    return Ok(report);
                }
                (after, changed) = (0, 0);
                continue;
            };
            after = last.product_id;
            let batches = queued.chunks(batch_size).map(|batch| self.embed_batch(target, embedder, batch));
            let mut done = futures::stream::iter(batches).buffer_unordered(concurrency);
            while let Some(batch) = done.try_next().await? {
                report.embedded += batch.embedded;
                report.changed += batch.changed;
                report.refused += batch.refused;
                changed += batch.changed;
            }
        }
    }

    /// Active products whose text is most similar to another text, best first.
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
            let fields = serde_json::from_str(&product.fields)
                .map_err(|error| during(super::Failed::permanent(error)))?;
            let text = self.texts.to_embed(&fields);
            if text.is_empty() {
                let reason = "there is no text in the fields that are embedded";
                self.dialect.refuse_embedding(product, reason).await.map_err(during)?;
                report.refused += 1;
            } else {
                texts.push((product, text));
            }
        }
        // A refused batch is halved until the refused text is alone.
        let mut parts = vec![texts.as_slice()];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let texts: Vec<&str> = part.iter().map(|(_, text)| text.as_str()).collect();
            match embedder.embed(&texts).await {
                Ok(vectors) => {
                    let embedded_of = |((product, _), vector): (&(&Unembedded, String), Vec<f32>)| Embedded {
                        product_id: product.product_id,
                        text_hash: product.text_hash.clone(),
                        vector,
                    };
                    let embedded: Vec<Embedded> = part.iter().zip(vectors).map(embedded_of).collect();
                    let model = embedder.config().model_id();
                    let stored = self.dialect.put_embeddings(&model, &embedded).await.map_err(during)?;
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
    /// Database id.
    pub(super) product_id: i64,
    /// Id of the document.
    pub(super) source_id: String,
    /// Digest of its current text.
    pub(super) text_hash: String,
    /// Fields of the document, JSON.
    pub(super) fields: String,
}

/// A vector of a product's text.
#[derive(Clone, Debug)]
pub(super) struct Embedded {
    /// Database id of the product.
    pub(super) product_id: i64,
    /// Digest of the text that the vector was made of.
    pub(super) text_hash: String,
    pub(super) vector: Vec<f32>,
}

/// Cosine similarity of two vectors, from -1 to 1; 0 if they have different lengths or one of them is zero.
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
