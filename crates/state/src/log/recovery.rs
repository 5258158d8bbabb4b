//! Recovery of a stream's folder when it is opened.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, LoggedEvent};
use tracing::warn;

use super::dedup::{DedupIndex, Id, Seen};
use super::disk::DiskFile;
use super::failure::{self, Damage};
use super::ids::{self, Closed};
use super::segment::{self, ReadFailure, SegmentReader};
use super::writer::WriterConfig;

/// The durable end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogEnd {
    /// The first offset of the segment that is written.
    pub(super) segment: u64,
    /// Its durable bytes.
    pub(super) bytes: u64,
    /// The offset of the next event.
    pub(super) next: u64,
}

/// The segment that is written.
pub(super) struct Active {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) first: u64,
    pub(super) end: u64,
    /// Its events, in order.
    pub(super) seen: Vec<Seen>,
}

/// A stream as it was left.
pub(super) struct Recovered {
    pub(super) closed: Vec<Closed>,
    pub(super) active: Option<Active>,
    pub(super) next: u64,
    pub(super) dedup: DedupIndex,
}

/// The second of a moment, as the log remembers it.
pub(super) fn second(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(1)).unwrap_or(u32::MAX)
}

/// Opens a stream to write on: cuts off what was not finished, makes the rest
/// durable, and remembers the ids of the window.
///
/// A last segment that is damaged before its end is closed as it is, so that new events can be written;
/// reading it reports the damage.
pub(super) fn recover(config: &WriterConfig) -> Result<Recovered, Error> {
    let WriterConfig { stream, folder, disk, window_seconds, .. } = config;
    let since = second(config.clock.now()).saturating_sub(*window_seconds);
    let mut firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
    let last = firsts.pop();
    let mut dedup = DedupIndex::new(*window_seconds);
    let mut closed = Vec::new();
    for first in firsts {
        let (known, seen) = match ids::read(folder, first, since) {
            Some(found) => found,
            None => read_anew(folder, first)?,
        };
        closed.push(known);
        for seen in seen.into_iter().filter(|seen| seen.second() >= since) {
            dedup.insert(seen);
        }
    }
    let Some(last) = last else { return Ok(Recovered { closed, active: None, next: 0, dedup }) };
    let Some(mut reader) = SegmentReader::open(folder, last)? else {
        return Err(Error::internal(format!("{} vanished while it was opened", folder.display())));
    };
    if reader.stream() != stream.as_str() {
        // A file system that takes upper and lower case for the same.
        let shown = folder.display();
        return Err(Error::new(
            ErrorKind::Storage,
            format!("{shown} belongs to the stream `{}` and not to `{stream}`", reader.stream()),
        )
        .hint("rename one of the two connections"));
    }
    let scan = scan(&mut reader)?;
    for &seen in scan.seen.iter().filter(|seen| seen.second() >= since) {
        dedup.insert(seen);
    }
    let path = segment::path(folder, last);
    if let Some(damage) = scan.damage {
        warn!(file = %path.display(), byte = damage.at, "a segment of the event log is damaged, new events go to another");
        closed.push(Closed { first: last, newest: u32::MAX });
        return Ok(Recovered { closed, active: None, next: scan.next, dedup });
    }
    let mut file = disk.open(&path).map_err(|cause| failure::writing(cause, &path))?;
    let torn = reader.length()? - scan.end;
    if torn > 0 {
        warn!(file = %path.display(), byte = scan.end, bytes = torn, "cut an unfinished write off the event log");
        file.cut(scan.end).map_err(|cause| failure::writing(cause, &path))?;
    }
    // A process that was killed may have written what no disk has seen yet.
    file.sync().and_then(|()| crate::folder::sync(folder)).map_err(|cause| failure::writing(cause, &path))?;
    let active = Active { file, first: last, end: scan.end, seen: scan.seen };
    Ok(Recovered { closed, active: Some(active), next: scan.next, dedup })
}

/// Returns the end of a stream, for a process that does not write it.
pub(super) fn read_end(folder: &Path) -> Result<LogEnd, Error> {
    loop {
        let firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
        let Some(&last) = firsts.last() else { return Ok(LogEnd::default()) };
        // Retention removed it meanwhile.
        let Some(mut reader) = SegmentReader::open(folder, last)? else { continue };
        let scan = scan(&mut reader)?;
        let bytes = if scan.damage.is_some() { reader.length()? } else { scan.end };
        return Ok(LogEnd { segment: last, bytes, next: scan.next });
    }
}

/// The ids of a closed segment that left none, or none to rely on.
fn read_anew(folder: &Path, first: u64) -> Result<(Closed, Vec<Seen>), Error> {
    let Some(mut reader) = SegmentReader::open(folder, first)? else {
        return Ok((Closed { first, newest: 0 }, Vec::new()));
    };
    let scan = scan(&mut reader)?;
    let path = segment::path(folder, first);
    if scan.end < reader.length()? {
        warn!(file = %path.display(), byte = scan.end, "a segment of the event log is damaged");
        return Ok((Closed { first, newest: u32::MAX }, scan.seen));
    }
    let newest = scan.seen.iter().map(|seen| seen.second()).max().unwrap_or_default();
    let closed = Closed { first, newest };
    ids::write(folder, closed, &scan.seen);
    Ok((closed, scan.seen))
}

struct Scan {
    /// The byte behind the last whole frame, and the offset there.
    end: u64,
    next: u64,
    seen: Vec<Seen>,
    /// Damage before the end: `next` is then behind all that ever was.
    damage: Option<Damage>,
}

/// Reads a segment from its start to its last whole frame.
fn scan(reader: &mut SegmentReader) -> Result<Scan, Error> {
    let length = reader.length()?;
    let (mut seen, mut events) = (Vec::new(), Vec::new());
    let failed = loop {
        match reader.read(length, &mut events) {
            Ok(()) if events.is_empty() => break None,
            Ok(()) => {}
            Err(ReadFailure::Damaged(damage)) => break Some(damage),
            Err(failed) => return Err(reader.error(failed)),
        }
        let seen_in = |logged: LoggedEvent| Seen::new(Id::of(&logged.event.id), second(logged.logged_at));
        seen.extend(events.drain(..).map(seen_in));
    };
    let (end, next) = reader.frame();
    seen.truncate(usize::try_from(next - reader.first()).unwrap_or(usize::MAX));
    let behind = if failed.is_some() { reader.frame_behind()? } else { None };
    Ok(match behind {
        Some(frame) => Scan { end, next: frame.first + u64::from(frame.records), seen, damage: failed },
        None => Scan { end, next, seen, damage: None },
    })
}

/// Removes what a dead process left half made.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "tmp") {
            // It is written over anyway.
            let _ = fs::remove_file(entry.path());
        }
    }
}
