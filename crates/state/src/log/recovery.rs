//! Recovery of a stream's folder when it is opened.

use std::fs;
use std::path::Path;

use tidegate_model::{Error, ErrorKind, LogId, LoggedEvent};
use tracing::warn;

use super::config::WriterConfig;
use super::dedup::{DedupIndex, Id, Runs, Seen};
use super::disk::DiskFile;
use super::end::{self, End};
use super::failure::{self, Damage};
use super::format::RECORD_MIN;
use super::ids::{self, Closed};
use super::lineage::Lineage;
use super::seconds::second;
use super::segment::{self, ReadFailure, SegmentReader};
use super::segment_file::SegmentFile;

/// The newest second of a segment that cannot be read.
pub(super) const UNKNOWN: u32 = u32::MAX;

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

/// What is known of a stream besides its tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) lineage: Lineage,
    /// Whether there is a segment.
    pub(super) exists: bool,
    /// Damage that was found at the end of what was acknowledged.
    pub(super) damage: Option<String>,
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
    pub(super) about: About,
}

/// Opens a stream to write on: cuts off what was not finished, makes the rest
/// durable, and remembers the ids of the window.
///
/// A last segment that is damaged in what was acknowledged is closed as it is, so that new events can
/// be written; reading it reports the damage.
pub(super) fn recover(config: &WriterConfig) -> Result<Recovered, Error> {
    let folder = &config.folder;
    let mut runs = runs(folder)?;
    loop {
        let covered = runs.end();
        let found = recover_with(config, runs)?;
        if covered <= found.next {
            return Ok(found);
        }
        // Their events are gone: they may be logged again.
        warn!(folder = %folder.display(), "the event log ends before its files of ids: the ids are read from the log");
        runs = Runs::load(folder, &found.about.lineage)
            .map_err(|cause| failure::reading(cause, folder))?
            .discard();
    }
}

/// The files of ids that belong to the log in this folder.
fn runs(folder: &Path) -> Result<Runs, Error> {
    let failed = |cause| failure::reading(cause, folder);
    let mut lineage = None;
    for first in segment::list(folder).map_err(failed)?.into_iter().rev() {
        lineage = segment::header(folder, first)?.map(|header| header.lineage);
        if lineage.is_some() {
            break;
        }
    }
    if !folder.exists() {
        return Ok(Runs::default());
    }
    Runs::load(folder, &lineage.unwrap_or_else(Lineage::begin)).map_err(failed)
}

