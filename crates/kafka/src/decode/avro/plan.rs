//! A schema as the writer walks it: names resolved, texts prepared.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UuidSchema};
use tidegate_model::{Reason, json};

use super::times::Time;

/// A type, names resolved.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Node>),
    Map(Box<Node>),
    Union(Vec<Node>),
    Fixed(usize),
    /// A decimal: digits behind the point; its size if it is fixed.
    Decimal(usize, Option<usize>),
    BigDecimal,
    /// A UUID of 16 bytes; with a length in front if it is no `fixed`.
    UuidBytes {
        fixed: bool,
    },
    Time(Time),
    Duration,
    /// A type with a name, by its index in the list.
    Named(usize),
}

/// A type with a name.
#[derive(Debug)]
pub(super) enum Named {
    /// Fields in order.
    Record(Vec<Field>),
    /// Symbols, quoted.
    Enum(Vec<String>),
    /// A `fixed` of some kind.
    Other(Node),
}

/// A field of a record.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// What stands before its value: `,"name":`.
    pub(super) before: String,
    pub(super) node: Node,
}

/// Resolves a schema and what it refers to. Returns its root and the types with names.
pub(super) fn compile<'a>(
    text: &str,
    references: impl Iterator<Item = &'a str>,
) -> Result<(Node, Vec<Named>), Reason> {
    let (schema, others) = Schema::parse_str_with_list(text, references.collect::<Vec<_>>())
        .map_err(|cause| Reason::new("invalid_schema", format!("the Avro schema cannot be read: {cause}")))?;
    let mut names = Names::default();
    for other in &others {
        names.node(other, None)?;
    }
    let root = names.node(&schema, None)?;
    let named = names.named.into_iter().collect::<Option<Vec<_>>>();
    let named = named.ok_or_else(|| {
        Reason::new("invalid_schema", "the Avro schema names a type that it does not define")
    })?;
    Ok((root, named))
}

/// The named types so far; one that was only mentioned has its index already.
#[derive(Default)]
struct Names {
    indexes: HashMap<String, usize>,
    named: Vec<Option<Named>>,
}

impl Names {
    fn index(&mut self, name: &Name, namespace: Option<&str>) -> usize {
        *self.indexes.entry(name.fullname(namespace)).or_insert_with(|| {
            self.named.push(None);
            self.named.len() - 1
        })
    }

    fn define(&mut self, name: &Name, namespace: Option<&str>, named: Named) -> Node {
        let index = self.index(name, namespace);
        self.named[index] = Some(named);
        Node::Named(index)
    }

    fn node(&mut self, schema: &Schema, namespace: Option<&str>) -> Result<Node, Reason> {
        Ok(match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::String,
            Schema::Array(array) => Node::Array(Box::new(self.node(&array.items, namespace)?)),
            Schema::Map(map) => Node::Map(Box::new(self.node(&map.types, namespace)?)),
            Schema::Union(union) => {
                let variants = union.variants().iter().map(|variant| self.node(variant, namespace));
                Node::Union(variants.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let full = record.name.fully_qualified_name(namespace);
                let inner = full.namespace().or(namespace);
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    let mut before = String::from(if fields.is_empty() { "" } else { "," });
                    json::write_string(&field.name, &mut before);
                    before.push(':');
                    let node = self.node(&field.schema, inner)?;
                    fields.push(Field { name: field.name.clone(), before, node });
                }
                self.define(&record.name, namespace, Named::Record(fields))
            }
            Schema::Enum(symbols) => {
                let quoted = symbols.symbols.iter().map(|symbol| {
                    let mut out = String::new();
                    json::write_string(symbol, &mut out);
                    out
                });
                self.define(&symbols.name, namespace, Named::Enum(quoted.collect()))
            }
            Schema::Fixed(fixed) => {
                self.define(&fixed.name, namespace, Named::Other(Node::Fixed(fixed.size)))
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Node::Decimal(decimal.scale, None),
                InnerDecimalSchema::Fixed(fixed) => {
                    let node = Node::Decimal(decimal.scale, Some(fixed.size));
                    self.define(&fixed.name, namespace, Named::Other(node))
                }
            },
            Schema::BigDecimal => Node::BigDecimal,
            Schema::Uuid(UuidSchema::Bytes) => Node::UuidBytes { fixed: false },
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                self.define(&fixed.name, namespace, Named::Other(Node::UuidBytes { fixed: true }))
            }
            Schema::Duration(fixed) => self.define(&fixed.name, namespace, Named::Other(Node::Duration)),
            Schema::Date => Node::Time(Time::Date),
            Schema::TimeMillis => Node::Time(Time::OfDayMillis),
            Schema::TimeMicros => Node::Time(Time::OfDayMicros),
            Schema::TimestampMillis => Node::Time(Time::Millis),
            Schema::TimestampMicros => Node::Time(Time::Micros),
            Schema::TimestampNanos => Node::Time(Time::Nanos),
            Schema::LocalTimestampMillis => Node::Time(Time::LocalMillis),
            Schema::LocalTimestampMicros => Node::Time(Time::LocalMicros),
            Schema::LocalTimestampNanos => Node::Time(Time::LocalNanos),
            Schema::Ref { name } => Node::Named(self.index(name, namespace)),
        })
    }
}
