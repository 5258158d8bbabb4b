//! What a connection was asked to prove.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that was proved, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at, for example `SELECT on public.orders`.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was found.
    pub detail: String,
    /// The statement or step that fixes it, ready to copy. With a check that holds
    /// it is advice.
    pub remedy: Option<String>,
}

/// Everything that was looked at, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Checks(pub Vec<Check>);

impl Checks {
    /// Notes something that holds.
    pub fn pass(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Check { name: name.into(), passed: true, detail: detail.into(), remedy: None });
    }

    /// Notes something that works but could be better, and how.
    pub fn warn(&mut self, name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into()).filter(|remedy: &String| !remedy.is_empty());
        self.0.push(Check { name: name.into(), passed: true, detail: detail.into(), remedy });
    }

    /// Adds a failed check and the step that fixes it.
    pub fn fail(&mut self, name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) {
        let (name, detail): (String, String) = (name.into(), detail.into());
        // An error that names what was looked at would say it twice.
        let rest = detail.strip_prefix(&name).and_then(|rest| rest.strip_prefix(": "));
        let detail = rest.map(str::to_owned).unwrap_or(detail);
        self.0.push(Check {
            name,
            passed: false,
            detail,
            remedy: Some(remedy.into()).filter(|remedy: &String| !remedy.is_empty()),
        });
    }

    /// Returns whether everything holds.
    pub fn passed(&self) -> bool {
        self.0.iter().all(|check| check.passed)
    }
}
