//! The characters of a text file: decompressed, with line breaks that can be found as bytes.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use tidegate_model::Reason;

use super::encoding::{Order, Utf16, by_mark};
use super::handle::Handle;
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
    pub fn open(mut file: Handle, offset: u64, encoding: Encoding) -> Result<Content, Broken> {
        let head = head_of(&mut file).map_err(Broken::System)?;
        if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(Broken::Content(Reason::new("foreign_file", format!("this file is {what}"))));
        }
        file.seek(SeekFrom::Start(0)).map_err(Broken::System)?;
        let packed: Option<Box<dyn Read + Send>> = if head.starts_with(GZIP) {
            Some(Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file.again()?))))
        } else if head.starts_with(ZSTD) {
            Some(Box::new(zstd::Decoder::new(file.again()?)?))
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

fn head_of(file: &mut Handle) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(6).read_to_end(&mut head)?;
    Ok(head)
}
