//! The mapping checked against the columns of a source.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::contract::TableContract;
use super::spec::{Absent, Field, MappingSpec, Members};
use crate::{
    Columns, ContractRole, Error, ErrorKind, Json, ObjectKind, Row, RowHash, SyncId, Text, Value, json,
};

/// What a mapping is made for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The sync, part of every record's id.
    pub sync: SyncId,
    /// The kind of object.
    pub object: ObjectKind,
    /// The columns that name a row; the whole row if there are none.
    pub key: Vec<String>,
    /// The cursor column if it is a time: the default for `timestamp`.
    pub cursor: Option<String>,
    /// The cursor column: another value of it is another version of the row.
    pub cursor_column: Option<String>,
    /// The zone of times that have none.
    pub time_zone: TimeZone,
    /// What is sent for members that a row lacks.
    pub absent: Absent,
}

/// A mapping whose columns are known. Applying it is pure and does no I/O.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) sync: SyncId,
    pub(super) key: Vec<usize>,
    /// The columns that make a version of a row: key, cursor and what the mapping uses.
    version: Vec<usize>,
    pub(super) time_zone: TimeZone,
    pub(super) plan: Plan,
}

/// What to take from where.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Fields(Box<FieldPlan>),
    Contract(Arc<dyn TableContract>),
}

/// One field, its column found.
#[derive(Clone, Debug)]
pub(super) enum Take {
    Column { at: usize, name: Arc<str> },
    Path { at: usize, name: Arc<str>, path: Vec<Arc<str>> },
    Constant(Value),
}

/// A JSON object to write: prepared `"name":` pieces and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Write {
    pub(super) members: Vec<(Arc<str>, Take)>,
    pub(super) spread: Option<(usize, Arc<str>)>,
    /// The first of the columns that are not known before the row, if they are members too.
    pub(super) rest_from: Option<usize>,
    /// What is sent for members that the row lacks.
    pub(super) absent: Absent,
}

#[derive(Clone, Debug)]
pub(super) struct FieldPlan {
    pub(super) object: ObjectKind,
    pub(super) external_id: Option<Take>,
    pub(super) alias_name: Option<Take>,
    pub(super) alias_label: Option<Take>,
    pub(super) platform_id: Option<Take>,
    pub(super) email: Option<Take>,
    pub(super) phone: Option<Take>,
    pub(super) name: Option<Take>,
    pub(super) time: Option<Take>,
    /// Whether the mapping names where the time is: a row without one is not sent as of now.
    pub(super) needs_time: bool,
    pub(super) app_id: Option<Take>,
    pub(super) product_id: Option<Take>,
    pub(super) currency: Option<Take>,
    pub(super) price: Option<Take>,
    pub(super) quantity: Option<Take>,
    pub(super) id: Option<Take>,
    pub(super) deleted: Option<Take>,
    pub(super) members: Write,
}

