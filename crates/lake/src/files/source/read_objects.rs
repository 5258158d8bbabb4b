//! Which objects of a store were read: a part of the checkpoint that does not grow with the store.
//!
//! A store lists names in their order, however many there are. A run walks along them and reads what
//! it does not know. Objects that were changed long before a complete walk began are known by that
//! alone; younger ones by a hash each. The day in between is for objects whose time lies before
//! their appearance: an upload in several parts has the time of its beginning.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_model::{RowHash, Value};

use super::listing::Found;

const HOUR_US: i64 = 3_600 * 1_000_000;
/// How long after its time an object may appear.
const LATE_US: i64 = 24 * HOUR_US;

/// The objects that were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadObjects {
    /// Objects that were changed before are read, in microseconds.
    until_us: i64,
    /// Those that were changed later, by the hour of the change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    recent: BTreeMap<i64, Hashes>,
    /// The walk that has not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walk: Option<Unfinished>,
}

/// A walk that was begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Unfinished {
    began_us: i64,
    /// Objects up to this name are read.
    after: String,
}

/// Hashes of name, time and content: eight bytes for each object.
#[derive(Clone, Debug, Default, PartialEq)]
struct Hashes(BTreeSet<u64>);

impl Default for ReadObjects {
    fn default() -> ReadObjects {
        ReadObjects { until_us: i64::MIN, recent: BTreeMap::new(), walk: None }
    }
}

impl ReadObjects {
    /// Begins a walk, or continues the one that has not come to its end. Returns the name after
    /// which objects are listed, empty for the first, and whether it is continued.
    pub fn begin(&mut self, now_us: i64) -> (String, bool) {
        match &self.walk {
            Some(walk) => (walk.after.clone(), true),
            None => {
                self.walk = Some(Unfinished { began_us: now_us, after: String::new() });
                (String::new(), false)
            }
        }
    }

    /// Returns whether an object was read as it is now.
    pub fn has(&self, found: &Found) -> bool {
        let hour = found.modified_us.div_euclid(HOUR_US);
        found.modified_us < self.until_us
            || self.recent.get(&hour).is_some_and(|hashes| hashes.0.contains(&hash(found)))
    }

    /// Notes that the walk has passed an object, and that it is read.
    pub fn pass(&mut self, found: &Found) {
        let Some(walk) = &mut self.walk else { return };
        found.name.clone_into(&mut walk.after);
        if found.modified_us >= end_of(walk.began_us) {
            let hour = found.modified_us.div_euclid(HOUR_US);
            self.recent.entry(hour).or_default().0.insert(hash(found));
        }
    }

    /// Notes that the walk has come to its end.
    pub fn finish(&mut self) {
        let Some(walk) = self.walk.take() else { return };
        self.until_us = self.until_us.max(end_of(walk.began_us));
        self.recent = self.recent.split_off(&self.until_us.div_euclid(HOUR_US));
    }

    /// Returns whether no object is known that was not known before.
    pub fn knows_no_more_than(&self, before: &ReadObjects) -> bool {
        self.recent.iter().all(|(hour, hashes)| before.recent.get(hour).is_some_and(|known| known == hashes))
            && self.until_us.saturating_sub(before.until_us) < LATE_US
    }
}

/// The end of what is known without a hash after a walk that began then: a whole hour.
fn end_of(began_us: i64) -> i64 {
    began_us.saturating_sub(LATE_US).div_euclid(HOUR_US).saturating_mul(HOUR_US)
}

fn hash(found: &Found) -> u64 {
    let tag = found.tag.clone().unwrap_or_default();
    let values =
        [Value::Text(found.name.clone().into()), Value::Int(found.modified_us), Value::Text(tag.into())];
    // The upper half: the lowest bits of a row's hash are marks elsewhere.
    (RowHash::of_values(&values, &mut Vec::new()).0 >> 64) as u64
}

impl Serialize for Hashes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        serializer.serialize_str(&tidegate_model::json::base64(&bytes))
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hashes, D::Error> {
        use base64::Engine as _;

        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        let bytes = bytes.map_err(|_| serde::de::Error::custom("expected hashes in base64"))?;
        let (hashes, rest) = bytes.as_chunks::<8>();
        match rest.is_empty() {
            true => Ok(Hashes(hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect())),
            false => Err(serde::de::Error::custom("expected hashes of eight bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, modified_us: i64) -> Found {
        Found { name: name.to_owned(), modified_us, ..Found::default() }
    }

    const NOW: i64 = 1_772_366_400_000_000;

    #[test]
    fn a_million_old_objects_take_no_room_after_a_walk() {
        let mut read = ReadObjects::default();
        read.begin(NOW);
        for number in 0..1_000_000 {
            read.pass(&found(&format!("old-{number:07}"), NOW - 2 * LATE_US + number));
        }
        let young = found("young", NOW - HOUR_US);
        read.pass(&young);
        read.finish();

        assert!(read.has(&found("old-0000007", NOW - 2 * LATE_US + 7)) && read.has(&young));
        assert!(!read.has(&found("other", NOW - HOUR_US)) && !read.has(&found("young", NOW)));
        let stored = serde_json::to_string(&read).expect("JSON");
        assert!(stored.len() < 100, "{stored}");
        assert_eq!(serde_json::from_str::<ReadObjects>(&stored).expect("read"), read);
    }

    #[test]
    fn a_walk_that_was_interrupted_continues_behind_the_last_object() {
        let mut read = ReadObjects::default();
        assert_eq!(read.begin(NOW), (String::new(), false));
        read.pass(&found("a", NOW - 3 * LATE_US));
        let stored = serde_json::to_value(&read).expect("JSON");

        let mut again: ReadObjects = serde_json::from_value(stored).expect("read");

        assert_eq!(again.begin(NOW + HOUR_US), ("a".to_owned(), true));
        again.finish();
        assert!(again.walk.is_none());
        // What came in behind the walk is found by the next one.
        assert!(!again.has(&found("0", NOW + 1)));
    }

    #[test]
    fn hashes_are_forgotten_when_their_day_is_over_and_no_object_is_read_twice() {
        let (mut read, object) = (ReadObjects::default(), found("a", NOW - 1));
        for hours in 0..72 {
            read.begin(NOW + hours * HOUR_US);
            assert_eq!(read.has(&object), hours > 0, "after {hours} hours");
            read.pass(&object);
            read.finish();
        }
        assert!(read.recent.is_empty(), "{read:?}");
    }
}
