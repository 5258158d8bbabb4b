//! The characters of a text file: decompressed, with line breaks that can be found as bytes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use tidegate_model::Reason;

use super::settings::Encoding;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// What begins files that cannot be read, and what they are.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\xfd7zXZ\x00", "compressed with xz; store it as gzip or zstd"),
    (b"BZh", "compressed with bzip2; store it as gzip or zstd"),
    (b"\x04\x22\x4d\x18", "compressed with lz4; store it as gzip or zstd"),
    (b"PK\x03\x04", "a zip archive (so are Excel workbooks); store its tables as CSV"),
    (b"\xff\xfe\x00\x00", "UTF-32; store it as UTF-8"),
    (b"PAR1", "a Parquet file; set `format: parquet`"),
    (b"%PDF-", "a PDF document"),
];

/// Why a file cannot be read on.
#[derive(Debug)]
pub enum Broken {
    /// What it holds cannot be read; its end may not be written yet.
    Content(Reason),
    /// The system does not give it.
    System(io::Error),
}

impl From<io::Error> for Broken {
    fn from(cause: io::Error) -> Broken {
        match cause.kind() {
            // What decoders say of a stream that is not theirs, or ends early.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                Broken::Content(Reason::new("broken_file", "the compressed file is damaged or ends early"))
            }
            io::ErrorKind::Other => {
                Broken::Content(Reason::new("broken_file", "the compressed file is damaged"))
            }
            _ => Broken::System(cause),
        }
    }
}

/// The text of a file from some offset on.
pub struct Content {
    /// Its bytes; UTF-16 as UTF-8.
    pub reader: Box<dyn Read + Send>,
    /// How the bytes are to be understood.
    pub encoding: Encoding,
    /// Bytes of the mark at the beginning, if this is the beginning.
    pub mark_bytes: u64,
    /// Whether an offset is one in the decompressed text.
    pub compressed: bool,
}

impl Content {
    /// Opens a file at an offset that an earlier read came to.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another kind.
    pub fn open(mut file: File, offset: u64, encoding: Encoding) -> Result<Content, Broken> {
        let head = head_of(&mut file).map_err(Broken::System)?;
        if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(Broken::Content(Reason::new("foreign_file", format!("this file is {what}"))));
        }
        file.seek(SeekFrom::Start(0)).map_err(Broken::System)?;
        let packed: Option<Box<dyn Read + Send>> = if head.starts_with(GZIP) {
            Some(Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file.try_clone()?))))
        } else if head.starts_with(ZSTD) {
            Some(Box::new(zstd::Decoder::new(file.try_clone()?)?))
        } else {
            None
        };
        let Some(mut unpacked) = packed else {
            let (encoding, order, mark_bytes) = by_mark(&head, encoding);
            file.seek(SeekFrom::Start(offset.max(mark_bytes))).map_err(Broken::System)?;
            return Ok(Content::of(Box::new(file), encoding, order, mark_bytes, offset, false));
        };
        let mut start = Vec::new();
        unpacked.by_ref().take(4).read_to_end(&mut start)?;
        let (encoding, order, mark_bytes) = by_mark(&start, encoding);
        let skipped = usize::try_from(offset.max(mark_bytes)).unwrap_or(usize::MAX);
        let rest = start.split_off(skipped.min(start.len()));
        let missing = (skipped as u64).saturating_sub((start.len() + rest.len()) as u64);
        if io::copy(&mut unpacked.by_ref().take(missing), &mut io::sink())? < missing {
            return Err(Broken::from(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        let reader = Box::new(io::Cursor::new(rest).chain(unpacked));
        Ok(Content::of(reader, encoding, order, mark_bytes, offset, true))
    }

    fn of(
        reader: Box<dyn Read + Send>,
        encoding: Encoding,
        order: Order,
        mark_bytes: u64,
        offset: u64,
        compressed: bool,
    ) -> Content {
        let reader: Box<dyn Read + Send> = match encoding {
            Encoding::Utf16 => Box::new(Utf16::new(reader, order)),
            _ => reader,
        };
        let mark_bytes = if offset == 0 { mark_bytes } else { 0 };
        Content { reader, encoding, mark_bytes, compressed }
    }
}

fn head_of(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(6).read_to_end(&mut head)?;
    Ok(head)
}

/// The order of the two bytes of a unit of UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// The encoding by a byte order mark, and its length.
fn by_mark(head: &[u8], said: Encoding) -> (Encoding, Order, u64) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, Order::Little, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16, Order::Little, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16, Order::Big, 2),
        _ => (said, Order::Little, 0),
    }
}

/// UTF-16 as UTF-8. Half of a surrogate pair becomes three bytes that are no UTF-8, so
/// that its line is rejected and its length is still known.
struct Utf16<R> {
    inner: R,
    order: Order,
    units: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    high: Option<u16>,
}

impl<R: Read> Utf16<R> {
    fn new(inner: R, order: Order) -> Utf16<R> {
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

/// The bytes that decoded text takes in its file.
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
