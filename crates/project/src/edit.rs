//! Changes of a project file entry by entry, which leave everything else as it was written.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value as Member;
use tidegate_model::Error;

use super::yaml::{self, Data, Entry, Node};

/// The text of a project file, of which single entries are read, replaced and added.
#[derive(Clone, Debug)]
pub struct ProjectText {
    text: String,
    root: Node,
}

impl ProjectText {
    /// Reads a text.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if it is no YAML.
    pub fn new(text: &str) -> Result<ProjectText, Error> {
        let mut findings = Vec::new();
        let root = yaml::read(text, &mut findings).map_err(|errors| {
            let said = errors.first().map(|error| error.line("the project file")).unwrap_or_default();
            Error::settings(said).hint("correct the file first")
        })?;
        Ok(ProjectText { text: text.to_owned(), root })
    }

    /// Returns the lines of an entry, such as `["syncs", "orders"]`, without its indentation.
    pub fn entry(&self, path: &[&str]) -> Option<String> {
        let (entry, lines) = self.find(path)?;
        let indent = entry.at.column - 1;
        let of_entry = self.text.lines().skip(lines.start - 1).take(lines.len());
        let outdented = of_entry.map(|line| line.get(indent.min(leading(line))..).unwrap_or_default());
        Some(outdented.fold(String::new(), |text, line| text + line + "\n"))
    }

    /// Returns the text with an entry replaced by these lines, or added at the end of its section. The lines
    /// begin with the key of the entry and have no indentation.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if the file is written in a way in which entries have
    /// no lines of their own.
    pub fn put(&self, path: &[&str], lines: &str) -> Result<String, Error> {
        if let Some((entry, old)) = self.find(path) {
            let new = indented(lines, entry.at.column - 1);
            return Ok(self.spliced(old, &new));
        }
        let [section, name] = path else { return Err(not_by_lines(path)) };
        match self.root.entries().iter().position(|entry| entry.key == *section) {
            None if self.root.entries().is_empty() && self.text.trim_start().starts_with('{') => {
                Err(not_by_lines(&[section, name]))
            }
            None => {
                let gap = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
                Ok(format!("{}{gap}{section}:\n{}", self.text, indented(lines, INDENT)))
            }
            Some(at) => self.add_to(at, lines),
        }
    }

    /// Returns the text without an entry.
    ///
    /// # Errors
    /// As [`ProjectText::put`].
    pub fn without(&self, path: &[&str]) -> Result<String, Error> {
        let (_, lines) = self.find(path).ok_or_else(|| not_by_lines(path))?;
        Ok(self.spliced(lines, ""))
    }

    /// Adds lines to the section that is the entry of the root at this position.
    fn add_to(&self, at: usize, lines: &str) -> Result<String, Error> {
        let section = &self.root.entries()[at];
        let key = &section.key;
        match section.value.entries() {
            [] => {
                // `syncs:` or `syncs: {}`, perhaps with a comment behind it.
                let line = self.line(section.at.line);
                let rest = line.split_once(':').map_or("", |(_, rest)| rest).trim_start();
                let rest = rest.strip_prefix("{}").unwrap_or(rest).trim_start();
                if !(rest.is_empty() || rest.starts_with('#')) {
                    return Err(not_by_lines(&[key]));
                }
                let behind = if rest.is_empty() { String::new() } else { format!(" {rest}") };
                let new = format!("{key}:{behind}\n{}", indented(lines, INDENT));
                Ok(self.spliced(section.at.line..section.at.line + 1, &new))
            }
            entries => {
                let last = entries.len() - 1;
                let known = self.lines_of(section, at, last).ok_or_else(|| not_by_lines(&[key]))?;
                let new = indented(lines, entries[last].at.column - 1);
                Ok(self.spliced(known.end..known.end, &new))
            }
        }
    }

    /// Returns the text with lines added behind the last setting of an entry.
    ///
    /// # Errors
    /// As [`ProjectText::put`].
    pub(super) fn append(&self, path: &[&str], lines: &str) -> Result<String, Error> {
        let (entry, _) = self.find(path).ok_or_else(|| not_by_lines(path))?;
        let last = entry.value.entries().last().ok_or_else(|| not_by_lines(path))?;
        let of_last = [path, &[last.key.as_str()]].concat();
        let (last, range) = self.find(&of_last).ok_or_else(|| not_by_lines(path))?;
        Ok(self.spliced(range.end..range.end, &indented(lines, last.at.column - 1)))
    }

