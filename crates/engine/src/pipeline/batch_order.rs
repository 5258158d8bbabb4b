//! The order of what a batch read: items, and input that could not be parsed between them.

use tidegate_model::MalformedRecord;

/// Numbers everything in a batch as it was read, so that the last row under a key is known whichever
/// of them could be parsed.
#[derive(Debug, Default)]
pub(crate) struct BatchOrder {
    /// The numbers of what could not be parsed, ascending. Items have the others.
    malformed: Vec<u32>,
}

impl BatchOrder {
    /// Returns the order of a batch with this many items.
    pub(crate) fn of(items: usize, malformed: &[MalformedRecord]) -> BatchOrder {
        let mut before: Vec<usize> = malformed.iter().map(|record| record.items_before.min(items)).collect();
        before.sort_unstable();
        let numbers = before.into_iter().enumerate().map(|(at, before)| at + before);
        BatchOrder { malformed: numbers.map(|number| u32::try_from(number).unwrap_or(u32::MAX)).collect() }
    }

    /// Returns the numbers of the items, in order and without an end.
    pub(crate) fn items(&self) -> impl Iterator<Item = u32> + '_ {
        let mut malformed = self.malformed.iter().peekable();
        (0..).filter(move |number| malformed.next_if_eq(&number).is_none())
    }

    /// Returns the numbers of what could not be parsed, in order.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = u32> + '_ {
        self.malformed.iter().copied()
    }

    /// Returns the index among the items; `None` for what could not be parsed.
    pub(crate) fn item(&self, number: u32) -> Option<usize> {
        self.malformed.binary_search(&number).err().map(|before| number as usize - before)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::Reason;

    use super::*;

    #[test]
    fn items_and_broken_input_are_numbered_as_they_were_read() {
        let broken = |items_before| MalformedRecord {
            items_before,
            ..MalformedRecord::new("t", "", Reason::new("torn", "no row"))
        };
        let order = BatchOrder::of(3, &[broken(0), broken(1), broken(1), broken(9)]);
        assert_eq!(order.items().take(3).collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(order.malformed().collect::<Vec<_>>(), [0, 2, 3, 6]);
        let items: Vec<_> = (0..7).map(|number| order.item(number)).collect();
        assert_eq!(items, [None, Some(0), None, None, Some(1), Some(2), None]);
    }
}
