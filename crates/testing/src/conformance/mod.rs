//! The conformance suites: what every backend of a port (a trait of `host-core`) must do, sentence by sentence of the
//! traits' documentation.
//!
//! The checks know a backend only by its traits and wait only by `Clock::sleep`. Each uses names of its own for shops
//! and jobs, so that a backend that cannot be emptied can be checked, too. [`chunk_tests`](crate::chunk_tests),
//! [`storage_tests`](crate::storage_tests) and [`index_tests`](crate::index_tests) make a test of each check;
//! [`properties`] compares random sequences of calls with a model.

#![allow(missing_docs, reason = "the name of a check is the sentence that it checks")]

use crate::build;
use host_core::{
    clock::SharedClock,
    index::{Index, WriteTarget},
    model::Job,
    storage::Stores,
};
use std::{any::Any, sync::Arc};

pub mod breakers;
pub mod chunks;
pub mod index;
pub mod jobs;
pub mod ledger;
pub mod open_jobs;
pub mod properties;
pub mod queue;
pub mod redrive;
pub mod settings;
pub mod shops;

/// A storage backend and its clock.
pub struct Backend {
    pub stores: Stores,
    pub clock: SharedClock,
    /// Stores settings of an index as raw JSON, without the port, as a host of another version could have done.
    pub insert_raw_settings: fn(&Backend, index_name: &str, json: &str),
    /// What must live as long as the backend, such as a folder.
    pub resources: Box<dyn Any + Send + Sync>,
}

impl Backend {
    /// A name that no other check uses.
    pub fn name(&self, prefix: &str) -> String {
        build::name(&*self.clock, prefix)
    }

    /// A new job, not stored yet.
    pub fn job(&self, shop_id: &str) -> Job {
        build::job(&*self.clock, shop_id)
    }

    /// A stored job with some pending chunks, not sealed.
    pub async fn job_with_chunks(&self, chunks: u32) -> Job {
        let job = self.job(&self.name("shop"));
        let job = self.stores.jobs.create(&job).await.unwrap();
        for seq in 0..chunks {
            self.stores.jobs.add_chunk(&build::chunk(&job.id, seq, 0)).await.unwrap();
        }
        job
    }
}

/// An index and its clock.
pub struct IndexBackend {
    pub index: Arc<dyn Index>,
    pub clock: SharedClock,
    /// What must live as long as the index, such as a server.
    pub resources: Box<dyn Any + Send + Sync>,
}

impl IndexBackend {
    /// The target of a job whose shop no other check uses.
    pub fn target(&self) -> WriteTarget {
        build::target(&*self.clock)
    }
}

/// Makes a test of each named check, for which the function `$with` makes a fresh backend. With `ignored`, the tests
/// are run on demand only, because they need something that a machine may lack.
#[macro_export]
macro_rules! conformance_tests {
    ($with:ident: $($module:ident :: $check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::conformance::$module::$check(&$with()).await;
            }
        )*
    };
    ($with:ident ignored: $($module:ident :: $check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs what its module names"]
            async fn $check() {
                $crate::conformance::$module::$check(&$with()).await;
            }
        )*
    };
}

/// Tests of a store of objects (chunks and reports).
#[macro_export]
macro_rules! chunk_tests {
    ($with:ident $($ignored:ident)?) => {
        $crate::conformance_tests! { $with $($ignored)?:
            chunks::an_object_is_stored_once_and_never_changed,
            chunks::of_many_at_once_one_creates_an_object,
            chunks::a_report_is_replaced_as_a_whole,
            chunks::other_bytes_than_expected_are_corrupt,
            chunks::removal_succeeds_also_the_second_time,
            chunks::many_objects_are_removed_at_once,
            chunks::an_object_may_be_empty_or_large,
            shops::objects_of_a_shop_are_removed_on_all_platforms,
        }
    };
}

