//! YAML as JSON members, with the place of each.

use std::collections::HashMap;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value as Member};

use super::keys;

/// A line and a column, both counted from one.
pub(super) type Place = (usize, usize);

/// A document and where its members stand, by path (`syncs.orders.to`).
pub(super) struct Document {
    pub(super) root: Member,
    places: HashMap<String, Place>,
}

impl Document {
    /// Reads one YAML document; an empty one is an empty mapping.
    ///
    /// # Errors
    /// The place and the reason where the text is no YAML, or no plain data.
    pub(super) fn parse(text: &str) -> Result<Document, (Place, String)> {
        let nodes = MarkedYaml::load_from_str(text)
            .map_err(|cause| ((cause.marker().line(), cause.marker().col() + 1), cause.info().to_owned()))?;
        let mut places = HashMap::new();
        let root = match nodes.first() {
            None => Member::Object(Map::new()),
            Some(node) => member(node, "", &mut places)?,
        };
        if let Some((place, key, first)) = keys::repeated(text) {
            return Err((
                place,
                format!("the key `{key}` stands here a second time; the first is in line {first}"),
            ));
        }
        if !matches!(root, Member::Object(_) | Member::Null) {
            return Err((
                (1, 1),
                "a project is a mapping with the keys `connections` and `syncs`".to_owned(),
            ));
        }
        if nodes.len() > 1 {
            return Err((place(&nodes[1]), "more than one document in the file".to_owned()));
        }
        Ok(Document { root, places })
    }

    /// Where a member stands, or the nearest thing around it.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = path.rfind('.').map(|dot| &path[..dot])?;
        }
    }
}

fn place(node: &MarkedYaml<'_>) -> Place {
    (node.span.start.line(), node.span.start.col() + 1)
}

fn member(
    node: &MarkedYaml<'_>,
    path: &str,
    places: &mut HashMap<String, Place>,
) -> Result<Member, (Place, String)> {
    let here = place(node);
    places.entry(path.to_owned()).or_insert(here);
    Ok(match &node.data {
        YamlData::Value(Scalar::Null) => Member::Null,
        YamlData::Value(Scalar::Boolean(value)) => Member::Bool(*value),
        YamlData::Value(Scalar::Integer(value)) => Member::Number((*value).into()),
        YamlData::Value(Scalar::FloatingPoint(value)) => Number::from_f64(value.into_inner())
            .map(Member::Number)
            .ok_or_else(|| (here, "a number must be finite".to_owned()))?,
        YamlData::Value(Scalar::String(text)) => Member::String(text.to_string()),
        YamlData::Sequence(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                list.push(member(item, &format!("{path}[{at}]"), places)?);
            }
            Member::Array(list)
        }
        YamlData::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let name = match &key.data {
                    YamlData::Value(Scalar::String(text)) => text.to_string(),
                    YamlData::Value(Scalar::Integer(number)) => number.to_string(),
                    _ => return Err((place(key), "a key must be plain text".to_owned())),
                };
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                places.insert(inner.clone(), place(key));
                object.insert(name, member(value, &inner, places)?);
            }
            Member::Object(object)
        }
        YamlData::Tagged(..) | YamlData::Alias(_) | YamlData::Representation(..) | YamlData::BadValue => {
            return Err((here, "tags and aliases are not supported here".to_owned()));
        }
    })
}
