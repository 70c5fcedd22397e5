//! A small OCI registry on this machine.

use base64::{Engine, prelude::BASE64_STANDARD};
use host_core::model::Digest;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

pub(crate) struct Registry {
    /// Address and port.
    pub(crate) host: String,
    shelf: Arc<Shelf>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shelf {
    /// By path behind `/v2/`.
    objects: Mutex<HashMap<String, Vec<u8>>>,
    /// `user:password`, for which there is a token.
    login: Option<String>,
    host: String,
    asked: AtomicU64,
    stopped: AtomicBool,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

impl Registry {
    /// A registry, with or without a login.
    pub(crate) fn start(login: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let login = login.map(str::to_owned);
        let shelf = Arc::new(Shelf { login, host: host.clone(), ..Shelf::default() });
        let served = shelf.clone();
        let serving = thread::spawn(move || {
            for stream in listener.incoming() {
                if served.stopped.load(SeqCst) {
                    return;
                }
                served.answer(stream.unwrap());
            }
        });
        Self { host, shelf, serving }
    }

    /// Puts a component there; gives the digest of its manifest.
    pub(crate) fn push(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let layer = json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() });
        self.put(format!("{repository}/blobs/{}", digest(bytes)), bytes);
        self.manifest(repository, tag, &layer)
    }

    /// Puts a signature of a manifest beside it.
    pub(crate) fn sign(&self, repository: &str, manifest: &str, payload: &str, signature: &str) {
        let payload_digest = digest(payload.as_bytes());
        self.put(format!("{repository}/blobs/{payload_digest}"), payload.as_bytes());
        let layer = json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": payload_digest,
            "annotations": { "dev.cosignproject.cosign/signature": signature },
        });
        self.manifest(repository, &format!("{}.sig", manifest.replace(':', "-")), &layer);
    }

    /// Gives other bytes for a blob than those that it has the digest of.
    pub(crate) fn replace(&self, repository: &str, blob: &[u8], by: &[u8]) {
        self.put(format!("{repository}/blobs/{}", digest(blob)), by);
    }

    /// Ends it; gives how often it was asked.
    pub(crate) fn stop(self) -> u64 {
        self.shelf.stopped.store(true, SeqCst);
        drop(TcpStream::connect(&self.host));
        self.serving.join().unwrap();
        self.shelf.asked.load(SeqCst)
    }

    fn manifest(&self, repository: &str, tag: &str, layer: &Value) -> String {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(b"{}"), "size": 2 },
            "layers": [layer],
        });
        let bytes = manifest.to_string().into_bytes();
        let named = digest(&bytes);
        self.put(format!("{repository}/manifests/{tag}"), &bytes);
        self.put(format!("{repository}/manifests/{named}"), &bytes);
        named
    }

    fn put(&self, path: String, bytes: &[u8]) {
        self.shelf.objects.lock().unwrap().insert(path, bytes.to_vec());
    }
}

impl Shelf {
    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(request) = lines.next() else { return };
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let mut authorization = String::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                value.clone_into(&mut authorization);
            }
        }
        self.asked.fetch_add(1, SeqCst);
        let (status, header, body) = self.reply(&path, &authorization);
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{header}\r\n");
        // Who finds the answer too long hangs up.
        let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }

    fn reply(&self, path: &str, authorization: &str) -> (&'static str, String, Vec<u8>) {
        if let Some(query) = path.strip_prefix("/token?") {
            let basic =
                format!("Basic {}", BASE64_STANDARD.encode(self.login.as_deref().unwrap_or_default()));
            assert!(query.contains("service=tests") && query.contains("scope=pull"), "{query}");
            return if authorization == basic {
                ("200 OK", String::new(), b"{\"token\":\"t0ken\"}".to_vec())
            } else {
                ("401 Unauthorized", String::new(), Vec::new())
            };
        }
        if self.login.is_some() && authorization != "Bearer t0ken" {
            let realm = format!("http://{}/token", self.host);
            let header =
                format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"tests\",scope=\"pull\"\r\n");
            return ("401 Unauthorized", header, Vec::new());
        }
        let found = self.objects.lock().unwrap().get(path.trim_start_matches("/v2/")).cloned();
        found.map_or(("404 Not Found", String::new(), Vec::new()), |bytes| ("200 OK", String::new(), bytes))
    }
}
