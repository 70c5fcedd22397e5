//! `oci://registry/repository:tag` and `oci://registry/repository@sha256:…`.

use super::SupplyError;
use host_core::model::Digest;

/// What references begin with.
pub(super) const SCHEME: &str = "oci://";

/// A name in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// As the user wrote it.
    pub(super) name: String,
    /// Host, and port if there is one.
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Parses a reference; none if the name is that of a file.
    pub(super) fn parse(name: &str) -> Result<Option<Self>, SupplyError> {
        let Some(rest) = name.strip_prefix(SCHEME) else { return Ok(None) };
        let wrong = |cause: &str| SupplyError::Reference { name: name.to_owned(), cause: cause.to_owned() };
        let (registry, rest) = rest.split_once('/').ok_or_else(|| wrong("there is no repository"))?;
        let (repository, version) = match rest.split_once('@') {
            Some((repository, digest)) => {
                let digest = Digest::try_from(digest.to_owned()).map_err(|_| wrong("its digest is none"))?;
                // A tag before a digest says nothing more.
                (repository.split(':').next().unwrap_or_default(), Version::Digest(digest))
            }
            None => {
                let (repository, tag) =
                    rest.rsplit_once(':').ok_or_else(|| wrong("there is neither tag nor digest"))?;
                (repository, Version::Tag(tag.to_owned()))
            }
        };
        let is_part = |part: &str, more: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !part.is_empty() && part.len() <= 128 && !part.starts_with(['.', '-']) && part.chars().all(fits)
        };
        if !is_part(registry, ".-:[]") {
            return Err(wrong("the registry is no host"));
        }
        if !repository.split('/').all(|part| is_part(part, "._-")) {
            return Err(wrong("the repository has characters that none has"));
        }
        if matches!(&version, Version::Tag(tag) if !is_part(tag, "._-")) {
            return Err(wrong("the tag has characters that none has"));
        }
        let (name, registry, repository) = (name.to_owned(), registry.to_owned(), repository.to_owned());
        Ok(Some(Self { name, registry, repository, version }))
    }

    /// Where its registry answers. Only on this machine may that be without TLS.
    pub(super) fn base(&self) -> String {
        let scheme = if is_local(&self.registry) { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}", self.registry, self.repository)
    }
}

/// Whether a host, with or without a port, is this machine.
pub(super) fn is_local(host: &str) -> bool {
    let name = if host.starts_with('[') { host.split_inclusive(']').next() } else { host.split(':').next() };
    matches!(name, Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_parsed_and_files_are_none() {
        let digest = Digest::of(b"x");
        let parsed = |name: &str| Reference::parse(name).unwrap().map(|found| (found.base(), found.version));
        let tag = |tag: &str| Version::Tag(tag.to_owned());
        assert_eq!(parsed("plugin.wasm"), None);
        assert_eq!(
            parsed("oci://ghcr.io/acme/shop/plugin:1.2"),
            Some(("https://ghcr.io/v2/acme/shop/plugin".to_owned(), tag("1.2")))
        );
        assert_eq!(
            parsed("oci://127.0.0.1:5000/plugin:a"),
            Some(("http://127.0.0.1:5000/v2/plugin".to_owned(), tag("a")))
        );
        assert_eq!(
            parsed(&format!("oci://r.example/plugin:1@{digest}")),
            Some(("https://r.example/v2/plugin".to_owned(), Version::Digest(digest)))
        );
    }

    #[test]
    fn what_is_no_reference_is_said() {
        for name in [
            "oci://",
            "oci://r.example",
            "oci://r.example/a",
            "oci:///a:1",
            "oci://r.example/../a:1",
            "oci://r.example/a:",
            "oci://r.example/a:x y",
            "oci://r.example/a@sha256:1",
            "oci://user@r.example/a:1",
            "oci://r.example/a?b:1",
        ] {
            assert!(matches!(Reference::parse(name), Err(SupplyError::Reference { .. })), "{name}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        assert!(
            ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000"].iter().all(|host| is_local(host))
        );
        let others = ["localhost.example", "127.0.0.1.example", "127.0.0.2", "r.example:5000", "[::2]:1", ""];
        assert!(!others.iter().any(|host| is_local(host)));
    }
}
