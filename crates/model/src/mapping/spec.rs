//! The mapping as people write it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ObjectKind;

/// What becomes of a member that a row lacks ([`Value::Absent`](crate::Value::Absent)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// It is left out: the platform keeps what it has.
    #[default]
    Skip,
    /// It is sent as null, which removes it at the platform.
    Null,
}

/// Where one field of a record comes from: `column`, `{ column: c, path: a.b }`
/// or `{ value: constant }`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Field {
    /// The name of a column.
    Column(String),
    /// A constant.
    Constant(Constant),
    /// A place inside a JSON column.
    Path(Path),
}

impl<'de> Deserialize<'de> for Field {
    /// By hand: derived, a list such as `[id]` would pass for the constant `id`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field, D::Error> {
        use serde_json::Value::{Object, String};
        let read = match serde_json::Value::deserialize(deserializer)? {
            String(column) => return Ok(Field::Column(column)),
            Object(members) if members.contains_key("value") => {
                serde_json::from_value(Object(members)).map(Field::Constant)
            }
            Object(members) => serde_json::from_value(Object(members)).map(Field::Path),
            _ => {
                return Err(D::Error::custom(
                    "expected a column, `{ value: constant }` or `{ column: c, path: a.b }`",
                ));
            }
        };
        read.map_err(D::Error::custom)
    }
}

/// The same value for every row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Any JSON value.
    pub value: serde_json::Value,
}

/// A place inside a JSON column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// The column.
    pub column: String,
    /// Member names and array indexes, separated by dots.
    pub path: String,
}

/// A JSON object put together from a row: a JSON column, a constant, a list of
/// columns, or the long form with all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Members {
    /// Columns that become members under their own names.
    pub columns: Vec<String>,
    /// Members under other names.
    pub fields: BTreeMap<String, Field>,
    /// All columns that nothing else in the mapping uses.
    pub rest: bool,
    /// Columns that `rest` leaves out.
    pub except: Vec<String>,
    /// A JSON column whose members are taken over as they are.
    pub json: Option<String>,
    /// Members that are the same for every row.
    pub value: serde_json::Map<String, serde_json::Value>,
}

/// The long form: columns, members under other names, and what is left.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LongMembers {
    /// Columns that become members under their own names.
    columns: Vec<String>,
    /// Members under other names.
    fields: BTreeMap<String, Field>,
    /// All columns that nothing else in the mapping uses.
    rest: bool,
    /// Columns that `rest` leaves out.
    except: Vec<String>,
    /// A JSON column whose members are taken over as they are.
    json: Option<String>,
}

/// Members that are the same for every row.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConstantMembers {
    /// The object.
    value: serde_json::Map<String, serde_json::Value>,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        use serde_json::Value::{Array, Object, String};
        let read = |members| match members {
            String(column) => Ok(Members { json: Some(column), ..Members::default() }),
            Array(columns) => {
                let columns = serde_json::from_value(Array(columns))?;
                Ok(Members { columns, ..Members::default() })
            }
            Object(members) if members.contains_key("value") => {
                let ConstantMembers { value } = serde_json::from_value(Object(members))?;
                Ok(Members { value, ..Members::default() })
            }
            long => {
                let LongMembers { columns, fields, rest, except, json } = serde_json::from_value(long)?;
                Ok(Members { columns, fields, rest, except, json, ..Members::default() })
            }
        };
        read(serde_json::Value::deserialize(deserializer)?).map_err(|cause: serde_json::Error| {
            D::Error::custom(format!("expected the name of a JSON column, or a list of columns: {cause}"))
        })
    }
}

impl JsonSchema for Members {
    fn schema_name() -> Cow<'static, str> {
        "Members".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let constant = generator.subschema_for::<ConstantMembers>();
        let long = generator.subschema_for::<LongMembers>();
        json_schema!({
            "description": "A JSON object put together from a row: the name of a JSON column, a list of columns, a constant, or the long form.",
            "anyOf": [
                { "type": "string", "description": "The name of a JSON column." },
                { "type": "array", "items": { "type": "string" }, "description": "Columns." },
                constant,
                long,
            ]
        })
    }
}

impl Field {
    /// The column, if the field is its value and no part of it.
    fn plain(&self) -> Option<&str> {
        match self {
            Field::Column(column) => Some(column),
            Field::Path(_) | Field::Constant(_) => None,
        }
    }

