//! What an answer of an OCI registry means. Answers are untrusted: they are bounded while they are read.

use crate::{FetchError, error::excerpt, reference::Reference};
use host_core::error::chain;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// Most bytes of an error's body that are read.
const ERROR_LIMIT: u64 = 64 << 10;

/// The codes for what a registry does not have: section "Error Codes" of the OCI distribution specification.
const ABSENT: [&str; 5] =
    ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];

/// The body; `None` if it is larger than `limit` bytes. No more than that is held in memory.
pub(super) async fn body(mut response: Response, limit: u64) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if (body.len() + piece.len()) as u64 > limit {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// An answer without what was asked for.
pub(super) struct Refusal {
    status: StatusCode,
    /// The registry's own errors; empty if the body is not in the specified form.
    errors: Vec<Error>,
    /// The beginning of the body, printable.
    text: String,
}

/// The body of an error: `{"errors": [{"code": …}, …]}`.
#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<Error>,
}

#[derive(Deserialize)]
struct Error {
    code: String,
}

impl Refusal {
    /// Reads an answer whose status is not 200. A body that is too large or incomplete counts as empty.
    pub(super) async fn read(response: Response) -> Self {
        let status = response.status();
        let body = body(response, ERROR_LIMIT).await.ok().flatten().unwrap_or_default();
        let errors = serde_json::from_slice(&body).map_or(Vec::new(), |ErrorBody { errors }| errors);
        Self { status, errors, text: excerpt(&String::from_utf8_lossy(&body)) }
    }

    /// Whether the registry has nothing of that name.
    pub(super) fn is_absent(&self) -> bool {
        self.status == StatusCode::NOT_FOUND || self.has_code(&ABSENT)
    }

    /// Whether the registry does not support the request. The specification demands 404, but registries answer
    /// otherwise, too.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self.status.as_u16(), 400 | 404 | 405 | 406 | 501)
            || self.has_code(&["UNSUPPORTED"])
            || self.is_absent()
    }

    fn is_denied(&self) -> bool {
        matches!(self.status.as_u16(), 401 | 403) || self.has_code(&["UNAUTHORIZED", "DENIED"])
    }

    fn is_transient(&self) -> bool {
        self.status.is_server_error()
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.has_code(&["TOOMANYREQUESTS"])
    }

    /// Whether an error has one of these codes.
    fn has_code(&self, codes: &[&str]) -> bool {
        self.errors.iter().any(|error| codes.contains(&error.code.as_str()))
    }

    /// The error for the user, with what to do.
    pub(super) fn explain(&self, reference: &Reference) -> FetchError {
        let name = reference.name.clone();
        let status = self.status.as_u16();
        if self.is_denied() {
            return denied(reference);
        }
        if self.is_transient() {
            return FetchError::Unavailable { name, cause: format!("it answered with status {status}") };
        }
        let cause = if self.is_absent() {
            "its repository has not all that its manifest names".to_owned()
        } else {
            format!("its registry answered with status {status}: {}", self.text)
        };
        FetchError::Rejected { name, cause }
    }
}

/// The error if the registry refuses the credentials, or the lack of any.
pub(super) fn denied(reference: &Reference) -> FetchError {
    let registry = reference.registry();
    let cause = format!(
        "its registry accepts no anonymous access or refuses the credentials; log in with `docker login {registry}`, or set \
         HOST_OCI_REGISTRY={registry}, HOST_OCI_USERNAME and HOST_OCI_PASSWORD"
    );
    FetchError::Rejected { name: reference.name.clone(), cause }
}

/// The error of a request that got no answer, or only a part of one.
pub(super) fn failed(reference: &Reference, error: &reqwest::Error) -> FetchError {
    let (name, cause) = (reference.name.clone(), excerpt(&chain(error)));
    if error.is_redirect() {
        // Too many redirects, or one to an address without TLS.
        return FetchError::Rejected { name, cause: format!("its registry redirects wrongly: {cause}") };
    }
    FetchError::Unavailable { name, cause }
}
