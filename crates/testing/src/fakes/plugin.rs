//! A fake plug-in, in all three roles: transform, validator, and comparison of versions.

use async_trait::async_trait;
use host_core::{
    model::{DocumentId, Grouping, Issue, PluginManifest, Product, Severity},
    plugin::{
        BatchFailure, ProductOutcome, Refusal, Transform, TransformedDocument, Validate, Verdict, Version,
        VersionOrdering, VersionPair,
    },
};
use serde_json::{Map, Value};
use std::{
    cmp::Ordering,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// A plug-in whose answers follow from words in what it is given.
///
/// As a validator it refuses documents with the word `bad` (code `bad-title`), warns of those with `odd` (`odd-title`)
/// and fails on a batch with `fatal`. Versions are compared as numbers or texts. As a transform it reads a product's
/// text as ids, separated by blanks, and makes an empty document of each; it refuses the text `bad`. The text `stop`
/// makes it fail as a plug-in does that the host has stopped because it failed too often.
pub struct FakePlugin {
    manifest: PluginManifest,
    is_stopped: AtomicBool,
}

impl Default for FakePlugin {
    /// With the version field `v`.
    fn default() -> Self {
        Self::with_version_field("v")
    }
}

impl FakePlugin {
    /// A fake plug-in that compares versions by this field.
    pub fn with_version_field(name: &str) -> Self {
        let manifest = PluginManifest {
            name: "rules".to_owned(),
            version: "1.0.0".to_owned(),
            platform: "shopify".to_owned(),
            grouping: Grouping::ByParent { id: "/id".to_owned(), parents: vec!["/__parentId".to_owned()] },
            config_schema: "{}".to_owned(),
            version_fields: vec![name.to_owned()],
        };
        Self { manifest, is_stopped: AtomicBool::new(false) }
    }

    /// Has it fail as a stopped validator from now on, or answer again.
    pub fn set_stopped(&self, is_stopped: bool) {
        self.is_stopped.store(is_stopped, Relaxed);
    }

    /// A failure of a batch, after these products.
    fn failure(&self, stopped: bool, before: Vec<(Product, ProductOutcome)>) -> BatchFailure {
        let (code, message) = ("broken".to_owned(), "cannot".to_owned());
        BatchFailure { plugin: self.manifest.reference(), code, message, stopped, before }
    }

    fn compare_versions(&self, incoming: &Map<String, Value>, stored: &Map<String, Value>) -> Ordering {
        let field = self.manifest.version_fields[0].as_str();
        let key = |version: &Map<String, Value>| {
            let value = version.get(field);
            (value.and_then(Value::as_i64), value.and_then(Value::as_str).map(str::to_owned))
        };
        key(incoming).cmp(&key(stored))
    }
}

fn issue(severity: Severity, code: &str) -> Issue {
    Issue {
        severity,
        code: code.to_owned(),
        message: "the fake plug-in found a marker word".to_owned(),
        path: Some("/title".to_owned()),
    }
}

#[async_trait]
impl Transform for FakePlugin {
    fn manifest(&self) -> &PluginManifest {
        &self.manifest
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        let mut done = Vec::new();
        for product in products {
            let outcome = match product.text.as_str() {
                "stop" => return Err(self.failure(true, done)),
                "bad" => {
                    let refused = Some(Refusal::of(issue(Severity::Error, "bad")));
                    ProductOutcome { refused, ..ProductOutcome::default() }
                }
                ids => {
                    let document = |id| TransformedDocument {
                        id: DocumentId::new(id).unwrap(),
                        fields: "{}".to_owned(),
                    };
                    let documents = ids.split_ascii_whitespace().map(document).collect();
                    ProductOutcome { documents, ..ProductOutcome::default() }
                }
            };
            done.push((product, outcome));
        }
        Ok(done)
    }
}

#[async_trait]
impl Validate for FakePlugin {
    fn manifest(&self) -> &PluginManifest {
        &self.manifest
    }

    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure> {
        let is_stopped = self.is_stopped.load(Relaxed);
        if is_stopped || documents.iter().any(|document| document.fields.contains("fatal")) {
            return Err(self.failure(is_stopped, Vec::new()));
        }
        let verdict = |document: TransformedDocument| {
            let has = |word| document.fields.contains(word);
            if has("bad") {
                let issue = issue(Severity::Error, "bad-title");
                Verdict { issues: vec![issue.clone()], refused: Some(Refusal::of(issue)) }
            } else if has("odd") {
                Verdict { issues: vec![issue(Severity::Warning, "odd-title")], refused: None }
            } else {
                Verdict::default()
            }
        };
        Ok(documents.into_iter().map(verdict).collect())
    }
}

#[async_trait]
impl Version for FakePlugin {
    fn manifest(&self) -> &PluginManifest {
        &self.manifest
    }

    async fn compare(
        &self,
        pairs: Vec<VersionPair>,
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, BatchFailure> {
        let compare = |(incoming, stored): VersionPair| {
            Ok(match self.compare_versions(&incoming, &stored) {
                Ordering::Greater => VersionOrdering::Newer,
                Ordering::Equal => VersionOrdering::Same,
                Ordering::Less => VersionOrdering::Older,
            })
        };
        Ok(pairs.into_iter().map(compare).collect())
    }
}
