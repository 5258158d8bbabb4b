//! A closed segment, compressed.
//!
//! The bytes of a segment in blocks of a megabyte, each a zstd frame of its own, under the name
//! that the segment had. Every position is that in the uncompressed segment: readers, checkpoints
//! and messages of damage do not know the difference.
//!
//! ```text
//! file      magic 8 | version u32 | blocks
//! block     magic 4 | checksum u32 of the rest of this header
//!           where it begins in the segment u64 | its bytes there u32, and 2^31 for the last | its bytes here u32
//!           checksum u32 of its bytes here | these bytes
//! ```
//!
//! A block that is damaged reads as zero bytes, which no frame and no record consists of: the
//! checks of those find it, at its place, and the blocks behind it stay readable. So does one more block if
//! the last one was not found. In files of version 1 none is marked as the last: there it is what cannot be
//! read at the end that counts as one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;

use super::format::{take_u32, take_u64};

const MAGIC: &[u8; 8] = b"\xF5TIDEPAK";
const VERSION: u32 = 2;
/// In files of this version no block is marked as the last.
const UNMARKED: u32 = 1;
const FILE_HEADER: usize = 12;
const BLOCK_MAGIC: &[u8; 4] = b"\xF5TPB";
const BLOCK_HEADER: usize = 28;
/// Bytes of a block in the segment. A reader that goes to an offset decompresses one of them.
const BLOCK_BYTES: usize = 1024 * 1024;
/// Added to the bytes of the last block.
const LAST: u32 = 1 << 31;
/// How hard zstd tries.
const LEVEL: i32 = 3;

/// Returns whether a file begins as a packed segment does.
pub(super) fn is_packed(start: &[u8]) -> bool {
    version(start).is_some()
}

fn version(start: &[u8]) -> Option<u32> {
    let version = take_u32(&mut start.strip_prefix(MAGIC)?)?;
    (UNMARKED..=VERSION).contains(&version).then_some(version)
}

/// What a block says about itself, and where its bytes are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    start: u64,
    bytes: u32,
    is_last: bool,
    packed: u32,
    checksum: u32,
    at: u64,
}

