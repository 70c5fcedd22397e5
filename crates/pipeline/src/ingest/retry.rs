//! Retries calls of stores outside of workers, by the policy that a worker has for temporary failures.

use crate::worker::{ChunkError, FailureAction, failure_action};
use host_core::{
    clock::SharedClock,
    error::chain,
    storage::{StoreError, StoreErrorKind},
};

/// Makes an idempotent call, and repeats it while its failure is temporary: as often, and after the same waits, as a
/// worker tries a chunk ([`failure_action`]).
pub(crate) async fn retry<T, F: Future<Output = Result<T, StoreError>>>(
    clock: &SharedClock,
    call: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut attempts = 1;
    loop {
        let error = match call().await {
            Err(error) if error.kind == StoreErrorKind::Transient => ChunkError::Store(error),
            done => return done,
        };
        let action = failure_action(&error, attempts, clock.random());
        let ChunkError::Store(error) = error else { unreachable!("it was made above") };
        let FailureAction::Retry(after) = action else { return Err(error) };
        tracing::warn!(attempts, cause = chain(&error), "a call failed; {action}");
        clock.sleep(after).await;
        attempts += 1;
    }
}
