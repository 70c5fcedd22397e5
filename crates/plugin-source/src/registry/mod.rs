//! Pulls from one repository of an OCI registry: the component that a plug-in's reference names, and the manifests that
//! refer to it, such as signatures.

mod answer;
mod layout;
mod token;

use crate::{
    Credentials, FetchError, PluginSource,
    cache::Cache,
    reference::{Reference, Version, is_loopback},
};
use answer::Refusal;
use host_core::model::Digest;
use oci_client::{
    manifest::{OciImageManifest, OciManifest},
    secrets::RegistryAuth,
};
use reqwest::{Client, Response, StatusCode, header::ACCEPT, redirect::Policy};
use std::time::Duration;
use tokio::sync::Mutex;

/// Most bytes of a manifest or a list of referrers. The specification has registries accept manifests of up to this
/// size:
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests>
const MANIFEST_LIMIT: u64 = 4 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one request with its whole answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Most redirects of one request. Registries need one: to the blob store, a server that keeps their layers.
const MAX_REDIRECTS: usize = 10;

/// A component, and the manifest or index that its reference names.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) wasm: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

/// The repository of a reference. What is in the cache is not requested from it.
pub(crate) struct Registry<'a> {
    pub(crate) reference: &'a Reference,
    client: Client,
    credentials: &'a Credentials,
    /// How to authenticate; `None` until the registry was asked.
    authorization: Mutex<Option<RegistryAuth>>,
    cache: Cache,
    /// Most bytes of the component.
    limit: u64,
}

