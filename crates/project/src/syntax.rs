//! What to say when a text is no YAML: the place, the likely cause and the fix,
//! instead of the words of a parser.

use super::findings::{Finding, Mark};

/// Explains why the text cannot be read. `open` is where the lists and mappings
/// begin that were not closed yet.
pub(super) fn explain(text: &str, at: Mark, info: &str, open: &[Mark]) -> Vec<Finding> {
    if info.contains("recursion limit") {
        return vec![too_deep(at)];
    }
    let traps = unquoted(text);
    if !traps.is_empty() {
        return traps;
    }
    if let Some((line, column)) = tab(text) {
        return vec![
            Finding::new(Mark { line, column }, "", "a tab stands where YAML takes spaces only")
                .hint("replace it by spaces: two for each level"),
        ];
    }
    let innermost = open.iter().rev().find(|open| matches!(letter(text, **open), Some('{' | '[')));
    if let Some(&bracket) = innermost {
        let letter = letter(text, bracket).unwrap_or('{');
        let close = if letter == '{' { '}' } else { ']' };
        return vec![
            Finding::new(
                bracket,
                "",
                format!("the `{letter}` is not closed, or a comma is missing after it"),
            )
            .hint(format!("close it with `{close}`, and write a comma between its entries")),
        ];
    }
    vec![structure(text, at, info)]
}

/// Too many nested levels.
pub(super) fn too_deep(at: Mark) -> Finding {
    Finding::new(at, "", "too many lists and mappings stand in each other")
        .hint("look for brackets that are not closed")
}

/// What is wrong outside of brackets.
fn structure(text: &str, at: Mark, info: &str) -> Finding {
    if info.contains("escape") {
        return Finding::new(at, "", "a backslash in double quotes begins an escape that YAML does not know")
            .hint("write the text in single quotes, or the backslash twice");
    }
    if info.contains("unexpected character") {
        return Finding::new(at, "", "text without quotes cannot begin with this character")
            .hint("put the text in quotes");
    }
    if info.contains("quoted scalar") {
        let at = quote(text).unwrap_or(at);
        return Finding::new(at, "", "a quote is not closed").hint("close it on the same line");
    }
    if let Some(line) = without_colon(text, at.line) {
        return Finding::new(line, "", "this line has no `:` behind its key")
            .hint("write `key: value`, with a space behind the colon");
    }
    if info.contains("mapping values are not allowed") {
        return Finding::new(at, "", "a second `:` stands in one line")
            .hint("put text that holds `: ` in quotes, or begin a new line for the key");
    }
    Finding::new(at, "", "the indentation does not fit the lines above")
        .hint("keys of one mapping begin in the same column, and what belongs to a key stands two spaces further right")
}

/// Returns the finding for a key that is no plain text.
pub(super) fn no_key(text: &str, outer: Mark, at: Mark) -> Finding {
    let rest = rest_of_line(text, outer);
    if rest.starts_with("{{") {
        let inner = rest.trim_start_matches('{').split("}}").next().unwrap_or_default().trim();
        let shown = env_var(inner).map_or_else(|| "…".to_owned(), |name| format!("env_var('{name}')"));
        return Finding::new(outer, "", format!("`{{{{ {shown} }}}}` means nothing in a project file"))
            .hint(format!("write \"${{{}}}\", in quotes", env_var(inner).unwrap_or("NAME")));
    }
    Finding::new(at, "", "a key must be plain text").hint("write `key: value`")
}

