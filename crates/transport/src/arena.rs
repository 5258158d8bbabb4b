//! Where the cells of many rows are kept.

use bytes::{Bytes, BytesMut};
use tidegate_model::Text;

/// What keeps the cells that a decoder has found.
pub trait Keep {
    /// Keeps bytes.
    fn bytes(&mut self, bytes: &[u8]) -> Bytes;

    /// Keeps a text.
    fn text(&mut self, text: &str) -> Text {
        Text::try_from(self.bytes(text.as_bytes())).expect("the bytes of a text are one")
    }
}

/// Keeps each cell alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Keep for Alone {
    fn bytes(&mut self, bytes: &[u8]) -> Bytes {
        Bytes::copy_from_slice(bytes)
    }
}

/// Keeps cells together: a few large pieces instead of one allocation for each cell. A piece is there until the last of
/// its cells is dropped.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: BytesMut,
}

impl Arena {
    /// Size of a piece.
    const PIECE: usize = 64 * 1024;

    /// Keeps what `write` appends, for which it needs about this much room. Returns what it returns, too.
    pub fn written<R>(&mut self, room: usize, write: impl FnOnce(&mut BytesMut) -> R) -> (Bytes, R) {
        self.make(room);
        let result = write(&mut self.bytes);
        (self.bytes.split().freeze(), result)
    }

    fn make(&mut self, room: usize) {
        if self.bytes.capacity() - self.bytes.len() < room {
            self.bytes = BytesMut::with_capacity(room.max(Self::PIECE));
        }
    }
}

impl Keep for Arena {
    fn bytes(&mut self, bytes: &[u8]) -> Bytes {
        match bytes.is_empty() {
            true => Bytes::new(),
            false => self.written(bytes.len(), |kept| kept.extend_from_slice(bytes)).0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_kept_whatever_their_size_and_the_one_before() {
        let mut arena = Arena::default();
        let long = "x".repeat(200_000);
        let kept = ["a", "", &long, "é"].map(|text| arena.text(text));
        assert_eq!(kept, ["a", "", &long, "é"]);
        let (digits, written) = arena.written(2, |kept| {
            kept.extend_from_slice(b"42");
            2
        });
        assert_eq!((&digits[..], written), (&b"42"[..], 2));
    }
}
