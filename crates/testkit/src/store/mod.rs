//! What a [`Store`](tidegate_model::Store) promises, as tests: [`crate::store_conforms`].

mod backend;
mod memory;
pub mod promises;

pub use backend::Backend;
pub use memory::MemoryStore;

/// Makes one test of each promise of a store. `$backend` is evaluated in each test,
/// inside a tokio runtime, and gives a new, empty [`Backend`].
#[macro_export]
macro_rules! store_conforms {
    ($backend:expr) => {
        $crate::store_conforms! { @each $backend;
            state::a_claim_is_exclusive_until_it_is_dropped
            leases::what_an_earlier_holder_writes_has_no_effect
            leases::an_attempt_that_could_not_begin_is_a_run_that_failed
            leases::the_next_run_is_kept
            leases::requested_work_is_answered_by_the_holder
            leases::requested_work_that_was_begun_is_not_withdrawn
            leases::an_ending_changes_no_pause_of_a_person
            state::a_sync_that_never_ran_has_the_default_state
            state::a_pause_is_kept_until_it_is_lifted
            state::a_wait_is_kept_until_it_is_over_or_the_run_ends
            state::the_systems_of_a_sync_are_kept_until_it_is_reset
            runs::names_of_runs_sort_by_their_start
            runs::a_run_that_never_ended_is_interrupted_by_the_next
            runs::the_object_of_the_first_run_stays
            runs::counts_add_up_until_the_run_ends
            runs::the_last_run_and_the_failed_rows_of_all_syncs_come_in_one_question
            commits::a_checkpoint_moves_with_its_commit
            commits::a_read_begins_anew_only_after_it_came_to_its_end
            commits::a_commit_that_fails_leaves_no_trace
            commits::a_row_that_was_overtaken_between_two_comparisons_is_no_unchanged_one
            commits::a_source_is_compared_with_what_was_committed_last
            commits::users_are_kept_until_their_rows_are_gone
            commits::what_was_sent_of_users_is_kept_by_key
            runs::what_concerns_an_unknown_run_is_an_error
            runs::rows_are_counted_by_the_hour_in_which_their_run_ended
            intents::an_intent_survives_a_restart_with_and_without_its_answer
            intents::a_committed_batch_leaves_no_intents
            intents::an_intent_is_done_with_its_batch_whatever_was_written_beside_it
            intents::an_intent_that_is_written_down_while_a_batch_is_committed_survives_a_restart
            intents::a_batch_that_is_committed_in_part_keeps_the_intents_of_rows_without_a_result
            intents::a_recalled_row_leaves_its_oldest_intent
            intents::a_row_that_was_sent_more_than_once_leaves_all_of_its_intents
            intents::a_completed_read_leaves_no_intents
            intents::intents_of_many_requests_at_once_are_all_kept
            commits::lookback_is_kept_in_order_until_it_is_forgotten
            commits::the_last_run_says_what_was_committed_under_a_key
            failed_rows::a_failed_row_stays_open_until_it_is_solved
            failed_rows::the_same_row_failing_again_is_one_failed_row
            failed_rows::a_row_that_is_cut_when_it_fails_again_stays_whole
            failed_rows::failed_rows_are_read_in_order_and_counted_without_being_read
            failed_rows::failed_rows_that_need_no_delivery_are_dismissed
            failed_rows::failed_rows_are_the_same_however_many_commits_made_them
            failed_rows::another_row_under_the_same_key_takes_its_place
            failed_rows::the_last_row_of_a_batch_decides_whether_its_key_is_solved
            pages::runs_are_listed_page_by_page
            pages::failed_rows_are_listed_page_by_page_and_found_by_their_properties
            pages::failed_rows_of_one_reason_are_one_group
            pages::groups_come_page_by_page
            ledger::the_status_of_every_row_is_found_newest_first
            ledger::rows_that_come_as_columns_are_listed_like_others
            ledger::rows_are_found_by_run_user_status_and_time
            ledger::a_row_is_shown_with_its_failed_row_and_not_after_it
            commits::no_text_stops_a_commit
            state::a_reset_forgets_the_place_and_keeps_the_story
            runs::old_history_goes_by_whole_days
            state::secrets_are_kept_and_replaced
            alerts::an_alert_is_open_once_until_it_is_resolved
            alerts::alerts_come_page_by_page
            alerts::a_recipient_is_told_of_a_change_once
            alerts::a_notice_that_is_due_goes_to_one_process
            alerts::old_alerts_go_with_their_notices
            people::a_person_is_kept_and_a_change_ends_the_sessions
            people::old_sessions_go_when_a_new_one_opens
            people::a_token_is_found_by_its_hash_until_it_is_removed
            people::an_invitation_is_accepted_once
            people::the_audit_log_is_a_chain
            answers::a_request_begins_once_and_its_answer_is_kept
        }
    };
    (@each $backend:expr; $($subject:ident :: $promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let backend = $backend;
                $crate::store::promises::$subject::$promise(&backend).await;
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use tidegate_model::Store;

    use super::{Backend, MemoryStore};
    use crate::ManualClock;

    struct Memory(MemoryStore, ManualClock);

    #[async_trait]
    impl Backend for Memory {
        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(self.0.clone())
        }

        fn clock(&self) -> &ManualClock {
            &self.1
        }
    }

    crate::store_conforms! {{
        let clock = ManualClock::default();
        Memory(MemoryStore::new(Arc::new(clock.clone())), clock)
    }}
}
