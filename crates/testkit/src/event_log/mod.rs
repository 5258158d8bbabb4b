//! What an [`EventLog`](tidegate_model::EventLog) promises, as tests: [`crate::event_logs_conform`].

mod backend;
mod events;
mod memory;
pub mod promises;

pub use backend::Backend;
pub use events::{event, events};
pub use memory::MemoryEventLog;

/// Makes one test of each promise of an event log. `$backend` is evaluated in each
/// test, inside a tokio runtime, and gives a new, empty [`Backend`].
#[macro_export]
macro_rules! event_logs_conform {
    ($backend:expr) => {
        $crate::event_logs_conform! { @each $backend;
            events_are_read_as_they_were_appended
            events_survive_a_restart
            an_event_that_was_logged_is_skipped
            an_event_is_known_by_its_id_after_a_restart
            an_event_is_new_again_after_the_window
            streams_have_nothing_to_do_with_each_other
            a_stream_without_events_gives_nothing
            every_checkpoint_goes_on_where_its_batch_ended
            batches_hold_no_more_than_was_asked_for
            a_feed_ends_where_nothing_is_left
            a_feed_that_follows_waits_for_what_comes
            a_feed_can_follow_a_stream_that_does_not_exist_yet
            readers_do_not_disturb_each_other
            appends_at_once_are_all_kept_in_their_order
            lag_counts_what_waits
            retention_keeps_what_is_younger
            retention_keeps_what_an_export_has_not_read
            a_reader_behind_retention_goes_on_with_what_is_there
            large_and_empty_texts_are_kept
        }
    };
    (@each $backend:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let backend = $backend;
                $crate::event_log::promises::$promise(&backend).await;
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use jiff::SignedDuration;
    use tidegate_model::{EventLog, StreamId};

    use super::{Backend, MemoryEventLog, events};
    use crate::ManualClock;

    struct Memory(MemoryEventLog, ManualClock);

    #[async_trait]
    impl Backend for Memory {
        async fn open(&self) -> Arc<dyn EventLog> {
            Arc::new(self.0.clone())
        }

        fn clock(&self) -> &ManualClock {
            &self.1
        }

        fn dedup_window(&self) -> SignedDuration {
            SignedDuration::from_hours(24)
        }
    }

    crate::event_logs_conform! {{
        let clock = ManualClock::default();
        Memory(MemoryEventLog::new(Arc::new(clock.clone())), clock)
    }}

    #[tokio::test]
    async fn a_log_that_refuses_logs_nothing_until_it_is_fixed() {
        use tidegate_model::ErrorKind;

        let log = MemoryEventLog::new(Arc::new(ManualClock::default()));
        let stream = StreamId::new("shop");

        log.fail_with(Some(ErrorKind::Throttled(None)));
        let refused = log.append(&stream, events(0, 1)).await.expect_err("refused");
        log.fail_with(None);

        assert_eq!(refused.kind(), ErrorKind::Throttled(None));
        assert_eq!(log.append(&stream, events(0, 1)).await.expect("appended").events, 1);
    }
}