impl Block {
    fn encode(&self) -> [u8; BLOCK_HEADER] {
        let mut out = [0; BLOCK_HEADER];
        out[..4].copy_from_slice(BLOCK_MAGIC);
        out[8..16].copy_from_slice(&self.start.to_le_bytes());
        let last = if self.is_last { LAST } else { 0 };
        out[16..20].copy_from_slice(&(self.bytes | last).to_le_bytes());
        out[20..24].copy_from_slice(&self.packed.to_le_bytes());
        out[24..28].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`, which stand at `at` of the file; `None` if it is damaged.
    fn decode(bytes: &[u8], at: u64) -> Option<Block> {
        let mut rest = bytes.get(..BLOCK_HEADER)?.strip_prefix(BLOCK_MAGIC)?;
        let checksum = take_u32(&mut rest)?;
        if crc32fast::hash(rest) != checksum {
            return None;
        }
        let start = take_u64(&mut rest)?;
        let (bytes, packed, checksum) = (take_u32(&mut rest)?, take_u32(&mut rest)?, take_u32(&mut rest)?);
        let (is_last, bytes) = (bytes & LAST != 0, bytes & !LAST);
        let fits =
            bytes as usize <= BLOCK_BYTES && packed as usize <= zstd::zstd_safe::compress_bound(BLOCK_BYTES);
        start.checked_add(u64::from(bytes)).filter(|_| fits)?;
        Some(Block { start, bytes, is_last, packed, checksum, at: at + BLOCK_HEADER as u64 })
    }

    fn end(&self) -> u64 {
        self.start + u64::from(self.bytes)
    }
}

/// Compresses a segment into an empty file. `go_on` is asked before each block; if it says no,
/// the file stays unfinished and `false` is returned.
pub(super) fn pack(segment: &mut impl Read, file: &mut File, go_on: impl Fn() -> bool) -> io::Result<bool> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    file.write_all(MAGIC)?;
    file.write_all(&VERSION.to_le_bytes())?;
    let mut read = |block: &mut Vec<u8>| {
        block.clear();
        segment.by_ref().take(BLOCK_BYTES as u64).read_to_end(block)
    };
    let (mut start, mut block) = (0, Vec::with_capacity(BLOCK_BYTES));
    let mut next = Vec::with_capacity(BLOCK_BYTES);
    read(&mut block)?;
    loop {
        if !go_on() {
            return Ok(false);
        }
        let is_last = read(&mut next)? == 0;
        let packed = compressor.compress(&block)?;
        let header = Block {
            start,
            bytes: block.len() as u32,
            is_last,
            packed: packed.len() as u32,
            checksum: crc32fast::hash(&packed),
            at: 0,
        };
        file.write_all(&header.encode())?;
        file.write_all(&packed)?;
        if is_last {
            return Ok(true);
        }
        start = header.end();
        mem::swap(&mut block, &mut next);
    }
}

/// A packed segment, read as the segment that it was.
pub(super) struct PackedFile {
    file: File,
    blocks: Vec<Block>,
    length: u64,
    position: u64,
    /// The block that was read last, and its bytes.
    current: Option<(usize, Vec<u8>)>,
}

impl PackedFile {
    /// Finds the blocks of a file. A header that is damaged is skipped.
    pub(super) fn open(mut file: File) -> io::Result<PackedFile> {
        let file_bytes = file.metadata()?.len();
        let mut start = Vec::with_capacity(FILE_HEADER);
        file.seek(SeekFrom::Start(0))?;
        (&mut file).take(FILE_HEADER as u64).read_to_end(&mut start)?;
        let is_marked = version(&start) != Some(UNMARKED);
        let (mut blocks, mut at, mut is_readable) = (Vec::<Block>::new(), FILE_HEADER as u64, true);
        while at < file_bytes {
            let mut header = Vec::with_capacity(BLOCK_HEADER);
            file.seek(SeekFrom::Start(at))?;
            (&mut file).take(BLOCK_HEADER as u64).read_to_end(&mut header)?;
            let found = match Block::decode(&header, at) {
                Some(block) => Some(block),
                None => find(&mut file, at)?,
            };
            let Some(block) = found else {
                is_readable = false;
                break;
            };
            if block.start >= blocks.last().map_or(0, Block::end) {
                blocks.push(block);
            }
            at = block.at + u64::from(block.packed);
        }
        let is_whole = if is_marked { blocks.last().is_some_and(|block| block.is_last) } else { is_readable };
        let end = blocks.last().map_or(0, Block::end);
        let length = if is_whole { end } else { end.saturating_add(BLOCK_BYTES as u64) };
        Ok(PackedFile { file, blocks, length, position: 0, current: None })
    }

    /// How long the segment is.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of a block: zero bytes if it is damaged.
    fn block(&mut self, index: usize) -> io::Result<&[u8]> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != index) {
            let block = self.blocks[index];
            let mut packed = Vec::with_capacity(block.packed as usize);
            self.file.seek(SeekFrom::Start(block.at))?;
            (&mut self.file).take(u64::from(block.packed)).read_to_end(&mut packed)?;
            let length = block.bytes as usize;
            let whole = crc32fast::hash(&packed) == block.checksum;
            let bytes = Some(packed)
                .filter(|_| whole)
                .and_then(|packed| zstd::bulk::decompress(&packed, length).ok());
            let bytes = bytes.filter(|bytes| bytes.len() == length).unwrap_or_else(|| vec![0; length]);
            self.current = Some((index, bytes));
        }
        Ok(self.current.as_ref().map_or(&[], |(_, bytes)| bytes))
    }
}

/// The first whole header behind `at`.
fn find(file: &mut File, at: u64) -> io::Result<Option<Block>> {
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.read_to_end(&mut rest)?;
    Ok((1..rest.len()).find_map(|behind| Block::decode(&rest[behind..], at + behind as u64)))
}

impl Read for PackedFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let behind = self.blocks.partition_point(|block| block.start <= position);
        let inside = behind.checked_sub(1).filter(|&index| position < self.blocks[index].end());
        let read = match inside {
            Some(index) => {
                let from = (position - self.blocks[index].start) as usize;
                let bytes = &self.block(index)?[from..];
                let read = bytes.len().min(out.len());
                out[..read].copy_from_slice(&bytes[..read]);
                read
            }
            // In front of the next block, or of the end, there was one whose header is damaged.
            None => {
                let end = self.blocks.get(behind).map_or(self.length, |block| block.start);
                let gap = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
                let read = gap.min(out.len());
                out[..read].fill(0);
                read
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for PackedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Bytes that are compressed well and are not alike: three blocks and a part of one.
    fn segment() -> Vec<u8> {
        (0..3 * BLOCK_BYTES as u64 + 77).map(|at| (at / 1_000 + at % 7) as u8 | 1).collect()
    }

    fn packed(segment: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("packed");
        let mut file = File::create(&path).expect("file");
        assert!(pack(&mut &segment[..], &mut file, || true).expect("packed"));
        fs::read(path).expect("read")
    }

    fn unpacked(packed: &[u8]) -> (u64, Vec<u8>) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("packed");
        fs::write(&path, packed).expect("written");
        let mut file = PackedFile::open(File::open(path).expect("file")).expect("opened");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("read");
        (file.length(), bytes)
    }

    #[test]
    fn a_packed_segment_is_much_smaller_and_reads_as_it_was() {
        let segment = segment();
        let packed = packed(&segment);
        assert!(is_packed(&packed) && !is_packed(&segment));
        assert!(packed.len() * 10 < segment.len(), "{} of {}", packed.len(), segment.len());
        assert!(unpacked(&packed) == (segment.len() as u64, segment));
    }

    #[test]
    fn damage_costs_one_block_and_moves_no_other() {
        let segment = segment();
        let packed = packed(&segment);
        for at in (FILE_HEADER..packed.len()).step_by(97) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            let (_, read) = unpacked(&damaged);
            for (index, (was, is)) in segment.chunks(BLOCK_BYTES).zip(read.chunks(BLOCK_BYTES)).enumerate() {
                assert!(was == is || is.iter().all(|byte| *byte == 0), "byte {at}, block {index}");
            }
            let same =
                segment.chunks(BLOCK_BYTES).zip(read.chunks(BLOCK_BYTES)).filter(|(was, is)| was == is);
            assert!(same.count() >= 3, "byte {at}");
        }
    }

    /// Where the headers of blocks are.
    fn headers(packed: &[u8]) -> Vec<usize> {
        let found = packed.windows(BLOCK_HEADER).enumerate();
        found.filter(|(at, bytes)| Block::decode(bytes, *at as u64).is_some()).map(|(at, _)| at).collect()
    }

    /// As an earlier build wrote it.
    fn unmarked(packed: &[u8]) -> Vec<u8> {
        let (mut old, last) = (packed.to_vec(), headers(packed)[3]);
        old[8..FILE_HEADER].copy_from_slice(&UNMARKED.to_le_bytes());
        let block = Block::decode(&old[last..], 0).expect("a block");
        old[last..last + BLOCK_HEADER].copy_from_slice(&Block { is_last: false, ..block }.encode());
        old
    }

    /// Whether a segment is read as it was written, or has zero bytes in place of what is lost.
    fn is_same_or_damaged(was: &[u8], is: &[u8]) -> bool {
        was == is || is.contains(&0)
    }

    #[test]
    fn a_compressed_segment_is_never_read_as_a_shorter_one() {
        let segment = segment();
        let packed = packed(&segment);
        let headers = headers(&packed);
        assert_eq!(headers.len(), 4);
        let old = unmarked(&packed);
        assert!(unpacked(&old) == (segment.len() as u64, segment.clone()));
        for file in [&packed, &old] {
            let of_headers = headers.iter().flat_map(|at| *at..at + BLOCK_HEADER);
            for at in of_headers.chain((FILE_HEADER..file.len()).step_by(211)) {
                let mut damaged = file.clone();
                damaged[at] ^= 0x10;
                let (length, read) = unpacked(&damaged);
                assert_eq!(length, read.len() as u64, "byte {at}");
                assert!(read.len() >= segment.len(), "byte {at}: {length}");
                assert!(is_same_or_damaged(&segment, &read), "byte {at}");
            }
        }
        // Between blocks, in headers, and in the middle of blocks.
        let ends = headers.iter().flat_map(|at| [*at, at + 1, at + BLOCK_HEADER, at + BLOCK_HEADER + 1]);
        for length in ends.chain((FILE_HEADER..packed.len()).step_by(997)) {
            let (_, read) = unpacked(&packed[..length]);
            assert!(read.contains(&0), "cut at {length}: {}", read.len());
            let mut lost = segment.chunks(BLOCK_BYTES).zip(read.chunks(BLOCK_BYTES));
            assert!(lost.all(|(was, is)| was == is || is.iter().all(|byte| *byte == 0)), "cut at {length}");
            // Without a mark, a cut between blocks is not seen here; the frame that is cut is.
            if !headers.contains(&length) {
                assert!(unpacked(&old[..length]).1.contains(&0), "cut at {length}");
            }
        }
    }
}
