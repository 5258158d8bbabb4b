//! Where settings are in a file.

use std::collections::BTreeMap;

use super::findings::Mark;
use super::yaml::Entry;

/// The position of settings. Two positions are the same to whoever compares settings: a comment above them changes
/// nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct FilePosition {
    pub(super) at: Mark,
    /// The path from the top of the file.
    pub(super) path: String,
    /// Where each setting is.
    pub(super) keys: BTreeMap<String, Mark>,
}

impl PartialEq for FilePosition {
    fn eq(&self, _: &FilePosition) -> bool {
        true
    }
}

impl FilePosition {
    /// Returns the position of the settings of an entry.
    pub(super) fn new(at: Mark, path: &str, entry: &Entry) -> FilePosition {
        let keys = entry.value.entries().iter().map(|entry| (entry.key.clone(), entry.at)).collect();
        FilePosition { at, path: path.to_owned(), keys }
    }
}
