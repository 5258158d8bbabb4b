//! Reads a part of the file by the JSON Schema of its settings.
//!
//! One walk finds every misfit, notes the references and gives the settings as
//! JSON. Connectors describe their settings by a schema, so nothing here knows
//! any of them.

use serde_json::{Map, Number, Value as Member};

use super::findings::{Finding, Mark, listed};
use super::habits;
use super::references::{self, Content, Reference, Wants};
use super::words::{self, Words};
use super::yaml::{Data, Entry, Node};

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

/// Where a value stands.
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
            Data::Unreadable => Member::Null,
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

    // --- references ------------------------------------------------------------

    /// Notes a reference. Returns whether the value is one, or was told to be none.
    fn refers(&mut self, node: &Node, schema: &Member, spot: &Spot) -> bool {
        let content = match &node.data {
            Data::Text(text) => {
                if let Some(name) = text.contains("{{").then(|| super::syntax::env_var(text)).flatten() {
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
    fn wants(&self, schema: &Member) -> Option<Wants> {
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
    fn has_key(&self, schema: &Member, key: &str) -> bool {
        schema["properties"].get(key).is_some()
            || words::choices(schema).iter().any(|choice| self.has_key(self.followed(choice), key))
    }

    // --- scalars ---------------------------------------------------------------

    fn nothing(&mut self, schema: &Member, spot: &Spot) -> Member {
        if !takes(schema, "null") {
            let told = spot.finding("this key has no value");
            self.findings.push(told.hint("give it one, or remove the line"));
        }
        Member::Null
    }

    fn text(&mut self, text: &str, node: &Node, schema: &Member, spot: &Spot) -> Member {
        if takes(schema, "string") {
            self.text_fits(text, schema, spot);
            return Member::String(text.to_owned());
        }
        // A number or a boolean in quotes.
        let trimmed = text.trim();
        let number = trimmed.parse::<i64>().ok().map(Number::from);
        let number =
            number.or_else(|| Number::from_f64(trimmed.parse().ok().filter(|_| takes(schema, "number"))?));
        if let Some(number) = number.filter(|_| takes(schema, "integer") || takes(schema, "number")) {
            return self.number(&number, trimmed, node, schema, spot);
        }
        match trimmed.parse::<bool>() {
            Ok(value) if takes(schema, "boolean") => Member::Bool(value),
            _ => self.mismatch(node, schema, spot),
        }
    }

    fn text_fits(&mut self, text: &str, schema: &Member, spot: &Spot) {
        if let Some(known) = words::only(schema).filter(|known| !known.contains(&text)) {
            self.unknown_word(text, &known, spot);
            return;
        }
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema[name].as_u64();
        match (bound("minLength"), bound("maxLength")) {
            (Some(1), Some(1)) if length != 1 => self.findings.push(spot.finding("expected one character")),
            (Some(min), _) if length < min => {
                self.findings.push(spot.finding(format!("expected at least {min} characters")));
            }
            (_, Some(max)) if length > max => {
                self.findings.push(spot.finding(format!("expected at most {max} characters")));
            }
            _ => {}
        }
        if let Some(format) = schema["format"].as_str()
            && let Err((message, hint)) = super::formats::check(format, text)
        {
            self.findings.push(spot.finding(message).hint(hint));
        }
    }

    fn unknown_word(&mut self, text: &str, known: &[&str], spot: &Spot) {
        let told = spot.finding(format!("`{text}` is none of {}", listed(known.iter().copied())));
        self.findings.push(told.hint(habits::of_value(text, known)));
    }

    fn number(&mut self, number: &Number, raw: &str, node: &Node, schema: &Member, spot: &Spot) -> Member {
        let whole = number.is_i64() || number.is_u64();
        if !(takes(schema, "number") || whole && takes(schema, "integer")) {
            return self.mismatch(node, schema, spot);
        }
        if let Some(range) = words::range(schema)
            && !range.contains(&number.as_f64().unwrap_or(f64::NAN))
        {
            let expected = Words { root: self.root }.expected(schema);
            self.findings
                .push(spot.finding(format!("expected {expected}, found {raw}")).hint("correct the number"));
        }
        Member::Number(number.clone())
    }

    // --- lists and mappings ------------------------------------------------------

    fn list(&mut self, items: &[Node], schema: &Member, spot: &Spot) -> Member {
        if schema["minItems"].as_u64().is_some_and(|min| (items.len() as u64) < min) {
            self.findings.push(spot.finding("the list is empty").hint("add an entry, or remove the key"));
        }
        let items = items.iter().enumerate();
        items.map(|(index, item)| self.read(item, &schema["items"], &spot.item(index, item.at))).collect()
    }

    fn map(&mut self, entries: &[Entry], schema: &Member, spot: &Spot) -> Member {
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
    fn unknown_key(
        &mut self,
        entries: &[Entry],
        key: &str,
        known: &[&str],
        inner: &Spot,
        spot: &Spot,
    ) -> Option<String> {
        let answer = habits::of_key(&spot.path, key, known);
        let told = Finding::new(inner.at, &spot.path, format!("unknown key `{key}`"));
        self.findings.push(told.hint(answer.hint));
        answer.meant.filter(|meant| !entries.iter().any(|entry| entry.key == *meant))
    }

    fn required(&mut self, schema: &Member, present: &[String], spot: &Spot) {
        let has = |key: &str| present.iter().any(|there| there == key);
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Member::as_str) {
            if !has(key) {
                let example = Words { root: self.root }.example(&schema["properties"][key]);
                let told = spot.finding(format!("`{key}` is missing"));
                self.findings.push(told.hint(format!("add `{key}: {example}`")));
            }
        }
        // Keys of which exactly one is given.
        let sets = schema["oneOf"].as_array().into_iter().flatten();
        let one_of: Vec<&str> = sets.filter_map(|set| set["required"][0].as_str()).collect();
        let given: Vec<&str> = one_of.iter().copied().filter(|key| has(key)).collect();
        match (one_of.as_slice(), given.as_slice()) {
            ([], _) | (_, [_]) => {}
            (all, []) => {
                let told = spot.finding(format!(
                    "neither {} is given",
                    listed(all.iter().copied()).replace(", ", " nor ")
                ));
                let example = Words { root: self.root }.example(&schema["properties"][all[0]]);
                self.findings.push(told.hint(format!("add for example `{}: {example}`", all[0])));
            }
            (_, several) => {
                let told = spot.finding(format!(
                    "{} exclude each other",
                    listed(several.iter().copied()).replace(", ", " and ")
                ));
                self.findings.push(told.hint("keep one of them"));
            }
        }
    }

    // --- choices -----------------------------------------------------------------

    /// Reads a value that may have several forms.
    fn choice(&mut self, node: &Node, schema: &Member, choices: &[Member], spot: &Spot) -> Member {
        if matches!(node.data, Data::Unreadable) {
            return Member::Null;
        }
        let mut tries = Vec::with_capacity(choices.len());
        for choice in choices {
            let mut other =
                Conform { resolves: self.resolves, literal: self.literal, ..Conform::plain(self.root) };
            let read = other.read(node, choice, spot);
            if other.findings.is_empty() {
                self.references.append(&mut other.references);
                return read;
            }
            tries.push((self.followed(choice), other.findings));
        }
        // A value that may be left out has one form.
        if let [(_, findings)] =
            tries.iter().filter(|(choice, _)| choice["type"] != "null").collect::<Vec<_>>()[..]
        {
            self.findings.extend(findings.iter().cloned());
            return Member::Null;
        }
        let words: Vec<&str> =
            choices.iter().filter_map(|choice| words::only(self.followed(choice))).flatten().collect();
        let forms =
            || tries.iter().filter(|(choice, _)| same_form(node, choice) && words::only(choice).is_none());
        let best = match &node.data {
            Data::Map(entries) => forms().max_by_key(|(choice, findings)| {
                let shared =
                    entries.iter().filter(|entry| choice["properties"].get(&entry.key).is_some()).count();
                (shared, std::cmp::Reverse(findings.len()))
            }),
            _ => forms().next(),
        };
        match (best, node.text()) {
            (Some((_, findings)), _) => self.findings.extend(findings.iter().cloned()),
            (None, Some(text)) if !words.is_empty() => {
                let forms: Vec<&Member> = tries.iter().map(|(choice, _)| *choice).collect();
                let others = forms.iter().any(|form| words::only(form).is_none() && !takes_only_null(form));
                match others {
                    false => self.unknown_word(text, &words, spot),
                    true => drop(self.mismatch(node, schema, spot)),
                }
            }
            (None, _) => drop(self.mismatch(node, schema, spot)),
        }
        Member::Null
    }

    /// Tells that a value has another form than expected, and what to write.
    fn mismatch(&mut self, node: &Node, schema: &Member, spot: &Spot) -> Member {
        let expected = Words { root: self.root }.expected(schema);
        let hidden = schema["writeOnly"] == true;
        let hint = match &node.data {
            Data::Text(text) if takes(schema, "boolean") => {
                habits::truth(text).map(|truth| format!("write `{truth}`"))
            }
            Data::Text(text) if takes(schema, "array") => Some(format!("write `[{text}]`")),
            Data::Number(_, raw) if schema["format"] == "time-span" => {
                Some(format!("write it with its unit, for example `{raw}s`"))
            }
            Data::Number(..) | Data::Boolean(_) if hidden => Some("put it in quotes".to_owned()),
            Data::Number(_, raw) if takes(schema, "string") => Some(format!("write `\"{raw}\"`, in quotes")),
            Data::Boolean(value) if takes(schema, "string") => {
                Some(format!("write `\"{value}\"`, in quotes"))
            }
            _ => None,
        };
        let example = Words { root: self.root }.example(schema);
        let told = spot.finding(format!("expected {expected}, found {}", node.kind()));
        self.findings.push(told.hint(hint.unwrap_or_else(|| format!("write for example `{example}`"))));
        Member::Null
    }
}

/// Whether a schema takes values of a type; one that names no type takes any.
pub(super) fn takes(schema: &Member, name: &str) -> bool {
    match &schema["type"] {
        Member::String(only) => only == name,
        Member::Array(types) => types.iter().any(|one| one == name),
        _ if schema.get("const").is_some() || schema.get("enum").is_some() => {
            name == "string" || (name == "null" && words::has_null(schema))
        }
        _ if schema["properties"].is_object() => name == "object",
        _ => true,
    }
}

fn takes_only_null(schema: &Member) -> bool {
    schema["type"] == "null"
}

/// Whether a value has the form that a schema describes, whatever is wrong inside of it.
fn same_form(node: &Node, schema: &Member) -> bool {
    match &node.data {
        Data::Map(_) => takes(schema, "object"),
        Data::List(_) => takes(schema, "array"),
        Data::Text(_) => takes(schema, "string"),
        Data::Number(..) => takes(schema, "integer") || takes(schema, "number"),
        Data::Boolean(_) => takes(schema, "boolean"),
        Data::Null | Data::Unreadable => false,
    }
}
