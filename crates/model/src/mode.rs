//! How a sync finds the rows to send.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a sync finds the rows to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every row, in every run.
    Full,
    /// Rows that are new since the last run: by the `cursor` of a table or query, by the position in files.
    Incremental,
    /// Rows that were added or changed since the last run, found by comparing all rows by their key.
    Mirror,
    /// Messages of a stream as they arrive, or the change data feed of a Delta table.
    Stream,
}

impl Mode {
    /// Returns the word used in project files.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Incremental => "incremental",
            Mode::Mirror => "mirror",
            Mode::Stream => "stream",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
