//! Erases the events of one user.
//!
//! A record keeps its length, its place and its offset; its payload and whatever else
//! names the user become zero bytes, and its checksum is that of what is left. So the
//! ids beside a closed segment, the checkpoints of exports and the end of the log stay
//! true, and a repeated event is still known by its id. Readers skip such records.
//!
//! A segment is written under another name and renamed: a crash leaves the old one or
//! the new one. One that was compressed is so again later.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use tidegate_model::{Error, Event};

use super::failure::{self, Damage};
use super::format::{self, FRAME_HEADER, FrameHeader, SegmentHeader};
use super::segment::{self, SegmentReader};
use super::segment_file::SegmentFile;
use super::{end, scan, users};
use crate::folder;

/// Returns whether an event was erased.
pub(super) fn is_erased(event: &Event) -> bool {
    event.payload.as_str().as_bytes().first() == Some(&format::ERASED)
}

/// Erases the events of a user from the segments in a folder. Returns how many there were.
///
/// The caller keeps others from writing the stream meanwhile.
///
/// # Errors
/// A segment that is damaged or cannot be rewritten, after all others were: events after the damage
/// stay.
pub(super) fn erase(folder: &Path, user: &Named) -> Result<u64, Error> {
    let mut count = 0;
    let mut failed = None;
    let firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
    for (index, &first) in firsts.iter().enumerate() {
        match erase_in(folder, first, firsts.get(index + 1).copied(), user) {
            Ok(erased) => count += erased,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(count), Err)
}

/// Erases the events of a user from one segment. `behind` is the first offset of the segment after it.
fn erase_in(folder: &Path, first: u64, behind: Option<u64>, user: &Named) -> Result<u64, Error> {
    let path = segment::path(folder, first);
    let mut old = Vec::new();
    SegmentFile::open(&path)
        .and_then(|mut file| file.read_to_end(&mut old))
        .map_err(|cause| failure::reading(cause, &path))?;
    let Rewritten { bytes, erased, whole } = rewritten(&old.into(), user);
    let is_whole = whole.is_some_and(|next| behind.is_none_or(|behind| behind == next));
    // Before the segment is written, for a damaged block of a compressed one is lost by that.
    let damage = if is_whole { Ok(None) } else { damage(folder, first, behind) };
    if bytes.is_some() || !matches!(damage, Ok(None)) {
        // Before the segment: it has the user. It is made again once the stream is opened.
        users::remove(folder, first).map_err(|cause| failure::writing(cause, &path))?;
    }
    if let Some(bytes) = bytes {
        replace(&path, &bytes).map_err(|cause| failure::writing(cause, &path))?;
    }
    damage?.map_or(Ok(erased), |damage| Err(damage.of(&path)))
}

/// Returns where a segment is damaged that could not be read as a whole. `None` if it is the last one
/// and ends with a write that was not finished: that was never acknowledged, and is cut off when the
/// stream is opened; or if the segments between it and the next one were moved away.
fn damage(folder: &Path, first: u64, behind: Option<u64>) -> Result<Option<Damage>, Error> {
    if behind.is_some() {
        return Ok(scan::inspect(folder, first, behind)?.2);
    }
    if segment::header(folder, first)?.is_none() {
        return Ok(Some(Damage { at: 0 }));
    }
    let Some(mut reader) = SegmentReader::open(folder, first)? else { return Ok(None) };
    let log = reader.header().lineage.id;
    let durable = end::read(folder).filter(|end| end.segment == first && end.log == log);
    let scan = scan::scan(&mut reader, durable)?;
    // Only a segment that was closed is compressed.
    let is_cut_off = !reader.is_packed() || scan.end == reader.length()?;
    Ok(scan.damage.or((!is_cut_off).then_some(Damage { at: scan.end })))
}

struct Rewritten {
    /// The new segment; `None` if the old one names no such user.
    bytes: Option<Vec<u8>>,
    /// Events in whole frames.
    erased: u64,
    /// The offset behind the last event, if the segment consists of whole frames.
    whole: Option<u64>,
}

fn rewritten(old: &Bytes, user: &Named) -> Rewritten {
    let mut new: Option<Vec<u8>> = None;
    let mut erased = 0;
    let Some((header, mut at)) = SegmentHeader::decode(old) else {
        return Rewritten { bytes: None, erased, whole: None };
    };
    let mut next = header.first;
    while let Some(frame) = FrameHeader::decode(&old[at..]) {
        at += FRAME_HEADER;
        let mut erased_here = 0;
        for _ in 0..frame.records {
            let Ok((event, length)) = format::read_record(old, at) else {
                return Rewritten { bytes: new, erased, whole: None };
            };
            if !is_erased(&event) && user.is_named_by(&event) {
                let new = new.get_or_insert_with(|| old.to_vec());
                format::blank_record(&mut new[at..at + length], &event, user.text());
                erased_here += 1;
            }
            at += length;
        }
        erased += erased_here;
        next = frame.first + u64::from(frame.records);
    }
    Rewritten { bytes: new, erased, whole: (at == old.len()).then_some(next) }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("log.tmp");
    let mut file = folder::create_file(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), folder::sync)
}

/// A user, as events name one.
pub(super) struct Named {
    user: String,
    /// As it is in JSON.
    escaped: String,
}

