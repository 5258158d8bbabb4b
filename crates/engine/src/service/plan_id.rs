//! The name of a plan, and what it stands for.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use tidegate_model::store::{BatchCommit, RowStatus, RowVersion};
use tidegate_model::{Error, RowHash};

/// What a run would send: counts, and a hash of the rows and of the settings. Nothing is kept of a plan
/// but its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanId {
    hash: u64,
    /// What would be sent.
    pub rows: WouldSend,
}

/// Rows that would be sent, by what happened to them at the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WouldSend {
    /// Rows that were not sent before.
    pub added: u64,
    /// Rows that were sent before with other values.
    pub changed: u64,
    /// Rows that are gone.
    pub removed: u64,
}

impl WouldSend {
    /// Returns the number of rows.
    pub fn total(&self) -> u64 {
        self.added + self.changed + self.removed
    }
}

impl fmt::Display for WouldSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WouldSend { added, changed, removed } = self;
        write!(f, "{added} added, {changed} changed and {removed} removed rows")
    }
}

impl PlanId {
    /// Returns what differs from another plan, as the end of a sentence.
    pub(super) fn differs(&self, now: &PlanId) -> String {
        match self.rows == now.rows {
            true => "and now it would send as many, but others or in another way".to_owned(),
            false => format!("and now it would send {}", now.rows),
        }
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WouldSend { added, changed, removed } = self.rows;
        write!(f, "{:016x}-{added}-{changed}-{removed}", self.hash)
    }
}

impl FromStr for PlanId {
    type Err = Error;

    fn from_str(text: &str) -> Result<PlanId, Error> {
        let wrong = || {
            Error::settings(format!("`{text}` is not the id of a plan"))
                .hint("copy the id that `tidegate plan SYNC` prints")
        };
        let mut parts = text.split('-');
        let hash = parts.next().filter(|hash| hash.len() == 16);
        let hash = hash.and_then(|hash| u64::from_str_radix(hash, 16).ok()).ok_or_else(wrong)?;
        let mut count = || parts.next().and_then(|count| count.parse().ok()).ok_or_else(wrong);
        let rows = WouldSend { added: count()?, changed: count()?, removed: count()? };
        if parts.next().is_some() { Err(wrong()) } else { Ok(PlanId { hash, rows }) }
    }
}

impl Serialize for PlanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for PlanId {
    fn schema_name() -> Cow<'static, str> {
        "PlanId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The id of the plan, for `tidegate run --plan`.",
        })
    }
}

/// Adds up what would be sent, in any order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    rows: WouldSend,
    sum: u128,
}

impl Tally {
    /// Adds the rows that a commit delivers.
    pub(super) fn add(&mut self, commit: &BatchCommit) {
        for delivered in &commit.delivered {
            delivered.versions().for_each(|version| self.add_row(version));
        }
        // Those of a batch with rows that are not acceptable.
        for result in commit.results.iter().filter(|result| matches!(result.status, RowStatus::Delivered)) {
            self.add_row(RowVersion { key: result.key, row: result.row });
        }
    }

    fn add_row(&mut self, RowVersion { key, row }: RowVersion) {
        let count = match row {
            row if row.is_removed() => &mut self.rows.removed,
            row if row.changes() > 0 => &mut self.rows.changed,
            _ => &mut self.rows.added,
        };
        *count += 1;
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&key.0.to_be_bytes());
        bytes[16..].copy_from_slice(&row.0.to_be_bytes());
        // A sum, since batches come in another order each time.
        self.sum = self.sum.wrapping_add(RowHash::of_bytes(&bytes).0);
    }

    /// Returns the name of the plan that sends this in the way of `settings`.
    pub(super) fn id(&self, settings: &str) -> PlanId {
        let mut bytes = self.sum.to_be_bytes().to_vec();
        bytes.extend(RowHash::of_bytes(settings.as_bytes()).0.to_be_bytes());
        let hash = RowHash::of_bytes(&bytes).0;
        PlanId { hash: (hash >> 64) as u64, rows: self.rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[(u128, u128, u8)]) -> Tally {
        let mut tally = Tally::default();
        rows.iter().for_each(|(key, row, changes)| {
            let row = RowHash(row << 8).with_changes(*changes);
            tally.add_row(RowVersion { key: RowHash(*key), row });
        });
        tally
    }

    #[test]
    fn a_plan_is_the_same_in_any_order_and_another_with_other_rows_or_settings() {
        let plan = tally(&[(1, 1, 0), (2, 2, 0), (3, 3, 1)]).id("a");
        assert_eq!(plan, tally(&[(3, 3, 1), (1, 1, 0), (2, 2, 0)]).id("a"));
        assert_ne!(plan, tally(&[(1, 2, 0), (2, 1, 0), (3, 3, 1)]).id("a"));
        assert_ne!(plan, tally(&[(1, 1, 0), (2, 2, 0), (3, 3, 1)]).id("b"));
        assert_eq!(plan.rows, WouldSend { added: 2, changed: 1, removed: 0 });
    }

    #[test]
    fn the_id_of_a_plan_is_read_as_it_is_printed_and_nothing_else_is() {
        let plan = tally(&[(1, 1, 0), (3, 3, 1)]).id("a");
        assert_eq!(plan.to_string().parse::<PlanId>().expect("an id"), plan);
        for wrong in
            ["", "x", "1-2-3-4", "0123456789abcdef", "0123456789abcdef-1-2-3-4", "0123456789abcdef-1-2-x"]
        {
            assert!(wrong.parse::<PlanId>().is_err(), "{wrong}");
        }
    }
}
