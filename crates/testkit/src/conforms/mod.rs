//! What a connector promises, as tests: [`crate::connectors_conform`].
//!
//! The suite runs over the whole registry, so that a connector is tested before
//! its author writes a test. All that it asks for is an [`Example`] of each
//! kind: settings that work, and where they lead.

mod context;
mod example;
pub mod faults;
pub mod idempotency;
pub mod ingest;
mod log;
pub mod opening;
pub mod platform;
pub mod secrets;
pub mod settings;
pub mod sink;
pub mod source;
mod suite;
mod world;

pub use context::{NoHttp, context, settings_of};
pub use example::{Example, IngestExample, PRIVATE, SourceBackend, SourceExample};
pub use suite::Suite;
pub use world::{PlatformExample, State, World};

/// Makes one test of each promise of a connector, each over all of `$connectors`.
/// `$example` is a function from a kind to its [`Example`].
#[macro_export]
macro_rules! connectors_conform {
    ($connectors:expr, $example:expr) => {
        $crate::connectors_conform! { @each $connectors, $example;
            settings::a_kind_is_one_lowercase_word_of_its_own
            settings::a_connector_introduces_itself
            settings::every_setting_has_its_help_text
            settings::every_setting_stands_in_the_readme
            settings::every_secret_is_write_only
            opening::unknown_members_are_refused
            opening::opening_does_no_io
            opening::no_settings_make_opening_panic
            opening::no_selection_panics
            platform::good_records_are_admitted
            platform::nothing_is_delivered_without_a_request
            platform::every_record_has_its_outcome
            platform::a_full_request_is_one_request_inside_its_limits
            platform::only_the_bad_record_is_rejected
            platform::a_dry_run_takes_everything
            platform::a_check_passes_where_deliveries_do
            faults::an_error_says_its_kind_and_has_no_effect
            faults::a_lost_answer_leaves_every_record_in_doubt
            faults::a_revoked_key_fails_the_check_with_a_remedy
            idempotency::a_repetition_has_the_effect_of_one_delivery
            secrets::a_delivery_tells_no_secret_and_no_row
            secrets::an_answer_that_repeats_the_key_does_not_spread_it
            secrets::a_key_that_cannot_be_one_is_not_repeated
            secrets::a_failed_read_tells_no_secret_and_no_row
            source::a_description_agrees_with_the_rows
            source::every_value_is_of_the_type_of_its_column
            source::the_highest_cursor_is_that_of_the_last_row
            source::batches_have_about_the_rows_that_were_asked_for
            source::reading_twice_gives_the_same_rows
            source::a_restart_from_any_checkpoint_loses_nothing
            source::a_restart_from_any_cursor_loses_nothing
            source::a_dropped_feed_leaves_nothing_running
            source::what_is_missing_is_called_missing
            source::a_reach_that_it_does_not_have_is_refused
            source::no_checkpoint_panics
            source::a_narrowed_selection_has_its_columns_alone
            source::a_lookup_gives_the_rows_that_were_asked_for
            source::a_check_passes_where_reads_do
            ingest::a_good_request_brings_its_events
            ingest::a_repeated_request_has_the_same_ids
            ingest::a_sender_without_credentials_is_refused
            ingest::no_request_panics_or_is_half_accepted
            ingest::an_overloaded_log_makes_senders_come_back
        }
    };
    (@each $connectors:expr, $example:expr; $($subject:ident :: $promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let suite = $crate::conforms::Suite { connectors: $connectors, example: $example };
                $crate::conforms::$subject::$promise(&suite).await;
            }
        )*
    };
}
