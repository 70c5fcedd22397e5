//! Pulls a component out of an OCI registry, in the layout that Wasm has there: a manifest with one layer `application/wasm`. And the
//! signature that cosign puts beside it. Three kinds of GET and a token: too little for a client crate that would bring another two
//! dozen with it and other features for the HTTP client that is here.

use super::{
    Key, SupplyError,
    credentials::Credentials,
    reference::{Reference, Version, is_local},
};
use host_core::{error::chain, model::Digest};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WASM: &str = "application/wasm";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// Most bytes of a manifest, a token's answer and a signature's payload.
const SMALL: u64 = 1 << 20;

/// Signatures of one plug-in that are looked at.
const SIGNATURES: usize = 20;

/// A component, and the manifest that named it.
pub(super) struct Pulled {
    pub(super) wasm: Vec<u8>,
    pub(super) manifest: Digest,
}

/// One repository of a registry.
pub(super) struct Registry<'a> {
    reference: &'a Reference,
    client: Client,
    limit: u64,
    kept: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl<'a> Registry<'a> {
    /// The repository of a reference; what it gives is kept by digest in a folder.
    pub(super) fn new(
        reference: &'a Reference,
        limit: u64,
        kept: Option<&Path>,
    ) -> Result<Self, SupplyError> {
        host_net::install_tls_provider();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(120))
            .build()
            .map_err(|error| SupplyError::Registry { name: reference.name.clone(), cause: chain(&error) })?;
        Ok(Self { reference, client, limit, kept: kept.map(Path::to_owned) })
    }

    /// The component that the reference names, or that a manifest names which was pinned for it.
    pub(super) async fn pull(&self, pinned: Option<Digest>) -> Result<Pulled, SupplyError> {
        let digest = match &self.reference.version {
            Version::Digest(digest) => Some(*digest),
            Version::Tag(_) => pinned,
        };
        let bytes = match (digest, &self.reference.version) {
            (Some(digest), _) => self.by_digest("manifests", digest, SMALL).await?,
            (None, Version::Digest(digest)) => self.by_digest("manifests", *digest, SMALL).await?,
            (None, Version::Tag(tag)) => {
                let bytes = self.required("manifests", tag, SMALL).await?;
                // For the time when a lock has pinned it.
                self.keep(Digest::of(&bytes), &bytes);
                bytes
            }
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.refused(format!("its manifest is none: {error}")))?;
        let mut layers = manifest.layers.iter().filter(|layer| layer.media_type == WASM);
        let (Some(layer), None) = (layers.next(), layers.next()) else {
            let cause =
                format!("what is there has not exactly one layer of type {WASM}, so it is no component");
            return Err(self.refused(cause));
        };
        let wasm = self.by_digest("blobs", layer.digest, self.limit).await?;
        Ok(Pulled { wasm, manifest: Digest::of(&bytes) })
    }

    /// Checks that the manifest is signed with a key.
    pub(super) async fn verify(&self, key: &Key, manifest: Digest) -> Result<(), SupplyError> {
        let tag = format!("sha256-{}.sig", manifest.hex());
        let unsigned = |cause: String| {
            let Reference { name, registry, repository, .. } = self.reference;
            let command = format!("sign --key cosign.key {registry}/{repository}@{manifest}");
            SupplyError::Unsigned { name: name.clone(), cause, command }
        };
        let Some(bytes) = self.optional("manifests", &tag, SMALL).await? else {
            return Err(unsigned(format!("there is no tag {tag} in its repository")));
        };
        let signatures: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| unsigned(format!("{tag} is no manifest: {error}")))?;
        let layers = signatures.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING);
        for layer in layers.take(SIGNATURES) {
            let Some(signature) = layer.annotations.get(SIGNATURE) else { continue };
            let payload = self.by_digest("blobs", layer.digest, SMALL).await?;
            if key.is_of_manifest(signature, &payload, &manifest.to_string()) {
                return Ok(());
            }
        }
        Err(key.forged(self.reference.name.clone()))
    }

    /// What has a digest: kept, or asked for and kept. Other bytes are refused, wherever they come from.
    async fn by_digest(&self, kind: &str, digest: Digest, limit: u64) -> Result<Vec<u8>, SupplyError> {
        let path = self.kept.as_ref().map(|folder| folder.join(digest.hex()));
        if let Some(bytes) = path.and_then(|path| fs::read(path).ok())
            && Digest::of(&bytes) == digest
        {
            return Ok(bytes);
        }
        let bytes = self.required(kind, &digest.to_string(), limit).await?;
        if Digest::of(&bytes) != digest {
            return Err(self.refused(format!("it gave other bytes than those of {digest}")));
        }
        self.keep(digest, &bytes);
        Ok(bytes)
    }

    /// Keeps what has a digest. A folder that cannot be written is no reason to stop.
    fn keep(&self, digest: Digest, bytes: &[u8]) {
        if let Some(folder) = &self.kept
            && let Err(error) = keep(&folder.join(digest.hex()), bytes)
        {
            tracing::warn!("what registries give is not kept in {}: {error}", folder.display());
        }
    }

    async fn required(&self, kind: &str, what: &str, limit: u64) -> Result<Vec<u8>, SupplyError> {
        self.optional(kind, what, limit)
            .await?
            .ok_or_else(|| self.refused(format!("there is nothing under {what}")))
    }

    /// What is under a name; none if there is nothing.
    async fn optional(&self, kind: &str, what: &str, limit: u64) -> Result<Option<Vec<u8>>, SupplyError> {
        let url = format!("{}/{kind}/{what}", self.reference.base());
        let mut response = self.ask(&url, None).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let authorization = self.authorize(response.headers()).await?;
            response = self.ask(&url, Some(authorization)).await?;
        }
        match response.status() {
            StatusCode::OK => self.body(response, limit).await.map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused(
                "it wants other credentials than those of `docker login` and HOST_OCI_USERNAME, HOST_OCI_PASSWORD".to_owned(),
            )),
            status => Err(self.failed(format!("{url} was answered with {status}"))),
        }
    }

    async fn ask(&self, url: &str, authorization: Option<HeaderValue>) -> Result<Response, SupplyError> {
        let mut request = self.client.get(url).header(ACCEPT, MANIFEST);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.map_err(|error| self.failed(chain(&error)))
    }

    /// What a registry wants to see after it has answered 401: name and password, or a token that is got for them elsewhere.
    async fn authorize(&self, headers: &HeaderMap) -> Result<HeaderValue, SupplyError> {
        let challenge =
            headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let credentials = Credentials::of(&self.reference.registry);
        let Some(fields) = challenge.strip_prefix("Bearer ").map(fields) else {
            let Some(Credentials { user, password }) = credentials else {
                return Err(self.refused("it wants credentials; `docker login` stores them".to_owned()));
            };
            return self.secret(format!("Basic {}", base64(&format!("{user}:{password}"))));
        };
        let realm = fields.get("realm").and_then(|realm| Url::parse(realm).ok());
        let is_safe = |url: &Url| url.scheme() == "https" || url.host_str().is_some_and(is_local);
        let Some(mut realm) = realm.filter(is_safe) else {
            return Err(
                self.refused(format!("it asks for a token without a safe place to get it: {challenge}"))
            );
        };
        for key in ["service", "scope"] {
            if let Some(value) = fields.get(key) {
                realm.query_pairs_mut().append_pair(key, value);
            }
        }
        let basic = credentials.map(|Credentials { user, password }| base64(&format!("{user}:{password}")));
        let basic = basic.map(|basic| self.secret(format!("Basic {basic}"))).transpose()?;
        let response = self.ask(realm.as_str(), basic).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(format!("it gives no token: {} from {realm}", response.status())));
        }
        let body = self.body(response, SMALL).await?;
        let Token { token } = serde_json::from_slice(&body)
            .map_err(|error| self.refused(format!("its token is none: {error}")))?;
        self.secret(format!("Bearer {token}"))
    }

    fn secret(&self, text: String) -> Result<HeaderValue, SupplyError> {
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| self.refused("its credentials have characters that no header has".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The body, no more of it than is allowed.
    async fn body(&self, mut response: Response, limit: u64) -> Result<Vec<u8>, SupplyError> {
        let mut bytes = Vec::new();
        while let Some(more) = response.chunk().await.map_err(|error| self.failed(chain(&error)))? {
            if (bytes.len() + more.len()) as u64 > limit {
                return Err(self.refused(format!("it is larger than {limit} bytes")));
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    fn refused(&self, cause: String) -> SupplyError {
        SupplyError::Refused { name: self.reference.name.clone(), cause }
    }

    fn failed(&self, cause: String) -> SupplyError {
        SupplyError::Registry { name: self.reference.name.clone(), cause }
    }
}

fn base64(text: &str) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text)
}

/// The fields of a challenge: `realm="…",service="…"`. A comma may stand inside of quotes.
fn fields(challenge: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = challenge;
    while let Some((key, behind)) = rest.split_once("=\"") {
        let Some((value, behind)) = behind.split_once('"') else { break };
        fields.insert(key.trim_start_matches([',', ' ']).to_owned(), value.to_owned());
        rest = behind;
    }
    fields
}

fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_has_fields() {
        let found = fields(
            r#"realm="https://auth.example/token",service="r.example",scope="repository:a:pull,push""#,
        );
        let found: Vec<_> = found.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            found,
            ["realm=https://auth.example/token", "scope=repository:a:pull,push", "service=r.example"]
        );
        assert!(fields("").is_empty() && fields("realm=\"x").is_empty());
    }
}
