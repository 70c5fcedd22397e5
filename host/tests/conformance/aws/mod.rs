//! The checks on AWS's stores: on strict models in memory, which decide, and on a server that stands in for AWS.

mod chaos;
mod dynoxide;
mod idle;
mod large;
mod real;
mod redrive;
mod simulation;
mod sqs;
mod stand_in;
mod sweep;
mod table;
mod terraform;

use crate::{clock::Clock, embedded::embedded, make::Backend};
use host::{
    env::SharedEnv,
    store::{
        Stores,
        aws::{Key, Names, Table, Update, jobs_on, queue_on, settings_on},
    },
};
use std::{future::Future, sync::Arc, time::Duration};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Waits in a check that is not asynchronous.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// The item of an index's settings, as a host of another version would write it.
async fn plant(table: &dyn Table, index_name: &str, json: &str) {
    let key = Key::new("INDEX_SETTINGS", format!("INDEX#{index_name}"));
    let update = Update::of(key).set("index_name", index_name).set("settings", json);
    table.update(&update).await.unwrap();
}

/// Everything but chunks on models.
pub(crate) fn model() -> Backend {
    let env: SharedEnv = Arc::new(Clock::new(1));
    let (jobs, settings) = (Arc::new(table::Model::default()), Arc::new(table::Model::default()));
    let queues = Arc::new(sqs::Model::new(env.clone()));
    let embedded = embedded();
    Backend {
        stores: Stores {
            chunks: embedded.stores.chunks.clone(),
            queue: queue_on(queues, Names::new("test", None), env.clone()),
            jobs: jobs_on(jobs, env.clone(), MONTH),
            settings: settings_on(settings.clone()),
        },
        index: embedded.index,
        catalog: None,
        env,
        plant_settings: |backend, index_name, json| {
            let keep = &backend.keep;
            let (settings, _) =
                keep.downcast_ref::<(Arc<table::Model>, Box<dyn std::any::Any + Send + Sync>)>().unwrap();
            wait(plant(&**settings, index_name, json));
        },
        keep: Box::new((settings, embedded.keep)),
    }
}

/// The checks of queue, jobs and settings.
macro_rules! checks_of_stores {
    ($with:ident $(, $more:ident :: $check:ident)* $(,)?) => {
        $crate::checks! { $with:
            $($more::$check,)*
            queue::a_group_is_delivered_in_order_one_at_a_time,
            queue::groups_do_not_wait_for_each_other,
            queue::shops_do_not_see_each_others_messages,
            queue::the_same_chunk_is_sent_once,
            queue::what_is_not_acknowledged_comes_again_before_its_successors,
            queue::an_older_receipt_is_void,
            queue::a_message_can_be_kept_hidden,
            queue::a_released_message_holds_its_group_back,
            queue::a_buried_message_is_a_dead_letter_and_its_group_goes_on,
            queue::pending_counts_what_is_not_acknowledged,
            queue::of_many_receivers_one_gets_a_message,
            queue::shops_with_messages_are_listed,
            queue::waiting_gives_a_message_that_is_there,
            queue::a_chunk_is_sent_anew_in_its_next_epoch,
            queue::a_dead_letter_says_all_that_is_known,
            queue::dead_letters_are_held_given_back_and_removed,
            jobs::a_redriven_chunk_counts_anew_and_its_job_ends_once_more,
            jobs::a_chunk_is_given_up_and_redriven_again_and_again,
            jobs::a_chunk_that_was_not_given_up_is_only_sent_again,
            jobs::a_job_that_ended_without_a_seal_stays_ended,
            jobs::the_first_error_stays_with_a_chunk,
            jobs::a_job_is_created_once,
            jobs::an_interrupted_job_is_found_by_its_fingerprint,
            jobs::jobs_are_listed_newest_first,
            jobs::a_chunk_is_added_once,
            jobs::the_first_claim_starts_the_job,
            jobs::a_chunk_is_held_until_its_lease_ends,
            jobs::a_lease_that_has_run_out_is_still_its_holders,
            jobs::renewal_counts_from_now,
            jobs::a_chunk_given_back_can_be_claimed_at_once,
            jobs::of_many_claims_one_wins,
            jobs::each_step_of_completion_is_a_no_op_the_second_time,
            jobs::why_a_chunk_was_given_up_is_remembered,
            jobs::many_counts_at_once_count_once,
            jobs::a_chunk_without_a_row_is_unknown,
            jobs::a_job_ends_with_its_last_chunk_only_when_sealed,
            jobs::a_job_that_nobody_seals_is_superseded,
            jobs::a_cancelled_job_keeps_the_reason,
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
            settings::a_record_of_a_newer_host_is_refused,
            settings::of_many_puts_at_once_one_stays_whole,
            settings::removed_settings_are_gone,
        }
    };
}
use checks_of_stores;

mod on_models {
    use super::model;

    checks_of_stores!(model);
}
