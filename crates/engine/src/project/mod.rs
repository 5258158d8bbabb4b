//! What people write down: connections and syncs, as files.

mod keys;
mod load;
mod schema;
mod secrets;
mod spec;
#[cfg(test)]
mod tests;
mod yaml;

pub use load::{FILE_NAME, load, parse};
pub use schema::json_schema;
pub use secrets::resolve;
pub use spec::{
    ConnectionSpec, Contract, Detect, ExportSpec, From, FromEvents, ImportSpec, InDoubt, Project, Schedule,
    SyncSpec, To, ToSink,
};
