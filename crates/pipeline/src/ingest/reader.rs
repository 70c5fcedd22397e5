//! Reads an export on a thread of its own, because reading blocks, and hands batches to the ingest.

use super::run::{IngestFault, Read};
use host_export::{Item, Plan};
use tokio::sync::mpsc;

/// Items of one batch: enough that a plug-in's call costs nothing beside its work.
pub(super) const BATCH_ITEMS: usize = 128;
/// Bytes of one batch: enough for the same, and few enough for a plug-in's memory.
const BATCH_BYTES: usize = 1 << 20;

/// Starts reading; the channel holds `ahead` batches. Reading stops when the receiver is dropped.
pub fn start(plan: Plan, ahead: usize) -> mpsc::Receiver<Result<Read, IngestFault>> {
    let (sender, receiver) = mpsc::channel(ahead.max(1));
    tokio::task::spawn_blocking(move || {
        let mut products = plan.into_products();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for item in products.by_ref() {
            match item {
                Ok(item) => {
                    if let Item::Product { product, .. } = &item {
                        bytes += product.text.len();
                    }
                    batch.push(item);
                }
                Err(error) => {
                    let _receiver_gone = sender.blocking_send(Err(error.into()));
                    return;
                }
            }
            if (batch.len() >= BATCH_ITEMS || bytes >= BATCH_BYTES)
                && sender.blocking_send(Ok(Read::Items(std::mem::take(&mut batch)))).is_err()
            {
                return;
            }
            if batch.is_empty() {
                bytes = 0;
            }
        }
        let last = (!batch.is_empty()).then_some(Ok(Read::Items(batch)));
        let end = products.finish().map(Read::End).map_err(IngestFault::from);
        for read in last.into_iter().chain([end]) {
            if sender.blocking_send(read).is_err() {
                return;
            }
        }
    });
    receiver
}
