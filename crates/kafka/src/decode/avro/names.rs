//! The names of types: how they are qualified, and what they stand for.
//!
//! Source: Apache Avro 1.12 specification, "Names".

use std::collections::HashMap;

use serde_json::{Map, Value as Tree};

use super::plan::{Named, Node};

/// The named types of a schema and of those that it refers to.
#[derive(Debug, Default)]
pub(super) struct Names {
    indexes: HashMap<String, usize>,
    named: Vec<Option<Named>>,
}

impl Names {
    /// Returns the node of a type that is mentioned, defined already or not.
    pub(super) fn mention(&mut self, name: &str, namespace: Option<&str>) -> Node {
        Node::Named(self.index(full(name, namespace)))
    }

    /// Reserves the place of a type, so that it can mention itself. A name that is
    /// defined again means the new type from there on.
    pub(super) fn reserve(&mut self, name: String) -> usize {
        let index = self.index(name.clone());
        if self.named[index].is_none() {
            return index;
        }
        self.named.push(None);
        self.indexes.insert(name, self.named.len() - 1);
        self.named.len() - 1
    }

    /// Defines the type of a reserved place.
    pub(super) fn define(&mut self, index: usize, named: Named) -> Node {
        self.named[index] = Some(named);
        Node::Named(index)
    }

    /// Returns the types by index, or the first name that stands for none.
    pub(super) fn resolve(mut self) -> Result<Vec<Named>, String> {
        for (name, &index) in &self.indexes {
            if self.named[index].is_none() {
                // As Java does: a short name that the namespace does not have is looked up outside of any.
                let short = name.rsplit('.').next().unwrap_or(name);
                let outside = self.indexes.get(short).filter(|outside| self.named[**outside].is_some());
                let outside = *outside.ok_or_else(|| name.clone())?;
                self.named[index] = Some(Named::Other(Node::Named(outside)));
            }
        }
        Ok(self.named.into_iter().flatten().collect())
    }

    fn index(&mut self, name: String) -> usize {
        *self.indexes.entry(name).or_insert_with(|| {
            self.named.push(None);
            self.named.len() - 1
        })
    }
}

/// Returns the full name of a type that is mentioned as `name`.
fn full(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if !name.contains('.') => format!("{namespace}.{name}"),
        _ => name.to_owned(),
    }
}

/// Returns the full name of a definition, and the namespace of what it holds.
pub(super) fn of_definition(
    definition: &Map<String, Tree>,
    enclosing: Option<&str>,
) -> (String, Option<String>) {
    let name = definition.get("name").and_then(Tree::as_str).unwrap_or_default();
    let own = definition.get("namespace").and_then(Tree::as_str);
    let namespace = own.or(enclosing).filter(|namespace| !namespace.is_empty());
    let full = full(name, namespace);
    let inner = full.rsplit_once('.').map(|(namespace, _)| namespace.to_owned());
    (full, inner.filter(|namespace| !namespace.is_empty()))
}
