//! A closed segment, compressed.
//!
//! The bytes of a segment in blocks of a megabyte, each a zstd frame of its own, under the name
//! that the segment had. Every position is that in the uncompressed segment: readers, checkpoints
//! and messages of damage do not know the difference.
//!
//! ```text
//! file      magic 8 | version u32 | blocks
//! block     magic 4 | checksum u32 of the rest of this header
//!           where it begins in the segment u64 | its bytes there u32 | its bytes here u32
//!           checksum u32 of its bytes here | these bytes
//! ```
//!
//! A block that is damaged reads as zero bytes, which no frame and no record consists of: the
//! checks of those find it, at its place, and the blocks behind it stay readable.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::format::{take_u32, take_u64};

const MAGIC: &[u8; 8] = b"\xF5TIDEPAK";
const VERSION: u32 = 1;
const FILE_HEADER: usize = 12;
const BLOCK_MAGIC: &[u8; 4] = b"\xF5TPB";
const BLOCK_HEADER: usize = 28;
/// Bytes of a block in the segment. A reader that goes to an offset decompresses one of them.
const BLOCK_BYTES: usize = 1024 * 1024;
/// How hard zstd tries.
const LEVEL: i32 = 3;

/// Returns whether a file begins as a packed segment does.
pub(super) fn is_packed(start: &[u8]) -> bool {
    start.starts_with(MAGIC) && start.get(8..FILE_HEADER) == Some(&VERSION.to_le_bytes())
}

/// What a block says about itself, and where its bytes are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    start: u64,
    bytes: u32,
    packed: u32,
    checksum: u32,
    at: u64,
}

impl Block {
    fn encode(&self) -> [u8; BLOCK_HEADER] {
        let mut out = [0; BLOCK_HEADER];
        out[..4].copy_from_slice(BLOCK_MAGIC);
        out[8..16].copy_from_slice(&self.start.to_le_bytes());
        out[16..20].copy_from_slice(&self.bytes.to_le_bytes());
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
        let fits =
            bytes as usize <= BLOCK_BYTES && packed as usize <= zstd::zstd_safe::compress_bound(BLOCK_BYTES);
        fits.then_some(Block { start, bytes, packed, checksum, at: at + BLOCK_HEADER as u64 })
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
    let (mut start, mut block) = (0, Vec::with_capacity(BLOCK_BYTES));
    loop {
        if !go_on() {
            return Ok(false);
        }
        block.clear();
        segment.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(true);
        }
        let packed = compressor.compress(&block)?;
        let header = Block {
            start,
            bytes: block.len() as u32,
            packed: packed.len() as u32,
            checksum: crc32fast::hash(&packed),
            at: 0,
        };
        file.write_all(&header.encode())?;
        file.write_all(&packed)?;
        start = header.end();
    }
}

/// A packed segment, read as the segment that it was.
pub(super) struct PackedFile {
    file: File,
    blocks: Vec<Block>,
    position: u64,
    /// The block that was read last, and its bytes.
    current: Option<(usize, Vec<u8>)>,
}

impl PackedFile {
    /// Finds the blocks of a file. A header that is damaged is skipped.
    pub(super) fn open(mut file: File) -> io::Result<PackedFile> {
        let length = file.metadata()?.len();
        let (mut blocks, mut at) = (Vec::<Block>::new(), FILE_HEADER as u64);
        while at < length {
            let mut header = Vec::with_capacity(BLOCK_HEADER);
            file.seek(SeekFrom::Start(at))?;
            (&mut file).take(BLOCK_HEADER as u64).read_to_end(&mut header)?;
            let found = match Block::decode(&header, at) {
                Some(block) => Some(block),
                None => find(&mut file, at)?,
            };
            let Some(block) = found else { break };
            if block.start >= blocks.last().map_or(0, Block::end) {
                blocks.push(block);
            }
            at = block.at + u64::from(block.packed);
        }
        Ok(PackedFile { file, blocks, position: 0, current: None })
    }

    /// How long the segment is.
    pub(super) fn length(&self) -> u64 {
        self.blocks.last().map_or(0, Block::end)
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
            // In front of the next block there was one whose header is damaged.
            None => match self.blocks.get(behind) {
                Some(block) => {
                    let gap = usize::try_from(block.start - position).unwrap_or(usize::MAX);
                    let read = gap.min(out.len());
                    out[..read].fill(0);
                    read
                }
                None => 0,
            },
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
        for length in (0..packed.len()).step_by(997) {
            let (_, read) = unpacked(&packed[..length]);
            let whole = read.len().min(segment.len());
            let lost = segment[..whole].chunks(BLOCK_BYTES).zip(read.chunks(BLOCK_BYTES));
            assert!(lost.filter(|(was, is)| was != is).count() <= 1, "cut at {length}");
        }
    }
}