/// An HTTP client that decompresses nothing: a small body could become a thousand times as large.
fn client(redirects: Policy, https_only: bool) -> reqwest::Result<Client> {
    host_net::install_tls_provider();
    Client::builder()
        .user_agent(concat!("host/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(redirects)
        .https_only(https_only)
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .build()
}

impl<'a> Registry<'a> {
    pub(crate) fn new(reference: &'a Reference, source: &'a PluginSource) -> Result<Self, FetchError> {
        let client = client(Policy::limited(MAX_REDIRECTS), !is_loopback(reference.host()))
            .map_err(|error| answer::failed(reference, &error))?;
        Ok(Self {
            reference,
            client,
            credentials: &source.credentials,
            authorization: Mutex::new(None),
            cache: Cache::new(source.cache.as_deref()),
            limit: source.limit,
        })
    }

    /// The component that the reference names, or the manifest that is pinned for it.
    pub(crate) async fn pull(&self, pinned: Option<Digest>) -> Result<Pulled, FetchError> {
        let version = match (&self.reference.version, pinned) {
            (Version::Tag(_), Some(manifest)) => &Version::Digest(manifest),
            (version, _) => version,
        };
        let bytes = self.existing_manifest(version).await?;
        let image = match self.parse(&bytes)? {
            OciManifest::Image(image) => image,
            OciManifest::ImageIndex(index) => {
                let digest = layout::wasm_manifest(&index).map_err(|cause| self.rejected(cause))?;
                match self.parse(&self.existing_manifest(&Version::Digest(digest)).await?)? {
                    OciManifest::Image(image) => image,
                    OciManifest::ImageIndex(_) => {
                        return Err(self.rejected("its image index names another image index".to_owned()));
                    }
                }
            }
        };
        let layer = layout::component(&image).map_err(|cause| self.rejected(cause))?;
        Ok(Pulled { wasm: self.blob(layer, self.limit).await?, manifest: bytes })
    }

    /// An image manifest; `None` if the repository has none of that name.
    pub(crate) async fn image(&self, version: &Version) -> Result<Option<OciImageManifest>, FetchError> {
        let Some(bytes) = self.manifest(version).await? else { return Ok(None) };
        match self.parse(&bytes)? {
            OciManifest::Image(image) => Ok(Some(image)),
            OciManifest::ImageIndex(_) => Ok(None),
        }
    }

    /// Digests of the manifests of one artifact type that refer to a manifest. They are listed by the registry's
    /// referrers API or, where it has none, in an image index under a tag made of the digest.
    pub(crate) async fn referrers(
        &self,
        manifest: Digest,
        artifact_type: &str,
    ) -> Result<Vec<Digest>, FetchError> {
        // Escaped, because a plus sign in a query means a space.
        let path = format!("referrers/{manifest}?artifactType={}", artifact_type.replace('+', "%2B"));
        let listed = match self.get(&path, MANIFEST_LIMIT).await? {
            Ok(bytes) => Some(bytes),
            Err(refusal) if refusal.is_unsupported() => {
                self.manifest(&Version::Tag(format!("sha256-{}", manifest.hex()))).await?
            }
            Err(refusal) => return Err(refusal.explain(self.reference)),
        };
        let Some(listed) = listed else { return Ok(Vec::new()) };
        let OciManifest::ImageIndex(index) = self.parse(&listed)? else {
            return Err(self.rejected("its list of referrers is not an image index".to_owned()));
        };
        // Filtered here as well: a registry may ignore the parameter.
        let entries =
            index.manifests.iter().filter(|entry| entry.artifact_type.as_deref() == Some(artifact_type));
        Ok(entries.filter_map(|entry| layout::digest(&entry.digest).ok()).collect())
    }

    /// The blob (a layer's content) with a digest, of at most `limit` bytes.
    pub(crate) async fn blob(&self, digest: Digest, limit: u64) -> Result<Vec<u8>, FetchError> {
        if let Some(bytes) = self.cache.get(digest, limit) {
            return Ok(bytes);
        }
        // From this repository only: a manifest may also name other addresses of a blob, which are not to be trusted.
        let bytes = self.get(&format!("blobs/{digest}"), limit).await?;
        let bytes = bytes.map_err(|refusal| refusal.explain(self.reference))?;
        self.keep(digest, bytes)
    }

    async fn existing_manifest(&self, version: &Version) -> Result<Vec<u8>, FetchError> {
        self.manifest(version).await?.ok_or_else(|| {
            let name = match version {
                Version::Tag(tag) => format!("tag {tag}"),
                Version::Digest(digest) => format!("manifest {digest}"),
            };
            self.rejected(format!("its repository has no {name}"))
        })
    }

    async fn manifest(&self, version: &Version) -> Result<Option<Vec<u8>>, FetchError> {
        let path = match version {
            Version::Tag(tag) => format!("manifests/{tag}"),
            Version::Digest(digest) => match self.cache.get(*digest, MANIFEST_LIMIT) {
                Some(bytes) => return Ok(Some(bytes)),
                None => format!("manifests/{digest}"),
            },
        };
        match self.get(&path, MANIFEST_LIMIT).await? {
            Ok(bytes) => {
                // A manifest that a tag named is cached by its digest, too: a lock may pin it.
                let digest = match version {
                    Version::Tag(_) => Digest::of(&bytes),
                    Version::Digest(digest) => *digest,
                };
                self.keep(digest, bytes).map(Some)
            }
            Err(refusal) if refusal.is_absent() => Ok(None),
            Err(refusal) => Err(refusal.explain(self.reference)),
        }
    }

    /// Caches what the registry sent for a digest; an error if the bytes have another one.
    fn keep(&self, digest: Digest, bytes: Vec<u8>) -> Result<Vec<u8>, FetchError> {
        if Digest::of(&bytes) != digest {
            return Err(self.rejected(format!("its registry sent other bytes than those of {digest}")));
        }
        self.cache.put(digest, &bytes);
        Ok(bytes)
    }

    /// Requests something of the repository, of at most `limit` bytes. An answer without it is not an error yet: the
    /// caller knows whether it may be absent.
    async fn get(&self, path: &str, limit: u64) -> Result<Result<Vec<u8>, Refusal>, FetchError> {
        let authorization = self.log_in().await?;
        let mut response = self.send(path, &authorization).await?;
        // A token may expire within a minute; then another one is fetched, once.
        if response.status() == StatusCode::UNAUTHORIZED && matches!(authorization, RegistryAuth::Bearer(_)) {
            self.authorization.lock().await.take();
            response = self.send(path, &self.log_in().await?).await?;
        }
        if response.status() != StatusCode::OK {
            return Ok(Err(Refusal::read(response).await));
        }
        match answer::body(response, limit).await {
            Ok(Some(bytes)) => Ok(Ok(bytes)),
            Ok(None) => Err(self.rejected(format!("it is larger than {limit} bytes"))),
            Err(error) => Err(answer::failed(self.reference, &error)),
        }
    }

    async fn send(&self, path: &str, authorization: &RegistryAuth) -> Result<Response, FetchError> {
        let url = format!("{}/v2/{}/{path}", self.reference.url(), self.reference.path());
        let request = self.client.get(url).header(ACCEPT, layout::ACCEPTED.join(", "));
        let request = match authorization {
            RegistryAuth::Anonymous => request,
            RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
            RegistryAuth::Bearer(token) => request.bearer_auth(token),
        };
        request.send().await.map_err(|error| answer::failed(self.reference, &error))
    }

    /// How to authenticate, found out with the first request.
    async fn log_in(&self) -> Result<RegistryAuth, FetchError> {
        let mut known = self.authorization.lock().await;
        if let Some(authorization) = &*known {
            return Ok(authorization.clone());
        }
        let credentials = self.credentials.for_registry(self.reference)?;
        let authorization = token::log_in(self.reference, &self.client, credentials).await?;
        Ok(known.insert(authorization).clone())
    }

    fn parse(&self, bytes: &[u8]) -> Result<OciManifest, FetchError> {
        layout::parse(bytes).map_err(|cause| self.rejected(cause))
    }

    fn rejected(&self, cause: String) -> FetchError {
        FetchError::Rejected { name: self.reference.name.clone(), cause }
    }
}
