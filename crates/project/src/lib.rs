//! The project file: connections and syncs.
//!
//! A file is read into a located YAML tree ([`read`]), checked against the settings that connectors
//! declare, and becomes a [`Project`] or every [`Finding`] at once, each with its line and column.

mod alerts;
mod changes;
mod conform;
mod dbt;
mod edit;
mod edit_settings;
mod export;
mod file;
mod file_position;
mod findings;
mod formats;
mod habits;
mod import;
mod limits;
mod load;
mod options;
mod references;
mod schedule;
mod schema;
mod shape;
mod sheet;
mod spec;
mod sync;
mod syntax;
#[cfg(test)]
mod tests;
mod unconnected;
mod words;
mod yaml;

pub use changes::{Changes, NameChanges};
pub use edit::{ProjectText, yaml_entry};
pub use file::{read_text, replace_text};
pub use findings::{Finding, Invalid, Mark};
pub use limits::{Limit, Limits};
pub use load::{FILE_NAME, folder_of, is_project, load, locate, parse, read};
pub use references::{Variable, Written};
pub use schedule::{CronSchedule, Schedule};
pub use schema::json_schema;
pub use spec::{
    AlertRules, Alerts, Changed, ChannelSpec, Compare, ConnectionSpec, Dbt, DbtUse, EventDestination,
    EventSource, ExportSpec, ImportSpec, InDoubt, Project, Removed, Retention, RowDestination, RowSource,
    State, SyncOptions, SyncSpec, not_removable,
};
pub use unconnected::KnownSettings;