    /// Returns the column that the field is taken from.
    fn column(&self) -> Option<&str> {
        match self {
            Field::Column(column) => Some(column),
            Field::Path(path) => Some(&path.column),
            Field::Constant(_) => None,
        }
    }
}

/// How rows become records. Which fields apply depends on the kind of object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MappingSpec {
    /// The customer's own id of the user.
    pub external_id: Option<Field>,
    /// Name of an alias; needs `alias_label`.
    pub alias_name: Option<Field>,
    /// Label of an alias; needs `alias_name`.
    pub alias_label: Option<Field>,
    /// The platform's own id of the user.
    pub platform_id: Option<Field>,
    /// E-mail address as the identifier; it takes precedence over `phone`.
    pub email: Option<Field>,
    /// Phone number as the identifier.
    pub phone: Option<Field>,

    /// Event: its name.
    pub name: Option<Field>,
    /// Event, purchase: when it happened. Default: the cursor column.
    pub timestamp: Option<Field>,
    /// Event, purchase: further properties.
    pub properties: Option<Members>,
    /// Event, purchase: the app it happened in.
    pub app_id: Option<Field>,

    /// Purchase: what was bought.
    pub product_id: Option<Field>,
    /// Purchase: ISO 4217 code.
    pub currency: Option<Field>,
    /// Purchase: price of one.
    pub price: Option<Field>,
    /// Purchase: how many. Default: 1.
    pub quantity: Option<Field>,

    /// User: attributes to set.
    pub attributes: Option<Members>,

    /// Catalog item: its id.
    pub id: Option<Field>,
    /// Catalog item: its other fields.
    pub fields: Option<Members>,
    /// Catalog item: a true value removes the item.
    pub deleted: Option<Field>,
}

impl MappingSpec {
    /// Returns the column that the identifier of a user or a catalog item is taken from, if it is one
    /// column alone.
    pub fn identifier(&self, object: ObjectKind) -> Option<&str> {
        if object == ObjectKind::CatalogItem {
            return self.id.as_ref().and_then(Field::plain);
        }
        let alias_label = matches!(self.alias_label, None | Some(Field::Constant(_)));
        let fields = [&self.external_id, &self.alias_name, &self.platform_id, &self.email, &self.phone];
        let mut given = fields.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(only), None) if alias_label => only.plain(),
            _ => None,
        }
    }

    /// Returns the same mapping with those attributes only that are taken from this column; `None` if none
    /// is.
    #[must_use]
    pub fn with_attributes_of(&self, column: &str) -> Option<MappingSpec> {
        let all = self.attributes.as_ref()?;
        let is_used = self.columns().any(|name| name == column);
        let mut attributes = Members {
            columns: all.columns.iter().filter(|name| *name == column).cloned().collect(),
            fields: (all.fields.iter().filter(|(_, field)| field.column() == Some(column)))
                .map(|(name, field)| (name.clone(), field.clone()))
                .collect(),
            json: all.json.clone().filter(|name| name == column),
            ..Members::default()
        };
        if all.rest && !is_used {
            attributes.columns.push(column.to_owned());
        }
        let is_none = attributes == Members::default();
        (!is_none).then(|| MappingSpec { attributes: Some(attributes), ..self.clone() })
    }

    /// Returns whether some attributes have names that only a row knows.
    pub fn has_unnamed_attributes(&self) -> bool {
        self.attributes.as_ref().is_none_or(|attributes| attributes.json.is_some() || attributes.rest)
    }

    /// Returns the columns that the mapping names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let fields = [
            &self.external_id,
            &self.alias_name,
            &self.alias_label,
            &self.platform_id,
            &self.email,
            &self.phone,
            &self.name,
            &self.timestamp,
            &self.app_id,
            &self.product_id,
            &self.currency,
            &self.price,
            &self.quantity,
            &self.id,
            &self.deleted,
        ];
        let members = [&self.properties, &self.attributes, &self.fields].into_iter().flatten();
        let inside = members.flat_map(|members| {
            let names = members.columns.iter().chain(&members.except).chain(&members.json);
            names.map(String::as_str).chain(members.fields.values().filter_map(Field::column))
        });
        fields.into_iter().flatten().filter_map(Field::column).chain(inside)
    }
}
