//! A sync as a form: the fields of each object, and what is filled in as settings.

use serde_json::{Map, Value, json};
use tidegate_model::source::{Column, Dataset};
use tidegate_model::{DataType, Mode, ObjectKind};

/// A field of a mapping that a form asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingField {
    /// Its key under `mapping`.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether a record cannot do without it.
    pub required: bool,
    /// Whether it takes several columns, which become members of their own names.
    pub many: bool,
}

const fn one(name: &'static str, required: bool, about: &'static str) -> MappingField {
    MappingField { name, about, required, many: false }
}

const fn many(name: &'static str, about: &'static str) -> MappingField {
    MappingField { name, about, required: false, many: true }
}

const USER: MappingField = one("external_id", true, "Your own id of the user");
const TIME: MappingField = one("timestamp", false, "When it happened. Without it: the cursor");
const PROPERTIES: MappingField = many("properties", "Columns that become properties");

/// Returns the fields of a mapping to an object, those that are required first.
pub fn mapping_fields(object: ObjectKind) -> &'static [MappingField] {
    match object {
        ObjectKind::User => const { &[USER, many("attributes", "Columns that become attributes")] },
        ObjectKind::Event => const { &[USER, one("name", true, "The name of the event"), TIME, PROPERTIES] },
        ObjectKind::Purchase => {
            const {
                &[
                    USER,
                    one("product_id", true, "What was bought"),
                    one("currency", true, "ISO 4217 code, such as EUR"),
                    one("price", true, "The price of one"),
                    one("quantity", false, "How many. Without it: 1"),
                    TIME,
                    PROPERTIES,
                ]
            }
        }
        ObjectKind::Deletion => const { &[USER] },
        ObjectKind::CatalogItem => {
            const {
                &[
                    one("id", true, "The id of the item"),
                    many("fields", "Columns that become fields of the item"),
                ]
            }
        }
    }
}

/// What fills a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filling {
    /// A column.
    Column(String),
    /// The same text in every record.
    Constant(String),
    /// Several columns.
    Columns(Vec<String>),
}

/// A sync that is set up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncForm {
    /// The connection that is read from.
    pub from: String,
    /// What is read there: its key, such as `table`, and its name.
    pub selection: (String, String),
    /// The connection that is delivered to.
    pub to: String,
    /// What rows become.
    pub object: String,
    /// Settings of the sync at its destination.
    pub target: Map<String, Value>,
    /// How changes are found; empty for what the source does itself.
    pub mode: String,
    /// The column by which new rows are found.
    pub cursor: String,
    /// How far before the cursor late rows are looked for.
    pub lookback: String,
    /// What a run may remove or change before it asks: `removed` and `1000` or `10%`. Empty ones are left out.
    pub limits: Vec<(String, String)>,
    /// The columns that name a row.
    pub key: Vec<String>,
    /// What fills each field.
    pub mapping: Vec<(String, Filling)>,
    /// `every`, `cron` or empty, and its text.
    pub schedule: (String, String),
    /// Whether it does not run on its schedule yet.
    pub is_draft: bool,
}

impl SyncForm {
    /// Returns the settings of the sync, as they stand in a project file.
    pub fn settings(&self) -> Value {
        let mut sync = Map::new();
        let (key, name) = &self.selection;
        sync.insert("source".to_owned(), json!({ "connection": self.from, key: name }));
        let mut destination = Map::from_iter([
            ("connection".to_owned(), json!(self.to)),
            ("object".to_owned(), json!(self.object)),
        ]);
        destination.extend(self.target.clone());
        let mut text = |key: &str, text: &str| {
            if !text.is_empty() {
                sync.insert(key.to_owned(), json!(text));
            }
        };
        let by_cursor = self.mode == Mode::Incremental.as_str() && !self.cursor.is_empty();
        // A sync with a cursor is incremental without a word.
        text("mode", if by_cursor { "" } else { &self.mode });
        if by_cursor {
            text("cursor", &self.cursor);
            text("lookback", &self.lookback);
        }
        match self.key.as_slice() {
            [] => {}
            [only] => drop(sync.insert("primary_key".to_owned(), json!(only))),
            columns => drop(sync.insert("primary_key".to_owned(), json!(columns))),
        }
        sync.insert("destination".to_owned(), Value::Object(destination));
        let mapping = self.mapping.iter().map(|(field, filling)| {
            let filling = match filling {
                Filling::Column(column) => json!(column),
                Filling::Constant(text) => json!({ "value": text }),
                Filling::Columns(columns) => json!(columns),
            };
            (field.clone(), filling)
        });
        sync.insert("mapping".to_owned(), Value::Object(mapping.collect()));
        let limits = self.limits.iter().filter(|(_, limit)| !limit.is_empty()).map(|(key, limit)| {
            let rows = limit.parse::<u64>().map_or_else(|_| json!(limit), |rows| json!(rows));
            (key.clone(), rows)
        });
        let limits: Map<String, Value> = limits.collect();
        if !limits.is_empty() {
            sync.insert("limits".to_owned(), Value::Object(limits));
        }
        let (kind, when) = &self.schedule;
        if !kind.is_empty() && !when.is_empty() {
            sync.insert("schedule".to_owned(), json!({ kind: when }));
        }
        if self.is_draft {
            sync.insert("enabled".to_owned(), json!(false));
        }
        Value::Object(sync)
    }
}

