//! How one version of a project differs from another.

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::spec::Project;

/// What a new version of a project changes. Comments, order and layout of the file are no changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changes {
    /// The connections.
    pub connections: NameChanges,
    /// The syncs, without those of which only a connection changes.
    pub syncs: NameChanges,
    /// Other keys of the file that change: `alerts`, `dbt`, `retention`.
    pub settings: Vec<&'static str>,
}

/// Names of what is added, changed and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NameChanges {
    /// What only the new version has.
    pub added: Vec<String>,
    /// What both have, and the new one has in another way.
    pub changed: Vec<String>,
    /// What the new version no longer has.
    pub removed: Vec<String>,
}

impl Project {
    /// Returns what changes when `next` takes the place of this project.
    pub fn changes_to(&self, next: &Project) -> Changes {
        let mut settings = Vec::new();
        if self.alerts != next.alerts {
            settings.push("alerts");
        }
        if self.dbt != next.dbt {
            settings.push("dbt");
        }
        if self.retention != next.retention {
            settings.push("retention");
        }
        Changes {
            connections: NameChanges::between(&self.connections, &next.connections),
            syncs: NameChanges::between(&self.syncs, &next.syncs),
            settings,
        }
    }
}

impl Changes {
    /// Returns whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.syncs.is_empty() && self.settings.is_empty()
    }
}

impl NameChanges {
    fn between<K: Eq + std::hash::Hash + ToString, V: PartialEq>(
        before: &IndexMap<K, V>,
        after: &IndexMap<K, V>,
    ) -> NameChanges {
        let names = |all: &IndexMap<K, V>, keep: &dyn Fn(&K, &V) -> bool| {
            all.iter().filter(|(key, value)| keep(key, value)).map(|(key, _)| key.to_string()).collect()
        };
        NameChanges {
            added: names(after, &|key, _| !before.contains_key(key)),
            changed: names(after, &|key, value| before.get(key).is_some_and(|known| known != value)),
            removed: names(before, &|key, _| !after.contains_key(key)),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// Lists the changes, one a line: `+` for what is added, `~` for what changes, `-` for what is removed.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for (thing, names) in [("connection", &self.connections), ("sync", &self.syncs)] {
            for (sign, names) in [("+", &names.added), ("~", &names.changed), ("-", &names.removed)] {
                lines.extend(names.iter().map(|name| format!("{sign} {thing} {name}")));
            }
        }
        lines.extend(self.settings.iter().map(|key| format!("~ {key}")));
        f.write_str(&lines.join("\n"))
    }
}