fn recover_with(config: &WriterConfig, runs: Runs) -> Result<Recovered, Error> {
    let WriterConfig { stream, folder, disk, .. } = config;
    let since = second(config.clock.now()).saturating_sub(config.dedup.window_seconds);
    let end = end::read(folder);
    let mut firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
    let last = firsts.pop();
    let covered = runs.end();
    let mut dedup = DedupIndex::new(folder.clone(), config.dedup.clone(), runs);
    // Remembers those of a segment's events that no file of ids covers.
    let restore = |dedup: &mut DedupIndex, first: u64, seen: &[Seen]| {
        let known = usize::try_from(covered.saturating_sub(first)).unwrap_or(usize::MAX);
        for &seen in seen.iter().skip(known).filter(|seen| seen.second() >= since) {
            dedup.restore(seen);
        }
    };
    let mut closed = Vec::new();
    let mut damaged = None;
    for (at, &first) in firsts.iter().enumerate() {
        let follows = firsts.get(at + 1).copied().or(last).unwrap_or(u64::MAX);
        let needed = if follows <= covered { UNKNOWN } else { since };
        let (known, seen) = match ids::read(folder, first, needed) {
            Some(found) => found,
            None => {
                let behind = firsts.get(at + 1).copied().or(last);
                let (known, seen, damage) = read_anew(folder, first, behind)?;
                if let Some(damage) = damage {
                    let file = segment::path(folder, first);
                    warn!(file = %file.display(), byte = damage.at, "a segment of the event log is damaged");
                    damaged.get_or_insert_with(|| message(damage, &file));
                }
                (known, seen)
            }
        };
        closed.push(known);
        restore(&mut dedup, first, &seen);
    }
    let Some(last) = last else {
        let about = About { lineage: Lineage::begin(), exists: false, damage: None };
        return Ok(Recovered { closed, active: None, next: 0, dedup, about });
    };
    let path = segment::path(folder, last);
    if segment::header(folder, last)?.is_none() {
        let damage = Damage { at: 0 };
        warn!(file = %path.display(), byte = damage.at, "a segment of the event log is damaged, new events go to another");
        closed.push(Closed { first: last, newest: UNKNOWN });
        let (next, about) = headless(folder, last, end)?;
        return Ok(Recovered { closed, active: None, next, dedup, about });
    }
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
    let lineage = reader.header().lineage.clone();
    let end = end.filter(|end| end.segment == last && end.log == lineage.id);
    let scan = scan(&mut reader, end)?;
    restore(&mut dedup, last, &scan.seen);
    let mut about = About { lineage, exists: true, damage: damaged };
    if let Some(damage) = scan.damage {
        warn!(file = %path.display(), byte = damage.at, "a segment of the event log is damaged, new events go to another");
        about.damage.get_or_insert_with(|| message(damage, &path));
        closed.push(Closed { first: last, newest: UNKNOWN });
        return Ok(Recovered { closed, active: None, next: scan.next, dedup, about });
    }
    if reader.is_packed() {
        // The segments behind it are gone, as in an older copy: what comes goes to a new one.
        let newest = scan.seen.iter().map(|seen| seen.second()).max().unwrap_or_default();
        closed.push(Closed { first: last, newest });
        return Ok(Recovered { closed, active: None, next: scan.next, dedup, about });
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
    Ok(Recovered { closed, active: Some(active), next: scan.next, dedup, about })
}

/// What is known of a stream whose last segment has no header to rely on: its id is that
/// of the segments before it, and its next offset is after all that it can hold.
fn headless(folder: &Path, last: u64, end: Option<End>) -> Result<(u64, About), Error> {
    let path = segment::path(folder, last);
    let length = SegmentFile::open(&path)
        .and_then(|file| file.length())
        .map_err(|cause| failure::reading(cause, &path))?;
    let end = end.filter(|end| end.segment == last);
    let mut lineage = None;
    for first in segment::list(folder).map_err(|cause| failure::reading(cause, folder))?.into_iter().rev() {
        lineage = segment::header(folder, first)?.map(|header| header.lineage);
        if lineage.is_some() {
            break;
        }
    }
    let own = |id: LogId| Lineage { id, ancestors: Vec::new() };
    let lineage = lineage.or_else(|| end.map(|end| own(end.log))).unwrap_or_else(Lineage::begin);
    let next = match end {
        Some(end) => beyond(end.next, length.saturating_sub(end.bytes)),
        None => beyond(last, length),
    };
    let damage = Some(message(Damage { at: 0 }, &path));
    Ok((next, About { lineage, exists: true, damage }))
}

/// An offset that this many bytes after `next`, which cannot be read, have not been given.
fn beyond(next: u64, unreadable: u64) -> u64 {
    if unreadable == 0 { next } else { next + unreadable / RECORD_MIN as u64 + 1 }
}

/// How far a stream can be read by a process that does not write it: no further than
/// was written down as durable, if that is known.
pub(super) fn read_end(folder: &Path) -> Result<(LogEnd, About), Error> {
    loop {
        // Read first: a segment grows after it, and never shrinks before it.
        let end = end::read(folder);
        let firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
        let Some(&last) = firsts.last() else {
            let about = About { lineage: Lineage::begin(), exists: false, damage: None };
            return Ok((LogEnd::default(), about));
        };
        let path = segment::path(folder, last);
        if path.exists() && segment::header(folder, last)?.is_none() {
            let (next, about) = headless(folder, last, end)?;
            return Ok((LogEnd { segment: next, bytes: 0, next }, about));
        }
        // Retention removed it meanwhile.
        let Some(mut reader) = SegmentReader::open(folder, last)? else { continue };
        let lineage = reader.header().lineage.clone();
        let end = end.filter(|end| end.segment == last && end.log == lineage.id);
        let scan = scan(&mut reader, end)?;
        let mut about = About { lineage, exists: true, damage: closed_damage(folder, &firsts)? };
        let log_end = match (scan.damage, end) {
            (Some(damage), _) => {
                about.damage.get_or_insert_with(|| message(damage, &path));
                // As after recovery: the segment is closed as it is.
                LogEnd { segment: scan.next, bytes: 0, next: scan.next }
            }
            (None, Some(end)) => LogEnd { segment: last, bytes: end.bytes, next: end.next },
            (None, None) => LogEnd { segment: last, bytes: scan.end, next: scan.next },
        };
        return Ok((log_end, about));
    }
}

fn message(damage: Damage, path: &Path) -> String {
    damage.of(path).message().to_owned()
}

/// The first damage of closed segments, for a process that does not write them. A whole
/// one has its ids beside it, so that it need not be read.
fn closed_damage(folder: &Path, firsts: &[u64]) -> Result<Option<String>, Error> {
    for pair in firsts.windows(2) {
        if ids::read(folder, pair[0], UNKNOWN).is_none()
            && let (_, _, Some(damage)) = inspect(folder, pair[0], Some(pair[1]))?
        {
            return Ok(Some(message(damage, &segment::path(folder, pair[0]))));
        }
    }
    Ok(None)
}

/// The ids of a closed segment that left none, or none to rely on. They are written down
/// unless it is damaged.
fn read_anew(
    folder: &Path,
    first: u64,
    behind: Option<u64>,
) -> Result<(Closed, Vec<Seen>, Option<Damage>), Error> {
    let (closed, seen, damage) = inspect(folder, first, behind)?;
    if damage.is_none() {
        ids::write(folder, closed, &seen);
    }
    Ok((closed, seen, damage))
}

/// Reads a closed segment. `behind` is the first offset of the segment after it.
fn inspect(
    folder: &Path,
    first: u64,
    behind: Option<u64>,
) -> Result<(Closed, Vec<Seen>, Option<Damage>), Error> {
    let unknown = Closed { first, newest: UNKNOWN };
    if segment::path(folder, first).exists() && segment::header(folder, first)?.is_none() {
        return Ok((unknown, Vec::new(), Some(Damage { at: 0 })));
    }
    let Some(mut reader) = SegmentReader::open(folder, first)? else {
        return Ok((Closed { first, newest: 0 }, Vec::new(), None));
    };
    let scan = scan(&mut reader, None)?;
    let follows = || match behind {
        Some(behind) if behind > scan.next => segment::header(folder, behind),
        _ => Ok(None),
    };
    let cut_off = scan.end == reader.length()? && follows()?.is_some_and(|header| header.before == first);
    if cut_off || scan.end < reader.length()? {
        return Ok((unknown, scan.seen, Some(scan.damage.unwrap_or(Damage { at: scan.end }))));
    }
    let newest = scan.seen.iter().map(|seen| seen.second()).max().unwrap_or_default();
    Ok((Closed { first, newest }, scan.seen, None))
}

struct Scan {
    /// The byte after the last whole frame, and the offset there.
    end: u64,
    next: u64,
    seen: Vec<Seen>,
    /// Damage before the end: `next` is then after all that ever was.
    damage: Option<Damage>,
}

/// Reads a segment from its start to its last whole frame. What cannot be read is damage
/// if it lies before `durable`, or before another frame: the next one is written only when
/// those before it are durable.
fn scan(reader: &mut SegmentReader, durable: Option<End>) -> Result<Scan, Error> {
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
    let acknowledged = durable.filter(|durable| durable.bytes > end);
    if acknowledged.is_none() && behind.is_none() {
        return Ok(Scan { end, next, seen, damage: None });
    }
    let behind = behind.map(|frame| frame.first + u64::from(frame.records));
    let known = [Some(next), behind, acknowledged.map(|end| end.next)].into_iter().flatten().max();
    let unreadable = length.saturating_sub(acknowledged.map_or(end, |end| end.bytes));
    let next = beyond(known.unwrap_or(next), unreadable);
    // Without a failure the file ends too early.
    Ok(Scan { end, next, seen, damage: Some(failed.unwrap_or(Damage { at: end })) })
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
