//! The brake: how much a run may remove or change before it asks.

use std::fmt;

use serde_json::Value as Member;

/// How much a run may remove or change. What has no limit is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Of removed rows; with `object: deletion`, of rows that are sent.
    pub removed: Option<Limit>,
    /// Of changed rows.
    pub changed: Option<Limit>,
    /// Of rows that the first run of a mirror sends.
    pub first_run: Option<Limit>,
}

/// A number of rows, or a share of those that are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// This many rows.
    Rows(u64),
    /// This many percent of the rows.
    Percent(f64),
}

impl Limit {
    /// Reads a limit that fits its schema.
    pub(super) fn read(written: &Member) -> Option<Limit> {
        match written {
            Member::Number(rows) => rows.as_u64().map(Limit::Rows),
            Member::String(share) => share.trim().strip_suffix('%')?.trim().parse().ok().map(Limit::Percent),
            _ => None,
        }
    }

    /// Returns the largest number of rows that is within the limit, if `known` rows are known.
    pub fn rows(self, known: u64) -> u64 {
        match self {
            Limit::Rows(rows) => rows,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a share between 0 and 100 percent of a number of rows"
            )]
            Limit::Percent(share) => (known as f64 * share / 100.0).floor() as u64,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Rows(rows) => write!(f, "{rows}"),
            Limit::Percent(share) => write!(f, "{share}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Limit;

    #[test]
    fn a_share_is_rounded_down_to_whole_rows() {
        let limit = |written| Limit::read(&written).expect("a limit");
        assert_eq!(limit(json!(1_000)).rows(7), 1_000);
        assert_eq!(limit(json!("10%")).rows(199), 19);
        assert_eq!((limit(json!("0.5 %")).rows(1_000), limit(json!("0%")).rows(5)), (5, 0));
        assert_eq!(limit(json!("12.5%")).to_string(), "12.5%");
    }
}
