//! Reads an export on a blocking thread and sends its items to the ingest in batches.

use super::run::{IngestError, SourceEvent};
use host_export::{ExportItem, Plan};
use tokio::sync::mpsc;

/// Maximum items of a batch, which is one call of the plug-in: enough to make the call's overhead negligible.
pub(super) const BATCH_ITEMS: usize = 128;
/// Bytes of products after which a batch is sent although it has fewer items: a plug-in's memory is limited.
const BATCH_BYTES: usize = 1 << 20;

/// Starts reading the export that `plan` describes; the channel holds up to `ahead` batches. Dropping the receiver
/// stops the reading.
pub fn start(plan: Plan, ahead: usize) -> mpsc::Receiver<Result<SourceEvent, IngestError>> {
    let (sender, receiver) = mpsc::channel(ahead.max(1));
    tokio::task::spawn_blocking(move || {
        let mut products = plan.into_products();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for item in products.by_ref() {
            match item {
                Ok(item) => {
                    if let ExportItem::Product { product, .. } = &item {
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
                && sender.blocking_send(Ok(SourceEvent::Items(std::mem::take(&mut batch)))).is_err()
            {
                return;
            }
            if batch.is_empty() {
                bytes = 0;
            }
        }
        let last = (!batch.is_empty()).then_some(Ok(SourceEvent::Items(batch)));
        let end = products.finish().map(SourceEvent::End).map_err(IngestError::from);
        for event in last.into_iter().chain([end]) {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
