//! References among the values.

use serde_json::Value as Member;

use super::super::references::{self, Content, Reference, Wants};
use super::super::syntax;
use super::super::words::{self, Words, takes};
use super::super::yaml::{Data, Entry, Node};
use super::{Conform, Spot};

impl Conform<'_> {
    /// Notes a reference. Returns whether the value is one, or was told to be none.
    pub(super) fn refers(&mut self, node: &Node, schema: &Member, spot: &Spot) -> bool {
        let content = match &node.data {
            Data::Text(text) => {
                if let Some(name) = text.contains("{{").then(|| syntax::env_var(text)).flatten() {
                    let told = spot.finding("`{{ env_var(…) }}` means nothing in a project file");
                    self.findings.push(told.hint(format!("write `${{{name}}}`")));
                    return true;
                }
                match references::template(text) {
                    Ok(None) => return false,
                    Ok(Some(pieces)) => Content::Template(pieces),
                    Err(why) => {
                        self.findings.push(spot.finding(why).hint(
                            "a reference is `${NAME}` or `${NAME:-default}`; write `$${` for a literal `${`",
                        ));
                        return true;
                    }
                }
            }
            Data::Map(entries) => {
                let [Entry { key, value, .. }] = entries.as_slice() else { return false };
                let Some(named) = value.text() else { return false };
                if !matches!(key.as_str(), "env" | "file" | "secret") || self.has_key(schema, key) {
                    return false;
                }
                match key.as_str() {
                    "file" => Content::File(named.to_owned()),
                    "secret" => Content::Secret(named.to_owned()),
                    _ => {
                        let told = spot.finding("`{ env: … }` means nothing in a project file");
                        self.findings.push(told.hint(format!("write `\"${{{named}}}\"`")));
                        return true;
                    }
                }
            }
            _ => return false,
        };
        match self.wants(schema) {
            Some(wants) => {
                let (at, path, steps) = (spot.at, spot.path.clone(), spot.steps.clone());
                self.references.push(Reference { at, path, steps, content, wants });
            }
            None => {
                let expected = Words { root: self.root }.expected(schema);
                let told = spot.finding(format!("expected {expected}, and a reference gives text"));
                self.findings.push(told.hint("write the value out; references may stand inside of it"));
            }
        }
        true
    }

    /// What a text from outside is read as.
    pub(super) fn wants(&self, schema: &Member) -> Option<Wants> {
        let choices = words::choices(schema);
        if !choices.is_empty() {
            let wants = choices.iter().filter_map(|choice| self.wants(self.followed(choice)));
            return wants.min_by_key(|wants| *wants as u8);
        }
        let by_type = [
            ("string", Wants::Text),
            ("integer", Wants::Integer),
            ("number", Wants::Number),
            ("boolean", Wants::Boolean),
        ];
        by_type.into_iter().find(|(name, _)| takes(schema, name)).map(|(_, wants)| wants)
    }

    /// Whether a mapping of this schema, or of one of its choices, has a key of this name itself.
    pub(super) fn has_key(&self, schema: &Member, key: &str) -> bool {
        schema["properties"].get(key).is_some()
            || words::choices(schema).iter().any(|choice| self.has_key(self.followed(choice), key))
    }
}
