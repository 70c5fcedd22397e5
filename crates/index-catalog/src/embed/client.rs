//! The endpoint: `POST /v1/embeddings` as OpenAI has it, and many others after it.

use host_core::{clock::SharedEnv, model::Secret};
use host_net::install_tls_provider;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How the endpoint is reached and used.
#[derive(Clone, Debug)]
pub struct EmbedOptions {
    /// Its address, path included.
    pub url: String,
    /// Sent as `authorization: Bearer`.
    pub key: Option<Secret>,
    /// Name of the model.
    pub model: String,
    /// Length of a vector, if it is not the model's own.
    pub dimensions: Option<u32>,
    /// Texts of a request.
    pub batch_size: usize,
    /// Requests at once.
    pub concurrency: usize,
    /// Attempts at a request that cannot be answered now.
    pub attempts: u32,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl EmbedOptions {
    /// What tells vectors that can be compared from others.
    pub(super) fn name(&self) -> String {
        match self.dimensions {
            None => self.model.clone(),
            Some(dimensions) => format!("{}@{dimensions}", self.model),
        }
    }
}

/// A request to the endpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The endpoint does not take these texts.
    #[error("the embedding endpoint refuses a text with {status}: {message}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It does not take anything from us.
    #[error("the embedding endpoint {url} answers {status}: {message}; check `catalog.embeddings`")]
    Unusable {
        /// Its address.
        url: String,
        /// Its status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It could not answer, again and again.
    #[error("the embedding endpoint {url} did not answer after {attempts} attempts: {message}")]
    Unavailable {
        /// Its address.
        url: String,
        /// How often it was asked.
        attempts: u32,
        /// What happened the last time.
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
    /// The client cannot be made.
    #[error("the client of the embedding endpoint cannot be made")]
    Client(#[source] reqwest::Error),
    /// The key cannot be sent.
    #[error("`catalog.embeddings.key` has characters that no header may have")]
    Key,
}

/// Makes vectors of texts.
#[derive(Debug)]
pub struct Embedder {
    http: reqwest::Client,
    options: EmbedOptions,
    authorization: Option<HeaderValue>,
    env: SharedEnv,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

/// What one attempt came to.
enum Attempt {
    Done(Vec<u8>),
    Again { after: Option<Duration>, message: String },
}

/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Embedder {
    /// # Errors
    /// The client cannot be made of these options.
    pub fn new(options: EmbedOptions, env: SharedEnv) -> Result<Self, CallError> {
        install_tls_provider();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(options.timeout)
            .redirect(Policy::none())
            .build()
            .map_err(CallError::Client)?;
        let authorization = options.key.as_ref().map(|key| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| CallError::Key)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let authorization = authorization.transpose()?;
        let options = EmbedOptions {
            batch_size: options.batch_size.max(1),
            concurrency: options.concurrency.max(1),
            ..options
        };
        Ok(Self { http, options, authorization, env })
    }

    pub(super) fn options(&self) -> &EmbedOptions {
        &self.options
    }

    /// The vectors of some texts, in their order.
    pub(super) async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, CallError> {
        let mut body = json!({"model": self.options.model, "input": texts, "encoding_format": "float"});
        if let Some(dimensions) = self.options.dimensions {
            body["dimensions"] = dimensions.into();
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (after, message) = match self.attempt(&body).await? {
                Attempt::Done(answer) => return self.vectors(&answer, texts.len()),
                Attempt::Again { after, message } => (after, message),
            };
            if attempts >= self.options.attempts {
                let url = self.options.url.clone();
                return Err(CallError::Unavailable { url, attempts, message });
            }
            tracing::warn!(attempts, message, "the embedding endpoint is asked again");
            let longest = Duration::from_millis(500 << attempts.min(7)).min(LONGEST_WAIT);
            let jitter = Duration::from_millis(self.env.random() % (longest.as_millis() as u64 + 1));
            self.env.sleep(after.map_or(jitter, |after| after.min(LONGEST_WAIT) + jitter / 8)).await;
        }
    }

    async fn attempt(&self, body: &Value) -> Result<Attempt, CallError> {
        let mut request = self.http.post(&self.options.url).json(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let again =
            |error: reqwest::Error| Attempt::Again { after: None, message: host_core::error::chain(&error) };
        let response = match request.send().await {
            Err(error) if error.is_builder() => return Err(CallError::Client(error)),
            Err(error) => return Ok(again(error)),
            Ok(response) => response,
        };
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let answer = match response.bytes().await {
            Err(error) => return Ok(again(error)),
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
                let url = self.options.url.clone();
                return Err(CallError::Unusable { url, status: status.as_u16(), message });
            }
        }
        let message = format!("{}: {message}", status.as_u16());
        Ok(Attempt::Again { after: after.map(Duration::from_secs), message })
    }

    fn vectors(&self, answer: &[u8], count: usize) -> Result<Vec<Vec<f32>>, CallError> {
        let wrong = |message: String| CallError::Answer { url: self.options.url.clone(), message };
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

/// What the endpoint says of an error, shortened.
fn message(answer: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(answer).ok();
    let told = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str().map(str::to_owned));
    told.unwrap_or_else(|| String::from_utf8_lossy(answer).into_owned()).chars().take(500).collect()
}
