//! The checks of an index on a catalog in PostgreSQL, on a server that lives as long as the tests.

use crate::{checks, clock::Clock, make::Backend};
use host::{
    env::SharedEnv,
    index::catalog::{Bounds, Catalog},
    model::Secret,
    store::embedded::Embedded,
};
use std::{num::NonZeroUsize, sync::Arc};
use xtask::postgres::Server;

/// An empty database with the schema.
pub(crate) fn database() -> Secret {
    let url = Secret::new(Server::shared().unwrap().database().unwrap());
    let catalog = catalog(&url, Arc::new(Clock::new(1)));
    // The checks start in the middle of a runtime.
    let migrate = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(catalog.migrate()).unwrap()
    };
    let said = std::thread::spawn(migrate).join().unwrap();
    assert!(said.contains("made the catalog"), "{said}");
    url
}

pub(crate) fn catalog(url: &Secret, env: SharedEnv) -> Catalog {
    Catalog::postgres(url, NonZeroUsize::new(4).unwrap(), env).unwrap()
}

fn postgres() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let env: SharedEnv = Arc::new(Clock::new(1));
    let embedded = Embedded::open(dir.path(), env.clone()).unwrap();
    let catalog = catalog(&database(), env.clone()).with_bounds(Bounds { complexity: 7, rows: 20 });
    Backend {
        stores: embedded.stores(),
        index: Arc::new(catalog.clone()),
        catalog: Some(catalog),
        env,
        plant_settings: |_, _, _| {},
        keep: Box::new(dir),
    }
}

checks! { postgres:
    index::a_document_comes_back_as_it_was_written,
    index::whatever_json_can_say_comes_back,
    index::a_document_is_replaced_as_a_whole,
    index::an_update_changes_what_it_gives_and_nothing_else,
    index::an_update_that_cannot_be_is_refused_alone,
    index::versions_are_read_in_the_order_asked,
    index::the_latest_writer_is_remembered,
    index::removal_is_done_also_for_what_is_not_there,
    index::ids_are_listed_in_order_and_in_pages,
    index::indexes_are_kept_apart,
    index::shops_are_kept_apart,
    index::an_update_changes_the_given_fields_alone,
    index::an_update_creates_nothing,
    index::an_update_of_a_product_keeps_its_variants,
    index::variants_come_back_exactly_and_in_order,
    index::a_new_variant_takes_nothing_over_from_one_that_vanished,
    index::a_bad_variant_refuses_its_document_alone,
    index::a_reader_never_sees_half_a_product,
    catalog::a_product_of_any_size_is_written_as_a_whole,
    catalog::what_was_overtaken_is_refused,
    catalog::of_writers_in_different_orders_none_fails,
    catalog::what_a_full_sync_did_not_see_is_archived,
    catalog::what_a_later_job_has_seen_is_not_archived,
    catalog::an_archived_product_comes_back,
    catalog::too_many_are_archived_only_by_force,
    catalog::loads_are_remembered,
    catalog::words_find_products,
    catalog::what_changed_is_embedded_once,
    catalog::a_text_that_changes_while_it_is_embedded_is_embedded_again,
    catalog::an_endpoint_that_fails_loses_nothing,
}
