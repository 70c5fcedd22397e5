//! The checks of the index on Marqo, in the forms that its servers take.
//!
//! A server has indexes, but no shops and no variants, and what it cannot keep is left out: null, control characters.

use crate::{clock::Clock, embedded::embedded, make::Backend};
use host_core::{
    clock::SharedEnv,
    storage::{IndexDocument, Settings, StoreError},
};
use host_index_marqo::{IndexSettings, Marqo, MarqoConfig};
use host_net::RetryProfile;
use marqo_stand_in::{Options, StandIn, Version};
use std::sync::Arc;

/// All indexes are at one server.
struct OneServer(IndexDocument);

#[async_trait::async_trait]
impl Settings for OneServer {
    async fn get(&self, _: &str) -> Result<Option<IndexDocument>, StoreError> {
        Ok(Some(self.0.clone()))
    }

    async fn put(&self, _: &str, _: &IndexDocument) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

fn marqo(version: Version) -> Backend {
    let indexes = vec!["products".to_owned(), "other".to_owned()];
    let server = StandIn::start(Options { version, indexes, ..Options::default() }).unwrap();
    let settings = IndexSettings {
        endpoint: server.url().to_owned(),
        tensor_fields: vec!["title".to_owned()],
        ..IndexSettings::default()
    };
    let env: SharedEnv = Arc::new(Clock::new(1));
    let settings = Arc::new(OneServer(IndexDocument(settings.to_object())));
    let config = MarqoConfig::default();
    let index = Marqo::new(settings, env.clone(), &config, RetryProfile::Background).unwrap();
    let embedded = embedded();
    Backend {
        stores: embedded.stores,
        index: Arc::new(index),
        catalog: None,
        env,
        plant_settings: embedded.plant_settings,
        keep: Box::new((server, embedded.keep)),
    }
}

mod current {
    use super::{Backend, Version, marqo};

    fn server() -> Backend {
        marqo(Version::V2_25)
    }

    crate::checks::checks! { server:
        index::a_document_comes_back_as_it_was_written,
        index::a_document_is_replaced_as_a_whole,
        index::versions_are_read_in_the_order_asked,
        index::the_latest_writer_is_remembered,
        index::removal_is_done_also_for_what_is_not_there,
        index::ids_are_listed_in_order_and_in_pages,
        index::indexes_are_kept_apart,
        index::an_update_changes_the_given_fields_alone,
        index::an_update_creates_nothing,
    }
}

/// Indexes without a schema of their own cannot be updated there.
mod of_2_13 {
    use super::{Backend, Version, marqo};

    fn server() -> Backend {
        marqo(Version::V2_13)
    }

    crate::checks::checks! { server:
        index::a_document_comes_back_as_it_was_written,
        index::a_document_is_replaced_as_a_whole,
        index::versions_are_read_in_the_order_asked,
        index::the_latest_writer_is_remembered,
        index::removal_is_done_also_for_what_is_not_there,
        index::ids_are_listed_in_order_and_in_pages,
        index::indexes_are_kept_apart,
    }
}
