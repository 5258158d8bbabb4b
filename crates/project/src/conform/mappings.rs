//! Lists, mappings and their keys.

use serde_json::{Map, Value as Member};

use super::super::findings::{Finding, listed};
use super::super::habits;
use super::super::words::Words;
use super::super::yaml::{Entry, Node};
use super::{ANY, Conform, Spot};

impl Conform<'_> {
    pub(super) fn list(&mut self, items: &[Node], schema: &Member, spot: &Spot) -> Member {
        if schema["minItems"].as_u64().is_some_and(|min| (items.len() as u64) < min) {
            self.findings.push(spot.finding("the list is empty").hint("add an entry, or remove the key"));
        }
        let items = items.iter().enumerate();
        items.map(|(index, item)| self.read(item, &schema["items"], &spot.item(index, item.at))).collect()
    }

    pub(super) fn map(&mut self, entries: &[Entry], schema: &Member, spot: &Spot) -> Member {
        let mut members = Map::new();
        let properties = schema["properties"].as_object();
        let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let mut present: Vec<String> = Vec::new();
        for Entry { key, at, value } in entries {
            if spot.steps.is_empty() && self.told.contains(&key.as_str()) {
                continue;
            }
            let inner = spot.key(key, *at);
            let (key, property) = match (
                properties.and_then(|properties| properties.get(key)),
                &schema["additionalProperties"],
            ) {
                (Some(property), _) => (key.clone(), property),
                (None, Member::Object(_) | Member::Bool(true)) => {
                    (key.clone(), &schema["additionalProperties"])
                }
                // A schema that says nothing about keys takes any.
                (None, Member::Null) if properties.is_none() => (key.clone(), &ANY),
                (None, _) => {
                    let Some(meant) = self.unknown_key(entries, key, &known, &inner, spot) else { continue };
                    let property = &schema["properties"][&meant];
                    (meant, property)
                }
            };
            let resolves = self.resolves;
            self.resolves = resolves && !self.literal.contains(&key.as_str());
            let read = self.read(value, property, &inner);
            self.resolves = resolves;
            present.push(key.clone());
            members.insert(key, read);
        }
        self.required(schema, &present, spot);
        Member::Object(members)
    }

    /// Tells an unknown key. Returns the key that was meant, unless that one is there as well.
    pub(super) fn unknown_key(
        &mut self,
        entries: &[Entry],
        key: &str,
        known: &[&str],
        inner: &Spot,
        spot: &Spot,
    ) -> Option<String> {
        // `api_key:abc` without a space is all key, and the part after the colon may be a secret.
        if let Some((key, _)) = key.split_once(':') {
            let told = Finding::new(inner.at, &spot.path, format!("no space follows the colon of `{key}:`"));
            self.findings.push(told.hint(format!("write `{key}: …`, with a space")));
            return None;
        }
        let answer = habits::of_key(&spot.path, key, known);
        let told = Finding::new(inner.at, &spot.path, format!("unknown key `{key}`"));
        self.findings.push(told.hint(answer.hint));
        answer.meant.filter(|meant| !entries.iter().any(|entry| entry.key == *meant))
    }

    pub(super) fn required(&mut self, schema: &Member, present: &[String], spot: &Spot) {
        let has = |key: &str| present.iter().any(|there| there == key);
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Member::as_str) {
            if !has(key) {
                let example = Words { root: self.root }.example(&schema["properties"][key]);
                let told = spot.finding(format!("`{key}` is missing"));
                self.findings.push(told.hint(format!("add `{key}: {example}`")));
            }
        }
        // Keys of which at least one is given, and those of which exactly one is.
        let sets = |choice: &str| {
            let sets = schema[choice].as_array().into_iter().flatten();
            sets.filter_map(|set| set["required"][0].as_str()).collect::<Vec<&str>>()
        };
        let (any_of, one_of) = (sets("anyOf"), sets("oneOf"));
        if !any_of.is_empty() && !any_of.iter().any(|key| has(key)) {
            self.none_given(schema, &any_of, spot);
        }
        let given: Vec<&str> = one_of.iter().copied().filter(|key| has(key)).collect();
        match (one_of.as_slice(), given.as_slice()) {
            ([], _) | (_, [_]) => {}
            (all, []) => self.none_given(schema, all, spot),
            (_, several) => {
                let told = spot.finding(format!(
                    "{} exclude each other",
                    listed(several.iter().copied()).replace(", ", " and ")
                ));
                self.findings.push(told.hint("keep one of them"));
            }
        }
    }

    /// Reports a group of keys if none of them is given.
    fn none_given(&mut self, schema: &Member, keys: &[&str], spot: &Spot) {
        let listed = listed(keys.iter().copied()).replace(", ", " nor ");
        let told = spot.finding(format!("neither {listed} is given"));
        let example = Words { root: self.root }.example(&schema["properties"][keys[0]]);
        self.findings.push(told.hint(format!("add for example `{}: {example}`", keys[0])));
    }
}
