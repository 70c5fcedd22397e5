//! Sends one HTTP request to a Marqo server and receives its answer; neither classifies nor retries.

use host_core::{error::chain, secret::Secret};
use host_net::{HttpTimeouts, http_client};
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};

/// Connections to servers, kept open between requests.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
}

/// A request, without the server it goes to.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Segments of the path, not escaped.
    pub(super) path: Vec<String>,
    pub(super) query: Option<&'static str>,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The header `Retry-After`: seconds, or a date in HTTP's format.
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
}

/// No complete answer was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransportError {
    /// Whether the server may have received the request.
    pub(super) maybe_sent: bool,
    pub(super) message: String,
}

impl Client {
    /// # Errors
    /// The system's certificates cannot be read.
    pub(super) fn new(timeouts: HttpTimeouts) -> reqwest::Result<Self> {
        Ok(Self { http: http_client(timeouts)? })
    }

    /// Sends a request to the server at the address `base`, with the API key if there is one.
    pub(super) async fn send(
        &self,
        base: &str,
        key: Option<&Secret>,
        index_name: &str,
        request: Request,
    ) -> Result<Answer, TransportError> {
        let url = url(base, &request).map_err(|message| TransportError { maybe_sent: false, message })?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("x-api-key", secret_header(key)?);
        }
        if let Ok(name) = HeaderValue::from_str(index_name) {
            // Marqo Cloud routes by this header; other servers ignore it.
            headers.insert("x-marqo-index-name", name);
        }
        let mut builder = self.http.request(request.method, url).headers(headers);
        if let Some(body) = request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = builder.send().await.map_err(transport_error)?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let (status, retry_after) = (response.status().as_u16(), retry_after.map(str::to_owned));
        let body = response.bytes().await.map_err(transport_error)?.to_vec();
        // The bodies of errors are printed, logged and stored, so they must not hold the key. Those of documents stay
        // as they are.
        let body = match key {
            Some(key) if status >= 400 => redact(key, body),
            _ => body,
        };
        Ok(Answer { status, retry_after, body })
    }
}

fn url(base: &str, request: &Request) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| format!("{base} is not a URL: {error}"))?;
    url.path_segments_mut()
        .map_err(|()| format!("{base} is not the URL of a server"))?
        .pop_if_empty()
        .extend(&request.path);
    url.set_query(request.query);
    Ok(url)
}

fn secret_header(key: &Secret) -> Result<HeaderValue, TransportError> {
    let Ok(mut value) = HeaderValue::from_str(key.expose()) else {
        let message = "the API key has characters that no header may have".to_owned();
        return Err(TransportError { maybe_sent: false, message });
    };
    value.set_sensitive(true);
    Ok(value)
}

/// A body in which the key, wherever a server repeats it, is replaced by `[redacted]`.
fn redact(key: &Secret, body: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&body) {
        Ok(text) if !key.expose().is_empty() && text.contains(key.expose()) => {
            text.replace(key.expose(), "[redacted]").into_bytes()
        }
        _ => body,
    }
}

fn transport_error(error: reqwest::Error) -> TransportError {
    // Where no connection was made (refused, name not found, TLS, timeout), the request was not sent.
    let maybe_sent = !(error.is_connect() || error.is_builder());
    TransportError { maybe_sent, message: chain(&error.without_url()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_server_repeats_is_redacted() {
        let key = Secret::new("SECRET-1");
        let body = b"{\"message\":\"bad key SECRET-1, not SECRET-12\"}".to_vec();
        let expected = b"{\"message\":\"bad key [redacted], not [redacted]2\"}";
        assert_eq!(redact(&key, body), expected);
        assert_eq!(redact(&key, b"\xff SECRET".to_vec()), b"\xff SECRET");
        assert_eq!(redact(&Secret::new(""), b"no".to_vec()), b"no");
    }

    #[test]
    fn an_address_may_have_a_path_and_names_are_escaped() {
        let request = Request {
            method: Method::POST,
            path: ["indexes", "a b/c", "documents"].map(str::to_owned).to_vec(),
            query: Some("expose_facets=true"),
            body: None,
        };
        for base in ["http://h:1/cell/7", "http://h:1/cell/7/"] {
            let url = url(base, &request).unwrap();
            assert_eq!(url.as_str(), "http://h:1/cell/7/indexes/a%20b%2Fc/documents?expose_facets=true");
        }
        assert!(url("localhost", &request).is_err());
        assert!(url("mailto:x@y", &request).is_err());
    }
}