/// An export that is set up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportForm {
    /// The connection that events come in through.
    pub from: String,
    /// The kinds that are exported; all if it is empty.
    pub kinds: Vec<String>,
    /// The connection that takes them.
    pub to: String,
    /// Settings of the export at its destination.
    pub target: Map<String, Value>,
    /// Whether it does not run yet.
    pub is_draft: bool,
}

impl ExportForm {
    /// Returns the settings of the sync, as they stand in a project file.
    pub fn settings(&self) -> Value {
        let mut source = Map::from_iter([("connection".to_owned(), json!(self.from))]);
        if !self.kinds.is_empty() {
            source.insert("kinds".to_owned(), json!(self.kinds));
        }
        let mut destination = Map::from_iter([("connection".to_owned(), json!(self.to))]);
        destination.extend(self.target.clone());
        let mut sync = Map::from_iter([
            ("source".to_owned(), Value::Object(source)),
            ("destination".to_owned(), Value::Object(destination)),
        ]);
        if self.is_draft {
            sync.insert("enabled".to_owned(), json!(false));
        }
        Value::Object(sync)
    }
}

/// Returns the column that is probably your own id of the user.
pub fn likely_user(dataset: &Dataset) -> Option<&str> {
    const NAMES: &[&str] = &[
        "external_id",
        "user_id",
        "customer_id",
        "account_id",
        "member_id",
        "userid",
        "customerid",
        "customer",
        "user",
        "uid",
    ];
    let named = |name: &&str| dataset.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    NAMES.iter().find_map(named).map(|column| column.name.as_str())
}

/// Returns the column that is probably the cursor: a time by the name of a change, or of a creation.
pub fn likely_cursor(dataset: &Dataset) -> Option<&str> {
    const NAMES: &[&str] =
        &["updated_at", "modified_at", "changed_at", "last_modified", "updated", "created_at"];
    let is_time = |column: &&Column| matches!(column.data_type, DataType::Timestamp | DataType::DateTime);
    let times: Vec<&Column> = dataset.columns.iter().filter(is_time).collect();
    let by_name =
        NAMES.iter().find_map(|name| times.iter().find(|column| column.name.eq_ignore_ascii_case(name)));
    let only = if times.len() == 1 { times.first() } else { None };
    by_name.or(only).map(|column| column.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_the_sync_that_a_person_would_write() {
        let form = SyncForm {
            from: "shop".into(),
            selection: ("table".into(), "public.orders".into()),
            to: "braze".into(),
            object: "event".into(),
            mode: "incremental".into(),
            cursor: "ordered_at".into(),
            lookback: "10m".into(),
            limits: vec![
                ("removed".into(), "1000".into()),
                ("changed".into(), "5%".into()),
                ("first_run".into(), String::new()),
            ],
            key: vec!["id".into()],
            mapping: vec![
                ("external_id".into(), Filling::Column("customer".into())),
                ("name".into(), Filling::Constant("order placed".into())),
                ("properties".into(), Filling::Columns(vec!["id".into(), "total".into()])),
            ],
            schedule: ("every".into(), "15m".into()),
            is_draft: true,
            ..SyncForm::default()
        };
        let written = tidegate_project::yaml_entry("orders", &form.settings());
        assert_eq!(
            written,
            "orders:\n  source: { connection: shop, table: public.orders }\n  cursor: ordered_at\n  lookback: 10m\n  \
             primary_key: id\n  destination: { connection: braze, object: event }\n  mapping:\n    external_id: customer\n    \
             name: { value: order placed }\n    properties: [id, total]\n  \
             limits: { removed: 1000, changed: \"5%\" }\n  schedule: { every: 15m }\n  enabled: false\n"
        );
    }

    #[test]
    fn a_form_becomes_the_export_that_a_person_would_write() {
        let form = ExportForm {
            from: "push".into(),
            kinds: vec!["message.*".into()],
            to: "lake".into(),
            target: Map::from_iter([("table".to_owned(), json!("events"))]),
            is_draft: false,
        };
        let written = tidegate_project::yaml_entry("push_to_lake", &form.settings());
        assert_eq!(
            written,
            "push_to_lake:\n  source: { connection: push, kinds: [\"message.*\"] }\n  destination: { connection: lake, table: events }\n"
        );
    }

    #[test]
    fn the_column_that_names_the_user_is_proposed() {
        let column =
            |name: &str| Column { name: name.into(), data_type: DataType::Text, type_name: String::new() };
        let dataset = |columns| Dataset { name: "t".into(), columns, key: Vec::new(), open: false };
        let orders = dataset(vec![column("id"), column("User"), column("Customer_ID")]);
        assert_eq!(likely_user(&orders), Some("Customer_ID"), "an id before a name");
        assert_eq!(likely_user(&dataset(vec![column("id"), column("email")])), None);
    }

    #[test]
    fn the_column_of_changes_is_proposed_as_the_cursor() {
        let column =
            |name: &str, data_type| Column { name: name.into(), data_type, type_name: String::new() };
        let dataset = |columns| Dataset { name: "t".into(), columns, key: Vec::new(), open: false };
        let two = dataset(vec![
            column("created_at", DataType::Timestamp),
            column("Updated_At", DataType::Timestamp),
        ]);
        assert_eq!(likely_cursor(&two), Some("Updated_At"));
        assert_eq!(likely_cursor(&dataset(vec![column("seen", DataType::DateTime)])), Some("seen"));
        assert_eq!(likely_cursor(&dataset(vec![column("id", DataType::Integer)])), None);
    }
}
