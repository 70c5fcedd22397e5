//! The relational catalog under test, and the macro that makes tests of all checks for a database.

use host_core::clock::SharedClock;
use host_index_catalog::{Catalog, CatalogConfig};
use host_testing::conformance::IndexBackend;
use std::{any::Any, ops::Deref, sync::Arc};

/// A catalog, and the same catalog as an index for the conformance suite of the index port.
pub(crate) struct Backend {
    pub(crate) catalog: Catalog,
    index: IndexBackend,
}

impl Backend {
    pub(crate) fn new(catalog: Catalog, clock: SharedClock, resources: Box<dyn Any + Send + Sync>) -> Self {
        let index = IndexBackend { index: Arc::new(catalog.clone()), clock, resources };
        Self { catalog, index }
    }

    /// The index for the conformance suite of the index port.
    pub(crate) fn into_index(self) -> IndexBackend {
        self.index
    }
}

impl Deref for Backend {
    type Target = IndexBackend;

    fn deref(&self) -> &IndexBackend {
        &self.index
    }
}

/// A catalog's settings with these bounds of a transaction: complexity (each product and each variant counts 1) and
/// rows.
pub(crate) fn config((complexity, rows): (usize, usize)) -> CatalogConfig {
    CatalogConfig {
        batch_complexity: complexity.try_into().unwrap(),
        batch_rows: rows.try_into().unwrap(),
        ..CatalogConfig::default()
    }
}

/// Makes a test of each check of [`crate::checks`], in which `$with` makes a fresh backend.
macro_rules! catalog_tests {
    ($with:ident: $($check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::checks::$check(&$with()).await;
            }
        )*
    };
    ($with:ident) => {
        $crate::backend::catalog_tests! { $with:
            a_product_of_any_size_is_written_as_a_whole,
            a_write_whose_precondition_does_not_hold_is_a_conflict,
            a_removal_whose_precondition_does_not_hold_is_a_conflict,
            concurrent_writers_with_different_orders_do_not_fail,
            an_archived_product_comes_back,
            loads_are_recorded,
            words_find_products,
            each_changed_text_is_embedded_once,
            a_text_that_changes_while_it_is_embedded_is_embedded_again,
            products_stay_queued_while_the_endpoint_fails,
        }
    };
}

pub(crate) use catalog_tests;