/// Returns the name in `env_var('NAME')`.
pub(super) fn env_var(call: &str) -> Option<&str> {
    let (_, arguments) = call.split_once("env_var")?;
    let name = arguments.trim_start_matches(['(', ' ', '\'', '"']);
    let end =
        name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

/// Every `${…}` without quotes inside `{ }` or `[ ]`: YAML reads its `{` as the
/// beginning of a mapping.
fn unquoted(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for (line, content) in text.lines().enumerate() {
        let letters: Vec<char> = content.chars().collect();
        let mut quote = None;
        let mut before = ':';
        let mut at = 0;
        while let Some(&letter) = letters.get(at) {
            match (quote, letter) {
                (Some(open), _) if open == letter => quote = None,
                (Some(_), _) => {}
                (None, '#') if at == 0 || letters[at - 1] == ' ' => break,
                (None, '"' | '\'') if ":,-[{".contains(before) => quote = Some(letter),
                (None, '$') if depth > 0 && letters.get(at + 1) == Some(&'{') => {
                    let length = letters[at..].iter().position(|letter| *letter == '}').unwrap_or(1) + 1;
                    let end = (at + length).min(letters.len());
                    let behind =
                        letters[end..].iter().take_while(|letter| !",}] ".contains(**letter)).count();
                    let end = end + behind;
                    let whole: String = letters[value_start(&letters, at)..end].iter().collect();
                    let mark = Mark { line: line + 1, column: at + 1 };
                    found.push(
                        Finding::new(
                            mark,
                            "",
                            "`${` is inside `{ }` without quotes, where YAML cannot read it",
                        )
                        .hint(in_quotes(whole.trim())),
                    );
                    at = end - 1;
                }
                (None, '{' | '[') if depth > 0 || ":-".contains(before) => depth += 1,
                (None, '}' | ']') => depth = depth.saturating_sub(1),
                (None, _) => {}
            }
            if let Some(letter) = letters.get(at).filter(|letter| !letter.is_whitespace()) {
                before = *letter;
            }
            at += 1;
        }
    }
    found
}

/// What to write instead of a value with an unquoted reference. Only a plain reference is
/// repeated: other text beside it, or its default, may be a secret.
fn in_quotes(value: &str) -> String {
    let name = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match name.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')) {
        Some(name) => format!("write \"${{{name}}}\", in quotes"),
        None => "put the whole value in quotes".to_owned(),
    }
}

/// Where the value around a position begins.
fn value_start(letters: &[char], at: usize) -> usize {
    letters[..at]
        .iter()
        .rposition(|letter| letter.is_whitespace() || ",[{".contains(*letter))
        .map_or(0, |at| at + 1)
}

/// The first tab where only spaces may be: in an indentation, or right after a colon.
fn tab(text: &str) -> Option<(usize, usize)> {
    for (line, content) in text.lines().enumerate() {
        let indentation = content.len() - content.trim_start_matches([' ', '\t']).len();
        if let Some(column) = content[..indentation].find('\t') {
            return Some((line + 1, column + 1));
        }
        if let Some(column) = content.find(":\t").or_else(|| content.find("-\t")) {
            return Some((line + 1, content[..column].chars().count() + 2));
        }
    }
    None
}

/// The last line up to `line` that is no key, no entry of a list, no comment and not empty.
fn without_colon(text: &str, line: usize) -> Option<Mark> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let (at, content) = lines.iter().enumerate().rev().find(|(_, content)| {
        let content = content.trim();
        !content.is_empty() && !content.starts_with('#')
    })?;
    let has_colon = |content: &str| content.contains(": ") || content.trim_end().ends_with(':');
    let of = |at: usize, content: &str| {
        let column = content.chars().take_while(|letter| *letter == ' ').count() + 1;
        Mark { line: at + 1, column }
    };
    if !has_colon(content) && !content.trim_start().starts_with('-') {
        return Some(of(at, content));
    }
    // The parser stops one line later.
    let (at, content) = lines.iter().enumerate().rev().find(|(before, content)| {
        *before < at && !content.trim().is_empty() && !content.trim_start().starts_with('#')
    })?;
    (!has_colon(content) && !content.trim_start().starts_with('-')).then(|| of(at, content))
}

/// The first quote that begins a value and is not closed on its line.
fn quote(text: &str) -> Option<Mark> {
    for (line, content) in text.lines().enumerate() {
        for letter in ['"', '\''] {
            let Some(at) = content.find(&format!(": {letter}")) else { continue };
            if content[at..].matches(letter).count() % 2 == 1 {
                return Some(Mark { line: line + 1, column: content[..at].chars().count() + 3 });
            }
        }
    }
    None
}

/// The letter at a place.
fn letter(text: &str, at: Mark) -> Option<char> {
    text.lines().nth(at.line.checked_sub(1)?)?.chars().nth(at.column.checked_sub(1)?)
}

fn rest_of_line(text: &str, at: Mark) -> &str {
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let start = line.char_indices().nth(at.column.saturating_sub(1)).map_or(line.len(), |(start, _)| start);
    &line[start..]
}
