//! Any bytes as the files of a stream: nothing panics, and no event is read that was not written.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::{LogId, StreamId, SystemClock};

use super::cursor::Cursor;
use super::disk::RealDisk;
use super::format::{self, FrameHeader, SegmentHeader};
use super::lineage::Lineage;
use super::segment::{self, Room};
use super::{LogAccess, LogConfig, WriterConfig, dedup::DedupLimits, recovery};

/// In memory if the machine has such a folder: each input makes files.
static FOLDER: LazyLock<Mutex<std::path::PathBuf>> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    Mutex::new(root.join(format!("tidegate-fuzz-{}", std::process::id())))
});

/// Reads `data` as records, as a segment, and as a record whose checksums are right.
///
/// # Panics
/// If a reader gives out more than was written, and if it panics itself.
pub fn log_files(data: &[u8]) {
    let _ = SegmentHeader::decode(data);
    let _ = FrameHeader::find(data, 0);
    let block = Bytes::copy_from_slice(data);
    let mut at = 0;
    while let Ok((_, bytes)) = format::read_record(&block, at) {
        at += bytes;
    }
    match data.split_first() {
        Some((0, ids)) => stream(&segment_of(b""), Some(ids), None),
        Some((1, end)) => stream(&segment_of(b""), None, Some(end)),
        Some((2, tail)) => stream(&[segment_of(b"whole"), tail.to_vec()].concat(), None, None),
        Some((3, body)) => stream(&segment_of(body), None, None),
        _ => stream(data, None, None),
    }
}

/// A segment of one record with this body; all of its checksums are right.
fn segment_of(body: &[u8]) -> Vec<u8> {
    let lineage = Lineage { id: LogId(7), ancestors: Vec::new() };
    let header = SegmentHeader { first: 0, before: 0, lineage, stream: "shop".to_owned() };
    let mut out = header.encode();
    let bytes = (body.len() + 8) as u32;
    let frame = FrameHeader { first: 0, logged_at: Timestamp::UNIX_EPOCH, records: 1, bytes };
    out.extend_from_slice(&frame.encode());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// Recovers a stream of these files and reads it to its end.
fn stream(file: &[u8], ids: Option<&[u8]>, end: Option<&[u8]>) {
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = fs::remove_dir_all(&*folder);
    let write = |path: &Path, bytes: &[u8]| fs::write(path, bytes).expect("a folder for files");
    fs::create_dir_all(&*folder).expect("a folder for files");
    write(&segment::path(&folder, 0), file);
    if let Some(ids) = ids {
        write(&folder.join(format!("{:020}.ids", 0)), ids);
    }
    if let Some(end) = end {
        write(&folder.join("end"), end);
    }
    let usual = LogConfig::new(&*folder, Arc::new(SystemClock), LogAccess::Append);
    let _ = recovery::read_end(&folder);
    let config = WriterConfig {
        stream: StreamId::new("shop"),
        folder: folder.clone(),
        disk: Arc::new(RealDisk),
        clock: usual.clock,
        segment_bytes: usual.segment_bytes,
        compress_from: usual.compress_from,
        dedup: DedupLimits { window_seconds: 86_400, recent_max: 100, ids_max: 1_000 },
    };
    let _ = recovery::recover(&config);
    let Ok((log_end, _)) = recovery::read_end(&folder) else { return };
    let mut cursor = Cursor::new(folder.clone(), 0);
    let mut events = Vec::new();
    let _ = cursor.read(log_end, &mut Room { events: 1_000, bytes: 1 << 20 }, &mut events);
    assert!(events.len() <= file.len(), "more events than bytes");
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::mangle::mangled;

    use super::*;

    #[test]
    fn no_bytes_in_its_files_make_the_event_log_panic() {
        let whole = segment_of(&[0; 18]);
        let mut record = vec![3];
        record.extend_from_slice(&[0; 40]);
        let mut tail = vec![2];
        tail.extend_from_slice(&whole[whole.len() - 58..]);
        mangled(&[&whole, &record, &tail, b"\0TIDEIDS1", b"\x01TIDEEND1"], 1_000, log_files);
    }
}
