//! A small OCI registry on this machine, with the rules of:
//!
//! - the OCI distribution specification 1.1, "Pulling manifests", "Pulling blobs", "Listing Referrers", "Unavailable Referrers API"
//!   <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>;
//! - Docker's token specification, "Requesting a Token" and "Token Response Fields"
//!   <https://distribution.github.io/distribution/spec/auth/token/>.

// Each test program that includes this module uses a part of it.
#![allow(dead_code)]

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type and artifact type of a Sigstore bundle, the signature of cosign 3.
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Bytes of an endless answer: many times as many as a client may read.
pub(crate) const FLOOD: usize = 64 << 20;

/// An answer: status, headers and body.
pub(crate) type Reply = (&'static str, String, Vec<u8>);

/// How a registry behaves.
#[derive(Clone)]
pub(crate) struct Rules {
    /// `user:password`, for which the token server issues a token; without it, anonymous pulls are allowed.
    pub(crate) login: Option<&'static str>,
    /// The scheme of the challenge, whose case does not matter: RFC 9110, section 11.1.
    pub(crate) scheme: &'static str,
    /// Address of the token server that challenges name; `None`: this registry itself.
    pub(crate) realm: Option<String>,
    /// The address from the second challenge on: no specification says that a registry repeats the first one.
    pub(crate) later_realm: Option<String>,
    /// Whether the registry takes the token of the first request for expired.
    pub(crate) expires_once: bool,
    /// The first challenge, in place of the usual one.
    pub(crate) first_challenge: Option<&'static str>,
    /// A part of paths whose answers are [`FLOOD`] bytes long, and the status of these answers.
    pub(crate) flooded: Option<(&'static str, &'static str)>,
    /// A part of paths that are answered with this, instead of what the registry has.
    pub(crate) replaced: Option<(&'static str, Reply)>,
    /// The token server's answer, which may name the token in two ways: "Token Response Fields".
    pub(crate) token: Value,
    /// Whether there is an API that lists referrers, or only the index under a tag: "Unavailable Referrers API".
    pub(crate) has_referrers_api: bool,
    /// The host to which requests for blobs are redirected, which must not get the token: "Pulling blobs".
    pub(crate) blob_store: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            login: None,
            scheme: "Bearer",
            realm: None,
            later_realm: None,
            expires_once: false,
            first_challenge: None,
            flooded: None,
            replaced: None,
            token: json!({ "token": "t0ken" }),
            has_referrers_api: true,
            blob_store: None,
        }
    }
}

/// A running registry.
pub(crate) struct Registry {
    /// Address and port.
    pub(crate) host: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    rules: Rules,
    host: String,
    /// Manifests and blobs, by path after `/v2/`.
    objects: Mutex<HashMap<String, Vec<u8>>>,
    /// Paths, and the header `Authorization` (empty without one).
    requests: Mutex<Vec<(String, String)>>,
    /// Bytes of endless answers that clients took.
    flood: AtomicUsize,
    stopped: AtomicBool,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    host_core::model::Digest::of(bytes).to_string()
}

impl Registry {
    pub(crate) fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            rules,
            host: host.clone(),
            objects: Mutex::default(),
            requests: Mutex::default(),
            flood: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let served = state.clone();
        let serving = thread::spawn(move || {
            for stream in listener.incoming() {
                if served.stopped.load(SeqCst) {
                    return;
                }
                served.answer(stream.unwrap());
            }
        });
        Self { host, state, serving }
    }

    /// What is stored at a path after `/v2/`.
    pub(crate) fn object(&self, path: &str) -> Vec<u8> {
        self.state.objects.lock().unwrap()[path].clone()
    }

    /// How many bytes of endless answers were sent, including those in socket buffers that no client read.
    pub(crate) fn flood(&self) -> usize {
        self.state.flood.load(SeqCst)
    }

    /// Stops the registry.
    pub(crate) fn stop(self) {
        self.state.stopped.store(true, SeqCst);
        drop(TcpStream::connect(&self.host));
        self.serving.join().unwrap();
    }

    /// All requests so far: paths, and the header `Authorization` (empty without one).
    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Stores a component; returns the digest of its manifest.
    pub(crate) fn push(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let layer = self.blob(repository, media_type, bytes);
        self.manifest(repository, Some(tag), &manifest(&layer))
    }

    /// Stores an image index: digests of manifests, each with the system and architecture that it is for.
    pub(crate) fn push_index(&self, repository: &str, tag: &str, entries: &[(&str, &str, &str)]) -> String {
        let entry = |(digest, os, architecture): &(&str, &str, &str)| {
            let platform = json!({ "os": os, "architecture": architecture });
            json!({ "mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform })
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        self.manifest(repository, Some(tag), &index(&entries))
    }

    /// Attaches a Sigstore bundle to a manifest, the subject, as `cosign sign` of cosign 3 does.
    pub(crate) fn attach(&self, repository: &str, subject: &str, bundle: &str) {
        let layer = self.blob(repository, BUNDLE, bundle.as_bytes());
        let mut manifest = manifest(&layer);
        manifest["artifactType"] = BUNDLE.into();
        manifest["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
        let referrer = self.manifest(repository, None, &manifest);
        self.refer(repository, subject, &referrer, BUNDLE);
    }

    /// Lists a manifest among those that refer to another, the subject.
    pub(crate) fn refer(&self, repository: &str, subject: &str, referrer: &str, artifact_type: &str) {
        let entry =
            json!({ "mediaType": MANIFEST, "digest": referrer, "size": 1, "artifactType": artifact_type });
        let path = if self.state.rules.has_referrers_api {
            format!("{repository}/referrers/{subject}")
        } else {
            format!("{repository}/manifests/{}", subject.replace(':', "-"))
        };
        let mut objects = self.state.objects.lock().unwrap();
        let listed = objects.get(&path).map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap());
        let mut entries = listed.map_or(Vec::new(), |index| index["manifests"].as_array().unwrap().clone());
        entries.push(entry);
        objects.insert(path, index(&entries).to_string().into_bytes());
    }

    /// Stores a signature of a manifest under the tag made of its digest, as `cosign sign` of cosign 2 does.
    pub(crate) fn sign(&self, repository: &str, manifest_digest: &str, payload: &str, signature: &str) {
        let media_type = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = self.blob(repository, media_type, payload.as_bytes());
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let tag = format!("{}.sig", manifest_digest.replace(':', "-"));
        self.manifest(repository, Some(&tag), &manifest(&layer));
    }

    /// Replaces a blob by other bytes, which do not have its digest.
    pub(crate) fn replace(&self, repository: &str, blob: &[u8], by: &[u8]) {
        self.put(format!("{repository}/blobs/{}", digest(blob)), by);
    }

    /// Stores a blob; returns its descriptor.
    pub(crate) fn blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        self.put(format!("{repository}/blobs/{}", digest(bytes)), bytes);
        json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
    }

    /// Stores a manifest under its digest and a tag; returns the digest.
    fn manifest(&self, repository: &str, tag: Option<&str>, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let named = digest(&bytes);
        for name in [Some(named.as_str()), tag].into_iter().flatten() {
            self.put(format!("{repository}/manifests/{name}"), &bytes);
        }
        named
    }

    fn put(&self, path: String, bytes: &[u8]) {
        self.state.objects.lock().unwrap().insert(path, bytes.to_vec());
    }
}

fn manifest(layer: &Value) -> Value {
    let config = json!({
        "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(b"{}"), "size": 2,
    });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] })
}