impl Named {
    pub(super) fn new(user: &str) -> Named {
        let quoted = serde_json::Value::from(user).to_string();
        let escaped = quoted.trim_start_matches('"').trim_end_matches('"').to_owned();
        Named { user: user.to_owned(), escaped }
    }

    fn text(&self) -> &str {
        &self.user
    }

    /// Returns whether an event is of this user, or has the user's id as a value or a name.
    fn is_named_by(&self, event: &Event) -> bool {
        let payload = event.payload.as_str();
        if *event.user == *self.user {
            return true;
        }
        // Only a payload with escapes may write the id in another way.
        if !payload.contains(&self.escaped) && !payload.contains("\\u") && !payload.contains("\\/") {
            return false;
        }
        match serde_json::from_str(payload) {
            Ok(value) => self.is_in(&value),
            Err(_) => payload.contains(&self.escaped),
        }
    }

    fn is_in(&self, value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => *text == self.user,
            serde_json::Value::Number(number) => number.to_string() == self.user,
            serde_json::Value::Array(items) => items.iter().any(|item| self.is_in(item)),
            serde_json::Value::Object(members) => {
                members.iter().any(|(name, member)| *name == self.user || self.is_in(member))
            }
            serde_json::Value::Null | serde_json::Value::Bool(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tidegate_model::{Json, Text};

    use super::*;
    use crate::log::lineage::Lineage;
    use crate::log::packed;

    fn event(user: &str, payload: &str) -> Event {
        Event {
            id: Text::from("e1"),
            kind: Text::from("order.placed"),
            at: Timestamp::UNIX_EPOCH,
            user: Text::from(user),
            app: Text::new(),
            message: Text::new(),
            template: Text::new(),
            payload: Json::trusted(payload),
        }
    }

    #[test]
    fn an_event_names_its_user_and_those_whose_id_is_one_of_its_values_or_names() {
        let ann = Named::new("ann/1");
        for named in [
            event("ann/1", "{}"),
            event("", r#"{"a":[{"external_id":"ann/1"}]}"#),
            event("", r#"{"a":"ann\/1"}"#),
            event("", r#"{"a":"\u0061nn/1"}"#),
            event("", r#"{"ann/1":1}"#),
        ] {
            assert!(ann.is_named_by(&named), "{named:?}");
        }
        for other in [event("bob", "{}"), event("", r#"{"a":"ann/11","b":"to ann/1"}"#)] {
            assert!(!ann.is_named_by(&other), "{other:?}");
        }
        assert!(Named::new("42").is_named_by(&event("", r#"{"user_id":42}"#)));
    }

    /// Adds a frame of one event of the user to a segment.
    fn add(segment: &mut Vec<u8>, first: u64, payload: &str) {
        let mut record = Vec::new();
        format::write_record(&event("ann", payload), &mut record);
        let bytes = record.len() as u32;
        let frame = FrameHeader { first, logged_at: Timestamp::UNIX_EPOCH, records: 1, bytes };
        segment.extend_from_slice(&frame.encode());
        segment.extend_from_slice(&record);
    }

    #[test]
    fn a_damaged_block_that_begins_with_a_frame_is_reported() {
        /// Bytes of a block of a packed segment.
        const BLOCK: usize = 1024 * 1024;
        let folder = tempfile::tempdir().expect("folder");
        let header = |first, before, lineage: &Lineage| {
            SegmentHeader { first, before, lineage: lineage.clone(), stream: "shop".to_owned() }.encode()
        };
        let lineage = Lineage::begin();
        let empty = {
            let mut segment = header(0, 0, &lineage);
            add(&mut segment, 0, "");
            segment.len()
        };
        let mut segment = header(0, 0, &lineage);
        add(&mut segment, 0, &" ".repeat(BLOCK - empty));
        assert_eq!(segment.len(), BLOCK);
        add(&mut segment, 1, r#"{"n":1}"#);
        let mut file = folder::create_file(&segment::path(folder.path(), 0)).expect("made");
        assert!(packed::pack(&mut &segment[..], &mut file, || true).expect("packed"));
        let user = Named::new("ann");
        let path = segment::path(folder.path(), 0);
        let mut bytes = fs::read(&path).expect("read");
        *bytes.last_mut().expect("bytes") ^= 1;

        for has_another in [false, true] {
            fs::write(&path, &bytes).expect("damaged");
            if has_another {
                fs::write(segment::path(folder.path(), 2), header(2, 0, &lineage)).expect("written");
            }
            let error = erase(folder.path(), &user).expect_err("damaged");
            assert!(error.message().contains(&format!("damaged at byte {BLOCK}")), "{error}");
        }
    }

    #[test]
    fn an_erased_record_keeps_its_length_and_can_be_read() {
        let before = event("ann", r#"{"user":"ann","id":"e1"}"#);
        let mut record = Vec::new();
        format::write_record(&before, &mut record);
        let length = record.len();

        format::blank_record(&mut record, &before, "ann");

        assert!(!record.windows(3).any(|window| window == b"ann"));
        let block = Bytes::from(record);
        let Ok((after, read)) = format::read_record(&block, 0) else { panic!("unreadable") };
        assert_eq!((read, &after.id, &after.kind, after.at), (length, &before.id, &before.kind, before.at));
        assert!(is_erased(&after) && !is_erased(&before));
    }
}
