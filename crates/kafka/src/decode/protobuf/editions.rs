//! Schemas in `edition = "2023"` and later, in the words of the syntax before.
//!
//! The compiler knows `proto2` and `proto3` only, and both can say what an edition says
//! about reading: a field has presence (`optional`) unless its feature is `IMPLICIT`.
//! Features, reserved names and the visibility of types tell a reader nothing else and
//! are left out. Groups (`DELIMITED`) are not read.
//!
//! Source: Protocol Buffers, "Protobuf Editions Language Specification", "Feature Settings
//! for Editions".

use super::tokens::{Token, tokens};

/// Returns the text as the compiler reads it: unchanged unless it names an edition.
///
/// # Errors
/// The schema uses what is not read.
pub(super) fn plain(text: &str) -> Result<String, String> {
    // No comment and no other statement can be mistaken: an edition is the first statement.
    let tokens = match text.contains("edition") {
        true => tokens(text),
        false => return Ok(text.to_owned()),
    };
    let start = match tokens[..] {
        [Token { text: "edition", start }, Token { text: "=", .. }, _, Token { text: ";", .. }, ..] => start,
        _ => return Ok(text.to_owned()),
    };
    if tokens.iter().any(|token| token.text == "DELIMITED") {
        return Err("`features.message_encoding = DELIMITED` is not supported".to_owned());
    }
    // `proto3` alone has fields without presence; `proto2` allows all else that editions do.
    let implicit = tokens.iter().any(|token| token.text == "IMPLICIT");
    let mut rewriter = Rewriter {
        text,
        tokens: &tokens,
        at: 0,
        out: String::with_capacity(text.len()),
        copied: 0,
        implicit,
    };
    rewriter.skip_statement();
    let syntax = if implicit { "syntax = \"proto3\";" } else { "syntax = \"proto2\";" };
    rewriter.replace(start, rewriter.position(), syntax);
    rewriter.body(Scope::File, false);
    Ok(rewriter.finish())
}

/// What the statements at hand belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    File,
    Message,
    Oneof,
    Enum,
}

struct Rewriter<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
    out: String,
    /// How much of the text is in `out`.
    copied: usize,
    /// Whether fields may lack presence: the text becomes `proto3`.
    implicit: bool,
}

impl<'a> Rewriter<'a> {
    /// Rewrites statements up to the end of the body. `implicit`: fields lack presence by default.
    fn body(&mut self, scope: Scope, mut implicit: bool) {
        while let Some(first) = self.next() {
            match first.text {
                "}" => return,
                ";" => {}
                "option" if self.peek().starts_with("features") => {
                    let from = self.at;
                    self.skip_statement();
                    let mut words = self.tokens[from..self.at].iter().map(|token| token.text);
                    let presence = words.rfind(|word| matches!(*word, "IMPLICIT" | "EXPLICIT"));
                    implicit = presence.map_or(implicit, |presence| presence == "IMPLICIT");
                    self.replace(first.start, self.position(), "");
                }
                "reserved" => {
                    self.skip_statement();
                    self.replace(first.start, self.position(), "");
                }
                "import" if self.peek() == "option" => {
                    self.skip_statement();
                    self.replace(first.start, self.position(), "");
                }
                "export" | "local" if matches!(self.peek(), "message" | "enum") => {
                    self.replace(first.start, first.end(), "");
                }
                "message" | "extend" if self.opens() => self.inner(Scope::Message, implicit),
                "oneof" if self.opens() => self.inner(Scope::Oneof, implicit),
                "enum" if self.opens() => self.inner(Scope::Enum, implicit),
                "service" if self.opens() => self.skip_block(),
                "option" | "package" | "import" | "extensions" | "syntax" => self.skip_statement(),
                _ if scope == Scope::Message && first.is_word() => self.field(first, implicit),
                _ => self.statement(),
            }
        }
    }

    /// Rewrites a field: gives it its label, and takes its features out.
    fn field(&mut self, first: Token<'a>, implicit: bool) {
        let features = self.statement_words();
        let lacks_presence =
            match features.iter().rev().find(|word| matches!(**word, "IMPLICIT" | "EXPLICIT")) {
                Some(presence) => *presence == "IMPLICIT",
                None => implicit,
            };
        let has_label = matches!(first.text, "repeated" | "map" | "optional" | "required");
        if !has_label && !lacks_presence {
            self.replace(first.start, first.start, "optional ");
        }
        self.statement();
    }

    /// Copies a statement without the features in its brackets.
    fn statement(&mut self) {
        while let Some(token) = self.next() {
            match token.text {
                ";" | "}" => return,
                "[" => self.options(token.start),
                _ => {}
            }
        }
    }

    /// Rewrites options in brackets, the opening one of which is at `from`.
    fn options(&mut self, from: usize) {
        let (mut kept, mut depth, mut start) = (Vec::new(), 0_usize, self.position_of_next());
        while let Some(token) = self.next() {
            match token.text {
                "{" | "[" | "<" => depth += 1,
                "}" | ">" => depth = depth.saturating_sub(1),
                "]" if depth > 0 => depth -= 1,
                "," | "]" if depth == 0 => {
                    let option = self.text[start..token.start].trim();
                    let dropped = option.starts_with("features") || (self.implicit && is_default(option));
                    if !dropped {
                        kept.push(option);
                    }
                    start = token.end();
                    if token.text == "]" {
                        break;
                    }
                }
                _ => {}
            }
        }
        let options = if kept.is_empty() { String::new() } else { format!("[{}]", kept.join(", ")) };
        self.replace(from, self.position(), &options);
    }

    fn inner(&mut self, scope: Scope, implicit: bool) {
        while let Some(token) = self.next() {
            if token.text == "{" {
                return self.body(scope, implicit);
            }
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.next() {
            match token.text {
                "{" => depth += 1,
                "}" if depth <= 1 => return,
                "}" => depth -= 1,
                _ => {}
            }
        }
    }

    /// Skips a statement, to the semicolon, whatever values in braces it has.
    fn skip_statement(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.next() {
            match token.text {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => return,
                _ => {}
            }
        }
    }

    /// Returns the words up to the end of the statement, without reading them.
    fn statement_words(&self) -> Vec<&'a str> {
        self.tokens[self.at..].iter().map(|token| token.text).take_while(|text| *text != ";").collect()
    }

    /// Returns whether a name and a brace follow: a definition, not a field of such a name.
    fn opens(&self) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|token| token.text == "{")
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).copied();
        self.at += usize::from(token.is_some());
        token
    }

    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |token| token.text)
    }

    /// Returns the position after the token that was read last.
    fn position(&self) -> usize {
        self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, Token::end)
    }

    fn position_of_next(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |token| token.start)
    }

    fn replace(&mut self, from: usize, to: usize, with: &str) {
        self.out.push_str(&self.text[self.copied..from]);
        self.out.push_str(with);
        self.copied = to;
    }

    fn finish(mut self) -> String {
        self.out.push_str(&self.text[self.copied..]);
        self.out
    }
}

/// Returns whether an option is the default of a field, which `proto3` does not have. Only
/// a writer needs it: a field that is not set is absent.
fn is_default(option: &str) -> bool {
    option.split('=').next().is_some_and(|name| name.trim() == "default")
}
