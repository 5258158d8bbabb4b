//! The statuses of rows in order, as bytes and as runs: thousands of consecutive rows are delivered,
//! and cost as much as one.

use std::collections::HashMap;

use tidegate_model::store::RowStatus;
use tidegate_model::{Error, Reason};

use crate::codec::{Reader, Texts, Writer, damaged};

const DELIVERED: u8 = 0;
const REJECTED: u8 = 1;
const IN_DOUBT: u8 = 2;

/// The status of each row, as runs.
#[derive(Default)]
pub(crate) struct StatusRuns {
    /// Each with the index after its last row.
    runs: Vec<(RowStatus, usize)>,
}

impl StatusRuns {
    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.runs.last().map_or(0, |(_, end)| *end)
    }

    /// Returns the status of one row.
    pub(crate) fn get(&self, at: usize) -> Option<&RowStatus> {
        let run = self.runs.partition_point(|(_, end)| *end <= at);
        self.runs.get(run).map(|(status, _)| status)
    }

    /// Returns the runs: a status and its number of rows.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&RowStatus, usize)> {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|(_, end)| *end));
        self.runs.iter().zip(starts).map(|((status, end), start)| (status, end - start))
    }

    fn push(&mut self, status: RowStatus, rows: usize) {
        let end = self.len() + rows;
        match self.runs.last_mut() {
            Some((last, behind)) if *last == status => *behind = end,
            _ => self.runs.push((status, end)),
        }
    }
}

/// Writes a byte for each status, after this many delivered ones, then the index of each reason in a list
/// of distinct ones.
pub(crate) fn write<'a>(
    writer: &mut Writer,
    delivered: usize,
    statuses: impl ExactSizeIterator<Item = &'a RowStatus> + Clone,
) {
    writer.number(delivered + statuses.len());
    writer.repeated(DELIVERED, delivered);
    for status in statuses.clone() {
        writer.byte(match status {
            RowStatus::Delivered => DELIVERED,
            RowStatus::Rejected(_) => REJECTED,
            RowStatus::InDoubt(_) => IN_DOUBT,
        });
    }
    let mut indexes: HashMap<(&str, &str), usize> = HashMap::new();
    let mut reasons: Vec<&Reason> = Vec::new();
    let mut uses: Vec<usize> = Vec::new();
    let mut last: Option<(&Reason, usize)> = None;
    for reason in statuses.filter_map(RowStatus::reason) {
        // Rows that stand together are often rejected for one reason.
        let index = match last {
            Some((same, index)) if same == reason => index,
            _ => *indexes.entry((&reason.code, &reason.message)).or_insert_with(|| {
                reasons.push(reason);
                reasons.len() - 1
            }),
        };
        last = Some((reason, index));
        uses.push(index);
    }
    writer.number(reasons.len());
    writer.texts(reasons.iter().map(|reason| &*reason.code));
    writer.texts(reasons.iter().map(|reason| reason.message.as_str()));
    for index in uses {
        writer.number(index);
    }
}

pub(crate) fn read(reader: &mut Reader) -> Result<StatusRuns, Error> {
    let count = reader.count(1)?;
    let kinds = reader.bytes(count)?;
    let different = reader.count(2)?;
    let codes = reader.texts(different)?;
    let messages = reader.texts(different)?;
    let mut statuses = StatusRuns::default();
    for rows in kinds.chunk_by(|one, next| one == next) {
        match rows {
            [DELIVERED, ..] => statuses.push(RowStatus::Delivered, rows.len()),
            [kind @ (REJECTED | IN_DOUBT), ..] => {
                // Rows that stand together often have one reason, which is made once.
                let mut alike: Option<(usize, usize)> = None;
                for _ in rows {
                    let index = reader.number()?;
                    match &mut alike {
                        Some((same, rows)) if *same == index => *rows += 1,
                        _ => {
                            let ended = alike.replace((index, 1));
                            push_alike(&mut statuses, *kind, ended, (&codes, &messages))?;
                        }
                    }
                }
                push_alike(&mut statuses, *kind, alike, (&codes, &messages))?;
            }
            _ => return Err(damaged()),
        }
    }
    Ok(statuses)
}

/// Adds rows that failed for the same reason: its index, and their number.
fn push_alike(
    statuses: &mut StatusRuns,
    kind: u8,
    alike: Option<(usize, usize)>,
    (codes, messages): (&Texts, &Texts),
) -> Result<(), Error> {
    let Some((index, rows)) = alike else { return Ok(()) };
    let (code, message) = codes.get(index).zip(messages.get(index)).ok_or_else(damaged)?;
    let reason = Reason::new(code.to_string(), message.to_string());
    let status = if kind == REJECTED { RowStatus::Rejected(reason) } else { RowStatus::InDoubt(reason) };
    statuses.push(status, rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_the_same_status_are_one_run() {
        let rejected = |code: &'static str| RowStatus::Rejected(Reason::new(code, "no"));
        let mut statuses = StatusRuns::default();
        statuses.push(RowStatus::Delivered, 3);
        statuses.push(RowStatus::Delivered, 2);
        statuses.push(rejected("a"), 1);
        statuses.push(rejected("a"), 1);
        statuses.push(rejected("b"), 1);

        let runs: Vec<_> = statuses.runs().collect();

        assert_eq!(runs, [(&RowStatus::Delivered, 5), (&rejected("a"), 2), (&rejected("b"), 1)]);
        assert_eq!(statuses.get(4), Some(&RowStatus::Delivered));
        assert_eq!(statuses.get(6), Some(&rejected("a")));
        assert_eq!(statuses.get(8), None);
    }
}
