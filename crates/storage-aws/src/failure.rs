//! Turns the error of an AWS call into one that says whether the call can be repeated, and what a person can read.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use host_core::storage::{StoreError, StoreErrorKind};

/// An AWS call failed, after the SDK's own repetitions.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct AwsError {
    code: Option<String>,
    kind: StoreErrorKind,
    message: String,
}

impl AwsError {
    /// The service's name of the failure, if the service answered.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub(crate) fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(crate) fn during(self, action: impl Into<String>) -> StoreError {
        StoreError { action: action.into(), kind: self.kind, source: Box::new(self) }
    }
}

/// Error codes of temporary failures. Every other code of a service means a permanent failure.
const TRANSIENT: [&str; 16] = [
    // A queue of this name was removed less than a minute ago. The older protocol of SQS has the longer code.
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "QueueDeletedRecently",
    "ConditionalRequestConflict",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "OperationAborted",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottlingException",
    "TransactionInProgressException",
];

/// Reads the SDK's error.
pub(crate) fn failure<E, R>(error: SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let service_message = error.message().map(str::to_owned);
    let kind = match &error {
        SdkError::ServiceError(_) => match code.as_deref() {
            Some(code) if TRANSIENT.contains(&code) => StoreErrorKind::Transient,
            // An answer without a code comes from something between, such as a proxy or a load balancer.
            None => StoreErrorKind::Transient,
            Some(_) => StoreErrorKind::Permanent,
        },
        SdkError::ConstructionFailure(_) => StoreErrorKind::Permanent,
        // Credentials, region or address are missing. A broken connection is another case and transient.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            StoreErrorKind::Permanent
        }
        _ => StoreErrorKind::Transient,
    };
    let message = match (&code, service_message) {
        (Some(code), Some(service_message)) => format!("{code}: {service_message}"),
        (Some(code), None) => code.clone(),
        (None, _) => causes(&error),
    };
    AwsError { code, kind, message }
}

/// All causes on one line: the SDK's own text says only `dispatch failure`.
fn causes(error: &dyn std::error::Error) -> String {
    host_core::error::chain(error)
}
