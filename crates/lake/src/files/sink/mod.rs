//! Files of events: Parquet or JSON Lines, by day, on disk or in an object store.
//!
//! A delivery writes one file for each day and partition of the log. A journal
//! beside them says how far the export has come, so each event is written once.

mod delivery;
mod encode;
mod journal;
mod settings;

use std::sync::Arc;

use tidegate_model::SinkRole;
use tidegate_model::settings::schema_of;

use settings::FilesTarget;

/// Files in a folder or a bucket.
pub const SINK: SinkRole = SinkRole {
    target: schema_of::<FilesTarget>,
    open: |settings, target, context| Ok(Arc::new(delivery::FilesSink::open(settings, target, context)?)),
};