/// Tests of the other stores: queue, jobs, settings, ledger and breakers.
#[macro_export]
macro_rules! storage_tests {
    ($with:ident $($ignored:ident)?) => {
        $crate::conformance_tests! { $with $($ignored)?:
            queue::a_group_is_delivered_in_order_one_at_a_time,
            queue::groups_do_not_wait_for_each_other,
            queue::shops_do_not_see_each_others_messages,
            queue::the_same_chunk_is_sent_once,
            queue::what_is_not_acknowledged_comes_again_before_its_successors,
            queue::an_older_receipt_is_void,
            queue::a_message_can_be_kept_hidden,
            queue::a_released_message_holds_its_group_back,
            queue::a_quarantined_message_is_a_dead_letter_and_its_group_goes_on,
            queue::depth_counts_what_is_not_acknowledged,
            queue::the_backlog_counts_messages_and_dead_letters_and_takes_none,
            queue::of_many_receivers_one_gets_a_message,
            queue::shops_with_messages_are_listed,
            queue::a_shop_is_ready_while_a_message_of_it_is_visible,
            queue::a_shop_whose_job_ended_early_is_ready_for_its_chunks,
            queue::a_message_without_an_open_job_is_found_too,
            queue::a_long_poll_gives_a_message_that_is_there,
            queue::a_redriven_chunk_is_sent_anew,
            queue::a_dead_letter_says_all_that_is_known,
            queue::dead_letters_are_leased_released_and_removed,
            redrive::a_redriven_chunk_counts_anew_and_its_job_ends_once_more,
            redrive::a_chunk_is_quarantined_and_redriven_again_and_again,
            redrive::a_job_says_why_a_chunk_of_it_is_quarantined,
            redrive::a_job_says_why_the_chunks_of_it_that_were_not_redriven_are_quarantined,
            redrive::a_chunk_that_was_not_quarantined_is_only_sent_again,
            redrive::a_job_that_ended_without_a_seal_stays_ended,
            jobs::the_first_error_stays_with_a_chunk,
            jobs::a_job_is_created_once,
            jobs::whether_a_job_has_ended_is_told,
            jobs::jobs_of_an_index_are_numbered,
            jobs::lanes_change_when_no_chunk_waits,
            jobs::an_interrupted_job_is_found_by_its_fingerprint,
            open_jobs::of_interrupted_jobs_the_last_one_is_found_whatever_clocks_say,
            open_jobs::open_jobs_are_listed_by_shop_index_and_sequence,
            jobs::jobs_are_listed_newest_first,
            jobs::a_chunk_is_added_once,
            jobs::the_first_claim_starts_the_job,
            jobs::a_chunk_is_held_until_its_lease_ends,
            jobs::a_lease_that_ends_in_a_day_is_that_of_a_wrong_clock,
            jobs::a_lease_that_has_run_out_is_still_its_holders,
            jobs::renewal_counts_from_now,
            jobs::a_released_chunk_can_be_claimed_at_once,
            jobs::of_many_claims_one_wins,
            jobs::a_second_completion_changes_nothing,
            jobs::why_a_chunk_was_quarantined_is_remembered,
            jobs::many_completions_at_once_count_once,
            jobs::a_chunk_without_a_row_is_unknown,
            jobs::a_job_ends_with_its_last_chunk_only_when_sealed,
            jobs::one_completion_says_that_the_job_has_ended,
            jobs::an_unsealed_job_is_superseded,
            jobs::a_cancelled_job_keeps_the_reason,
            jobs::a_job_keeps_its_last_error_until_it_ends,
            jobs::a_job_keeps_why_nothing_was_archived,
            jobs::a_chunk_is_read_as_it_was_added,
            jobs::a_job_without_chunks_ends_when_it_is_sealed,
            jobs::a_seal_holds_and_its_refused_items_count_once,
            jobs::failed_outranks_conflict_outranks_completed,
            jobs::samples_do_not_depend_on_the_order_of_counting,
            jobs::reports_come_in_chunk_order_ingest_first,
            settings::settings_come_back_as_they_were_put,
            settings::settings_are_replaced_as_a_whole,
            settings::indexes_are_listed_in_their_order,
            settings::an_index_without_settings_has_none,
            settings::records_of_other_versions_are_returned_as_they_are,
            settings::of_many_puts_at_once_one_stays_whole,
            settings::removed_settings_are_gone,
            ledger::records_come_back_as_they_were_put_and_in_the_order_asked,
            ledger::a_record_is_replaced_as_a_whole,
            ledger::ledgers_of_indexes_are_kept_apart,
            ledger::a_refusal_changes_nothing_else,
            ledger::a_record_that_another_writer_changed_is_not_replaced,
            ledger::of_two_writers_that_read_the_same_record_one_changes_it,
            ledger::a_change_of_the_refusal_alone_is_stored,
            ledger::pages_have_each_record_once_and_in_order,
            ledger::many_records_are_put_and_read_at_once,
            ledger::chunks_that_are_not_counted_are_listed,
            breakers::a_breaker_is_opened_once,
            breakers::of_many_workers_one_probes,
            breakers::a_closed_breaker_is_gone_and_opens_anew,
            breakers::breakers_are_listed_by_shop_and_index,
            breakers::what_cleared_a_breaker_last_is_remembered,
            shops::messages_and_dead_letters_of_a_shop_are_removed,
            shops::the_ledgers_of_a_shop_are_removed,
            shops::the_jobs_of_a_shop_are_removed,
            shops::the_indexes_of_a_shop_are_known_until_it_is_removed,
            shops::that_a_shop_was_removed_is_remembered,
        }
    };
}

/// Tests of an index that stores variants and keeps the documents of shops apart.
#[macro_export]
macro_rules! index_tests {
    ($with:ident $($ignored:ident)?) => {
        $crate::conformance_tests! { $with $($ignored)?:
            index::a_document_comes_back_as_it_was_written,
            index::whatever_json_can_say_comes_back,
            index::a_document_is_replaced_as_a_whole,
            index::an_update_changes_what_it_gives_and_nothing_else,
            index::an_update_that_cannot_be_is_refused_alone,
            index::versions_are_read_in_the_order_asked,
            index::the_latest_writer_is_remembered,
            index::removal_is_done_also_for_what_is_not_there,
            index::an_archived_document_is_out_of_sight_until_it_is_written_again,
            index::ids_are_listed_in_order_and_in_pages,
            index::indexes_are_kept_apart,
            index::shops_are_kept_apart,
            index::a_shop_is_removed_where_shops_are_kept_apart,
            index::an_update_changes_the_given_fields_alone,
            index::an_update_creates_nothing,
            index::an_update_of_a_product_keeps_its_variants,
            index::variants_come_back_exactly_and_in_order,
            index::a_new_variant_takes_nothing_over_from_one_that_vanished,
            index::a_bad_variant_refuses_its_document_alone,
            index::a_reader_never_sees_half_a_product,
        }
    };
}
