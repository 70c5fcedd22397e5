//! The conformance suite of the `Index` port, against servers that answer as Marqo 2.13 and 2.25 do.
//!
//! Left out are the checks of shops, of variants, and of nulls and control characters: Marqo keeps none of them.

use host_core::clock::SharedClock;
use host_index_marqo::{IndexSettings, Marqo, MarqoConfig};
use host_net::RetryProfile;
use host_testing::{VirtualClock, conformance::IndexBackend, storage::Memory};
use marqo_stand_in::{Options, StandIn, Version};
use std::sync::Arc;

const INDEXES: [&str; 2] = ["products", "other"];

fn marqo(version: Version) -> IndexBackend {
    let indexes = INDEXES.map(str::to_owned).to_vec();
    let server = StandIn::start(Options { version, indexes, ..Options::default() }).unwrap();
    let settings = IndexSettings {
        endpoint: server.url().to_owned(),
        tensor_fields: vec!["title".to_owned()],
        ..IndexSettings::default()
    };
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let settings = serde_json::Value::Object(settings.to_object()).to_string();
    let storage = Memory::new(clock.clone()).backend();
    for name in INDEXES {
        (storage.insert_raw_settings)(&storage, name, &settings);
    }
    let config = MarqoConfig::default();
    let index =
        Marqo::new(storage.stores.settings, clock.clone(), &config, RetryProfile::Background).unwrap();
    IndexBackend { index: Arc::new(index), clock, resources: Box::new(server) }
}

/// The checks that servers of all versions pass.
macro_rules! tests_of_any_version {
    ($with:ident) => {
        host_testing::conformance_tests! { $with:
            index::a_document_comes_back_as_it_was_written,
            index::a_document_is_replaced_as_a_whole,
            index::versions_are_read_in_the_order_asked,
            index::the_latest_writer_is_remembered,
            index::removal_is_done_also_for_what_is_not_there,
            index::ids_are_listed_in_order_and_in_pages,
            index::indexes_are_kept_apart,
        }
    };
}

mod current {
    use super::{IndexBackend, Version, marqo};

    fn server() -> IndexBackend {
        marqo(Version::V2_25)
    }

    tests_of_any_version!(server);
    host_testing::conformance_tests! { server:
        index::an_update_changes_the_given_fields_alone,
        index::an_update_creates_nothing,
    }
}

/// Without the checks of updates: 2.13 cannot update unstructured indexes.
mod of_2_13 {
    use super::{IndexBackend, Version, marqo};

    fn server() -> IndexBackend {
        marqo(Version::V2_13)
    }

    tests_of_any_version!(server);
}
