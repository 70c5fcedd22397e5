//! The client of an endpoint that computes embeddings (vectors of texts): `POST /v1/embeddings` as defined by OpenAI
//! and offered by many others.

use crate::EmbeddingsConfig;
use host_core::{clock::SharedClock, error::chain, secret::Secret};
use host_net::{HttpTimeouts, Retry, RetryPolicy, http_client, retry_after};
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A request to the endpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The endpoint refuses one of the texts.
    #[error("the embedding endpoint refuses a text with {status}: {message}")]
    Refused {
        /// HTTP status of its answer.
        status: u16,
        /// Its error message.
        message: String,
    },
    /// The endpoint refuses every request, because of the key, the address or the settings.
    #[error("the embedding endpoint {url} answers {status}: {message}; check `catalog.embeddings`")]
    Unusable {
        /// Its address.
        url: String,
        /// HTTP status of its answer.
        status: u16,
        /// Its error message.
        message: String,
    },
    /// The endpoint was unavailable at every attempt.
    #[error("the embedding endpoint {url} did not answer after {attempts} attempts: {message}")]
    Unavailable {
        /// Its address.
        url: String,
        /// Number of attempts.
        attempts: u32,
        /// What happened at the last attempt.
        message: String,
    },
    /// Its answer cannot be understood.
    #[error("the embedding endpoint {url} does not answer as OpenAI's does: {message}")]
    Answer {
        /// Its address.
        url: String,
        /// What is wrong with the answer.
        message: String,
    },
    /// The client cannot be built.
    #[error("the client of the embedding endpoint cannot be built")]
    Client(#[source] reqwest::Error),
    /// No endpoint is set.
    #[error("`catalog.embeddings.url` is not set")]
    NoEndpoint,
    /// The key cannot be sent.
    #[error("`catalog.embeddings.key` has characters that no header may have")]
    Key,
}

/// Makes vectors of texts.
#[derive(Debug)]
pub struct Embedder {
    http: reqwest::Client,
    url: String,
    config: EmbeddingsConfig,
    authorization: Option<HeaderValue>,
    clock: SharedClock,
}

/// The endpoint's answer.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

/// The vector of one text.
#[derive(Deserialize)]
struct Item {
    /// Position of the text in the request, from 0.
    index: usize,
    embedding: Vec<f32>,
}

/// The result of one attempt at a request.
enum Attempt {
    /// The body of a successful answer.
    Done(Vec<u8>),
    /// The endpoint is unavailable; `after` is the wait that it asks for, if it does.
    Retry { after: Option<Duration>, message: String },
}

impl Embedder {
    /// A client of the endpoint that the settings name.
    ///
    /// # Errors
    /// The settings name none, or cannot be used.
    pub fn new(config: &EmbeddingsConfig, clock: SharedClock) -> Result<Self, CallError> {
        let url = config.url.clone().ok_or(CallError::NoEndpoint)?;
        let timeouts = HttpTimeouts { connect: CONNECT_TIMEOUT, request: config.timeout };
        let http = http_client(timeouts).map_err(CallError::Client)?;
        let authorization = config.key.as_ref().map(bearer).transpose()?;
        Ok(Self { http, url, config: config.clone(), authorization, clock })
    }

    pub(super) fn config(&self) -> &EmbeddingsConfig {
        &self.config
    }

    /// The vectors of some texts, in their order.
    pub(super) async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, CallError> {
        let mut body = json!({"model": self.config.model, "input": texts, "encoding_format": "float"});
        if let Some(dimensions) = self.config.dimensions {
            body["dimensions"] = dimensions.get().into();
        }
        let policy = RetryPolicy::EMBEDDINGS.with_max_attempts(self.config.attempts.get());
        let mut retry = Retry::new(policy, self.clock.as_ref());
        loop {
            let (after, message) = match self.attempt(&body).await? {
                Attempt::Done(answer) => return self.vectors(&answer, texts.len()),
                Attempt::Retry { after, message } => (after, message),
            };
            tracing::warn!(attempt = retry.failed() + 1, message, "the embedding endpoint is unavailable");
            if !retry.wait(after).await {
                let (url, attempts) = (self.url.clone(), retry.failed());
                return Err(CallError::Unavailable { url, attempts, message });
            }
        }
    }

    async fn attempt(&self, body: &Value) -> Result<Attempt, CallError> {
        let mut request = self.http.post(&self.url).json(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let retry = |error: reqwest::Error| Attempt::Retry { after: None, message: chain(&error) };
        let response = match request.send().await {
            Err(error) if error.is_builder() => return Err(CallError::Client(error)),
            Err(error) => return Ok(retry(error)),
            Ok(response) => response,
        };
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| retry_after(value.to_str().ok()?, self.clock.now()));
        let answer = match response.bytes().await {
            Err(error) => return Ok(retry(error)),
            Ok(answer) => answer.to_vec(),
        };
        if status.is_success() {
            return Ok(Attempt::Done(answer));
        }
        let message = message(&answer);
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {}
            _ if status.is_server_error() => {}
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(CallError::Refused { status: status.as_u16(), message });
            }
            _ => {
                let url = self.url.clone();
                return Err(CallError::Unusable { url, status: status.as_u16(), message });
            }
        }
        let message = format!("{}: {message}", status.as_u16());
        Ok(Attempt::Retry { after, message })
    }

    /// The vectors of an answer, in the order of the texts; an error unless there are `count` of the same length.
    fn vectors(&self, answer: &[u8], count: usize) -> Result<Vec<Vec<f32>>, CallError> {
        let wrong = |message: String| CallError::Answer { url: self.url.clone(), message };
        let Answer { mut data } = serde_json::from_slice(answer).map_err(|error| wrong(error.to_string()))?;
        data.sort_by_key(|item| item.index);
        let length = data.first().map_or(0, |item| item.embedding.len());
        let in_order = data.iter().enumerate().all(|(at, item)| {
            item.index == at
                && item.embedding.len() == length
                && item.embedding.iter().all(|number| number.is_finite())
        });
        if data.len() != count || !in_order || length == 0 {
            return Err(wrong(format!("{} vectors for {count} texts, or some that are none", data.len())));
        }
        Ok(data.into_iter().map(|item| item.embedding).collect())
    }
}

/// The authorization header with the key, marked so that it is not logged.
fn bearer(key: &Secret) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| CallError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The error message in an answer, or else the answer itself; at most 500 characters, as it is logged and stored.
fn message(answer: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(answer).ok();
    let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str().map(str::to_owned));
    message.unwrap_or_else(|| String::from_utf8_lossy(answer).into_owned()).chars().take(500).collect()
}
