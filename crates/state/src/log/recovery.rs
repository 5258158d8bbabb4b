//! Recovery of a stream's folder when it is opened.

use std::fs;
use std::path::Path;

use tidegate_model::{Error, ErrorKind, LogId};
use tracing::warn;

use super::config::WriterConfig;
use super::dedup::{DedupIndex, Runs, Seen};
use super::disk::DiskFile;
use super::end::{self, End};
use super::failure::{self, Damage};
use super::ids::{self, Closed};
use super::lineage::Lineage;
use super::scan::{Scan, UNKNOWN, beyond, inspect, read_anew, scan};
use super::seconds::second;
use super::segment::{self, SegmentReader};
use super::segment_file::SegmentFile;

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
    let folder = &config.folder;
    let end = end::read(folder);
    let mut firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
    let last = firsts.pop();
    let mut recovery = Recovery::begin(config, runs);
    for (at, &first) in firsts.iter().enumerate() {
        recovery.closed_segment(first, firsts.get(at + 1).copied().or(last))?;
    }
    match last {
        Some(last) => recovery.last_segment(last, end),
        None => {
            let about = About { lineage: Lineage::begin(), exists: false, damage: None };
            Ok(recovery.ended(None, 0, about))
        }
    }
}

/// A stream that is being recovered, segment by segment.
struct Recovery<'a> {
    config: &'a WriterConfig,
    /// The offset that the files of ids reach.
    covered: u64,
    /// The second from which ids count.
    since: u32,
    closed: Vec<Closed>,
    dedup: DedupIndex,
    /// The first damage.
    damage: Option<String>,
}

impl Recovery<'_> {
    fn begin(config: &WriterConfig, runs: Runs) -> Recovery<'_> {
        let since = second(config.clock.now()).saturating_sub(config.dedup.window_seconds);
        let covered = runs.end();
        let dedup = DedupIndex::new(config.folder.clone(), config.dedup.clone(), runs);
        Recovery { config, covered, since, closed: Vec::new(), dedup, damage: None }
    }

    /// Takes a segment that is no longer written. `behind` is the first offset of the one after it.
    fn closed_segment(&mut self, first: u64, behind: Option<u64>) -> Result<(), Error> {
        let folder = &self.config.folder;
        let needed = if behind.unwrap_or(u64::MAX) <= self.covered { UNKNOWN } else { self.since };
        let (known, seen) = match ids::read(folder, first, needed) {
            Some(found) => found,
            None => {
                let (known, seen, damage) = read_anew(folder, first, behind)?;
                if let Some(damage) = damage {
                    let file = segment::path(folder, first);
                    warn!(file = %file.display(), byte = damage.at, "a segment of the event log is damaged");
                    self.damage.get_or_insert_with(|| message(damage, &file));
                }
                (known, seen)
            }
        };
        self.closed.push(known);
        self.restore(first, &seen);
        Ok(())
    }

    /// Remembers those of a segment's events that no file of ids covers.
    fn restore(&mut self, first: u64, seen: &[Seen]) {
        let known = usize::try_from(self.covered.saturating_sub(first)).unwrap_or(usize::MAX);
        for &seen in seen.iter().skip(known).filter(|seen| seen.second() >= self.since) {
            self.dedup.restore(seen);
        }
    }

    /// Takes the segment that was written last, and opens it to write on if it can be.
    fn last_segment(mut self, last: u64, end: Option<End>) -> Result<Recovered, Error> {
        let WriterConfig { stream, folder, .. } = self.config;
        let path = segment::path(folder, last);
        if segment::header(folder, last)?.is_none() {
            warn_of_another(Damage { at: 0 }, &path);
            self.closed.push(Closed { first: last, newest: UNKNOWN });
            let (next, about) = headless(folder, last, end)?;
            return Ok(self.ended(None, next, about));
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
        self.restore(last, &scan.seen);
        let mut about = About { lineage, exists: true, damage: self.damage.take() };
        if let Some(damage) = scan.damage {
            warn_of_another(damage, &path);
            about.damage.get_or_insert_with(|| message(damage, &path));
            self.closed.push(Closed { first: last, newest: UNKNOWN });
            return Ok(self.ended(None, scan.next, about));
        }
        if reader.is_packed() {
            // The segments behind it are gone, as in an older copy: what comes goes to a new one.
            let newest = scan.seen.iter().map(|seen| seen.second()).max().unwrap_or_default();
            self.closed.push(Closed { first: last, newest });
            return Ok(self.ended(None, scan.next, about));
        }
        let next = scan.next;
        let active = self.written_on(last, scan, reader.length()?)?;
        Ok(self.ended(Some(active), next, about))
    }

    /// Opens a whole segment to write on, without what was not finished.
    fn written_on(&self, first: u64, scan: Scan, length: u64) -> Result<Active, Error> {
        let WriterConfig { folder, disk, .. } = self.config;
        let path = segment::path(folder, first);
        let failed = |cause| failure::writing(cause, &path);
        let mut file = disk.open(&path).map_err(failed)?;
        let torn = length - scan.end;
        if torn > 0 {
            warn!(file = %path.display(), byte = scan.end, bytes = torn, "cut an unfinished write off the event log");
            file.cut(scan.end).map_err(failed)?;
        }
        // A process that was killed may have written what no disk has seen yet.
        file.sync().and_then(|()| crate::folder::sync(folder)).map_err(failed)?;
        Ok(Active { file, first, end: scan.end, seen: scan.seen })
    }

    fn ended(self, active: Option<Active>, next: u64, about: About) -> Recovered {
        Recovered { closed: self.closed, active, next, dedup: self.dedup, about }
    }
}

fn warn_of_another(damage: Damage, file: &Path) {
    let (file, byte) = (file.display(), damage.at);
    warn!(%file, byte, "a segment of the event log is damaged, new events go to another");
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

/// Removes what a dead process left half made.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "tmp") {
            // It is written over anyway.
            let _ = fs::remove_file(entry.path());
        }
    }
}
