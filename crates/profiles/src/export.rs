//! The content as counts and lines of JSON, for tests and people.

use std::fmt::Write as _;

use rusqlite::Row;
use serde::Serialize;
use tidegate_model::{Result, json};

use super::store::{Session, storage, timestamp};

/// What can be exported, one JSON object a line.
#[derive(Clone, Copy, Debug)]
pub enum Export<'a> {
    /// All users.
    Users,
    /// All events.
    Events,
    /// All purchases.
    Purchases,
    /// The items of a catalog.
    Items(&'a str),
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Users.
    pub users: u64,
    /// Events.
    pub events: u64,
    /// Purchases.
    pub purchases: u64,
    /// Items of all catalogs.
    pub catalog_items: u64,
    /// Users that were deleted, ever.
    pub deletions: u64,
}

/// How a column is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
    Time,
}

use Form::{Json, Text, Time};

const USERS: &[(&str, Form)] = &[
    ("platform_id", Text),
    ("external_id", Text),
    ("email", Text),
    ("phone", Text),
    ("aliases", Json),
    ("attributes", Json),
    ("created_at", Time),
    ("updated_at", Time),
];
const EVENTS: &[(&str, Form)] = &[
    ("platform_id", Text),
    ("external_id", Text),
    ("name", Text),
    ("time", Time),
    ("properties", Json),
    ("app_id", Text),
    ("key", Text),
    ("received_at", Time),
];
const PURCHASES: &[(&str, Form)] = &[
    ("platform_id", Text),
    ("external_id", Text),
    ("product_id", Text),
    ("currency", Text),
    ("price", Json),
    ("quantity", Json),
    ("time", Time),
    ("properties", Json),
    ("app_id", Text),
    ("key", Text),
    ("received_at", Time),
];
const ITEMS: &[(&str, Form)] = &[("id", Text), ("fields", Json)];

impl Session<'_> {
    /// Returns the totals.
    pub fn totals(&self) -> Result<Totals> {
        self.db
            .query_row(
                "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM events),
                        (SELECT count(*) FROM purchases), (SELECT count(*) FROM items),
                        (SELECT count(*) FROM deletions)",
                [],
                |row| {
                    let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
                    Ok(Totals {
                        users: count(0)?,
                        events: count(1)?,
                        purchases: count(2)?,
                        catalog_items: count(3)?,
                        deletions: count(4)?,
                    })
                },
            )
            .map_err(storage("counting profiles"))
    }

    /// Returns everything of one sort in the order in which it arrived, one JSON object a line.
    pub fn export(&self, what: Export<'_>) -> Result<String> {
        let (columns, sql, catalog) = match what {
            Export::Users => (
                USERS,
                "SELECT platform_id, external_id, email, phone,
                        (SELECT json_group_array(json_object('label', label, 'name', name)) FROM aliases WHERE user = users.id),
                        attributes, created_at, updated_at
                 FROM users ORDER BY id",
                None,
            ),
            Export::Events => (
                EVENTS,
                "SELECT platform_id, external_id, name, time, properties, app_id, key, received_at
                 FROM events JOIN users ON users.id = events.user ORDER BY events.id",
                None,
            ),
            Export::Purchases => (
                PURCHASES,
                "SELECT platform_id, external_id, product_id, currency, price, quantity, time, properties, app_id, key, received_at
                 FROM purchases JOIN users ON users.id = purchases.user ORDER BY purchases.id",
                None,
            ),
            Export::Items(name) => {
                (ITEMS, "SELECT id, fields FROM items WHERE catalog = ?1 ORDER BY id", Some(name))
            }
        };
        let exporting = storage("exporting profiles");
        let mut query = self.db.prepare_cached(sql).map_err(&exporting)?;
        let mut rows = query.query(rusqlite::params_from_iter(catalog)).map_err(&exporting)?;
        let mut out = String::new();
        while let Some(row) = rows.next().map_err(&exporting)? {
            write_line(columns, row, &mut out).map_err(&exporting)?;
        }
        Ok(out)
    }
}

/// Appends one object; members without a value are left out.
fn write_line(columns: &[(&str, Form)], row: &Row<'_>, out: &mut String) -> rusqlite::Result<()> {
    use rusqlite::types::ValueRef;

    let mut separator = '{';
    for (at, (name, form)) in columns.iter().enumerate() {
        let value = row.get_ref(at)?;
        if value == ValueRef::Null {
            continue;
        }
        out.push(separator);
        separator = ',';
        json::write_string(name, out);
        out.push(':');
        match (form, value) {
            (Text, value) => json::write_string(value.as_str()?, out),
            (Time, value) => {
                let _ = write!(out, "\"{}\"", timestamp(value.as_i64()?));
            }
            (Json, ValueRef::Integer(number)) => {
                let _ = write!(out, "{number}");
            }
            (Json, value) => out.push_str(value.as_str()?),
        }
    }
    out.push_str("}\n");
    Ok(())
}
