//! Where reading a partition begins.

use std::collections::HashMap;

use rdkafka::topic_partition_list::Offset;
use tidegate_model::Error;

use crate::look::{Edges, Look};
use crate::progress::{Part, Progress, name_of};
use crate::selection::Start;

/// What decides where reading begins.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    /// Whether the group's committed offsets count.
    pub(crate) committed: bool,
    /// Where to begin without any place.
    pub(crate) start: Start,
}

/// Where reading one partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The partition.
    pub(crate) part: Part,
    /// The first offset wanted.
    pub(crate) from: i64,
    /// The offset that the group need not be told: it committed it, or would
    /// begin there again.
    pub(crate) committed: Option<i64>,
}

impl Beginning {
    /// Finds the first offset of each partition: the higher one of what the
    /// group committed and what a checkpoint says, else what `start` says.
    ///
    /// # Errors
    /// Brokers do not tell.
    pub(crate) fn openings(
        &self,
        look: &Look<'_>,
        parts: &[Part],
        known: &Progress,
    ) -> Result<Vec<Opening>, Error> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let edges = look.edges(parts)?;
        let committed = if self.committed { look.committed(parts)? } else { HashMap::new() };
        let since = match &self.start {
            Start::Timestamp(at) => look.at_time(parts, Offset::Offset(at.as_millisecond().max(0)))?,
            _ => HashMap::new(),
        };
        let opening = |part: &Part| {
            let edges = edges.get(part).copied().unwrap_or_default();
            let committed = committed.get(part).copied().flatten();
            let known = known.get(part).map(|place| place.next);
            match place(part, edges, committed, known) {
                Some(from) => Opening { part: part.clone(), from, committed },
                None => {
                    let from = self.start_of(part, edges, since.get(part).copied().flatten());
                    let committed = self.is_steady().then_some(from);
                    Opening { part: part.clone(), from, committed }
                }
            }
        };
        Ok(parts.iter().map(opening).collect())
    }

    /// Whether `start` means the same place tomorrow. Where it does not, the
    /// group commits it at once: else a restart before the first message is
    /// settled would pass over those that came meanwhile.
    fn is_steady(&self) -> bool {
        matches!(self.start, Start::Earliest | Start::Offsets(_))
    }

    fn start_of(&self, part: &Part, edges: Edges, since: Option<i64>) -> i64 {
        match &self.start {
            Start::Earliest => edges.low,
            Start::Latest => edges.end,
            Start::Timestamp(_) => since.unwrap_or(edges.end),
            Start::Offsets(offsets) => {
                let wanted = offsets.get(&*part.0).and_then(|offsets| offsets.get(&part.1));
                wanted.map_or(edges.low, |wanted| (*wanted).clamp(edges.low, edges.end))
            }
        }
    }
}

/// The place that is known of a partition, if any.
fn place(part: &Part, edges: Edges, committed: Option<i64>, known: Option<i64>) -> Option<i64> {
    // A topic that was made anew counts from zero again: a checkpoint beyond its end is of the old one.
    let known = known.filter(|known| *known <= edges.end);
    let place = committed.max(known)?;
    if place < edges.low {
        tracing::warn!(
            partition = name_of(part),
            messages = edges.low - place,
            "the topic's retention removed messages before they were read"
        );
    }
    Some(place.max(edges.low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_of_commit_and_checkpoint_counts() {
        let (part, edges) = (("t".into(), 0), Edges { low: 3, end: 10 });
        assert_eq!(place(&part, edges, None, None), None);
        assert_eq!(place(&part, edges, Some(5), None), Some(5));
        assert_eq!(place(&part, edges, Some(5), Some(7)), Some(7));
        assert_eq!(place(&part, edges, Some(7), Some(5)), Some(7));
        assert_eq!(place(&part, edges, None, Some(7)), Some(7));
    }

    #[test]
    fn a_checkpoint_of_a_topic_that_was_made_anew_is_passed_over() {
        let (part, edges) = (("t".into(), 0), Edges { low: 0, end: 10 });
        assert_eq!(place(&part, edges, Some(5), Some(11)), Some(5));
        assert_eq!(place(&part, edges, None, Some(11)), None);
    }

    #[test]
    fn what_retention_removed_is_not_waited_for() {
        let (part, edges) = (("t".into(), 0), Edges { low: 3, end: 10 });
        assert_eq!(place(&part, edges, Some(1), None), Some(3));
    }
}
