//! Delta tables: what an export writes here appears once, whatever crashes; and their rows, at a
//! version or version after version.
//!
//! A delivery is one commit. The commit also says how far the export has come
//! (`txn` actions, part of the Delta protocol), so that a repetition is known.
//! A read takes the files of one version (`version`), then the change data feed (`changes`).

mod changes;
mod commit;
mod errors;
mod file_layout;
mod fit;
mod rows;
mod runtime;
mod settings;
mod sink;
mod source;
mod staged;
mod table;
mod version;

use std::sync::Arc;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting};

use settings::{DeltaSelection, DeltaTarget};
use tidegate_transport::storage::LakeSettings;

pub(crate) use settings::table_of;

/// Delta tables in a folder or a bucket.
pub const CONNECTOR: Connector = Connector {
    kind: "delta",
    title: "Delta Lake",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<LakeSettings>,
    system: &[
        SystemSetting::address("endpoint"),
        SystemSetting::exact("account"),
        SystemSetting::exact("path"),
    ],
    source: Some(SourceRole {
        selection: schema_of::<DeltaSelection>,
        modes: &[Mode::Full, Mode::Mirror, Mode::Stream],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::DeltaSource::open(settings, context)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<DeltaTarget>,
        open: |settings, target, context| Ok(Arc::new(sink::DeltaSink::open(settings, target, context)?)),
    }),
    ..Connector::EMPTY
};
