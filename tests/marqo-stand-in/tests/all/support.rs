//! What the tests share: a small HTTP client, and a stand-in with two indexes.

use marqo_stand_in::{Options, StandIn, Version};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(header, _)| *header == name).map(|(_, value)| value)
    }

    /// Asserts that the whole request was refused, in the form of Marqo; returns the body.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()));
        body
    }

    /// Asserts that the request was refused as malformed.
    #[track_caller]
    pub(crate) fn malformed(&self) {
        let body = self.json();
        assert_eq!((self.status, &body["code"]), (422, &json!("unprocessable_entity")), "{}", self.text);
        assert!(["body", "__root__"].contains(&body["detail"][0]["loc"][0].as_str().unwrap()));
        assert!(body.get("message").is_none());
    }

    /// `_id`, status and code of each item.
    #[track_caller]
    pub(crate) fn items(&self) -> Vec<(String, u64, String)> {
        assert_eq!(self.status, 200, "{}", self.text);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = self.json()["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| (text(&item["_id"]), item["status"].as_u64().unwrap(), text(&item["code"])))
            .collect()
    }

    /// Asserts that the only item was refused.
    #[track_caller]
    pub(crate) fn item_refused(&self, id: &str, status: u64, code: &str) {
        assert_eq!(self.items(), [(id.to_owned(), status, code.to_owned())], "{}", self.text);
        assert_eq!(self.json()["errors"], true);
    }

    /// Asserts that all items were accepted.
    #[track_caller]
    pub(crate) fn accepted(&self) {
        assert!(self.items().iter().all(|(_, status, _)| *status == 200), "{}", self.text);
        assert_eq!(self.json()["errors"], false);
    }
}

/// Sends a request and reads the answer.
pub(crate) fn send(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: stand-in\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, text) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_owned(), text: text.to_owned() })
}

/// A stand-in with an unstructured index `u` and a structured one `s`, both of 32 dimensions.
pub(crate) struct Harness {
    pub(crate) stand_in: StandIn,
    /// The value of the header `x-api-key`.
    key: String,
}

impl Harness {
    pub(crate) fn new(version: Version) -> Self {
        Self::with(Options { version, ..Options::default() })
    }

    /// A stand-in with these options.
    pub(crate) fn with(options: Options) -> Self {
        let key = options.api_key.clone().unwrap_or_default();
        let harness = Self { stand_in: StandIn::start(options).unwrap(), key };
        let structured = json!({
            "type": "structured",
            "model": "random/small",
            "allFields": [
                { "name": "title", "type": "text", "features": ["lexical_search"] },
                { "name": "price", "type": "float", "features": ["filter"] },
                { "name": "stock", "type": "int" },
                { "name": "tags", "type": "array<text>" },
                { "name": "note", "type": "text" },
                { "name": "picture", "type": "image_pointer" },
                { "name": "both", "type": "multimodal_combination", "dependentFields": { "note": 0.5, "picture": 0.5 } },
            ],
            "tensorFields": ["title", "both"],
        });
        for (name, settings) in [("u", json!({ "model": "random/small" })), ("s", structured)] {
            let created = harness.post(&format!("/indexes/{name}"), settings);
            assert_eq!(created.status, 200, "{}", created.text);
        }
        harness
    }

    /// Sends a request with the API key and no other headers than the given ones.
    pub(crate) fn send_bare(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("x-api-key", self.key.as_str())], headers].concat();
        send(self.stand_in.url(), method, path, &headers, body).unwrap()
    }

    /// Sends a request with a JSON body; with `null`, without a body.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> io::Result<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("x-api-key", self.key.as_str()), ("content-type", "application/json")];
        send(self.stand_in.url(), method, path, &headers, &body)
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(method, path, &body).unwrap()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, body)
    }

    /// Adds documents to the unstructured index, with `title` as the tensor field (the field that gets vectors).
    #[track_caller]
    pub(crate) fn add(&self, documents: Value) -> Answer {
        self.post("/indexes/u/documents", json!({ "tensorFields": ["title"], "documents": documents }))
    }

    /// Adds documents to the structured index.
    #[track_caller]
    pub(crate) fn add_structured(&self, documents: Value) -> Answer {
        self.post("/indexes/s/documents", json!({ "documents": documents }))
    }

    #[track_caller]
    pub(crate) fn patch(&self, index: &str, documents: Value) -> Answer {
        self.call("PATCH", &format!("/indexes/{index}/documents"), json!({ "documents": documents }))
    }

    /// Reads a document.
    #[track_caller]
    pub(crate) fn document(&self, index: &str, id: &str) -> Value {
        let answer = self.get(&format!("/indexes/{index}/documents/{id}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}
