//! Text, numbers and references to them.

use serde_json::{Number, Value as Member};

use super::super::findings::listed;
use super::super::words::{self, Words, takes};
use super::super::yaml::Node;
use super::super::{formats, habits};
use super::{Conform, Spot};

impl Conform<'_> {
    pub(super) fn nothing(&mut self, schema: &Member, spot: &Spot) -> Member {
        if !takes(schema, "null") {
            let told = spot.finding("this key has no value");
            self.findings.push(told.hint("give it one, or remove the line"));
        }
        Member::Null
    }

    pub(super) fn text(&mut self, text: &str, node: &Node, schema: &Member, spot: &Spot) -> Member {
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

    pub(super) fn text_fits(&mut self, text: &str, schema: &Member, spot: &Spot) {
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
            && let Err((message, hint)) = formats::check(format, text)
        {
            self.findings.push(spot.finding(message).hint(hint));
        }
    }

    pub(super) fn unknown_word(&mut self, text: &str, known: &[&str], spot: &Spot) {
        let told = spot.finding(format!("`{text}` is not one of {}", listed(known.iter().copied())));
        self.findings.push(told.hint(habits::of_value(text, known)));
    }

    pub(super) fn number(
        &mut self,
        number: &Number,
        raw: &str,
        node: &Node,
        schema: &Member,
        spot: &Spot,
    ) -> Member {
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
}
