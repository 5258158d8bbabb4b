//! Several names, as people write them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Names in a list, or in one text with commas between them. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl Names {
    fn of<E: de::Error>(names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Names, E> {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            let name = name.as_ref().trim();
            if !name.is_empty() && !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        if all.is_empty() { Err(E::custom("expected at least one name")) } else { Ok(Names(all)) }
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or one text with commas between them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Names, E> {
                Names::of(text.split(','))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Names::of(names)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names in a list, or in one text with commas between them.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_text_with_commas_name_the_same() {
        let list: Names = serde_json::from_str(r#"["a", "b", "a"]"#).expect("names");
        let text: Names = serde_json::from_str(r#"" a,b ,,""#).expect("names");
        assert_eq!(list, text);
        assert_eq!(list.0, ["a", "b"]);
        assert!(serde_json::from_str::<Names>(r#"" , ""#).is_err());
    }
}
