//! A stand-in for a server that turns texts into vectors (embeddings): `POST /v1/embeddings` of OpenAI's API.

use crate::http::{Connection, Request, RequestOutcome, Response};
use serde_json::{Value, json};
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Length of a vector unless the request says otherwise.
const LENGTH: usize = 64;

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub enum EndpointAction {
    /// It answers.
    Answer,
    /// It answers after this time.
    AnswerAfter(Duration),
    /// It fails with this status.
    Fail(u16),
    /// It resets the connection.
    Reset,
}

/// A request that the endpoint received.
#[derive(Clone, Debug)]
pub struct Call {
    /// The texts.
    pub texts: Vec<String>,
    /// The model.
    pub model: String,
    /// The header `authorization`, if there is one.
    pub authorization: Option<String>,
}

/// Decides what the endpoint does with a request, by its number, from 0, and its content.
type Decide = dyn Fn(usize, &Call) -> EndpointAction + Send + Sync;

/// What the endpoint's thread and its owner share.
struct Shared {
    calls: Mutex<Vec<Call>>,
    decide: Box<Decide>,
}

/// An endpoint on its own thread, which ends when this is dropped. Texts with words in common get similar vectors.
pub struct Endpoint {
    url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Starts an endpoint on a free port of localhost.
    ///
    /// # Errors
    /// No port is free, or no thread can be started.
    pub fn start(
        decide: impl Fn(usize, &Call) -> EndpointAction + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}/v1/embeddings", listener.local_addr()?);
        let shared = Arc::new(Shared { calls: Mutex::default(), decide: Box::new(decide) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("embeddings".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, served) => {}
                }
            });
        })?;
        Ok(Self { url, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Its address, path included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("the stand-in cannot listen: {error}"),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // An error means that the client has closed the connection.
            let _ = Connection::new(stream).serve(|request| answer(Arc::clone(&shared), request)).await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request) -> RequestOutcome {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let texts = body["input"].as_array().into_iter().flatten();
    let call = Call {
        texts: texts.filter_map(Value::as_str).map(str::to_owned).collect(),
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        authorization: request.header("authorization").map(str::to_owned),
    };
    let number = {
        let mut calls = shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call.clone());
        calls.len() - 1
    };
    match (shared.decide)(number, &call) {
        EndpointAction::Answer => {}
        EndpointAction::AnswerAfter(time) => tokio::time::sleep(time).await,
        EndpointAction::Fail(status) => {
            return reply(status, &json!({"error": {"message": format!("asked to fail with {status}")}}));
        }
        EndpointAction::Reset => return RequestOutcome::Reset,
    }
    let length =
        body["dimensions"].as_u64().and_then(|length| usize::try_from(length).ok()).unwrap_or(LENGTH);
    let item = |(index, text): (usize, &String)| json!({"index": index, "embedding": vector(text, length)});
    // Reversed, because the API does not promise the order of the texts: a client must use `index`.
    let data: Vec<Value> = call.texts.iter().enumerate().rev().map(item).collect();
    reply(200, &json!({"object": "list", "model": call.model, "data": data}))
}

fn reply(status: u16, body: &Value) -> RequestOutcome {
    let headers = vec![("content-type", "application/json".to_owned())];
    RequestOutcome::Answer(Response { status, headers, body: body.to_string().into_bytes() })
}

/// The vector of a text: how many of its words have each hash, modulo `length`.
pub fn vector(text: &str, length: usize) -> Vec<f32> {
    let mut vector = vec![0.01; length];
    for word in text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash =
            word.to_lowercase().bytes().fold(5381_u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte));
        vector[usize::try_from(hash % length.max(1) as u64).unwrap_or(0)] += 1.0;
    }
    vector
}
