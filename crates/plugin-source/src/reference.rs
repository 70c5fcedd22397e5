//! References into registries: `oci://registry/repository:tag` and `oci://registry/repository@sha256:…`.

use super::FetchError;
use host_core::model::Digest;

/// The prefix by which a reference differs from the path of a file.
pub(crate) const SCHEME: &str = "oci://";

/// A reference to a plug-in in an OCI registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// As the user wrote it.
    pub(crate) name: String,
    pub(crate) version: Version,
    image: oci_client::Reference,
}

/// What of a repository a reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Parses a reference; `None` if the name is the path of a file.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>, FetchError> {
        let Some(rest) = name.strip_prefix(SCHEME) else { return Ok(None) };
        let wrong = |cause: &str| FetchError::Reference { name: name.to_owned(), cause: cause.to_owned() };
        // `oci-client` takes Docker Hub for the registry where the name has none.
        let (registry, repository) = rest.split_once('/').ok_or_else(|| wrong("it has no repository"))?;
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(wrong("it does not begin with a registry's host (Docker Hub is docker.io)"));
        }
        if !repository.contains([':', '@']) {
            return Err(wrong("it has neither tag nor digest"));
        }
        let image: oci_client::Reference = rest.parse().map_err(|error| wrong(&format!("{error}")))?;
        let version = match (image.digest(), image.tag()) {
            // A tag beside a digest is ignored: the digest is exact.
            (Some(digest), _) => Version::Digest(
                digest.to_owned().try_into().map_err(|_| wrong("its digest is not one of SHA-256"))?,
            ),
            (None, Some(tag)) => Version::Tag(tag.to_owned()),
            (None, None) => return Err(wrong("it has neither tag nor digest")),
        };
        Ok(Some(Self { name: name.to_owned(), version, image }))
    }

    /// The registry as users write it: `docker.io` for Docker Hub.
    pub(crate) fn registry(&self) -> &str {
        self.image.registry()
    }

    /// The host, with a port if there is one, that serves the registry: `index.docker.io` for Docker Hub.
    pub(crate) fn host(&self) -> &str {
        self.image.resolve_registry()
    }

    /// The repository with its registry.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.image.registry(), self.image.repository())
    }

    /// The repository within its registry.
    pub(crate) fn path(&self) -> &str {
        self.image.repository()
    }

    /// Base address of the registry: https, or http if it runs on this machine.
    pub(crate) fn url(&self) -> String {
        let scheme = if is_loopback(self.host()) { "http" } else { "https" };
        format!("{scheme}://{}", self.host())
    }
}

/// Whether a host, with or without a port, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_parsed_and_files_are_none() {
        let digest = Digest::of(b"x");
        let parsed = |name: &str| {
            let reference = Reference::parse(name).unwrap()?;
            Some((reference.host().to_owned(), reference.repository(), reference.version))
        };
        let at = |host: &str, repository: &str, version: Version| {
            Some((host.to_owned(), repository.to_owned(), version))
        };
        let tag = |tag: &str| Version::Tag(tag.to_owned());
        assert_eq!(parsed("plugin.wasm"), None);
        for (name, expected) in [
            ("oci://ghcr.io/acme/shop:1.2", at("ghcr.io", "ghcr.io/acme/shop", tag("1.2"))),
            ("oci://127.0.0.1:5000/shop:a", at("127.0.0.1:5000", "127.0.0.1:5000/shop", tag("a"))),
            ("oci://localhost/shop:a", at("localhost", "localhost/shop", tag("a"))),
            ("oci://docker.io/shop:1", at("index.docker.io", "docker.io/library/shop", tag("1"))),
            ("oci://index.docker.io/acme/shop:1", at("index.docker.io", "docker.io/acme/shop", tag("1"))),
        ] {
            assert_eq!(parsed(name), expected, "{name}");
        }
        let pinned = at("r.example", "r.example/shop", Version::Digest(digest));
        for name in [format!("oci://r.example/shop:1@{digest}"), format!("oci://r.example/shop@{digest}")] {
            assert_eq!(parsed(&name), pinned, "{name}");
        }
    }

    #[test]
    fn names_that_are_no_references_are_refused() {
        for name in [
            "oci://",
            "oci://r.example",
            "oci://r.example/a",
            "oci:///a:1",
            "oci://localhost:5000",
            "oci://acme/shop:1",
            "oci://r.example/../a:1",
            "oci://r.example/a:",
            "oci://r.example/a:x y",
            "oci://r.example/a@sha256:1",
            "oci://user@r.example/a:1",
            "oci://r.example/a?b:1",
            "oci://r.example:5000/a",
        ] {
            assert!(matches!(Reference::parse(name), Err(FetchError::Reference { .. })), "{name}");
        }
        let sha512 = format!("oci://r.example/a@sha512:{}", "0".repeat(128));
        assert!(matches!(Reference::parse(&sha512), Err(FetchError::Reference { .. })));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        assert!(["localhost", "localhost:5000", "127.0.0.1:1"].iter().all(|host| is_loopback(host)));
        let others = ["localhost.example", "127.0.0.1.example", "127.0.0.2", "r.example:5000", ""];
        assert!(!others.iter().any(|host| is_loopback(host)));
    }
}