    /// Returns the tree of the text.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn find(&self, path: &[&str]) -> Option<(&Entry, Range<usize>)> {
        let position = |node: &Node, key: &str| node.entries().iter().position(|entry| entry.key == key);
        let (first, rest) = path.split_first()?;
        let at = position(&self.root, first)?;
        let mut entry = &self.root.entries()[at];
        let mut end = match self.root.entries().get(at + 1) {
            Some(next) => next.at.line,
            None => self.text.lines().count() + 1,
        };
        let mut lines = entry.at.line..end;
        for key in rest {
            let at = position(&entry.value, key)?;
            let siblings = entry.value.entries();
            let found = &siblings[at];
            if !has_own_lines(entry, siblings) {
                return None;
            }
            if let Some(next) = siblings.get(at + 1) {
                end = next.at.line;
            }
            entry = found;
            lines = entry.at.line..end;
        }
        let end = self.trimmed(&lines, entry.at.column - 1);
        Some((entry, lines.start..end))
    }

    /// The lines of the entry at `child` of a section.
    fn lines_of(&self, section: &Entry, at: usize, child: usize) -> Option<Range<usize>> {
        let siblings = section.value.entries();
        if !has_own_lines(section, siblings) {
            return None;
        }
        let end = match (siblings.get(child + 1), self.root.entries().get(at + 1)) {
            (Some(next), _) | (None, Some(next)) => next.at.line,
            (None, None) => self.text.lines().count() + 1,
        };
        let lines = siblings[child].at.line..end;
        let end = self.trimmed(&lines, siblings[child].at.column - 1);
        Some(lines.start..end)
    }

    /// The end of an entry without the empty lines and comments that belong to what comes next.
    fn trimmed(&self, lines: &Range<usize>, indent: usize) -> usize {
        let mut end = lines.end;
        while end > lines.start + 1 {
            let line = self.line(end - 1);
            let is_next = line.trim_start().starts_with('#') && leading(line) <= indent;
            if !(line.trim().is_empty() || is_next) {
                break;
            }
            end -= 1;
        }
        end
    }

    fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number - 1).unwrap_or_default()
    }

    /// The text with lines, counted from one, replaced.
    fn spliced(&self, lines: Range<usize>, new: &str) -> String {
        let mut text = String::with_capacity(self.text.len() + new.len());
        let all: Vec<&str> = self.text.split_inclusive('\n').collect();
        let (before, after) = (&all[..(lines.start - 1).min(all.len())], all.get(lines.end - 1..));
        before.iter().for_each(|line| text.push_str(line));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(new);
        after.unwrap_or_default().iter().for_each(|line| text.push_str(line));
        text
    }
}

/// How far entries of a new section stand in.
const INDENT: usize = 2;

fn leading(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Returns whether each entry begins on a line of its own below its section.
pub(super) fn has_own_lines(section: &Entry, entries: &[Entry]) -> bool {
    let below = entries.iter().all(|entry| entry.at.line > section.at.line);
    below && entries.windows(2).all(|pair| pair[0].at.line < pair[1].at.line)
}

fn indented(lines: &str, indent: usize) -> String {
    let mut text = String::new();
    for line in lines.lines() {
        match line.trim().is_empty() {
            true => text.push('\n'),
            false => {
                let _ = writeln!(text, "{:indent$}{}", "", line.trim_end());
            }
        }
    }
    text
}

pub(super) fn not_by_lines(path: &[&str]) -> Error {
    let path = path.join(".");
    Error::settings(format!("`{path}` cannot be changed here: it does not stand on lines of its own"))
        .hint("write each entry on a line below its section, or change the file as a whole")
}

/// Returns the lines of an entry with this value, as people write them.
pub fn yaml_entry(key: &str, value: &Member) -> String {
    let mut text = String::new();
    write_entry(&mut text, 0, key, value);
    text
}

fn write_entry(text: &mut String, indent: usize, key: &str, value: &Member) {
    let key = scalar(key);
    match value {
        Member::Object(members) if !members.is_empty() && indent < 2 * FLAT && !is_short(value) => {
            let _ = writeln!(text, "{:indent$}{key}:", "");
            for (name, member) in members {
                write_entry(text, indent + INDENT, name, member);
            }
        }
        // A brace would end a mapping on one line.
        Member::String(value) if is_reference(value) => {
            let _ = writeln!(text, "{:indent$}{key}: {value}", "");
        }
        _ => {
            let _ = writeln!(text, "{:indent$}{key}: {}", "", flow(value));
        }
    }
}

/// Beyond this depth values stand on one line.
const FLAT: usize = 4;

/// Whether an object reads well on one line: `{ every: 15m }`.
fn is_short(value: &Member) -> bool {
    let is_flat = |member: &Member| !member.is_object();
    matches!(value, Member::Object(members) if members.len() <= 2 && members.values().all(is_flat))
        && flow(value).len() <= 60
}

fn flow(value: &Member) -> String {
    match value {
        Member::Object(members) if members.is_empty() => "{}".to_owned(),
        Member::Object(members) => {
            let all = members.iter().map(|(key, member)| format!("{}: {}", scalar(key), flow(member)));
            format!("{{ {} }}", all.collect::<Vec<_>>().join(", "))
        }
        Member::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Member::String(text) => scalar(text),
        Member::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a text is one reference to a variable, such as `${NAME}`.
fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

/// A text as a scalar: without quotes if it is read as the same text then.
fn scalar(text: &str) -> String {
    let is_plain = text.chars().all(|letter| letter.is_alphanumeric() || "_-./@ +".contains(letter))
        && text.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '/')
        && !text.ends_with(' ');
    let mut findings = Vec::new();
    let read = yaml::read(&format!("{{ a: {text} }}"), &mut findings).ok();
    let same = read
        .as_ref()
        .and_then(|root| root.entry("a"))
        .is_some_and(|entry| matches!(&entry.value.data, Data::Text(read) if read == text));
    match is_plain && same && findings.is_empty() {
        true => text.to_owned(),
        // A JSON string is a YAML scalar in double quotes.
        false => Member::String(text.to_owned()).to_string(),
    }
}
