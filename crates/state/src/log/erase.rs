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
use super::segment;
use super::segment_file::SegmentFile;
use super::users;
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
/// A damaged segment, after all others were rewritten: events after the damage stay.
pub(super) fn erase(folder: &Path, user: &Named) -> Result<u64, Error> {
    let mut count = 0;
    let mut damaged = None;
    for first in segment::list(folder).map_err(|cause| failure::reading(cause, folder))? {
        let path = segment::path(folder, first);
        let mut old = Vec::new();
        SegmentFile::open(&path)
            .and_then(|mut file| file.read_to_end(&mut old))
            .map_err(|cause| failure::reading(cause, &path))?;
        let Rewritten { bytes, erased, damage } = rewritten(&old.into(), user);
        if bytes.is_some() || damage.is_some() {
            // Before the segment: it has the user. It is made again once the stream is opened.
            users::remove(folder, first).map_err(|cause| failure::writing(cause, &path))?;
        }
        if let Some(bytes) = bytes {
            replace(&path, &bytes).map_err(|cause| failure::writing(cause, &path))?;
            count += erased;
        }
        damaged = damaged.or(damage.map(|damage| damage.of(&path)));
    }
    damaged.map_or(Ok(count), Err)
}

struct Rewritten {
    /// The new segment; `None` if the old one names no such user.
    bytes: Option<Vec<u8>>,
    erased: u64,
    damage: Option<Damage>,
}

fn rewritten(old: &Bytes, user: &Named) -> Rewritten {
    let mut new: Option<Vec<u8>> = None;
    let mut erased = 0;
    let Some((_, mut at)) = SegmentHeader::decode(old) else {
        return Rewritten { bytes: None, erased, damage: Some(Damage { at: 0 }) };
    };
    // What follows the last whole frame was never acknowledged, and is cut off when the
    // stream is opened.
    while let Some(frame) = FrameHeader::decode(&old[at..]) {
        at += FRAME_HEADER;
        for _ in 0..frame.records {
            let Ok((event, length)) = format::read_record(old, at) else {
                return Rewritten { bytes: new, erased, damage: Some(Damage { at: at as u64 }) };
            };
            if !is_erased(&event) && user.is_named_by(&event) {
                let new = new.get_or_insert_with(|| old.to_vec());
                format::blank_record(&mut new[at..at + length], &event, user.text());
                erased += 1;
            }
            at += length;
        }
    }
    Rewritten { bytes: new, erased, damage: None }
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
