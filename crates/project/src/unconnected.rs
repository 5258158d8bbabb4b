//! What can be said of settings before anything is connected to.

use std::path::Path;

use serde_json::Value as Member;
use tidegate_model::{Error, ErrorKind, Settings};

use super::file_position::FilePosition;
use super::findings::Finding;
use super::references::{Content, Wants, Written, members_of, put};

/// Settings as far as they are known here.
#[derive(Debug)]
pub struct KnownSettings {
    /// The settings, with a value that stands for each one that is not known.
    pub settings: Settings,
    /// The names of the settings whose value is not known.
    pub unknown: Vec<String>,
}

impl Written {
    /// Returns the settings as far as they are known without the store: variables that are not set, files that
    /// are not there and secrets have a value that stands for them.
    pub fn known(&self, folder: &Path) -> KnownSettings {
        let mut known = Member::Object(self.members.clone());
        let mut unknown = Vec::new();
        for reference in &self.references {
            let text = match &reference.content {
                Content::Secret(_) => None,
                Content::Template(_) | Content::File(_) => reference.look_up_outside(folder).ok(),
            };
            let value = text.and_then(|text| reference.read(text).ok()).unwrap_or_else(|| {
                unknown.extend(reference.steps.first().cloned());
                unknown.extend(reference.steps.last().cloned());
                match reference.wants {
                    Wants::Text => Member::from("unknown"),
                    Wants::Integer | Wants::Number => Member::from(1),
                    Wants::Boolean => Member::from(false),
                }
            });
            put(&mut known, &reference.steps, value);
        }
        KnownSettings { settings: Settings::new(members_of(known)), unknown }
    }

    /// Returns what is wrong with these settings, at its place in the file; `None` if it depends on a value that
    /// is not known, or can only be seen elsewhere.
    pub fn finding(&self, error: &Error, unknown: &[String]) -> Option<Finding> {
        let message = error.chain();
        let names =
            |name: &String| message.contains(&format!("`{name}`")) || message.contains(&format!(".{name}`"));
        if error.kind() != ErrorKind::Settings || unknown.iter().any(names) {
            return None;
        }
        let FilePosition { at, path, keys } = &self.position;
        let named = message.strip_prefix('`').and_then(|rest| rest.split_once('`'));
        let placed = named.and_then(|(setting, rest)| {
            let key = setting.split('.').next().unwrap_or(setting);
            Some((setting, rest.strip_prefix(": ")?, *keys.get(key)?))
        });
        let found = match placed {
            Some((setting, rest, at)) => Finding::new(at, format!("{path}.{setting}"), rest),
            None => Finding::new(*at, path, message.clone()),
        };
        Some(found.hint(error.next_step()))
    }
}
