//! Which outside system a connection points to, so that another one is noticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Connector, Settings};

/// A setting that says which system a connection is of: a server, a database, an app. Never a secret.
#[derive(Clone, Copy, Debug)]
pub struct SystemSetting {
    name: &'static str,
    default: &'static str,
    /// Whether it is an address: capitals and a `/` or `.` at its end make no difference.
    is_address: bool,
}

impl SystemSetting {
    /// A setting that differs if any letter does.
    pub const fn exact(name: &'static str) -> SystemSetting {
        SystemSetting { name, default: "", is_address: false }
    }

    /// The address of a server.
    pub const fn address(name: &'static str) -> SystemSetting {
        SystemSetting { name, default: "", is_address: true }
    }

    /// The same with the value that counts if none is written.
    #[must_use]
    pub const fn or(self, default: &'static str) -> SystemSetting {
        SystemSetting { default, ..self }
    }

    fn value(&self, settings: &Settings) -> String {
        let text = match settings.members().get(self.name) {
            None | Some(serde_json::Value::Null) => self.default.to_owned(),
            Some(serde_json::Value::String(text)) => text.trim().to_owned(),
            Some(serde_json::Value::Array(all)) => {
                all.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(",")
            }
            Some(other) => other.to_string(),
        };
        if self.is_address { text.trim_end_matches(['/', '.']).to_lowercase() } else { text }
    }
}

/// The system that a connection points to, whatever the connection is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The type of the connection.
    pub kind: String,
    /// The settings that say which one it is, with their values.
    pub settings: BTreeMap<String, String>,
}

impl System {
    /// Returns the system of a connection with these settings.
    pub fn of(connector: &Connector, settings: &Settings) -> System {
        let values =
            connector.system.iter().map(|setting| (setting.name.to_owned(), setting.value(settings)));
        System { kind: connector.kind.to_owned(), settings: values.collect() }
    }

    /// Returns how this one differs from the one before, a phrase for each setting of the connection of this
    /// name. A setting that only one of them has says nothing; lists of servers differ if they share none.
    pub fn changes_since(&self, before: &System, connection: &str) -> Vec<String> {
        if self.kind != before.kind {
            return vec![format!("`type` of `{connection}` was `{}` and is `{}`", before.kind, self.kind)];
        }
        let both =
            self.settings.iter().filter_map(|(name, now)| Some((name, before.settings.get(name)?, now)));
        let different = both.filter(|(_, before, now)| {
            !before.split(',').any(|one| now.split(',').any(|other| one.trim() == other.trim()))
        });
        let shown = |value: &str| if value.is_empty() { "not set".to_owned() } else { format!("`{value}`") };
        let phrase = |(name, before, now): (&String, &String, &String)| {
            format!("`{name}` of `{connection}` was {} and is {}", shown(before), shown(now))
        };
        different.map(phrase).collect()
    }
}

/// The systems that a sync moves data between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Systems {
    /// Where it reads.
    pub source: System,
    /// Where it delivers.
    pub destination: System,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SERVER: Connector = Connector {
        kind: "server",
        system: &[
            SystemSetting::address("host"),
            SystemSetting::exact("port").or("5432"),
            SystemSetting::exact("database"),
        ],
        ..Connector::EMPTY
    };

    fn system(settings: serde_json::Value) -> System {
        let serde_json::Value::Object(members) = settings else { panic!("an object") };
        System::of(&SERVER, &Settings::new(members))
    }

    #[test]
    fn a_default_that_is_written_out_and_a_password_are_no_other_system() {
        let before = system(json!({ "host": "db.example.com", "database": "shop", "password": "a" }));
        let now =
            system(json!({ "host": "DB.example.com.", "port": 5432, "database": "shop", "password": "b" }));
        assert_eq!(now.changes_since(&before, "shop"), Vec::<String>::new());
        assert!(!format!("{before:?}").contains("password"), "{before:?}");
    }

    #[test]
    fn another_database_or_type_is_told_by_name() {
        let before = system(json!({ "host": "a", "database": "shop" }));
        let now = system(json!({ "host": "b", "port": "5433", "database": "Shop" }));
        assert_eq!(
            now.changes_since(&before, "orders"),
            [
                "`database` of `orders` was `shop` and is `Shop`",
                "`host` of `orders` was `a` and is `b`",
                "`port` of `orders` was `5432` and is `5433`",
            ]
        );
        let other = System { kind: "other".to_owned(), ..now.clone() };
        assert_eq!(other.changes_since(&now, "orders"), ["`type` of `orders` was `server` and is `other`"]);
        let unset = system(json!({ "host": "b", "port": "5433" }));
        assert_eq!(unset.changes_since(&now, "orders"), ["`database` of `orders` was `Shop` and is not set"]);
    }

    #[test]
    fn a_list_of_servers_that_shares_one_is_the_same_system() {
        let before = system(json!({ "host": ["k1:9092", "k2:9092"] }));
        let now = system(json!({ "host": "k2:9092, k3:9092" }));
        assert!(now.changes_since(&before, "k").is_empty());
        let other = system(json!({ "host": "k3:9092" }));
        assert_eq!(other.changes_since(&before, "k").len(), 1);
    }
}
