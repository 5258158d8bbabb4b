//! How far a sync has come, partition by partition.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error, Text};

/// A partition of a topic.
pub(crate) type Part = (Text, i32);

/// The partition as people write it: `orders[3]`.
pub(crate) fn name_of(part: &Part) -> String {
    format!("{}[{}]", part.0, part.1)
}

/// What a checkpoint holds.
///
/// The group's committed offsets are the truth that all processes share. This
/// guards against a commit that was lost: a partition is read from the higher
/// of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    kafka: BTreeMap<Text, BTreeMap<i32, Place>>,
}

/// How far one partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The offset behind the last message.
    pub(crate) next: i64,
    /// When the last message was made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen_ms: Option<i64>,
    /// The minute of reading that `count` belongs to, since 1970.
    #[serde(default)]
    minute: i64,
    /// Messages read in that minute.
    #[serde(default)]
    count: u64,
    /// Messages read in the minute before.
    #[serde(default)]
    before: u64,
}

impl Progress {
    /// What a checkpoint says; nothing where there is none.
    ///
    /// # Errors
    /// A checkpoint that is none of Kafka's.
    pub(crate) fn of(checkpoint: Option<&Checkpoint>) -> Result<Progress, Error> {
        let Some(checkpoint) = checkpoint else { return Ok(Progress::default()) };
        let foreign = || {
            Error::settings("the stored place of this sync is not one in topics")
                .hint("the sync had another source before: reset it, and it begins where its group stands")
        };
        let progress = Progress::deserialize(&checkpoint.0).map_err(|cause| foreign().caused_by(cause))?;
        let possible = progress.places().all(|((_, partition), place)| partition >= 0 && place.next >= 0);
        if possible { Ok(progress) } else { Err(foreign()) }
    }

    /// The checkpoint that says it.
    ///
    /// # Errors
    /// None that can be named: text and numbers have a JSON form.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let value = serde_json::to_value(self)
            .map_err(|cause| Error::internal("writing the place of a sync").caused_by(cause))?;
        Ok(Checkpoint(value))
    }

    /// Where a partition stands.
    pub(crate) fn get(&self, part: &Part) -> Option<&Place> {
        self.kafka.get(&part.0)?.get(&part.1)
    }

    /// Every partition and where it stands.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Part, &Place)> {
        self.kafka.iter().flat_map(|(topic, places)| {
            places.iter().map(|(partition, place)| ((topic.clone(), *partition), place))
        })
    }

    /// Moves a partition on by `count` messages, the last of them made at `seen`.
    pub(crate) fn advance(
        &mut self,
        part: &Part,
        next: i64,
        count: u64,
        seen: Option<Timestamp>,
        now: Timestamp,
    ) {
        let place = self.kafka.entry(part.0.clone()).or_default().entry(part.1).or_default();
        let minute = now.as_second().div_euclid(60);
        if minute != place.minute {
            place.before = if minute == place.minute.saturating_add(1) { place.count } else { 0 };
            place.count = 0;
            place.minute = minute;
        }
        place.count = place.count.saturating_add(count);
        place.next = next;
        place.seen_ms = seen.map(Timestamp::as_millisecond).or(place.seen_ms);
    }
}

impl Place {
    /// When the last message was made.
    pub(crate) fn seen(&self) -> Option<Timestamp> {
        self.seen_ms.and_then(|at| Timestamp::from_millisecond(at).ok())
    }

    /// Messages in the last full minute before `now`.
    pub(crate) fn per_minute(&self, now: Timestamp) -> u64 {
        match now.as_second().div_euclid(60).checked_sub(self.minute) {
            Some(0) => self.before,
            Some(1) => self.count,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_checkpoint_says_what_was_read() {
        let (part, at) = (("orders".into(), 3), Timestamp::from_second(600).expect("a time"));
        let mut progress = Progress::default();

        progress.advance(&part, 10, 10, Some(at), at);
        progress.advance(&part, 12, 2, None, at);

        let checkpoint = progress.checkpoint().expect("JSON");
        let read = Progress::of(Some(&checkpoint)).expect("ours");
        assert_eq!(read, progress);
        let place = read.get(&part).expect("a place");
        assert_eq!((place.next, place.seen()), (12, Some(at)));
    }

    #[test]
    fn the_rate_is_that_of_the_last_full_minute() {
        let part = ("orders".into(), 0);
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut progress = Progress::default();
        progress.advance(&part, 5, 5, None, at(60));
        progress.advance(&part, 7, 2, None, at(121));

        let place = progress.get(&part).expect("a place");
        assert_eq!(place.per_minute(at(130)), 5);
        assert_eq!(place.per_minute(at(181)), 2);
        assert_eq!(place.per_minute(at(400)), 0);
    }

    #[test]
    fn what_is_no_place_in_topics_is_refused() {
        for torn in [json!(7), json!({ "files": {} }), json!({ "kafka": { "a": { "0": { "next": -1 } } } })] {
            let error = Progress::of(Some(&Checkpoint(torn))).expect_err("not ours");
            assert_eq!(error.kind(), tidegate_model::ErrorKind::Settings);
        }
    }
}
