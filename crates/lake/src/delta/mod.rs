//! Delta tables: what an export writes here appears once, whatever crashes.
//!
//! A delivery is one commit. The commit also says how far the export has come
//! (`txn` actions, part of the Delta protocol), so that a repetition is known.

mod commit;
mod errors;
mod file_layout;
mod fit;
mod runtime;
mod settings;
mod sink;
mod staged;
mod table;

use std::sync::Arc;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, SinkRole};

use settings::DeltaTarget;
use tidegate_transport::storage::LakeSettings;

pub(crate) use settings::table_of;

/// Delta tables in a folder or a bucket.
pub const CONNECTOR: Connector = Connector {
    kind: "delta",
    title: "Delta Lake",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<LakeSettings>,
    sink: Some(SinkRole {
        target: schema_of::<DeltaTarget>,
        open: |settings, target, context| Ok(Arc::new(sink::DeltaSink::open(settings, target, context)?)),
    }),
    ..Connector::EMPTY
};
