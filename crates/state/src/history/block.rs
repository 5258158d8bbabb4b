//! The statuses of one batch as bytes.

use tidegate_model::store::{Delivered, RowResult, RowStatus};
use tidegate_model::{Error, RowHash};

use super::status_runs::{self, StatusRuns};
use crate::codec::{Reader, Texts, Writer};

const VERSION: u8 = 1;

/// All rows of a batch, column by column; keys and payloads are kept elsewhere.
pub(crate) fn encode(delivered: &[Delivered], others: &[RowResult]) -> Result<Vec<u8>, Error> {
    let joined: usize =
        delivered.iter().map(|rows| rows.key_texts().joined().len() + rows.users().joined().len()).sum();
    let texts: usize = others.iter().map(|row| row.user.len() + row.key_text.len()).sum();
    let count = count(delivered, others);
    let mut writer = Writer::with_capacity(16 + count * 21 + joined + texts);
    status_runs::write(&mut writer, count - others.len(), others.iter().map(|row| &row.status));
    delivered.iter().flat_map(Delivered::rows).for_each(|row| writer.hash(*row));
    others.iter().for_each(|row| writer.hash(row.row));
    let key_texts = delivered.iter().map(Delivered::key_texts);
    writer.columns(key_texts, others.iter().map(|row| &*row.key_text));
    let users = delivered.iter().map(Delivered::users);
    writer.columns(users, others.iter().map(|row| &*row.user));
    writer.finish(VERSION)
}

/// Returns the number of rows.
pub(crate) fn count(delivered: &[Delivered], others: &[RowResult]) -> usize {
    delivered.iter().map(Delivered::len).sum::<usize>() + others.len()
}

/// The rows of a batch, column by column as they were written.
pub(crate) struct Block {
    /// The status of each row, as runs.
    pub(crate) statuses: StatusRuns,
    /// The hash of each row.
    pub(crate) rows: Vec<RowHash>,
    /// The key of each row as text.
    pub(crate) key_texts: Texts,
    /// The user of each row.
    pub(crate) users: Texts,
}

/// One row of a block.
pub(crate) struct BlockRow<'a> {
    pub(crate) status: &'a RowStatus,
    pub(crate) row: RowHash,
    pub(crate) key_text: &'a str,
    pub(crate) user: &'a str,
}

impl Block {
    /// Reads a block.
    pub(crate) fn decode(block: &[u8]) -> Result<Block, Error> {
        let mut reader = Reader::open(block, VERSION)?;
        let statuses = status_runs::read(&mut reader)?;
        let rows = reader.hashes(statuses.len())?;
        let key_texts = reader.texts(statuses.len())?;
        let users = reader.texts(statuses.len())?;
        reader.end()?;
        Ok(Block { statuses, rows, key_texts, users })
    }

    /// The rows in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = BlockRow<'_>> {
        self.rows.iter().enumerate().map(|(at, row)| BlockRow {
            status: self.statuses.get(at).unwrap_or(&RowStatus::Delivered),
            row: *row,
            key_text: self.key_texts.get(at).unwrap_or_default(),
            user: self.users.get(at).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_model::Reason;

    use super::*;
    use crate::codec::tests::frame_of;

    fn status() -> impl Strategy<Value = RowStatus> {
        let reason = ("[a-c]{1,3}", ".{0,20}").prop_map(|(code, message)| Reason::new(code, message));
        prop_oneof![
            4 => Just(RowStatus::Delivered),
            1 => reason.clone().prop_map(RowStatus::Rejected),
            1 => reason.prop_map(RowStatus::InDoubt),
        ]
    }

    fn row() -> impl Strategy<Value = RowResult> {
        (any::<u128>(), any::<u128>(), ".{0,30}", ".{0,30}", status()).prop_map(
            |(key, row, key_text, user, status)| RowResult {
                key: RowHash(key),
                key_text: key_text.into(),
                row: RowHash(row),
                user: user.into(),
                status,
                payload: None,
            },
        )
    }

    proptest! {
        #[test]
        fn a_block_gives_back_the_rows_it_was_made_of(
            first in prop::collection::vec(row(), 0..40), rest in prop::collection::vec(row(), 0..40),
        ) {
            let mut delivered = [Delivered::default(), Delivered::with_capacity(first.len())];
            for (at, row) in first.iter().enumerate() {
                delivered[at % 2].push(0, row.key, row.row, |out| out.push_str(&row.key_text), &row.user);
            }
            let block = encode(&delivered, &rest).expect("small");
            let read = Block::decode(&block).expect("whole");
            let mut rows: Vec<RowResult> = delivered.iter().flat_map(Delivered::results).map(|(_, row)| row).collect();
            rows.extend(rest);
            let written: Vec<_> = rows.iter().map(|row| (&row.status, row.row, &*row.key_text, &*row.user)).collect();
            let read: Vec<_> = read.iter().map(|row| (row.status, row.row, row.key_text, row.user)).collect();
            prop_assert_eq!(written, read);
        }

        #[test]
        fn a_damaged_block_is_an_error(
            rows in prop::collection::vec(row(), 1..10),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let mut block = encode(&[], &rows).expect("small");
            let at = at.index(block.len());
            block[at] ^= flip;
            prop_assert!(Block::decode(&block).is_err());
            block.truncate(at);
            prop_assert!(Block::decode(&block).is_err());
        }

        #[test]
        fn no_content_makes_a_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let frame = frame_of(VERSION, &content);
            let _ = Block::decode(&frame);
            let _ = Block::decode(&content);
        }
    }
}
