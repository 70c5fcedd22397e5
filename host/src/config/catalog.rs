use serde::{Deserialize, Serialize};

/// How the catalog is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// Most complexity of one transaction: 1 + variants a product.
    pub batch_complexity: usize,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        // The seed's MAX_BATCH_COMPLEXITY.
        Self { batch_complexity: 100 }
    }
}