impl Mapping {
    /// Finds every column that `spec` names.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a field that the kind of object needs and
    /// the mapping lacks, or has and the kind does not know;
    /// [`ErrorKind::Missing`] for a column that is not there, with the nearest
    /// name that is.
    pub fn compile(spec: &MappingSpec, target: &Target, columns: &Columns) -> Result<Mapping, Error> {
        spec.fits(target.object)?;
        let finder = |key: &'static str| Finder { columns, key };
        let (members_key, members) = match target.object {
            ObjectKind::User => ("mapping.attributes", spec.attributes.as_ref()),
            ObjectKind::CatalogItem => ("mapping.fields", spec.fields.as_ref()),
            ObjectKind::Event | ObjectKind::Purchase => ("mapping.properties", spec.properties.as_ref()),
            ObjectKind::Deletion => ("", None),
        };
        let take = |key: &'static str, field: &Option<Field>| {
            field.as_ref().map(|field| finder(key).take(field)).transpose()
        };
        let time = match (&spec.timestamp, &target.cursor) {
            (Some(field), _) => Some(finder("mapping.timestamp").take(field)?),
            (None, Some(cursor)) => Some(finder("cursor").column(cursor)?),
            (None, None) => None,
        };
        let plan = FieldPlan {
            object: target.object,
            external_id: take("mapping.external_id", &spec.external_id)?,
            alias_name: take("mapping.alias_name", &spec.alias_name)?,
            alias_label: take("mapping.alias_label", &spec.alias_label)?,
            platform_id: take("mapping.platform_id", &spec.platform_id)?,
            email: take("mapping.email", &spec.email)?,
            phone: take("mapping.phone", &spec.phone)?,
            name: take("mapping.name", &spec.name)?,
            needs_time: spec.timestamp.is_some(),
            time: time.filter(|_| matches!(target.object, ObjectKind::Event | ObjectKind::Purchase)),
            app_id: take("mapping.app_id", &spec.app_id)?,
            product_id: take("mapping.product_id", &spec.product_id)?,
            currency: take("mapping.currency", &spec.currency)?,
            price: take("mapping.price", &spec.price)?,
            quantity: take("mapping.quantity", &spec.quantity)?,
            id: take("mapping.id", &spec.id)?,
            deleted: take("mapping.deleted", &spec.deleted)?,
            members: Write::default(),
        };
        let used = plan.columns();
        let members = finder(members_key).members(members.unwrap_or(&Members::default()), used)?;
        let members = Write { absent: target.absent, ..members };
        Self::with_plan(target, columns, Plan::Fields(Box::new(FieldPlan { members, ..plan })))
    }

    /// Finds the columns of a table contract.
    ///
    /// # Errors
    /// As [`Mapping::compile`].
    pub fn contract(contract: &ContractRole, target: &Target, columns: &Columns) -> Result<Mapping, Error> {
        let plan = (contract.compile)(target.object, columns)?;
        Self::with_plan(target, columns, Plan::Contract(plan))
    }

    fn with_plan(target: &Target, columns: &Columns, plan: Plan) -> Result<Mapping, Error> {
        let position = |key: &'static str, name: &str| Finder { columns, key }.position(name);
        let key =
            target.key.iter().map(|name| position("primary_key", name)).collect::<Result<Vec<_>, _>>()?;
        let cursor = target.cursor_column.as_deref().map(|name| position("cursor", name)).transpose()?;
        let mut version: Vec<usize> = plan.columns();
        version.extend_from_slice(&key);
        version.extend(cursor);
        version.sort_unstable();
        version.dedup();
        Ok(Mapping { sync: target.sync.clone(), key, version, time_zone: target.time_zone.clone(), plan })
    }

    /// Returns whether rows have a key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Returns the places of the columns that are needed, in order; `None` if rows
    /// have no key, for then all of their columns tell them apart.
    pub fn needed(&self) -> Option<&[usize]> {
        self.has_key().then_some(self.version.as_slice())
    }

    /// Returns the mapping for rows that have only the columns at `places`, in this
    /// order.
    ///
    /// # Panics
    /// If one is missing that is [needed](Mapping::needed): a value would be taken for another.
    #[must_use]
    pub fn narrowed(&self, places: &[usize]) -> Mapping {
        let mut mapping = self.clone();
        let move_to = |at: &mut usize| {
            let moved = places.iter().position(|place| place == at);
            *at = moved.expect("the places are those that are needed");
        };
        mapping.key.iter_mut().for_each(move_to);
        mapping.version.iter_mut().for_each(move_to);
        match &mut mapping.plan {
            Plan::Fields(plan) => {
                plan.places_mut().for_each(move_to);
                let rest = &mut plan.members.rest_from;
                *rest = rest.map(|_| places.len());
            }
            Plan::Contract(plan) => *plan = plan.narrowed(places),
        }
        mapping
    }

    /// Hash of what makes a version of the row: its key, its cursor and the
    /// columns that the mapping uses, so that another column that comes or
    /// changes sends nothing. Without a key only the whole row tells rows apart.
    pub fn version_of(&self, row: &Row, scratch: &mut Vec<u8>) -> RowHash {
        if self.key.is_empty() {
            return row.hash(scratch);
        }
        let known = self.version.iter().filter_map(|&at| row.values.get(at));
        let others = match &self.plan {
            Plan::Fields(plan) => plan.members.rest_from.and_then(|from| row.values.get(from..)),
            Plan::Contract(_) => None,
        };
        RowHash::of_values(known.chain(others.unwrap_or_default()), scratch)
    }

    /// Hash of the row's key columns; of the whole row if there are none.
    pub fn key_of(&self, row: &Row, whole: RowHash, scratch: &mut Vec<u8>) -> RowHash {
        if self.key.is_empty() {
            return whole;
        }
        RowHash::of_values(self.key.iter().filter_map(|&at| row.values.get(at)), scratch)
    }

    /// Returns whether nothing in the row tells it from others: the mapping has no key, or each of
    /// its columns is null or empty text.
    pub fn lacks_key(&self, row: &Row) -> bool {
        self.key.iter().filter_map(|&at| row.values.get(at)).all(|value| match value {
            Value::Text(text) => text.is_empty(),
            value => value.is_null(),
        })
    }

    /// Returns whether a column of the key is null, or all of them are empty.
    pub fn has_null_key(&self, row: &Row) -> bool {
        self.lacks_key(row) || self.key.iter().any(|&at| row.values.get(at).is_none_or(Value::is_null))
    }

    /// Returns the indexes of the key columns.
    pub fn key_columns(&self) -> &[usize] {
        &self.key
    }

    /// Returns whether the key can be taken from a row without these columns.
    pub fn key_is_without(&self, columns: &[usize]) -> bool {
        self.has_key() && !self.key.iter().any(|at| columns.contains(at))
    }

    /// Returns the row's key columns as text, for people; empty if there are none.
    pub fn key_text(&self, row: &Row) -> Text {
        if let [only] = *self.key {
            return row.values.get(only).and_then(Value::to_text).unwrap_or_default();
        }
        let mut joined = String::with_capacity(64);
        self.write_key_text(row, &mut joined);
        // A copy of the right size is cheaper than to share what has room to spare.
        joined.as_str().into()
    }

    /// Appends [`Mapping::key_text`].
    pub fn write_key_text(&self, row: &Row, out: &mut String) {
        for (place, value) in self.key.iter().filter_map(|&at| row.values.get(at)).enumerate() {
            if place > 0 {
                out.push('/');
            }
            value.write_text(out);
        }
    }
}

