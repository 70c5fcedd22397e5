//! Shadow runs: a new version of a plug-in (the shadow) gets every product that the version in use (the live one) gets,
//! and its answers are only compared, never used. Like shadow traffic for a service, this tries a version on real input
//! without any effect.

use crate::comparison::Comparison;
use async_trait::async_trait;
use host_core::{
    model::{PluginManifest, Product},
    plugin::{BatchFailure, ProductOutcome, Transform},
};
use std::sync::{Arc, Mutex, PoisonError};

/// A transform role with a shadow. Answers and failures of the shadow go to the comparison and nowhere else.
pub struct ShadowedTransform {
    live: Arc<dyn Transform>,
    shadow: Arc<dyn Transform>,
    comparison: Mutex<Comparison>,
}

impl ShadowedTransform {
    /// Runs `shadow` beside `live` and adds each product to `comparison`.
    pub fn new(live: Arc<dyn Transform>, shadow: Arc<dyn Transform>, comparison: Comparison) -> Self {
        Self { live, shadow, comparison: Mutex::new(comparison) }
    }

    /// A copy of the comparison so far.
    pub fn comparison(&self) -> Comparison {
        self.comparison.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Transform for ShadowedTransform {
    fn manifest(&self) -> &PluginManifest {
        self.live.manifest()
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        let (live, shadow) =
            futures::future::join(self.live.transform(products.clone()), self.shadow.transform(products))
                .await;
        let live = live?;
        let mut comparison = self.comparison.lock().unwrap_or_else(PoisonError::into_inner);
        match shadow {
            Ok(shadow) => {
                for ((product, live), (_, shadow)) in live.iter().zip(&shadow) {
                    comparison.add(product, live, shadow);
                }
            }
            Err(failure) => comparison.add_failure(live.len(), failure.to_string()),
        }
        Ok(live)
    }
}
