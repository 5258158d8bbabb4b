//! The fates of rows in order, as bytes and as runs: thousands of rows one after the
//! other are delivered, and then cost as much as one.

use std::collections::HashMap;

use tidegate_model::store::Fate;
use tidegate_model::{Error, Reason};

use crate::codec::{Reader, Writer, damaged};

const DELIVERED: u8 = 0;
const REJECTED: u8 = 1;
const IN_DOUBT: u8 = 2;

/// What became of each row.
#[derive(Default)]
pub(crate) struct Fates {
    /// Each with the place behind its last row.
    runs: Vec<(Fate, usize)>,
}

impl Fates {
    /// How many rows these are.
    pub(crate) fn len(&self) -> usize {
        self.runs.last().map_or(0, |(_, end)| *end)
    }

    /// What became of one row.
    pub(crate) fn get(&self, at: usize) -> Option<&Fate> {
        let run = self.runs.partition_point(|(_, end)| *end <= at);
        self.runs.get(run).map(|(fate, _)| fate)
    }

    /// What became of rows one after the other, and of how many.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Fate, usize)> {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|(_, end)| *end));
        self.runs.iter().zip(starts).map(|((fate, end), start)| (fate, end - start))
    }

    fn push(&mut self, fate: Fate, rows: usize) {
        let end = self.len() + rows;
        match self.runs.last_mut() {
            Some((last, behind)) if *last == fate => *behind = end,
            _ => self.runs.push((fate, end)),
        }
    }
}

/// A byte for each fate, so many delivered ones first, then the place of each reason in a
/// list of different ones.
pub(super) fn write<'a>(
    writer: &mut Writer,
    delivered: usize,
    fates: impl ExactSizeIterator<Item = &'a Fate> + Clone,
) {
    writer.number(delivered + fates.len());
    writer.repeated(DELIVERED, delivered);
    for fate in fates.clone() {
        writer.byte(match fate {
            Fate::Delivered => DELIVERED,
            Fate::Rejected(_) => REJECTED,
            Fate::InDoubt(_) => IN_DOUBT,
        });
    }
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut reasons: Vec<&Reason> = Vec::new();
    let mut uses: Vec<usize> = Vec::new();
    for reason in fates.filter_map(Fate::reason) {
        let place = *places.entry((&reason.code, &reason.message)).or_insert_with(|| {
            reasons.push(reason);
            reasons.len() - 1
        });
        uses.push(place);
    }
    writer.number(reasons.len());
    writer.texts(reasons.iter().map(|reason| &*reason.code));
    writer.texts(reasons.iter().map(|reason| reason.message.as_str()));
    for place in uses {
        writer.number(place);
    }
}

pub(super) fn read(reader: &mut Reader) -> Result<Fates, Error> {
    let count = reader.count(1)?;
    let kinds = reader.bytes(count)?;
    let different = reader.count(2)?;
    let codes = reader.texts(different)?;
    let messages = reader.texts(different)?;
    let mut reason = || {
        let place = reader.number()?;
        let (code, message) = codes.get(place).zip(messages.get(place)).ok_or_else(damaged)?;
        Ok::<Reason, Error>(Reason::new(code.to_string(), message.to_string()))
    };
    let mut fates = Fates::default();
    for rows in kinds.chunk_by(|one, next| one == next) {
        match rows {
            [DELIVERED, ..] => fates.push(Fate::Delivered, rows.len()),
            [REJECTED, ..] => {
                for _ in rows {
                    fates.push(Fate::Rejected(reason()?), 1);
                }
            }
            [IN_DOUBT, ..] => {
                for _ in rows {
                    fates.push(Fate::InDoubt(reason()?), 1);
                }
            }
            _ => return Err(damaged()),
        }
    }
    Ok(fates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_the_same_fate_are_one_run() {
        let rejected = |code: &'static str| Fate::Rejected(Reason::new(code, "no"));
        let mut fates = Fates::default();
        fates.push(Fate::Delivered, 3);
        fates.push(Fate::Delivered, 2);
        fates.push(rejected("a"), 1);
        fates.push(rejected("a"), 1);
        fates.push(rejected("b"), 1);

        let runs: Vec<_> = fates.runs().collect();

        assert_eq!(runs, [(&Fate::Delivered, 5), (&rejected("a"), 2), (&rejected("b"), 1)]);
        assert_eq!(fates.get(4), Some(&Fate::Delivered));
        assert_eq!(fates.get(6), Some(&rejected("a")));
        assert_eq!(fates.get(8), None);
    }
}
