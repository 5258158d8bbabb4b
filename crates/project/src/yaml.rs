//! YAML as a tree in which every node knows its place.
//!
//! The text is read once. Keys that occur twice, anchors, aliases and tags are
//! findings: read as data, a second key would silently replace the first, and
//! with it a whole sync.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value as Member};

use super::findings::{Finding, Mark};
use super::syntax;

/// How deep lists and mappings may be nested.
const DEPTH_MAX: usize = 64;

/// A value of the file and where it is.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) data: Data,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Boolean(bool),
    /// A number and how it is written.
    Number(Number, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that a finding is about already.
    MalformedRecord,
}

/// A key of a mapping, where it is, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) value: Node,
}

impl Node {
    /// Returns the entries of a mapping, or none.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns what kind of value it is, in the words of a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null | Data::MalformedRecord => "nothing",
            Data::Boolean(true) => "`true`",
            Data::Boolean(false) => "`false`",
            Data::Number(..) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// Returns the value as JSON.
    pub(super) fn to_member(&self) -> Member {
        match &self.data {
            Data::Null | Data::MalformedRecord => Member::Null,
            Data::Boolean(value) => Member::Bool(*value),
            Data::Number(number, _) => Member::Number(number.clone()),
            Data::Text(text) => Member::String(text.clone()),
            Data::List(items) => items.iter().map(Node::to_member).collect(),
            Data::Map(entries) => {
                let members = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_member()));
                Member::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

/// A list or mapping that is being read.
struct Open {
    at: Mark,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// `broken` says that a finding is about the whole of it.
    Map {
        entries: Vec<Entry>,
        key: Key,
        broken: bool,
    },
}

/// What a mapping waits for.
enum Key {
    /// A key.
    Next,
    /// The value of this key.
    Read(String, Mark),
    /// The value of something that is no key.
    MalformedRecord,
}

/// Reads one YAML document; an empty text is an empty mapping.
///
/// # Errors
/// What makes the text unreadable as a whole.
pub(super) fn read(text: &str, findings: &mut Vec<Finding>) -> Result<Node, Vec<Finding>> {
    let mut reader = Reader { text, open: Vec::new(), root: None, findings };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => reader.take(event, span).map_err(|finding| vec![finding])?,
            Err(cause) => {
                let at = Mark { line: cause.marker().line(), column: cause.marker().col() + 1 };
                let open: Vec<Mark> = reader.open.iter().map(|open| open.at).collect();
                return Err(syntax::explain(text, at, cause.info(), &open));
            }
        }
    }
    let start = Mark { line: 1, column: 1 };
    Ok(reader.root.unwrap_or(Node { at: start, data: Data::Map(Vec::new()) }))
}

struct Reader<'t, 'f> {
    text: &'t str,
    open: Vec<Open>,
    root: Option<Node>,
    findings: &'f mut Vec<Finding>,
}

impl Reader<'_, '_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = Mark { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(at, anchor, tag.is_some());
                let data = match style {
                    ScalarStyle::Plain => scalar(&text),
                    _ => Data::Text(text.into_owned()),
                };
                self.add(Node { at, data });
            }
            Event::Alias(_) => {
                self.plain(at, 1, false);
                self.add(Node { at, data: Data::MalformedRecord });
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain(at, anchor, tag.is_some());
                self.begin(at, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.plain(at, anchor, tag.is_some());
                self.begin(at, Content::Map { entries: Vec::new(), key: Key::Next, broken: false })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(_) if self.root.is_some() => {
                return Err(Finding::new(at, "", "the file holds more than one document")
                    .hint("remove the `---` between them, or keep one of them"));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Mark, content: Content) -> Result<(), Finding> {
        if self.open.len() >= DEPTH_MAX {
            return Err(syntax::too_deep(at));
        }
        self.open.push(Open { at, content });
        Ok(())
    }

    fn end(&mut self) {
        let Some(Open { at, content }) = self.open.pop() else { return };
        let data = match content {
            Content::List(items) => Data::List(items),
            Content::Map { broken: true, .. } => Data::MalformedRecord,
            Content::Map { entries, .. } => Data::Map(entries),
        };
        self.add(Node { at, data });
    }

    /// Adds a value to what is being read; in a mapping, every other one is a key.
    fn add(&mut self, node: Node) {
        let Some(Open { at: outer, content }) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, broken } => {
                *key = match std::mem::replace(key, Key::Next) {
                    Key::Read(key, at) => {
                        match entries.iter().find(|entry| entry.key == key) {
                            None => entries.push(Entry { key, at, value: node }),
                            Some(first) => self.findings.push(
                                Finding::new(
                                    at,
                                    "",
                                    format!(
                                        "the key `{key}` occurs here a second time; the first is in line {}",
                                        first.at.line
                                    ),
                                )
                                .hint("remove one of them, or give it another name"),
                            ),
                        }
                        Key::Next
                    }
                    Key::MalformedRecord => Key::Next,
                    Key::Next => match node.data {
                        Data::Text(key) => Key::Read(key, node.at),
                        Data::Number(_, key) => Key::Read(key, node.at),
                        Data::Boolean(key) => Key::Read(key.to_string(), node.at),
                        _ => {
                            self.findings.push(syntax::no_key(self.text, *outer, node.at));
                            *broken = true;
                            Key::MalformedRecord
                        }
                    },
                };
            }
        }
    }

    /// Anchors, aliases and tags are no plain data.
    fn plain(&mut self, at: Mark, anchor: usize, tagged: bool) {
        if anchor > 0 || tagged {
            self.findings.push(
                Finding::new(at, "", "anchors (`&`), aliases (`*`) and tags (`!`) are not supported")
                    .hint("write the value out; text that begins with one of these stands in quotes"),
            );
        }
    }
}

/// Reads a scalar without quotes, by the core schema of YAML 1.2.
fn scalar(text: &str) -> Data {
    let number = |number: Number| Data::Number(number, text.to_owned());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Boolean(true),
        "false" | "False" | "FALSE" => return Data::Boolean(false),
        _ => {}
    }
    let radix = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok())
    };
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return number(value.into());
    }
    if let Ok(value) = text.parse::<i64>() {
        return number(value.into());
    }
    if let Ok(value) = text.parse::<u64>() {
        return number(value.into());
    }
    let numeric = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>().ok().filter(|_| numeric).and_then(Number::from_f64) {
        Some(value) => number(value),
        None => Data::Text(text.to_owned()),
    }
}