fn index(entries: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })
}

impl State {
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
        self.requests.lock().unwrap().push((path.clone(), authorization.clone()));
        if let Some((part, status)) = self.rules.flooded
            && path.contains(part)
        {
            return self.flood(&mut stream, status);
        }
        let (status, header, body) = self.reply(&path, &authorization);
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{header}\r\n");
        // An error is ignored: a client that finds the answer too long closes the connection.
        let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }

    /// Sends blanks, as many as the client takes.
    fn flood(&self, stream: &mut TcpStream, status: &str) {
        let mut sent = stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").as_bytes());
        let piece = [b' '; 1 << 16];
        for _ in 0..FLOOD / piece.len() {
            sent = sent.and_then(|()| stream.write_all(&piece));
            if sent.is_ok() {
                self.flood.fetch_add(piece.len(), SeqCst);
            }
        }
    }

    fn reply(&self, path: &str, authorization: &str) -> Reply {
        const UNAUTHORIZED: &str = "401 Unauthorized";
        if let Some((part, reply)) = &self.rules.replaced
            && path.contains(part)
        {
            return reply.clone();
        }
        if let Some(query) = path.strip_prefix("/token?") {
            assert!(query.contains("service=tests") && query.contains("pull"), "{query}");
            let basic = format!("Basic {}", BASE64_STANDARD.encode(self.rules.login.unwrap_or_default()));
            return if authorization == basic {
                ("200 OK", String::new(), self.rules.token.to_string().into_bytes())
            } else {
                (UNAUTHORIZED, String::new(), Vec::new())
            };
        }
        let accepted = |requests: &[(String, String)]| {
            let count = requests.iter().filter(|(_, sent)| sent == "Bearer t0ken").count();
            authorization == "Bearer t0ken" && !(self.rules.expires_once && count == 1)
        };
        if self.rules.login.is_some() && !accepted(&self.requests.lock().unwrap()) {
            let own_realm = || format!("http://{}/token", self.host);
            let asked = self.requests.lock().unwrap().iter().filter(|(path, _)| path == "/v2/").count();
            let later = self.rules.later_realm.clone().filter(|_| asked > 1);
            let realm = later.or_else(|| self.rules.realm.clone()).unwrap_or_else(own_realm);
            let scheme = self.rules.scheme;
            if let (Some(challenge), true) = (self.rules.first_challenge, asked <= 1) {
                return (UNAUTHORIZED, format!("WWW-Authenticate: {challenge}\r\n"), Vec::new());
            }
            let header = format!("WWW-Authenticate: {scheme} realm=\"{realm}\",service=\"tests\"\r\n");
            return (UNAUTHORIZED, header, Vec::new());
        }
        let path = path.trim_start_matches("/v2/").split('?').next().unwrap_or_default();
        if path.is_empty() {
            return ("200 OK", String::new(), b"{}".to_vec());
        }
        if let (Some(store), true) = (&self.rules.blob_store, path.contains("/blobs/")) {
            let header = format!("Location: http://{store}/v2/{path}\r\n");
            return ("307 Temporary Redirect", header, Vec::new());
        }
        let found = self.objects.lock().unwrap().get(path).cloned();
        let is_listing = self.rules.has_referrers_api && path.contains("/referrers/");
        let found = found.or_else(|| is_listing.then(|| index(&[]).to_string().into_bytes()));
        found.map_or(("404 Not Found", String::new(), Vec::new()), |bytes| ("200 OK", String::new(), bytes))
    }
}
