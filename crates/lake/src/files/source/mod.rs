//! Files of a folder as rows.

mod bucket;
mod content;
mod csv;
mod encoding;
mod folder;
mod folders;
mod handle;
mod jsonl;
mod leaves;
mod lines;
mod listing;
mod object;
mod offsets;
mod open;
mod output;
mod parquet;
mod read_objects;
mod reading;
mod settings;
mod shape;
#[cfg(test)]
mod tests;

pub(super) use folder::FilesSource;
pub(super) use settings::FilesSelection;
