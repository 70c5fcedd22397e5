//! What an answer of a registry means.

use crate::{FetchError, reference::Reference};
use host_core::error::chain;
use host_plugin_host::bounded;
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

/// Most characters of a registry's own words in a message.
const EXCERPT: usize = 200;

/// Whether there is nothing of that name.
pub(super) fn is_absent(error: &OciDistributionError) -> bool {
    use OciErrorCode::{BlobUnknown, ManifestBlobUnknown, ManifestUnknown, NameUnknown, NotFound};
    match error {
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(error.code, BlobUnknown | ManifestBlobUnknown | ManifestUnknown | NameUnknown | NotFound)
        }),
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        _ => false,
    }
}

/// Whether a registry does not know the kind of request. It should answer 404, and some do not.
pub(super) fn is_unsupported(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ServerError { code, .. } => matches!(code, 400 | 404 | 405 | 406 | 501),
        OciDistributionError::RegistryError { envelope, .. } => {
            is_absent(error)
                || envelope.errors.iter().any(|error| matches!(error.code, OciErrorCode::Unsupported))
        }
        _ => is_absent(error),
    }
}

/// The error of a request, with what to do.
pub(super) fn explain(reference: &Reference, error: OciDistributionError) -> FetchError {
    let name = reference.name.clone();
    if is_refused(&error) {
        return refused(reference);
    }
    match error {
        OciDistributionError::RequestError(error) => FetchError::Unavailable { name, cause: chain(&error) },
        OciDistributionError::ServerError { code, .. } if code == 429 || code >= 500 => {
            FetchError::Unavailable { name, cause: format!("it answered with status {code}") }
        }
        OciDistributionError::RegistryError { envelope, .. }
            if envelope.errors.iter().any(|error| matches!(error.code, OciErrorCode::Toomanyrequests)) =>
        {
            FetchError::Unavailable { name, cause: "it answered that there are too many requests".to_owned() }
        }
        OciDistributionError::DigestError(error) => other_bytes(name, &error),
        OciDistributionError::IoError(error) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<DigestError>()) {
                Some(error) => other_bytes(name, error),
                None => FetchError::Unavailable { name, cause: chain(&error) },
            }
        }
        error if is_absent(&error) => FetchError::Rejected {
            name,
            cause: "its repository has not all that its manifest names".to_owned(),
        },
        error => FetchError::Rejected {
            name,
            cause: format!("its registry's answer is {}", excerpt(&error.to_string())),
        },
    }
}

/// The registry does not let this user in.
pub(super) fn refused(reference: &Reference) -> FetchError {
    let registry = reference.registry();
    let cause = format!(
        "its registry accepts no anonymous access or refuses the credentials; log in with `docker login {registry}`, or set \
         HOST_OCI_REGISTRY={registry}, HOST_OCI_USERNAME and HOST_OCI_PASSWORD"
    );
    FetchError::Rejected { name: reference.name.clone(), cause }
}

fn is_refused(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            true
        }
        OciDistributionError::ServerError { code, .. } => matches!(code, 401 | 403),
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .iter()
            .any(|error| matches!(error.code, OciErrorCode::Unauthorized | OciErrorCode::Denied)),
        _ => false,
    }
}

fn other_bytes(name: String, error: &DigestError) -> FetchError {
    let cause = match error {
        DigestError::VerificationError { expected, .. } => {
            format!("its registry sent other bytes than those of {expected}")
        }
        error => format!("its registry sent an unusable digest: {}", excerpt(&error.to_string())),
    };
    FetchError::Rejected { name, cause }
}

/// A registry's own words, short and on one line.
pub(super) fn excerpt(text: &str) -> String {
    bounded(text, EXCERPT).replace(char::is_control, " ")
}
