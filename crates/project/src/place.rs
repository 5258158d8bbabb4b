//! Where settings are in a file.

use std::collections::BTreeMap;

use super::findings::Mark;
use super::yaml::Entry;

/// The place of settings. Two places are the same to whoever compares settings: a comment above them changes
/// nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) at: Mark,
    /// The path from the top of the file.
    pub(super) path: String,
    /// Where each setting is.
    pub(super) keys: BTreeMap<String, Mark>,
}

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Place {
    /// Returns the place of the settings of an entry.
    pub(super) fn new(at: Mark, path: &str, entry: &Entry) -> Place {
        let keys = entry.value.entries().iter().map(|entry| (entry.key.clone(), entry.at)).collect();
        Place { at, path: path.to_owned(), keys }
    }
}
