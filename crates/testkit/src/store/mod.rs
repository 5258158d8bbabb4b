//! What a [`Store`] promises, as tests: [`crate::store_conforms`].

mod memory;
pub mod promises;

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::Store;

use crate::ManualClock;

pub use memory::MemoryStore;

/// Where a store keeps its data, for one test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the store, anew each time, on what earlier ones left behind: as after
    /// a restart of the process.
    async fn open(&self) -> Arc<dyn Store>;

    /// The clock that the store is handed.
    fn clock(&self) -> &ManualClock;
}

/// Makes one test of each promise of a store. `$backend` is evaluated in each test,
/// inside a tokio runtime, and gives a new, empty [`Backend`].
#[macro_export]
macro_rules! store_conforms {
    ($backend:expr) => {
        $crate::store_conforms! { @each $backend;
            a_claim_is_exclusive_until_it_is_dropped
            a_sync_that_never_ran_has_the_default_state
            a_pause_is_kept_until_it_is_lifted
            names_of_runs_sort_by_their_start
            a_run_that_never_ended_is_interrupted_by_the_next
            the_object_of_the_first_run_stays
            counts_add_up_until_the_run_ends
            a_checkpoint_moves_with_its_commit
            a_read_begins_anew_only_after_it_came_to_its_end
            a_commit_that_fails_leaves_no_trace
            what_concerns_an_unknown_run_is_an_error
            an_intent_survives_a_restart_with_and_without_its_answer
            a_committed_batch_leaves_no_intents
            a_recalled_row_leaves_its_oldest_intent
            a_completed_read_leaves_no_intents
            intents_of_many_requests_at_once_are_all_kept
            lookback_is_kept_in_order_until_it_is_forgotten
            a_failed_row_stays_open_until_it_is_solved
            the_same_row_failing_again_is_one_failed_row
            another_row_under_the_same_key_takes_its_place
            the_last_row_of_a_batch_decides_whether_its_key_is_solved
            the_status_of_every_row_is_found_newest_first
            rows_that_come_as_columns_are_listed_like_others
            rows_are_found_by_run_user_and_status
            a_row_is_shown_with_its_failed_row_and_not_after_it
            no_text_stops_a_commit
            a_reset_forgets_the_place_and_keeps_the_story
            old_history_goes_by_whole_days
            secrets_are_kept_and_replaced
        }
    };
    (@each $backend:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let backend = $backend;
                $crate::store::promises::$promise(&backend).await;
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use super::*;

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
