//! Finds the layer that is the component, in the layout that the CNCF specifies for WebAssembly in OCI registries:
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.

use host_core::model::Digest;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciImageIndex, OciImageManifest, OciManifest,
};

/// Media types that a tag or digest may name: two of image manifests, then two of image indexes (lists of manifests by
/// platform).
pub(super) const ACCEPTED: [&str; 4] = [
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

/// Media type of the layer that is the component.
const WASM: &str = "application/wasm";

/// Artifact type of manifests for WebAssembly, which is the media type of their config.
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Parses a manifest or index. One whose media type contradicts its content is refused: other tools could read it
/// differently.
pub(super) fn parse(bytes: &[u8]) -> Result<OciManifest, String> {
    let manifest =
        serde_json::from_slice(bytes).map_err(|error| format!("its manifest is invalid: {error}"))?;
    let (media_type, expected) = match &manifest {
        OciManifest::Image(image) => (&image.media_type, &ACCEPTED[..2]),
        OciManifest::ImageIndex(index) => (&index.media_type, &ACCEPTED[2..]),
    };
    match media_type {
        Some(media_type) if !expected.contains(&media_type.as_str()) => {
            Err("its manifest's media type contradicts its content".to_owned())
        }
        _ => Ok(manifest),
    }
}

/// Digest of the layer that is the component.
pub(super) fn component(manifest: &OciImageManifest) -> Result<Digest, String> {
    let mut layers = manifest.layers.iter().filter(|layer| layer.media_type == WASM);
    match (layers.next(), layers.next()) {
        (Some(layer), None) => digest(&layer.digest),
        _ => Err(format!(
            "it must have exactly one layer of type {WASM}, as `wkg oci push` and `oras push` make it"
        )),
    }
}

/// Digest of the manifest for WebAssembly in an image index; of several, the one for components (`wasip2`, not a
/// `wasip1` module).
pub(super) fn wasm_manifest(index: &OciImageIndex) -> Result<Digest, String> {
    let mut entries: Vec<_> = index.manifests.iter().filter(|entry| is_wasm(entry)).collect();
    if entries.len() > 1 {
        entries.retain(|entry| os(entry) == Some("wasip2".to_owned()));
    }
    match entries[..] {
        [entry] => digest(&entry.digest),
        _ => {
            let listed = index.manifests.len();
            let count = entries.len();
            Err(format!(
                "it is an image index, of whose {listed} manifests {count} are for WebAssembly components; name the one \
                 that is meant by its digest"
            ))
        }
    }
}

fn is_wasm(entry: &ImageIndexEntry) -> bool {
    let architecture = entry.platform.as_ref().map(|platform| platform.architecture.to_string());
    architecture.as_deref() == Some("wasm") || entry.artifact_type.as_deref() == Some(WASM_CONFIG)
}

fn os(entry: &ImageIndexEntry) -> Option<String> {
    entry.platform.as_ref().map(|platform| platform.os.to_string())
}

pub(super) fn digest(text: &str) -> Result<Digest, String> {
    Digest::try_from(text.to_owned())
        .map_err(|_| "its manifest has a digest that is not one of SHA-256".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(content: &str, extra: Value) -> Value {
        let digest = Digest::of(content.as_bytes()).to_string();
        let mut entry = json!({ "mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest, "size": 1 });
        entry.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        entry
    }

    /// An entry for a platform.
    fn platform(content: &str, os: &str, architecture: &str) -> Value {
        entry(content, json!({ "platform": { "os": os, "architecture": architecture } }))
    }

    fn chosen(entries: &[Value]) -> Result<Digest, String> {
        let index =
            json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries });
        match parse(index.to_string().as_bytes()).unwrap() {
            OciManifest::ImageIndex(index) => wasm_manifest(&index),
            OciManifest::Image(_) => panic!("an index"),
        }
    }

    #[test]
    fn an_index_gives_its_only_component() {
        let (linux, component) = (platform("l", "linux", "amd64"), platform("c", "wasip2", "wasm"));
        let module = platform("m", "wasip1", "wasm");
        let artifact = entry("a", json!({ "artifactType": WASM_CONFIG }));
        let digest_of = |content: &str| Ok(Digest::of(content.as_bytes()));
        assert_eq!(chosen(&[linux.clone(), component.clone()]), digest_of("c"));
        assert_eq!(chosen(&[module, component.clone(), linux.clone()]), digest_of("c"));
        assert_eq!(chosen(&[linux.clone(), artifact]), digest_of("a"));
        let plain = entry("p", json!({}));
        for unusable in [vec![], vec![linux], vec![plain], vec![component, platform("d", "wasip2", "wasm")]] {
            assert!(chosen(&unusable).unwrap_err().contains("by its digest"), "{unusable:?}");
        }
    }

    #[test]
    fn a_manifest_whose_media_type_contradicts_its_content_is_refused() {
        let descriptor = json!({ "mediaType": WASM, "digest": Digest::of(b"x").to_string(), "size": 1 });
        let mut manifest =
            json!({ "schemaVersion": 2, "config": descriptor, "layers": [descriptor], "manifests": [] });
        assert!(parse(manifest.to_string().as_bytes()).is_ok());
        manifest["mediaType"] = OCI_IMAGE_INDEX_MEDIA_TYPE.into();
        assert!(parse(manifest.to_string().as_bytes()).is_err());
        assert!(parse(b"{}").is_err() && parse(b"[").is_err());
    }

    #[test]
    fn a_component_is_the_one_layer_of_its_type() {
        let layer =
            |media_type: &str, digest: &str| json!({ "mediaType": media_type, "digest": digest, "size": 1 });
        let component_of = |layers: &[Value]| {
            let manifest = json!({ "schemaVersion": 2, "config": layer("c", "sha256:0"), "layers": layers });
            component(&serde_json::from_value(manifest).unwrap())
        };
        let digest = Digest::of(b"x").to_string();
        let wasm = layer(WASM, &digest);
        assert_eq!(component_of(&[layer("text/plain", &digest), wasm.clone()]), Ok(Digest::of(b"x")));
        for unusable in [
            vec![],
            vec![wasm.clone(), wasm],
            vec![layer("application/x-tar", &digest)],
            vec![layer(WASM, "sha512:00")],
        ] {
            assert!(component_of(&unusable).is_err(), "{unusable:?}");
        }
    }
}
