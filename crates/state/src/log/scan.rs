//! Reads whole segments: what they hold, and where they are damaged.

use std::path::Path;

use tidegate_model::{Error, LoggedEvent};

use super::dedup::{Id, Seen};
use super::end::End;
use super::failure::Damage;
use super::format::RECORD_MIN;
use super::ids::{self, Closed};
use super::seconds::second;
use super::segment::{self, ReadFailure, SegmentReader};

/// The newest second of a segment that cannot be read.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What a segment holds, as far as it can be read.
pub(super) struct Scan {
    /// The byte after the last whole frame, and the offset there.
    pub(super) end: u64,
    pub(super) next: u64,
    pub(super) seen: Vec<Seen>,
    /// Damage before the end: `next` is then after all that ever was.
    pub(super) damage: Option<Damage>,
}

/// Reads a segment from its start to its last whole frame. What cannot be read is damage
/// if it lies before `durable`, or before another frame: the next one is written only when
/// those before it are durable. In a compressed segment it always is, for only a closed one is compressed.
pub(super) fn scan(reader: &mut SegmentReader, durable: Option<End>) -> Result<Scan, Error> {
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
    let is_closed = failed.is_some() && reader.is_packed();
    if acknowledged.is_none() && behind.is_none() && !is_closed {
        return Ok(Scan { end, next, seen, damage: None });
    }
    let behind = behind.map(|frame| frame.first + u64::from(frame.records));
    let known = [Some(next), behind, acknowledged.map(|end| end.next)].into_iter().flatten().max();
    let unreadable = length.saturating_sub(acknowledged.map_or(end, |end| end.bytes));
    let next = beyond(known.unwrap_or(next), unreadable);
    // Without a failure the file ends too early.
    Ok(Scan { end, next, seen, damage: Some(failed.unwrap_or(Damage { at: end })) })
}

/// An offset that this many bytes after `next`, which cannot be read, have not been given.
pub(super) fn beyond(next: u64, unreadable: u64) -> u64 {
    if unreadable == 0 { next } else { next + unreadable / RECORD_MIN as u64 + 1 }
}

/// The ids of a closed segment that left none, or none to rely on. They are written down
/// unless it is damaged.
pub(super) fn read_anew(
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
pub(super) fn inspect(
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use jiff::Timestamp;
    use tidegate_model::Event;
    use tidegate_testkit::event_log::event;

    use super::*;
    use crate::log::cursor::Cursor;
    use crate::log::format::{self, FrameHeader, SegmentHeader};
    use crate::log::lineage::Lineage;
    use crate::log::packed;
    use crate::log::recovery::read_end;
    use crate::log::segment::Room;

    const EVENTS: u64 = 400;

    /// A segment of some megabytes in frames of ten events.
    fn segment() -> Vec<u8> {
        let (lineage, stream) = (Lineage::begin(), "shop".to_owned());
        let mut out = SegmentHeader { first: 0, before: 0, lineage, stream }.encode();
        for first in (0..EVENTS).step_by(10) {
            let mut records = Vec::new();
            for number in first..first + 10 {
                let text: String =
                    (0..400).map(|at| format!("{:x}", (number * 977 + at) * 2_654_435_761)).collect();
                let payload = tidegate_model::Json::trusted(format!(r#"{{"text":"{text}"}}"#));
                format::write_record(&Event { payload, ..event(&number.to_string()) }, &mut records);
            }
            let (logged_at, bytes) = (Timestamp::UNIX_EPOCH, records.len() as u32);
            out.extend(FrameHeader { first, logged_at, records: 10, bytes }.encode());
            out.extend(records);
        }
        out
    }

    /// What a process that only reads gets of a folder: events, and whether it is told of damage.
    fn read(folder: &Path) -> (usize, u64, bool) {
        let (end, about) = read_end(folder).expect("an end");
        let (mut cursor, mut events) = (Cursor::new(folder.to_owned(), 0), Vec::new());
        let read = cursor.read(end, &mut Room { events: usize::MAX, bytes: usize::MAX }, &mut events);
        assert_eq!(read.is_err(), about.damage.is_some(), "{read:?} {:?}", about.damage);
        (events.len(), end.next, about.damage.is_some())
    }

    #[test]
    fn events_at_the_end_of_a_compressed_last_segment_are_there_or_reported_as_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = segment::path(folder.path(), 0);
        let mut file = File::create(&path).expect("a file");
        assert!(packed::pack(&mut &segment()[..], &mut file, || true).expect("packed"));
        let whole = fs::read(&path).expect("read");
        assert_eq!(read(folder.path()), (EVENTS as usize, EVENTS, false));
        let last = whole.windows(4).rposition(|bytes| bytes == b"\xF5TPB").expect("a block");
        let damaged = (last..last + 28).chain((last..whole.len()).step_by(20_011)).map(|at| {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            damaged
        });
        let cuts = [last - 1, last, last + 1, last + 28, whole.len() - 1].map(|at| whole[..at].to_vec());

        for (case, bytes) in damaged.chain(cuts).enumerate() {
            fs::write(&path, bytes).expect("written");
            let (events, next, is_damaged) = read(folder.path());
            assert!(is_damaged, "case {case}: {events} events");
            assert!(next >= EVENTS, "case {case}: the offset {next} was given before");
        }
    }
}
