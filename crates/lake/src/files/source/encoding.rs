//! How characters are stored: by a byte order mark, UTF-16, one byte each.

use std::io::{self, Read};

use super::settings::Encoding;

/// The order of the two bytes of a unit of UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The lower one first.
    Little,
    /// The higher one first.
    Big,
}

/// Returns the encoding by a byte order mark, and its length.
pub fn by_mark(head: &[u8], said: Encoding) -> (Encoding, Order, u64) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, Order::Little, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16, Order::Little, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16, Order::Big, 2),
        _ => (said, Order::Little, 0),
    }
}

/// UTF-16 as UTF-8. Half of a surrogate pair becomes three bytes that are no UTF-8, so
/// that its line is rejected and its length is still known.
pub struct Utf16<R> {
    inner: R,
    order: Order,
    units: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    high: Option<u16>,
}

impl<R: Read> Utf16<R> {
    /// Decodes what `inner` gives.
    pub fn new(inner: R, order: Order) -> Utf16<R> {
        Utf16 { inner, order, units: Vec::new(), out: Vec::new(), written: 0, high: None }
    }

    /// Decodes more; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.out.clear();
        self.written = 0;
        while self.out.is_empty() {
            let odd = self.units.len();
            let read = self.inner.by_ref().take(32 * 1024).read_to_end(&mut self.units)?;
            if read == 0 {
                // The first byte of a unit that is not whole counts as unread.
                self.units.truncate(odd);
                if let Some(high) = self.high.take() {
                    self.half(high);
                }
                return Ok(!self.out.is_empty());
            }
            let units = std::mem::take(&mut self.units);
            let (pairs, odd) = units.as_chunks::<2>();
            for pair in pairs {
                self.unit(match self.order {
                    Order::Little => u16::from_le_bytes(*pair),
                    Order::Big => u16::from_be_bytes(*pair),
                });
            }
            self.units = odd.to_vec();
        }
        Ok(true)
    }

    fn unit(&mut self, unit: u16) {
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                for decoded in char::decode_utf16([high, unit]).flatten() {
                    self.push(decoded);
                }
            }
            (high, unit) => {
                if let Some(high) = high {
                    self.half(high);
                }
                match unit {
                    0xd800..=0xdbff => self.high = Some(unit),
                    _ => match char::from_u32(unit.into()) {
                        Some(character) => self.push(character),
                        None => self.half(unit),
                    },
                }
            }
        }
    }

    fn push(&mut self, character: char) {
        self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn half(&mut self, unit: u16) {
        let [high, low] = unit.to_be_bytes();
        self.out.extend_from_slice(&[
            0xe0 | (high >> 4),
            0x80 | ((high & 0x0f) << 2) | (low >> 6),
            0x80 | (low & 0x3f),
        ]);
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.written == self.out.len() && !self.fill()? {
            return Ok(0);
        }
        let count = buffer.len().min(self.out.len() - self.written);
        buffer[..count].copy_from_slice(&self.out[self.written..self.written + count]);
        self.written += count;
        Ok(count)
    }
}

/// Returns the bytes that decoded text takes in its file.
pub fn stored_bytes(encoding: Encoding, text: &[u8]) -> u64 {
    match encoding {
        Encoding::Utf16 => text
            .iter()
            .map(|byte| match byte {
                0x80..=0xbf => 0,
                0xf0.. => 4,
                _ => 2,
            })
            .sum(),
        _ => text.len() as u64,
    }
}

/// What bytes 0x80 to 0x9f are in Windows-1252; five of them are nothing.
const WINDOWS: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
    0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
    0x0153, 0, 0x017e, 0x0178,
];

/// Text of one byte a character; `None` for a byte that is no character.
pub fn single_bytes(encoding: Encoding, bytes: &[u8]) -> Option<String> {
    let character = |byte: &u8| match (encoding, *byte) {
        (Encoding::Windows1252, 0x80..=0x9f) => {
            char::from_u32(WINDOWS[usize::from(byte - 0x80)].into()).filter(|&character| character != '\0')
        }
        (_, byte) => Some(char::from(byte)),
    };
    bytes.iter().map(character).collect()
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_becomes_utf_8_and_its_length_is_known_again() {
        for text in ["id;ä\n1;🎈\n", "", "日本\r\n"] {
            for order in [Order::Little, Order::Big] {
                let bytes: Vec<u8> = text
                    .encode_utf16()
                    .flat_map(|unit| match order {
                        Order::Little => unit.to_le_bytes(),
                        Order::Big => unit.to_be_bytes(),
                    })
                    .collect();
                let mut out = Vec::new();
                Utf16::new(&bytes[..], order).read_to_end(&mut out).unwrap();
                assert_eq!(out, text.as_bytes());
                assert_eq!(stored_bytes(Encoding::Utf16, &out), bytes.len() as u64);
            }
        }
    }

    #[test]
    fn half_a_pair_is_no_text_and_takes_two_bytes() {
        let bytes = [0x61, 0, 0x00, 0xd8, 0x62, 0, 0x00, 0xdc];
        let mut out = Vec::new();
        Utf16::new(&bytes[..], Order::Little).read_to_end(&mut out).unwrap();
        assert!(std::str::from_utf8(&out).is_err());
        assert_eq!(stored_bytes(Encoding::Utf16, &out), bytes.len() as u64);
    }

    #[test]
    fn windows_has_a_euro_where_latin_1_has_a_control_character() {
        assert_eq!(single_bytes(Encoding::Windows1252, b"\x80 \xe9").unwrap(), "€ é");
        assert_eq!(single_bytes(Encoding::Latin1, b"\xe9").unwrap(), "é");
        assert!(single_bytes(Encoding::Windows1252, b"\x81").is_none());
    }
}
