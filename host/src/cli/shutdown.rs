//! Shutdown on SIGINT and SIGTERM: the first finishes or requeues what is in progress, the second ends at once.

use super::failure::Exit;
use host_core::storage::Stores;
use tokio_util::sync::CancellationToken;

/// Cancels at the first SIGINT or SIGTERM, so that chunks in progress are finished or requeued; ends at once at the second.
pub(super) async fn cancel_on_signal(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return tracing::warn!("signals cannot be received: an interrupt ends at once");
    };
    for first in [true, false] {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        if first {
            tracing::warn!(
                "interrupted: chunks in progress are finished, or requeued after the time that `worker.grace_seconds` \
                 allows; another signal ends at once, and nothing is lost either way"
            );
            cancel.cancel();
        }
    }
    // State is consistent at any moment; only what is in progress is repeated.
    std::process::exit(Exit::Interrupted as i32);
}

/// Says after an interrupt of a worker whether there is more to do, as far as it can be found out.
pub(super) async fn print_what_is_left(stores: &Stores, shop: Option<&str>) {
    match stores.jobs.list_open(shop, 1).await.as_deref() {
        Ok([]) => eprintln!("stopped: no job is open"),
        Ok([open, ..]) => eprintln!(
            "stopped: job {} is not finished; what is not written is queued, and the same command continues with it",
            open.job.id
        ),
        Err(_) => eprintln!("stopped: what is not written is queued, and the same command continues with it"),
    }
}
