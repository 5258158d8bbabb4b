//! What is wrong with a project file, each finding with its line and column.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_model::Error;

/// A line and a column, both counted from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Where it is in the file.
    #[serde(flatten)]
    pub at: Mark,
    /// The path of the key, such as `syncs.orders.source`; empty for the whole file.
    pub path: String,
    /// What is wrong, a whole sentence.
    pub message: String,
    /// What to do.
    pub next: String,
}

impl Finding {
    /// Creates a finding at a path; a next step of its own can be added.
    pub(super) fn new(at: Mark, path: impl fmt::Display, message: impl Into<String>) -> Finding {
        let next = "correct it, then run `tidegate validate`".to_owned();
        Finding { at, path: path.to_string(), message: message.into(), next }
    }

    /// Replaces what to do.
    pub(super) fn hint(mut self, next: impl Into<String>) -> Finding {
        self.next = next.into();
        self
    }

    /// Returns the finding as one line: `tidegate.yaml:7:5: `syncs.orders`: …`.
    pub fn line(&self, file: &str) -> String {
        let Mark { line, column } = self.at;
        match self.path.as_str() {
            "" => format!("{file}:{line}:{column}: {}", self.message),
            path => format!("{file}:{line}:{column}: `{path}`: {}", self.message),
        }
    }
}

/// A project file that cannot be used: everything that is wrong with it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// The file.
    pub file: String,
    /// What is wrong, in the order of the file. Never empty.
    pub errors: Vec<Finding>,
}

impl Invalid {
    /// Sorts the findings of a file; two about the same place and text are one.
    pub(super) fn new(file: &str, mut errors: Vec<Finding>) -> Invalid {
        errors.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
        errors.dedup();
        Invalid { file: file.to_owned(), errors }
    }
}

impl fmt::Debug for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.errors.iter().try_for_each(|error| writeln!(f, "{}\n  → {}", error.line(&self.file), error.next))
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        if let [only] = invalid.errors.as_slice() {
            return Error::settings(only.line(&invalid.file)).hint(only.next.clone());
        }
        let mut text = format!("the project file has {} errors", invalid.errors.len());
        for error in &invalid.errors {
            text.push_str(&format!("\n  {}\n    → {}", error.line(&invalid.file), error.next));
        }
        Error::settings(text).hint("correct them, then run `tidegate validate`")
    }
}

/// What is wrong with a text, and what to write instead.
pub(super) type Misfit = (String, String);

/// Returns the known name that was probably meant: one that differs in few letters, or that
/// the name is the beginning of.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase();
    let far = |candidate: &str| {
        let begins = name.len() >= 3 && candidate.to_lowercase().starts_with(&name);
        if begins { 1 } else { strsim::damerau_levenshtein(&candidate.to_lowercase(), &name) }
    };
    let near = known.into_iter().map(|candidate| (far(candidate), candidate)).min();
    near.filter(|(distance, _)| *distance <= 1 + name.len() / 3).map(|(_, candidate)| candidate)
}

/// Returns names in backticks with commas between them.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
