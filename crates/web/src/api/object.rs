//! Bodies that are objects, as the description says.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A body that is an object. Serde alone also reads the members of a structure from a list, in their order.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        why: Option<String>,
    }

    #[test]
    fn a_list_is_no_object_though_it_has_the_members_in_their_order() {
        let asked = |text| serde_json::from_str::<Object<Asked>>(text).map(|Object(asked)| asked.why);
        assert_eq!(asked(r#"{"why":"moving"}"#).expect("an object"), Some("moving".to_owned()));
        for text in ["[null]", "[]", "\"moving\"", "null", r#"{"how":"slowly"}"#] {
            assert!(asked(text).is_err(), "{text}");
        }
    }
}
