//! A schema in the words of a message.

use std::ops::RangeInclusive;

use serde_json::Value as Member;

use super::findings::listed;

/// Says what a schema expects.
pub(super) struct Words<'s> {
    /// The schema that `$ref` starts from.
    pub(super) root: &'s Member,
}

impl Words<'_> {
    fn followed<'a>(&'a self, schema: &'a Member) -> &'a Member {
        match schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            Some(name) => &self.root["$defs"][name],
            None => schema,
        }
    }

    /// Returns what is expected: "a whole number from 0 to 65535", "`a` or a list of text".
    pub(super) fn expected(&self, schema: &Member) -> String {
        let schema = self.followed(schema);
        let choices = choices(schema);
        if !choices.is_empty() {
            let mut kinds: Vec<String> = choices.iter().map(|choice| self.expected(choice)).collect();
            kinds.retain(|kind| !kind.is_empty());
            kinds.dedup();
            return kinds.join(" or ");
        }
        if let Some(words) = only(schema) {
            return listed(words).replace(", ", " or ");
        }
        let mut kinds = Vec::new();
        for name in ["string", "integer", "number", "boolean", "array", "object"] {
            if schema.get("type").is_some() && takes(schema, name) {
                kinds.push(self.one(name, schema));
            }
        }
        match (kinds.as_slice(), schema["type"] == "null") {
            ([], true) => String::new(),
            ([], false) if schema["properties"].is_object() => self.one("object", schema),
            ([], false) => "a value".to_owned(),
            (kinds, _) => kinds.join(" or "),
        }
    }

    fn one(&self, name: &str, schema: &Member) -> String {
        match name {
            "string" => match schema["format"].as_str() {
                Some("time-span" | "age") => "a duration such as `15m`".to_owned(),
                Some("time-zone") => "a time zone such as `Europe/Paris`".to_owned(),
                Some("cron") => "a cron pattern such as `\"0 6 * * *\"`".to_owned(),
                Some("endpoint" | "url") => "an address such as `https://host.example.com`".to_owned(),
                Some("percent") => "a share such as `10%`".to_owned(),
                _ if schema["maxLength"] == 1 => "one character".to_owned(),
                _ if names(schema) => lower(schema["description"].as_str().unwrap_or_default()),
                _ => "text".to_owned(),
            },
            "integer" => match range(schema) {
                Some(range) if *range.end() < 1e12 => {
                    format!("a whole number from {} to {}", range.start(), range.end())
                }
                Some(range) => format!("a whole number, {} or more", range.start()),
                None => "a whole number".to_owned(),
            },
            "number" => "a number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => match self.expected(&schema["items"]) {
                items if schema["description"] == "Columns." || items.is_empty() => {
                    "a list of columns".to_owned()
                }
                items => format!("a list of {items}"),
            },
            _ => {
                let keys: Vec<&str> = schema["properties"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, _)| key.as_str())
                    .collect();
                match keys.as_slice() {
                    [] => "a mapping".to_owned(),
                    [key] => format!("`{{ {key}: … }}`"),
                    keys => format!("a mapping with {}", listed(keys.iter().copied())),
                }
            }
        }
    }

    /// Whether a text is expected, alone or among other forms.
    pub(super) fn takes_text(&self, schema: &Member) -> bool {
        let schema = self.followed(schema);
        match choices(schema) {
            [] => takes(schema, "string"),
            choices => choices.iter().any(|choice| self.takes_text(choice)),
        }
    }

    /// Returns a value that would do, as one writes it.
    pub(super) fn example(&self, schema: &Member) -> String {
        let schema = self.followed(schema);
        if let Some(example) = schema["examples"].get(0) {
            return example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        }
        if let Some(choice) = choices(schema).first() {
            return self.example(choice);
        }
        if let Some(words) = only(schema) {
            return words.first().map_or_else(String::new, |word| (*word).to_owned());
        }
        let value = match schema["format"].as_str() {
            Some("time-span" | "age") => "15m",
            Some("time-zone") => "Europe/Paris",
            Some("endpoint" | "url") => "https://host.example.com",
            _ if schema["writeOnly"] == true => "${NAME}",
            _ if names(schema) => "<name>",
            _ if takes(schema, "string") => "<text>",
            _ if takes(schema, "integer") || takes(schema, "number") => "10",
            _ if takes(schema, "boolean") => "true",
            _ if takes(schema, "array") => "[…]",
            _ => return self.example_of_object(schema),
        };
        value.to_owned()
    }

    fn example_of_object(&self, schema: &Member) -> String {
        let properties = schema["properties"].as_object();
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Member::as_str);
        let mut keys: Vec<&str> = required.collect();
        if keys.is_empty() {
            keys.extend(properties.into_iter().flatten().map(|(key, _)| key.as_str()).take(1));
        }
        let members: Vec<String> =
            keys.iter().map(|key| format!("{key}: {}", self.example(&schema["properties"][*key]))).collect();
        format!("{{ {} }}", members.join(", "))
    }
}

/// Whether a schema takes values of a type; one that names no type takes any.
pub(super) fn takes(schema: &Member, name: &str) -> bool {
    match &schema["type"] {
        Member::String(only) => only == name,
        Member::Array(types) => types.iter().any(|one| one == name),
        _ if schema.get("const").is_some() || schema.get("enum").is_some() => {
            name == "string" || (name == "null" && has_null(schema))
        }
        _ if schema["properties"].is_object() => name == "object",
        _ => true,
    }
}

/// Returns the forms that a value may have; none if it has one form.
pub(super) fn choices(schema: &Member) -> &[Member] {
    let choices = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    choices.filter(|_| !schema["properties"].is_object()).map_or(&[], Vec::as_slice)
}

/// Returns the words that a schema takes, if it takes nothing else.
pub(super) fn only(schema: &Member) -> Option<Vec<&str>> {
    if let Some(word) = schema["const"].as_str() {
        return Some(vec![word]);
    }
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(Member::as_str).collect());
    }
    let choices = choices(schema);
    if choices.is_empty()
        || !choices.iter().all(|choice| choice.get("const").is_some() || choice.get("enum").is_some())
    {
        return None;
    }
    Some(choices.iter().filter_map(only).flatten().collect())
}

/// Whether null is one of the words.
pub(super) fn has_null(schema: &Member) -> bool {
    schema.get("const").is_some_and(Member::is_null)
        || schema["enum"].as_array().is_some_and(|words| words.iter().any(Member::is_null))
}

/// Returns the numbers that a schema takes.
pub(super) fn range(schema: &Member) -> Option<RangeInclusive<f64>> {
    let of_format = match schema["format"].as_str() {
        Some("uint8") => Some(f64::from(u8::MAX)),
        Some("uint16") => Some(f64::from(u16::MAX)),
        Some("uint32") => Some(f64::from(u32::MAX)),
        _ => None,
    };
    let min = schema["minimum"].as_f64();
    let max = schema["maximum"].as_f64().or(of_format);
    match (min, max) {
        (None, None) => None,
        (min, max) => Some(min.unwrap_or(f64::MIN)..=max.unwrap_or(f64::MAX)),
    }
}

/// Whether a text is the name of something, as its description says.
fn names(schema: &Member) -> bool {
    takes(schema, "string")
        && schema["description"].as_str().is_some_and(|help| help.starts_with("The name of"))
}

/// A sentence as a part of another one.
fn lower(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