impl Plan {
    /// Every column that the plan takes something from.
    fn columns(&self) -> Vec<usize> {
        match self {
            Plan::Fields(plan) => {
                let members = plan.members.members.iter().filter_map(|(_, take)| take.column());
                let spread = plan.members.spread.iter().map(|(at, _)| *at);
                plan.columns().into_iter().chain(members).chain(spread).collect()
            }
            Plan::Contract(plan) => plan.columns(),
        }
    }
}

impl FieldPlan {
    /// The columns that the fields use, so that `rest` leaves them out.
    fn columns(&self) -> HashSet<usize> {
        [
            &self.external_id,
            &self.alias_name,
            &self.alias_label,
            &self.platform_id,
            &self.email,
            &self.phone,
            &self.name,
            &self.time,
            &self.app_id,
            &self.product_id,
            &self.currency,
            &self.price,
            &self.quantity,
            &self.id,
            &self.deleted,
        ]
        .into_iter()
        .flatten()
        .filter_map(Take::column)
        .collect()
    }
}

impl FieldPlan {
    /// The place of every column, to change it.
    fn places_mut(&mut self) -> impl Iterator<Item = &mut usize> {
        let Write { members, spread, .. } = &mut self.members;
        [
            &mut self.external_id,
            &mut self.alias_name,
            &mut self.alias_label,
            &mut self.platform_id,
            &mut self.email,
            &mut self.phone,
            &mut self.name,
            &mut self.time,
            &mut self.app_id,
            &mut self.product_id,
            &mut self.currency,
            &mut self.price,
            &mut self.quantity,
            &mut self.id,
            &mut self.deleted,
        ]
        .into_iter()
        .flatten()
        .chain(members.iter_mut().map(|(_, take)| take))
        .filter_map(|take| match take {
            Take::Column { at, .. } | Take::Path { at, .. } => Some(at),
            Take::Constant(_) => None,
        })
        .chain(spread.iter_mut().map(|(at, _)| at))
    }
}

