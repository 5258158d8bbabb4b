//! From the text of a schema to its plan.
//!
//! A reader needs less of a schema than a writer: neither the names nor the defaults
//! have to follow the specification. As with Confluent's Java reader
//! (`NameValidator.NO_VALIDATION`, `setValidateDefaults(false)`), any name is taken,
//! defaults are not looked at, and a logical type that does not fit its type is ignored.
//!
//! Source: Apache Avro 1.12 specification, "Schema Declaration"; Avro's
//! `org.apache.avro.Schema.Parser`.

use serde_json::{Map, Value as Tree};
use tidegate_model::{Reason, json};

use super::names::{Names, of_definition};
use super::plan::{Field, Named, Node};
use super::times::Time;

/// Resolves a schema and what it refers to. Returns its root and the types with names.
pub(super) fn compile<'a>(
    text: &str,
    references: impl Iterator<Item = &'a str>,
) -> Result<(Node, Vec<Named>), Reason> {
    let unreadable =
        |why: String| Reason::new("invalid_schema", format!("the Avro schema cannot be read: {why}"));
    let mut parser = Parser::default();
    for reference in references {
        let tree = tree(reference).map_err(unreadable)?;
        parser.node(&tree, None).map_err(unreadable)?;
    }
    let root = parser.node(&tree(text).map_err(unreadable)?, None).map_err(unreadable)?;
    let named = parser.names.resolve().map_err(|name| {
        Reason::new(
            "invalid_schema",
            format!("the Avro schema names a type `{name}` that it does not define"),
        )
    })?;
    Ok((root, named))
}

/// Returns the JSON of a schema. Java's parser takes comments, so they are taken here too.
fn tree(text: &str) -> Result<Tree, String> {
    let at = |cause: serde_json::Error| {
        format!("it is not JSON at line {}, column {}", cause.line(), cause.column())
    };
    serde_json::from_str(text).or_else(|cause| match text.contains("/*") || text.contains("//") {
        true => serde_json::from_str(&without_comments(text)).map_err(at),
        false => Err(at(cause)),
    })
}

/// Replaces comments outside of strings by blanks.
fn without_comments(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['"', '/']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = match from.as_bytes() {
            [b'"', ..] => string_end(from),
            [b'/', b'/', ..] => from.find('\n').unwrap_or(from.len()),
            [b'/', b'*', ..] => from.find("*/").map_or(from.len(), |end| end + 2),
            _ => 1,
        };
        let (piece, after) = from.split_at(end);
        out.push_str(if piece.len() > 1 && piece.starts_with('/') { " " } else { piece });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns the length of the JSON string that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let closing = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    closing.map_or(text.len(), |closing| closing + 2)
}

#[derive(Default)]
struct Parser {
    names: Names,
}

impl Parser {
    fn node(&mut self, tree: &Tree, namespace: Option<&str>) -> Result<Node, String> {
        match tree {
            Tree::String(name) => Ok(primitive(name).unwrap_or_else(|| self.names.mention(name, namespace))),
            Tree::Array(variants) => {
                let variants = variants.iter().map(|variant| self.node(variant, namespace));
                Ok(Node::Union(variants.collect::<Result<_, _>>()?))
            }
            Tree::Object(schema) => self.object(schema, namespace),
            _ => Err("a type is neither a name, a list nor an object".to_owned()),
        }
    }

