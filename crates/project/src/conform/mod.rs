//! Reads a part of the file by the JSON Schema of its settings.
//!
//! One walk finds every misfit, notes the references and gives the settings as
//! JSON. Connectors describe their settings by a schema, so nothing here knows
//! any of them.

mod choices;
mod mappings;
mod references;
mod scalars;

use serde_json::Value as Member;

use super::findings::{Finding, Mark};
use super::references::Reference;
use super::words::takes;
use super::yaml::{Data, Node};

/// How deep a schema may refer to others.
const REFERENCES_MAX: usize = 16;

/// The schema of any value.
static ANY: Member = Member::Bool(true);

/// Reads values by a schema.
pub(super) struct Conform<'s> {
    /// The schema that `$ref` starts from.
    root: &'s Member,
    /// Whether `${NAME}`, `{ file: }` and `{ secret: }` resolve here.
    resolves: bool,
    /// Keys below which they do not.
    literal: &'static [&'static str],
    /// Keys that were told already.
    told: Vec<&'static str>,
    pub(super) findings: Vec<Finding>,
    pub(super) references: Vec<Reference>,
}

/// Where a value is.
#[derive(Clone)]
pub(super) struct Spot {
    /// The key, or the entry of a list.
    pub(super) at: Mark,
    /// The path from the top of the file.
    pub(super) path: String,
    /// The steps from the settings on.
    pub(super) steps: Vec<String>,
}

impl Spot {
    pub(super) fn new(at: Mark, path: impl Into<String>) -> Spot {
        Spot { at, path: path.into(), steps: Vec::new() }
    }

    /// Returns the spot of a key in a mapping.
    pub(super) fn key(&self, key: &str, at: Mark) -> Spot {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let steps = self.steps.iter().cloned().chain([key.to_owned()]).collect();
        Spot { at, path, steps }
    }

    fn item(&self, index: usize, at: Mark) -> Spot {
        let steps = self.steps.iter().cloned().chain([index.to_string()]).collect();
        Spot { at, path: format!("{}[{index}]", self.path), steps }
    }

    pub(super) fn finding(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.at, &self.path, message)
    }
}

impl<'s> Conform<'s> {
    /// Reads values in which `${` is text.
    pub(super) fn plain(root: &'s Member) -> Conform<'s> {
        Conform {
            root,
            resolves: false,
            literal: &[],
            told: Vec::new(),
            findings: Vec::new(),
            references: Vec::new(),
        }
    }

    /// Reads values in which references resolve, except below the keys in `literal`.
    pub(super) fn resolving(root: &'s Member, literal: &'static [&'static str]) -> Conform<'s> {
        Conform { resolves: true, literal, ..Conform::plain(root) }
    }

    /// Leaves out keys that a finding is about already.
    pub(super) fn without(self, told: Vec<&'static str>) -> Conform<'s> {
        Conform { told, ..self }
    }

    /// Reads a value. After a finding, what is returned has no meaning.
    pub(super) fn read(&mut self, node: &Node, schema: &Member, spot: &Spot) -> Member {
        let schema = self.followed(schema);
        if self.resolves && self.refers(node, schema, spot) {
            return node.to_member();
        }
        for choice in ["anyOf", "oneOf"] {
            // A choice between sets of required keys says nothing about values.
            if let Some(choices) = schema[choice].as_array().filter(|_| !schema["properties"].is_object()) {
                return self.choice(node, schema, choices, spot);
            }
        }
        match &node.data {
            Data::MalformedRecord => Member::Null,
            Data::Null => self.nothing(schema, spot),
            Data::Text(text) => self.text(text, node, schema, spot),
            Data::Number(number, raw) => self.number(number, raw, node, schema, spot),
            Data::Boolean(value) if takes(schema, "boolean") => Member::Bool(*value),
            Data::List(items) if takes(schema, "array") => self.list(items, schema, spot),
            Data::Map(entries) if takes(schema, "object") => self.map(entries, schema, spot),
            Data::Boolean(_) | Data::List(_) | Data::Map(_) => self.mismatch(node, schema, spot),
        }
    }

    /// Follows `$ref` to what it names.
    pub(super) fn followed<'a>(&self, schema: &'a Member) -> &'a Member
    where
        's: 'a,
    {
        let mut schema = schema;
        for _ in 0..REFERENCES_MAX {
            let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
            match name {
                Some(name) => schema = &self.root["$defs"][name],
                None => break,
            }
        }
        schema
    }
}
