//! The relational catalog under test, and the macro that makes tests of all checks for a database.

use host_core::clock::SharedClock;
use host_index_catalog::{Catalog, CatalogConfig};
use host_testing::conformance::IndexBackend;
use std::{any::Any, ops::Deref, sync::Arc};

/// A catalog, and the same catalog as an index for the conformance suite of the index port.
pub(crate) struct Backend {
    pub(crate) catalog: Catalog,
    /// Opens the same catalog with other settings.
    reopen: Box<dyn Fn(&CatalogConfig) -> Catalog>,
    index: IndexBackend,
}

impl Backend {
    /// The catalog that `open` opens with the settings.
    pub(crate) fn new(
        config: &CatalogConfig,
        open: impl Fn(&CatalogConfig) -> Catalog + 'static,
        clock: SharedClock,
        resources: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let catalog = open(config);
        let index = IndexBackend { index: Arc::new(catalog.clone()), clock, resources };
        Self { catalog, reopen: Box::new(open), index }
    }

    /// The same catalog, searched by these fields.
    pub(crate) fn searched_by(&self, fields: &[&str]) -> Catalog {
        let search_fields = fields.iter().map(|field| (*field).to_owned()).collect();
        (self.reopen)(&CatalogConfig { search_fields, ..CatalogConfig::default() })
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
            exact_words_come_before_beginnings_and_titles_above_the_rest,
            a_code_finds_its_product_first,
            handles_descriptions_and_vendors_are_searched,
            a_search_finds_what_is_there_now,
            hostile_searches_find_nothing_and_break_nothing,
            a_product_with_more_words_than_the_database_takes_is_written,
            after_a_change_of_the_fields_the_words_are_made_anew,
            each_changed_text_is_embedded_once,
            a_text_that_changes_while_it_is_embedded_is_embedded_again,
            products_stay_queued_while_the_endpoint_fails,
        }
    };
}

pub(crate) use catalog_tests;
