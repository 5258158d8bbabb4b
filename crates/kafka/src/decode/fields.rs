//! Finding fields in JSON text in one pass, without building a tree of it.

use std::fmt;

use bytes::Bytes;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tidegate_model::{DataType, Reason, Text, Value};

use super::convert;
use super::settings::{Field, Reading};

/// This many fields are looked for without an allocation.
const FEW: usize = 16;

/// The index of a value that cannot be read, and why.
pub(super) type Unreadable = (usize, Reason);

/// The fields of a selection, ready to be looked for together.
#[derive(Debug, Default)]
pub(super) struct Fields {
    wanted: Vec<(String, Reading)>,
    root: Node,
}

/// What is known of a field of a value that was written as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Its span in the text; none if it is missing.
    pub(super) at: Option<(usize, usize)>,
    /// The instant, if it is known: saves parsing the text again.
    pub(super) instant: Option<Timestamp>,
}

/// A node of the value. Paths with a common start share their first nodes.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The fields that take the value at this node, by position.
    here: Vec<usize>,
    /// The nodes inside.
    inside: Vec<(String, Node)>,
}

impl Fields {
    /// Prepares the paths.
    pub(super) fn new(fields: &IndexMap<String, Field>) -> Fields {
        let mut root = Node::default();
        for (position, field) in fields.values().enumerate() {
            let mut node = &mut root;
            for step in &field.steps {
                let at = node.inside.iter().position(|(name, _)| name == step).unwrap_or_else(|| {
                    node.inside.push((step.clone(), Node::default()));
                    node.inside.len() - 1
                });
                node = &mut node.inside[at].1;
            }
            node.here.push(position);
        }
        let wanted = fields.iter().map(|(name, field)| (name.clone(), field.reading)).collect();
        Fields { wanted, root }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// The type of each, as far as it is known beforehand.
    pub(super) fn data_types(&self) -> impl Iterator<Item = DataType> {
        self.wanted.iter().map(|(_, reading)| match reading {
            // A text in ISO 8601 is an instant, a wall clock or a day: each message says which.
            Reading::Auto | Reading::Iso => DataType::Any,
            Reading::EpochS | Reading::EpochMs | Reading::EpochUs => DataType::Timestamp,
            Reading::Json => DataType::Json,
            Reading::Text => DataType::Text,
        })
    }

    /// Checks that `text` is JSON and appends the value of each field, absent
    /// if there is none. If a member occurs twice, the last one counts. Returns the
    /// fields that cannot be read.
    pub(super) fn find(&self, text: &Text, out: &mut Vec<Value>) -> Result<Vec<Unreadable>, Reason> {
        let (mut few, mut many) = ([None; FEW], Vec::new());
        let found = match few.get_mut(..self.wanted.len()) {
            Some(found) => found,
            None => {
                many.resize(self.wanted.len(), None);
                &mut many
            }
        };
        self.root.find(text, found).map_err(|cause| {
            Reason::new(
                "invalid_json",
                format!("not valid JSON at line {}, column {}", cause.line(), cause.column()),
            )
        })?;
        let mut unreadable = Vec::new();
        for (raw, wanted) in found.iter().zip(&self.wanted) {
            push(raw.map(RawValue::get), text, wanted, out, &mut unreadable);
        }
        Ok(unreadable)
    }

    /// Where whoever writes a value as JSON finds out which parts of it are wanted.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Appends the value of each field, absent if there is none. `found` says where
    /// each of them was written. Returns the fields that cannot be read.
    pub(super) fn read(&self, text: &Text, found: &[Found], out: &mut Vec<Value>) -> Vec<Unreadable> {
        let mut unreadable = Vec::new();
        for (found, wanted) in found.iter().zip(&self.wanted) {
            match (found.instant, wanted.1) {
                (None, _) | (_, Reading::Text | Reading::Json) => {
                    let raw = found.at.and_then(|(from, to)| text.get(from..to));
                    push(raw, text, wanted, out, &mut unreadable);
                }
                (Some(instant), _) => out.push(Value::Timestamp(instant)),
            }
        }
        unreadable
    }
}

/// Appends the value of a field, from its piece of the text; its bytes if it cannot be read.
fn push(
    raw: Option<&str>,
    text: &Text,
    (name, reading): &(String, Reading),
    out: &mut Vec<Value>,
    unreadable: &mut Vec<Unreadable>,
) {
    let value = raw.map_or(Ok(Value::Absent), |raw| convert::value(raw, text, *reading));
    out.push(value.unwrap_or_else(|reason| {
        let reason = Reason::new(reason.code, format!("`{name}`: {}", reason.message));
        unreadable.push((out.len(), reason));
        Value::Bytes(Bytes::copy_from_slice(raw.unwrap_or_default().as_bytes()))
    }));
}

impl Node {
    /// Returns the node of a member.
    pub(super) fn member(&self, name: &[u8]) -> Option<&Node> {
        self.inside.iter().find(|(step, _)| step.as_bytes() == name).map(|(_, node)| node)
    }

    /// Returns the node of an item of an array.
    pub(super) fn item(&self, index: usize) -> Option<&Node> {
        self.inside.iter().find(|(step, _)| step.parse() == Ok(index)).map(|(_, node)| node)
    }

    /// Whether a field needs the whole value at this position.
    pub(super) fn is_wanted(&self) -> bool {
        !self.here.is_empty()
    }

    /// Notes what was written here.
    pub(super) fn mark(&self, this: Found, found: &mut [Found]) {
        for &position in &self.here {
            found[position] = this;
        }
    }

    /// Looks through one whole text.
    fn find<'de>(&self, text: &'de str, found: &mut [Option<&'de RawValue>]) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        if self.inside.is_empty() {
            IgnoredAny::deserialize(&mut deserializer)?;
        } else {
            deserializer.deserialize_any(Inside { node: self, found })?;
        }
        deserializer.end()
    }
}

/// The value at a node, on its way.
struct At<'a, 'de> {
    node: &'a Node,
    found: &'a mut [Option<&'de RawValue>],
}

impl<'de> DeserializeSeed<'de> for At<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let At { node, found } = self;
        if node.here.is_empty() {
            return deserializer.deserialize_any(Inside { node, found });
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        for &position in &node.here {
            found[position] = Some(raw);
        }
        // A field and a field inside it: rare enough to read that part twice.
        if !node.inside.is_empty() {
            node.find(raw.get(), found).map_err(D::Error::custom)?;
        }
        Ok(())
    }
}

/// What is inside the value at a node.
struct Inside<'a, 'de> {
    node: &'a Node,
    found: &'a mut [Option<&'de RawValue>],
}

impl<'de> Visitor<'de> for Inside<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(next) = members.next_key_seed(Name(self.node))? {
            match next {
                Some(node) => members.next_value_seed(At { node, found: self.found })?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let more = match self.node.item(index) {
                Some(node) => items.next_element_seed(At { node, found: self.found })?.is_some(),
                None => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // A scalar has nothing inside: the fields stay absent.
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The name of a member: the node that it leads to, if any.
struct Name<'a>(&'a Node);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.member(name.as_bytes()))
    }
}
