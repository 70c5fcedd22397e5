//! The plug-in that makes documents of the simulated shop's products.

use crate::shop::{State, document_id, number_of};
use async_trait::async_trait;
use host_core::{
    model::{Digest, Issue, PluginManifest, PluginRef, Product, Severity},
    plugin::{BatchFailure, ProductOutcome, Refusal, Transform, TransformedDocument, TransformedRemoval},
};
use host_testing::fakes::FakePlugin;

/// Makes a document of each variant. A broken one refuses the products whose version is a multiple of three, an arbitrary
/// part of them, until the schedule replaces the plug-in by a working one.
pub(crate) struct ShopPlugin {
    is_broken: bool,
    manifest: PluginManifest,
}

impl ShopPlugin {
    pub(crate) fn new(is_broken: bool) -> Self {
        let manifest = Transform::manifest(&FakePlugin::default()).clone();
        Self { is_broken, manifest }
    }

    /// The plug-in as jobs name it. The broken one has another digest, as another build would.
    pub(crate) fn reference(&self) -> PluginRef {
        let PluginManifest { name, version, .. } = self.manifest.clone();
        PluginRef { name, version, digest: Digest::of(&[self.is_broken.into()]) }
    }

    /// Whether it refuses the product in this state.
    pub(crate) fn refuses(&self, state: &State) -> bool {
        self.is_broken && state.version() % 3 == 0
    }
}

#[async_trait]
impl Transform for ShopPlugin {
    fn manifest(&self) -> &PluginManifest {
        &self.manifest
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        let outcome = |product: Product| {
            let (number, state) = (number_of(product.id.as_ref().unwrap()), State::parse(&product.text));
            let mut outcome = ProductOutcome::default();
            match &state {
                state if self.refuses(state) => {
                    let (code, message) = ("broken".to_owned(), "it is broken".to_owned());
                    let issue = Issue { severity: Severity::Error, code, message, path: None };
                    outcome.refused = Some(Refusal::of(issue));
                }
                State::Deleted { version } => {
                    // One removal is enough: the host removes the other documents of the product with it.
                    let version = format!("{{\"v\":{version}}}");
                    outcome.removals = vec![TransformedRemoval { id: document_id(number, 0), version }];
                }
                State::Live { version, variants } => {
                    let document = |variant: &u64| TransformedDocument {
                        id: document_id(number, *variant),
                        fields: format!("{{\"v\":{version},\"title\":\"{variant}\"}}"),
                    };
                    outcome.documents = variants.iter().map(document).collect();
                }
            }
            (product, outcome)
        };
        Ok(products.into_iter().map(outcome).collect())
    }
}
