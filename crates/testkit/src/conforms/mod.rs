//! What a connector promises, as tests: [`crate::connectors_conform`].
//!
//! The suite runs over the whole registry, so that a connector is tested before
//! its author writes a test. All that it asks for is an [`Example`] of each
//! kind: settings that work, and where they lead.

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
mod world;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use serde_json::Value;
use tidegate_model::{Connector, ConnectorContext, ObjectKind, Record, Settings};

pub use world::{NoHttp, State, World};

use crate::ManualClock;

/// A value that every example record and every example row holds, and that
/// must not come up in an error, a check or the log.
pub const PRIVATE: &str = "zanzibar";

/// What the suite has to know about one kind of connector.
#[derive(Default)]
pub struct Example {
    /// Settings that can be opened. Nothing has to listen where they lead.
    pub settings: Value,
    /// For connectors that records are sent to.
    pub platform: Option<PlatformExample>,
    /// For connectors that rows are read from.
    pub source: Option<SourceExample>,
    /// For connectors that events come in through.
    pub ingest: Option<IngestExample>,
}

/// A platform that can be sent to inside this process.
pub struct PlatformExample {
    /// A sync's own settings under `destination:`.
    pub target: fn(ObjectKind) -> Value,
    /// A good record; different numbers make records that differ. Users `0..8` exist
    /// before any other kind of object is sent.
    pub record: fn(ObjectKind, usize) -> Record,
    /// A record that the platform itself refuses, where it refuses any.
    pub bad: fn(ObjectKind) -> Option<Record>,
    /// Requests that get the sandbox ready: method, path, body.
    pub prepare: &'static [(&'static str, &'static str, &'static str)],
    /// Everything that deliveries have changed, entry by entry.
    pub state: for<'a> fn(&'a World) -> BoxFuture<'a, Vec<Value>>,
}

/// Requests that bring events.
pub struct IngestExample {
    /// A good request without credentials, at the connector's own route; different
    /// numbers make requests that differ. Its events hold [`PRIVATE`].
    pub request: fn(usize) -> Request<Bytes>,
    /// How many events it brings.
    pub events: usize,
    /// Adds the credentials, as a client does, at the time of [`ManualClock::default`].
    pub prove: fn(Request<Bytes>) -> Request<Bytes>,
}

/// Selections to read.
pub struct SourceExample {
    /// Makes a new backend with rows for each way the source reads.
    pub backends: fn() -> BoxFuture<'static, Vec<SourceBackend>>,
}

/// Some rows and how to read them.
pub struct SourceBackend {
    /// Connection settings that reach it.
    pub settings: Value,
    /// The project's folder.
    pub project: PathBuf,
    /// What is read.
    pub selection: Value,
    /// A selection of something that is not there.
    pub missing: Value,
    /// A selection whose read fails at a row that holds [`PRIVATE`], where one exists.
    pub failing: Option<Value>,
    /// How many rows there are; more than 30.
    pub rows: usize,
    /// A column that can be a cursor, with ties and nulls, where the source has cursors.
    pub cursor: Option<&'static str>,
    /// The columns that name a row.
    pub key: &'static [&'static str],
    /// The columns whose type is known row by row only, or has no counterpart
    /// ([`DataType::Any`](tidegate_model::DataType::Any) and `Other`).
    pub untyped: &'static [&'static str],
    /// How many reads are under way, as seen from outside.
    pub running: Box<dyn Fn() -> BoxFuture<'static, usize> + Send + Sync>,
    /// What has to live as long as this.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// The registry and its examples.
pub struct Suite {
    /// Every connector.
    pub connectors: &'static [Connector],
    /// The example of a kind.
    pub example: fn(&str) -> Option<Example>,
}

impl Suite {
    /// Every connector with its example.
    ///
    /// # Panics
    /// When a connector has no example, or none for a role that it plays.
    pub fn each(&self) -> Vec<(&'static Connector, Example)> {
        let with_example = |connector: &'static Connector| {
            let kind = connector.kind;
            let example = (self.example)(kind)
                .unwrap_or_else(|| panic!("`{kind}` has no example: add one to `fixtures::of`"));
            assert_eq!(connector.platform.is_some(), example.platform.is_some(), "{kind}: platform example");
            assert_eq!(connector.source.is_some(), example.source.is_some(), "{kind}: source example");
            assert_eq!(connector.ingest.is_some(), example.ingest.is_some(), "{kind}: ingest example");
            (connector, example)
        };
        self.connectors.iter().map(with_example).collect()
    }

    /// Every kind of object of every platform, in a new world each.
    pub async fn worlds(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for (connector, _) in self.each() {
            for kind in connector.platform.iter().flat_map(|role| role.objects) {
                worlds.push(World::new(connector, self.example, *kind).await);
            }
        }
        worlds
    }

    /// The same, where a sandbox can misbehave.
    pub async fn sandboxes(&self) -> Vec<World> {
        let mut worlds = self.worlds().await;
        worlds.retain(|world| world.connector.sandbox.is_some());
        worlds
    }
}

/// Settings from a JSON object.
pub fn settings_of(members: &Value) -> Settings {
    let Value::Object(members) = members else { panic!("settings are an object: {members}") };
    Settings::new(members.clone())
}

/// What a connector is handed: no HTTP, and the same folder for everything.
pub fn context(folder: &Path) -> ConnectorContext {
    ConnectorContext {
        http: Arc::new(NoHttp),
        clock: Arc::new(ManualClock::default()),
        project: folder.to_owned(),
        data: folder.to_owned(),
        dry_run: false,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Connector = Connector {
        kind: "nothing",
        title: "",
        readme: "",
        icon: "",
        settings: tidegate_model::settings::schema_of::<()>,
        ..Connector::NEW
    };

    #[test]
    #[should_panic(expected = "`nothing` has no example")]
    fn a_kind_without_an_example_fails() {
        Suite { connectors: &[NOTHING], example: |_| None }.each();
    }

    #[test]
    #[should_panic(expected = "nothing: source example")]
    fn a_role_without_its_part_of_the_example_fails() {
        const READABLE: Connector = Connector {
            source: Some(tidegate_model::SourceRole {
                selection: tidegate_model::settings::schema_of::<()>,
                modes: &[tidegate_model::Mode::Full, tidegate_model::Mode::Incremental],
                keeps_checkpoint: false,
                open: |_, _| Err(tidegate_model::Error::settings("there is nothing to open")),
            }),
            ..NOTHING
        };
        let example = |_: &str| Some(Example::default());
        assert_eq!(Suite { connectors: &[NOTHING], example }.each().len(), 1);
        Suite { connectors: &[READABLE], example }.each();
    }
}
