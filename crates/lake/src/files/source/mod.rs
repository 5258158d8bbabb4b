//! Files of a folder as rows.

mod arrow;
mod csv;
mod folder;
mod jsonl;
mod listing;
mod offsets;
mod parquet;
mod reading;
mod settings;
mod shape;
#[cfg(test)]
mod tests;

pub(super) use folder::FilesSource;
pub(super) use settings::FilesSelection;