impl Take {
    fn column(&self) -> Option<usize> {
        match self {
            Take::Column { at, .. } | Take::Path { at, .. } => Some(*at),
            Take::Constant(_) => None,
        }
    }
}

/// Finds the columns that a key of the sync names.
struct Finder<'a> {
    columns: &'a Columns,
    key: &'static str,
}

impl Finder<'_> {
    fn position(&self, name: &str) -> Result<usize, Error> {
        self.columns.position(name).ok_or_else(|| missing(name, self.columns, Some(self.key)))
    }

    fn column(&self, name: &str) -> Result<Take, Error> {
        Ok(Take::Column { at: self.position(name)?, name: name.into() })
    }

    fn take(&self, field: &Field) -> Result<Take, Error> {
        match field {
            Field::Column(name) => self.column(name),
            Field::Path(path) => Ok(Take::Path {
                at: self.position(&path.column)?,
                name: format!("{}.{}", path.column, path.path).into(),
                path: path.path.split('.').map(Arc::from).collect(),
            }),
            Field::Constant(constant) => Ok(Take::Constant(constant_value(&constant.value))),
        }
    }

    fn members(&self, members: &Members, used: HashSet<usize>) -> Result<Write, Error> {
        let mut used = used;
        let mut write = Write::default();
        let prepared = |name: &str| -> Arc<str> {
            let mut text = String::new();
            json::write_string(name, &mut text);
            text.push(':');
            text.into()
        };
        for name in &members.columns {
            let take = self.column(name)?;
            used.extend(take.column());
            write.members.push((prepared(name), take));
        }
        for (name, field) in &members.fields {
            let take = self.take(field)?;
            used.extend(take.column());
            write.members.push((prepared(name), take));
        }
        for (name, value) in &members.value {
            write.members.push((prepared(name), Take::Constant(constant_value(value))));
        }
        if let Some(column) = &members.json {
            let at = self.position(column)?;
            used.insert(at);
            write.spread = Some((at, column.as_str().into()));
        }
        for name in &members.except {
            used.insert(self.position(name)?);
        }
        if members.rest {
            write.rest_from = Some(self.columns.len());
            for (at, name) in self.columns.names().iter().enumerate() {
                if !used.contains(&at) {
                    write.members.push((prepared(name), Take::Column { at, name: name.as_str().into() }));
                }
            }
        }
        Ok(write)
    }
}

fn constant_value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Decimal(number.to_string().into()),
        },
        serde_json::Value::String(text) => Value::Text(text.as_str().into()),
        other => Value::Json(Json::trusted(other.to_string())),
    }
}

/// Returns the error for a column that is not there, with the nearest one that is.
pub fn missing_column(name: &str, columns: &Columns) -> Error {
    missing(name, columns, None)
}

/// `key` is what names the column in the project file.
fn missing(name: &str, columns: &Columns, key: Option<&str>) -> Error {
    let nearest = columns
        .names()
        .iter()
        .map(|column| (strsim::damerau_levenshtein(&column.to_lowercase(), &name.to_lowercase()), column))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3);
    let hint = match (nearest, wrong_delimiter(name, columns)) {
        (_, Some(delimiter)) => {
            format!("the only column holds the names of all: set `delimiter: \"{delimiter}\"` under `source`")
        }
        (Some((_, column)), None) => {
            format!("did you mean `{column}`? Correct the name, or add the column at the source")
        }
        (None, None) => format!(
            "the columns are: {}; correct the name, or add the column at the source; a constant in `mapping` is \
             written `{{ value: … }}`",
            columns.names().join(", ")
        ),
    };
    let named = key.map(|key| format!(", which `{key}` names")).unwrap_or_default();
    Error::new(ErrorKind::Missing, format!("the source has no column `{name}`{named}")).hint(hint)
}

/// Returns what separates the names of a header that was read as one cell, as it is written in YAML.
fn wrong_delimiter(name: &str, columns: &Columns) -> Option<&'static str> {
    let [only] = columns.names() else { return None };
    let separates = |sign: char| only.contains(sign) && only.split(sign).any(|cell| cell.trim() == name);
    [(';', ";"), ('\t', "\\t"), ('|', "|"), (',', ",")]
        .into_iter()
        .find_map(|(sign, written)| separates(sign).then_some(written))
}
