//! One repository of an OCI registry: what a plug-in's reference names there, and what refers to that.

mod answer;
mod layout;
mod token;

use crate::{
    Credentials, FetchError, PluginSource,
    cache::Cache,
    reference::{Reference, Version, is_loopback},
};
use futures::TryStreamExt;
use host_core::model::Digest;
use oci_client::{
    Client, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::{OciImageManifest, OciManifest},
    secrets::RegistryAuth,
};
use std::time::Duration;
use tokio::{sync::OnceCell, time::timeout};

/// Registries must accept manifests of this size; larger ones are refused.
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests>
const MANIFEST_LIMIT: u64 = 4 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one request with its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A component, and the manifest or index that its reference names.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) wasm: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

/// The repository of a reference. It is asked for nothing that is in the cache.
pub(crate) struct Registry<'a> {
    pub(crate) reference: &'a Reference,
    client: Client,
    credentials: &'a Credentials,
    auth: OnceCell<RegistryAuth>,
    cache: Cache,
    limit: u64,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(reference: &'a Reference, source: &'a PluginSource) -> Result<Self, FetchError> {
        host_net::install_tls_provider();
        let protocol =
            if is_loopback(reference.host()) { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            user_agent: concat!("host/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| answer::explain(reference, error))?;
        Ok(Self {
            reference,
            client,
            credentials: &source.credentials,
            auth: OnceCell::new(),
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

    /// An image manifest, or none if there is nothing of that name.
    pub(crate) async fn image(&self, version: &Version) -> Result<Option<OciImageManifest>, FetchError> {
        let Some(bytes) = self.manifest(version).await? else { return Ok(None) };
        match self.parse(&bytes)? {
            OciManifest::Image(image) => Ok(Some(image)),
            OciManifest::ImageIndex(_) => Ok(None),
        }
    }

    /// The manifests of one artifact type that refer to a manifest, by the referrers API or the referrers tag.
    pub(crate) async fn referrers(
        &self,
        manifest: Digest,
        artifact_type: &str,
    ) -> Result<Vec<Digest>, FetchError> {
        let image = self.reference.at(&Version::Digest(manifest));
        self.log_in().await?;
        let index = match self.within(self.client.pull_referrers(&image, Some(artifact_type))).await? {
            Ok(index) => index,
            Err(error) if answer::is_unsupported(&error) => return Ok(Vec::new()),
            Err(error) => return Err(answer::explain(self.reference, error)),
        };
        // A registry need not apply the filter.
        let entries =
            index.manifests.iter().filter(|entry| entry.artifact_type.as_deref() == Some(artifact_type));
        Ok(entries.filter_map(|entry| layout::digest(&entry.digest).ok()).collect())
    }

    /// The blob with a digest, of at most `limit` bytes.
    pub(crate) async fn blob(&self, digest: Digest, limit: u64) -> Result<Vec<u8>, FetchError> {
        if let Some(bytes) = self.cache.get(digest) {
            return self.bounded(bytes, limit);
        }
        self.log_in().await?;
        let image = self.reference.at(&self.reference.version);
        let pull = async {
            // By its digest alone: the other addresses that a descriptor may name are not asked.
            let mut stream = self.client.pull_blob_stream(&image, digest.to_string().as_str()).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = stream.try_next().await? {
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Ok(None);
                }
                bytes.extend_from_slice(&piece);
            }
            Ok::<_, OciDistributionError>(Some(bytes))
        };
        match self.within(pull).await? {
            Ok(Some(bytes)) => {
                self.cache.put(digest, &bytes);
                Ok(bytes)
            }
            Ok(None) => Err(self.too_large(limit)),
            Err(error) => Err(answer::explain(self.reference, error)),
        }
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
        if let Version::Digest(digest) = version
            && let Some(bytes) = self.cache.get(*digest)
        {
            return self.bounded(bytes, MANIFEST_LIMIT).map(Some);
        }
        let (image, auth) = (self.reference.at(version), self.log_in().await?);
        match self.within(self.client.pull_manifest_raw(&image, auth, &layout::ACCEPTED)).await? {
            Ok((bytes, _)) => {
                let bytes = self.bounded(Vec::from(bytes), MANIFEST_LIMIT)?;
                // One that a tag named, too: a lock may pin it.
                self.cache.put(Digest::of(&bytes), &bytes);
                Ok(Some(bytes))
            }
            Err(error) if answer::is_absent(&error) => Ok(None),
            Err(error) => Err(answer::explain(self.reference, error)),
        }
    }

    /// Gets a token once, before the first request: later `oci-client` would continue without one.
    async fn log_in(&self) -> Result<&RegistryAuth, FetchError> {
        let log_in = || async {
            let mut auth = self.credentials.for_registry(self.reference)?;
            if let RegistryAuth::Basic(user, password) = &auth
                && let Some(token) = token::request(self.reference, user, password).await?
            {
                auth = RegistryAuth::Bearer(token);
            }
            let image = self.reference.at(&self.reference.version);
            let token = self
                .within(self.client.auth(&image, &auth, RegistryOperation::Pull))
                .await?
                .map_err(|error| answer::explain(self.reference, error))?;
            match token {
                Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    Err(self.rejected("its registry issued a token that cannot be sent".to_owned()))
                }
                _ => Ok(auth),
            }
        };
        self.auth.get_or_try_init(log_in).await
    }

    async fn within<T>(&self, request: impl Future<Output = T>) -> Result<T, FetchError> {
        timeout(REQUEST_TIMEOUT, request).await.map_err(|_| FetchError::Unavailable {
            name: self.reference.name.clone(),
            cause: format!("it did not answer within {} s", REQUEST_TIMEOUT.as_secs()),
        })
    }

    fn parse(&self, bytes: &[u8]) -> Result<OciManifest, FetchError> {
        layout::parse(bytes).map_err(|cause| self.rejected(cause))
    }

    fn bounded(&self, bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, FetchError> {
        if bytes.len() as u64 > limit { Err(self.too_large(limit)) } else { Ok(bytes) }
    }

    fn too_large(&self, limit: u64) -> FetchError {
        self.rejected(format!("it is larger than {limit} bytes"))
    }

    fn rejected(&self, cause: String) -> FetchError {
        FetchError::Rejected { name: self.reference.name.clone(), cause }
    }
}
