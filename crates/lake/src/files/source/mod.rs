//! Files of a folder as rows.

mod content;
mod csv;
mod encoding;
mod folder;
mod folders;
mod jsonl;
mod leaves;
mod lines;
mod listing;
mod offsets;
mod open;
mod output;
mod parquet;
mod reading;
mod settings;
mod shape;
#[cfg(test)]
mod tests;

pub(super) use folder::FilesSource;
pub(super) use settings::FilesSelection;
