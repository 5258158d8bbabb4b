//! Changes of single settings of an entry, which leave its other lines as they are written.

use serde_json::{Map, Value as Member};
use tidegate_model::Error;

use super::edit::{ProjectText, has_own_lines, not_by_lines, yaml_entry};
use super::yaml::Entry;

impl ProjectText {
    /// Returns the settings of an entry, such as `["connections", "shop"]`, as they are written: no reference
    /// is resolved. `None` if there is no such entry.
    pub fn settings(&self, path: &[&str]) -> Option<Map<String, Member>> {
        match self.entry_at(path)?.value.to_member() {
            Member::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Returns the text with these settings of an entry replaced, added or, if the value is `None`, removed.
    /// Settings that are not named keep their lines and comments. An entry that stands on one line is written as
    /// a whole.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if there is no such entry, or it has no lines of its own.
    pub fn with_settings(
        &self,
        path: &[&str],
        changes: &[(String, Option<Member>)],
    ) -> Result<String, Error> {
        let settings = self.settings(path).ok_or_else(|| not_by_lines(path))?;
        let news: Vec<&(String, Option<Member>)> =
            changes.iter().filter(|(key, value)| settings.get(key) != value.as_ref()).collect();
        let entry = self.entry_at(path).ok_or_else(|| not_by_lines(path))?;
        if !news.is_empty() && !has_own_lines(entry, entry.value.entries()) {
            return self.put(path, &whole(&entry.key, settings, &news));
        }
        let mut text = self.clone();
        for (key, value) in news {
            let of_key = [path, &[key.as_str()]].concat();
            let changed = match value {
                None => text.without(&of_key),
                Some(value) if text.entry_at(&of_key).is_some() => text.put(&of_key, &yaml_entry(key, value)),
                Some(value) => text.append(path, &yaml_entry(key, value)),
            };
            text = ProjectText::new(&changed?)?;
        }
        Ok(text.into_text())
    }

    fn entry_at(&self, path: &[&str]) -> Option<&Entry> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.root().entry(first)?, |entry, key| entry.value.entry(key))
    }
}

/// An entry with its changes, as people write it.
fn whole(name: &str, mut settings: Map<String, Member>, changes: &[&(String, Option<Member>)]) -> String {
    for (key, value) in changes {
        match value {
            Some(value) => drop(settings.insert(key.clone(), value.clone())),
            None => drop(settings.shift_remove(key)),
        }
    }
    yaml_entry(name, &Member::Object(settings))
}
