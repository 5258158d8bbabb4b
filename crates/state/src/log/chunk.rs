//! What one append brings, as the bytes that it will be on the disk.

use tidegate_model::Event;

use super::dedup::Id;
use super::format;

/// The events of one append, encoded.
///
/// Each appender makes its own, where the texts are still in the cache of its core and beside
/// the others; what is left to the one thread that writes is to look up ids. No record knows its
/// offset, so nothing in it has to wait for its turn.
pub(super) struct Chunk {
    records: Vec<u8>,
    ids: Vec<Id>,
}

impl Chunk {
    /// Encodes events; `bytes` is their estimated size together.
    pub(super) fn of(events: &[Event], bytes: usize) -> Chunk {
        let mut records = Vec::with_capacity(bytes);
        let ids = events.iter().map(|event| {
            format::write_record(event, &mut records);
            Id::of(&event.id)
        });
        let ids = ids.collect();
        Chunk { records, ids }
    }

    /// The ids of its events, in order.
    pub(super) fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// The records of the events that are `wanted`, which is asked about each in order.
    pub(super) fn into_records(self, wanted: impl FnMut(Id) -> bool) -> Vec<u8> {
        let wanted: Vec<bool> = self.ids.iter().copied().map(wanted).collect();
        // Repetitions are rare, so the bytes are usually taken as they are.
        if wanted.iter().all(|&wanted| wanted) {
            return self.records;
        }
        let mut kept = Vec::new();
        let mut rest = &self.records[..];
        for wanted in wanted {
            let (record, behind) = rest.split_at(format::record_bytes(rest));
            if wanted {
                kept.extend_from_slice(record);
            }
            rest = behind;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidegate_testkit::event_log::events;

    use super::*;

    #[test]
    fn any_of_its_events_can_be_left_out() {
        for out in 0..1 << 4_u32 {
            let mut at = 0;
            let mut wanted = Vec::new();
            let chunk = Chunk::of(&events(0, 4), 0);
            let records = chunk.into_records(|_| {
                let keep = out & (1 << at) == 0;
                wanted.extend(keep.then(|| events(at, at + 1)).into_iter().flatten());
                at += 1;
                keep
            });

            let (block, mut found, mut at) = (Bytes::from(records), Vec::new(), 0);
            while at < block.len() {
                let Ok((event, bytes)) = format::read_record(&block, at) else { panic!("unreadable") };
                found.push(event);
                at += bytes;
            }
            assert_eq!(found, wanted);
        }
    }
}
