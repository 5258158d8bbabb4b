//! Files in a folder as a source of rows: CSV, JSON Lines and Parquet; and as a
//! sink of events: `source` and `sink`.
//!
//! Files have offsets of their own: a run reads new files, and what was appended to
//! those it knows. The checkpoint of each batch says where to read on;
//! nothing is remembered here, and no file is ever moved, changed or removed.

mod sink;
mod source;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SourceRole, SystemSetting, settings::schema_of};

use tidegate_transport::storage::LakeSettings;

pub use sink::SINK;
use source::{FilesSelection, FilesSource};

/// Files in a folder.
pub const CONNECTOR: Connector = Connector {
    kind: "files",
    title: "Files",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<LakeSettings>,
    system: &[
        SystemSetting::address("endpoint"),
        SystemSetting::exact("account"),
        SystemSetting::exact("path"),
    ],
    source: Some(SourceRole {
        selection: schema_of::<FilesSelection>,
        modes: &[Mode::Incremental, Mode::Full, Mode::Mirror],
        keeps_checkpoint: true,
        open: |settings, context| Ok(Arc::new(FilesSource::open(settings, context)?)),
    }),
    sink: Some(SINK),
    ..Connector::EMPTY
};
