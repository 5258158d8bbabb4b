//! Values that may have several forms, and values of no form that is expected.

use serde_json::Value as Member;

use super::super::formats;
use super::super::habits;
use super::super::words::{self, Words, takes};
use super::super::yaml::{Data, Node};
use super::{Conform, Spot};

impl Conform<'_> {
    /// Reads a value that may have several forms.
    pub(super) fn choice(&mut self, node: &Node, schema: &Member, choices: &[Member], spot: &Spot) -> Member {
        if matches!(node.data, Data::MalformedRecord) {
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
    pub(super) fn mismatch(&mut self, node: &Node, schema: &Member, spot: &Spot) -> Member {
        let expected = Words { root: self.root }.expected(schema);
        let hidden = schema["writeOnly"] == true;
        // In quotes it may be refused as well; then the advice is what would be given there.
        let in_quotes = match (&node.data, schema["format"].as_str()) {
            (Data::Number(_, raw), Some(format)) => formats::check(format, raw).err().map(|(_, hint)| hint),
            _ => None,
        };
        let hint = match &node.data {
            Data::Text(text) if takes(schema, "boolean") => {
                habits::truth(text).map(|truth| format!("write `{truth}`"))
            }
            Data::Text(text) if takes(schema, "array") => Some(format!("write `[{text}]`")),
            Data::List(entries) if Words { root: self.root }.takes_text(schema) => match entries.as_slice() {
                [entry] => entry.text().map(|text| format!("write `{text}`, without brackets")),
                _ => None,
            },
            Data::Number(_, raw) if schema["format"] == "time-span" => {
                Some(format!("write it with its unit, for example `{raw}s`"))
            }
            Data::Number(_, raw) if matches!(schema["format"].as_str(), Some("age" | "days")) => {
                Some(format!("write it with its unit, for example `{raw}d`"))
            }
            Data::Number(..) | Data::Boolean(_) if hidden => Some("put it in quotes".to_owned()),
            Data::Number(..) if in_quotes.is_some() => in_quotes,
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
        Data::Null | Data::MalformedRecord => false,
    }
}
