//! Shutdown on SIGINT and SIGTERM: the first finishes or requeues what is in progress, the second ends at once.

use super::failure::Exit;
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

/// Says after an interrupt how to resume.
pub(super) fn print_how_to_resume() {
    eprintln!("interrupted: unwritten documents are queued; re-run the same command to resume");
}