    fn object(&mut self, schema: &Map<String, Tree>, namespace: Option<&str>) -> Result<Node, String> {
        let name = match schema.get("type") {
            Some(Tree::String(name)) => name.as_str(),
            Some(nested) => return self.node(nested, namespace),
            None => return Err("an object has no `type`".to_owned()),
        };
        match name {
            "record" | "error" => self.record(schema, namespace),
            "enum" => {
                let symbols = list(schema, "symbols", name)?.iter().map(|symbol| {
                    let symbol = symbol.as_str().ok_or("a symbol is not a text")?;
                    let mut quoted = String::new();
                    json::write_string(symbol, &mut quoted);
                    Ok(quoted)
                });
                let symbols = symbols.collect::<Result<_, String>>()?;
                Ok(self.define(schema, namespace, Named::Enum(symbols)))
            }
            "fixed" => {
                let size = schema.get("size").and_then(Tree::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                let node = fixed(size.ok_or("a fixed has no `size`")?, schema);
                Ok(self.define(schema, namespace, Named::Other(node)))
            }
            "array" => Ok(Node::Array(Box::new(self.part(schema, "items", namespace)?))),
            "map" => Ok(Node::Map(Box::new(self.part(schema, "values", namespace)?))),
            _ => Ok(match primitive(name) {
                Some(node) => logical(node, schema),
                None => self.names.mention(name, namespace),
            }),
        }
    }

    fn record(&mut self, schema: &Map<String, Tree>, namespace: Option<&str>) -> Result<Node, String> {
        let (full, inner) = of_definition(schema, namespace);
        let index = self.names.reserve(full);
        let mut fields = Vec::new();
        for field in list(schema, "fields", "record")? {
            let name = field.get("name").and_then(Tree::as_str).ok_or("a field has no `name`")?;
            let mut before = String::from(if fields.is_empty() { "" } else { "," });
            json::write_string(name, &mut before);
            before.push(':');
            let of_type = field.get("type").ok_or_else(|| format!("the field `{name}` has no `type`"))?;
            let node = self.node(of_type, inner.as_deref())?;
            fields.push(Field { name: name.to_owned(), before, node });
        }
        Ok(self.names.define(index, Named::Record(fields)))
    }

    fn define(&mut self, schema: &Map<String, Tree>, namespace: Option<&str>, named: Named) -> Node {
        let index = self.names.reserve(of_definition(schema, namespace).0);
        self.names.define(index, named)
    }

    fn part(
        &mut self,
        schema: &Map<String, Tree>,
        part: &str,
        namespace: Option<&str>,
    ) -> Result<Node, String> {
        self.node(schema.get(part).ok_or_else(|| format!("a type has no `{part}`"))?, namespace)
    }
}

fn list<'a>(schema: &'a Map<String, Tree>, part: &str, of: &str) -> Result<&'a [Tree], String> {
    let found = schema.get(part).and_then(Tree::as_array);
    found.map(Vec::as_slice).ok_or_else(|| format!("type `{of}` has no list of `{part}`"))
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}

/// Returns the node of a logical type; `node` itself if the two do not fit.
///
/// Source: Apache Avro 1.12 specification, "Logical Types".
fn logical(node: Node, schema: &Map<String, Tree>) -> Node {
    let Some(logical) = schema.get("logicalType").and_then(Tree::as_str) else { return node };
    match (node, logical) {
        (Node::Int, "date") => Node::Time(Time::Date),
        (Node::Int, "time-millis") => Node::Time(Time::OfDayMillis),
        (Node::Long, "time-micros") => Node::Time(Time::OfDayMicros),
        (Node::Long, "timestamp-millis") => Node::Time(Time::Millis),
        (Node::Long, "timestamp-micros") => Node::Time(Time::Micros),
        (Node::Long, "timestamp-nanos") => Node::Time(Time::Nanos),
        (Node::Long, "local-timestamp-millis") => Node::Time(Time::LocalMillis),
        (Node::Long, "local-timestamp-micros") => Node::Time(Time::LocalMicros),
        (Node::Long, "local-timestamp-nanos") => Node::Time(Time::LocalNanos),
        (Node::Bytes, "decimal") => match scale(schema) {
            Some(scale) => Node::Decimal(scale, None),
            None => Node::Bytes,
        },
        (Node::Bytes, "big-decimal") => Node::BigDecimal,
        (Node::Bytes, "uuid") => Node::UuidBytes { fixed: false },
        (node, _) => node,
    }
}

fn fixed(size: usize, schema: &Map<String, Tree>) -> Node {
    match (schema.get("logicalType").and_then(Tree::as_str), size) {
        (Some("decimal"), _) => match scale(schema) {
            Some(scale) => Node::Decimal(scale, Some(size)),
            None => Node::Fixed(size),
        },
        (Some("uuid"), 16) => Node::UuidBytes { fixed: true },
        (Some("duration"), 12) => Node::Duration,
        _ => Node::Fixed(size),
    }
}

/// Returns the scale of a decimal that fits its precision.
fn scale(schema: &Map<String, Tree>) -> Option<usize> {
    let precision = schema.get("precision").and_then(Tree::as_u64).filter(|precision| *precision > 0)?;
    let scale = match schema.get("scale") {
        None => 0,
        Some(scale) => scale.as_u64().filter(|scale| *scale <= precision)?,
    };
    usize::try_from(scale).ok()
}
