//! Mappings as a project file has them.

use jiff::tz::TimeZone;
use serde_json::Value;
use tidegate_model::mapping::{Absent, Target};
use tidegate_model::{Columns, Mapping, MappingSpec, ObjectKind, SyncId};

/// Returns what a sync without a cursor makes of its rows, which have this primary key.
pub fn target(sync: &SyncId, object: ObjectKind, key: &[&str]) -> Target {
    Target {
        sync: sync.clone(),
        object,
        key: key.iter().map(|&column| column.to_owned()).collect(),
        cursor: None,
        cursor_column: None,
        time_zone: TimeZone::UTC,
        absent: Absent::default(),
    }
}

/// Compiles what stands under `mapping` against the columns of the source.
///
/// # Panics
/// If it is not a mapping of these columns.
pub fn compiled(spec: Value, target: &Target, columns: &Columns) -> Mapping {
    let spec: MappingSpec = serde_json::from_value(spec).expect("a mapping");
    Mapping::compile(&spec, target, columns).expect("a mapping of these columns")
}
