//! Events as bytes.
//!
//! A segment file is a header and frames. A frame is what one write made durable:
//! all of it counts or nothing does. Numbers are little-endian; a checksum is CRC-32.
//!
//! ```text
//! segment   magic 8 | version u32 | first offset u64 | first offset of the segment before u64
//!           id of the log u64 | number of earlier ids u32 | each of these: id u64, end u64
//!           name length u32 | stream's name | checksum u32
//! frame     magic 4 | checksum u32 of the rest of this header
//!           first offset u64 | logged at, microseconds, i64 | records u32 | bytes of all records u32
//! record    bytes of the body u32 | checksum u32 of the body
//! body      at: seconds i64, nanoseconds i32
//!           six lengths, seven bits a byte: id, kind, user, app, message, template
//!           these six texts, then the payload up to the end
//! ```
//!
//! The records of a frame have consecutive offsets. The first byte of a frame
//! cannot occur in UTF-8, so no payload can pretend to be one.

use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::{Event, Json, LogId, LoggedEvent, Offset, Text, varint};

use super::lineage::Lineage;

const SEGMENT_MAGIC: &[u8; 8] = b"\xF5TIDELOG";
const VERSION: u32 = 2;
const FRAME_MAGIC: &[u8; 4] = b"\xF5TGF";

/// Bytes of a frame's header.
pub(super) const FRAME_HEADER: usize = 32;
/// Bytes in front of a record's body.
const RECORD_HEADER: usize = 8;
/// The bytes of the shortest record: one of empty texts.
pub(super) const RECORD_MIN: usize = RECORD_HEADER + 12 + 6;
/// What an erased payload consists of: no JSON begins like this.
pub(super) const ERASED: u8 = 0;
/// The longest header of a segment that is looked at.
pub(super) const SEGMENT_HEADER_MAX: usize = 64 * 1024;

/// What a segment says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The offset of its first event.
    pub(super) first: u64,
    /// The first offset of the segment before it; its own if there is none.
    pub(super) before: u64,
    /// The log that its events are of.
    pub(super) lineage: Lineage,
    /// The stream it belongs to.
    pub(super) stream: String,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = SEGMENT_MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        for number in [self.first, self.before, self.lineage.id.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(self.lineage.ancestors.len() as u32).to_le_bytes());
        for (id, end) in &self.lineage.ancestors {
            out.extend_from_slice(&id.0.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
        }
        out.extend_from_slice(&(self.stream.len() as u32).to_le_bytes());
        out.extend_from_slice(self.stream.as_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// The header at the start of a file and its length; `None` if it is damaged.
    pub(super) fn decode(file: &[u8]) -> Option<(SegmentHeader, usize)> {
        let mut rest = file.strip_prefix(SEGMENT_MAGIC)?;
        let version = take_u32(&mut rest)?;
        let (first, before) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        let id = LogId(take_u64(&mut rest)?);
        let mut ancestors = Vec::new();
        for _ in 0..take_u32(&mut rest)? {
            ancestors.push((LogId(take_u64(&mut rest)?), take_u64(&mut rest)?));
        }
        let length = usize::try_from(take_u32(&mut rest)?).ok()?;
        let name = rest.get(..length)?;
        rest = &rest[length..];
        let hashed = file.len() - rest.len();
        let checksum = take_u32(&mut rest)?;
        if version != VERSION || crc32fast::hash(&file[..hashed]) != checksum {
            return None;
        }
        let stream = std::str::from_utf8(name).ok()?.to_owned();
        let lineage = Lineage { id, ancestors };
        Some((SegmentHeader { first, before, lineage, stream }, hashed + 4))
    }
}

/// What a frame says about its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The offset of its first record.
    pub(super) first: u64,
    /// When it was written.
    pub(super) logged_at: Timestamp,
    /// How many records it has; never none.
    pub(super) records: u32,
    /// The bytes of them all.
    pub(super) bytes: u32,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER] {
        let mut out = [0; FRAME_HEADER];
        out[..4].copy_from_slice(FRAME_MAGIC);
        out[8..16].copy_from_slice(&self.first.to_le_bytes());
        out[16..24].copy_from_slice(&self.logged_at.as_microsecond().to_le_bytes());
        out[24..28].copy_from_slice(&self.records.to_le_bytes());
        out[28..32].copy_from_slice(&self.bytes.to_le_bytes());
        let checksum = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`; `None` if it is damaged or cut off.
    pub(super) fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let header = bytes.get(..FRAME_HEADER)?;
        let mut rest = header.strip_prefix(FRAME_MAGIC)?;
        let checksum = take_u32(&mut rest)?;
        if crc32fast::hash(rest) != checksum {
            return None;
        }
        let first = take_u64(&mut rest)?;
        let logged_at = Timestamp::from_microsecond(take_i64(&mut rest)?).ok()?;
        let records = take_u32(&mut rest)?;
        let bytes = take_u32(&mut rest)?;
        (records > 0).then_some(FrameHeader { first, logged_at, records, bytes })
    }

    /// The first whole header after `at`, and where it is.
    pub(super) fn find(bytes: &[u8], at: usize) -> Option<(FrameHeader, usize)> {
        (at..bytes.len().saturating_sub(FRAME_HEADER - 1))
            .find_map(|at| FrameHeader::decode(&bytes[at..]).map(|header| (header, at)))
    }
}

/// Appends a record.
pub(super) fn write_record(event: &Event, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEADER]);
    out.extend_from_slice(&event.at.as_second().to_le_bytes());
    out.extend_from_slice(&event.at.subsec_nanosecond().to_le_bytes());
    let texts = [&event.id, &event.kind, &event.user, &event.app, &event.message, &event.template];
    for text in texts {
        varint::put(text.len() as u64, out);
    }
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(event.payload.as_str().as_bytes());
    let body = &out[start + RECORD_HEADER..];
    let (length, checksum) = (body.len() as u32, crc32fast::hash(body));
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Overwrites a record with zero bytes where it tells of a user: its payload, the user, and
/// each mention of `user` in the other texts. Its length stays, and its checksum is right.
pub(super) fn blank_record(record: &mut [u8], event: &Event, user: &str) {
    let texts = [&event.id, &event.kind, &event.user, &event.app, &event.message, &event.template];
    let payload = record.len() - event.payload.as_str().len();
    record[payload..].fill(ERASED);
    let mut at = payload - texts.iter().map(|text| text.len()).sum::<usize>();
    for text in texts {
        match text == &event.user {
            true => record[at..at + text.len()].fill(0),
            false => {
                for (found, _) in text.match_indices(user).filter(|_| !user.is_empty()) {
                    record[at + found..at + found + user.len()].fill(0);
                }
            }
        }
        at += text.len();
    }
    let checksum = crc32fast::hash(&record[RECORD_HEADER..]);
    record[4..RECORD_HEADER].copy_from_slice(&checksum.to_le_bytes());
}

/// The bytes of the record at the start of `records`, which this process has written.
pub(super) fn record_bytes(mut records: &[u8]) -> usize {
    take_u32(&mut records).map_or(0, |body| RECORD_HEADER + body as usize)
}

/// Why there is no record at a position of a block.
pub(super) enum NoRecord {
    /// The block ends too early: the record has this many bytes.
    Longer(usize),
    /// Nothing was ever written like this.
    Damaged,
}

/// The event at `at` and the bytes of its record; its texts share the block's memory.
pub(super) fn read_record(block: &Bytes, at: usize) -> Result<(Event, usize), NoRecord> {
    let length = body_of(&block[at..])?.len();
    let event = read_body(block, at + RECORD_HEADER, length).ok_or(NoRecord::Damaged)?;
    Ok((event, RECORD_HEADER + length))
}

/// The body of the record at the start of `records`, after its checksum.
fn body_of(records: &[u8]) -> Result<&[u8], NoRecord> {
    let mut rest = records;
    let (Some(length), Some(checksum)) = (take_u32(&mut rest), take_u32(&mut rest)) else {
        return Err(NoRecord::Longer(RECORD_HEADER));
    };
    let length = usize::try_from(length).map_err(|_| NoRecord::Damaged)?;
    let body = rest.get(..length).ok_or(NoRecord::Longer(RECORD_HEADER + length))?;
    if crc32fast::hash(body) != checksum {
        return Err(NoRecord::Damaged);
    }
    Ok(body)
}

/// What a record says of its user.
pub(super) struct RecordUser<'a> {
    /// The user, as the event names one.
    pub(super) user: &'a [u8],
    /// Whether the event was erased.
    pub(super) is_erased: bool,
    /// The bytes of the record.
    pub(super) bytes: usize,
}

/// Reads of the record at the start of `records` only whose it is, after its checksum.
pub(super) fn read_user(records: &[u8]) -> Result<RecordUser<'_>, NoRecord> {
    let body = body_of(records)?;
    let (user, payload) = user_of(body).ok_or(NoRecord::Damaged)?;
    Ok(RecordUser { user, is_erased: payload.first() == Some(&ERASED), bytes: RECORD_HEADER + body.len() })
}

/// The user and the payload of a body.
fn user_of(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = body.get(12..)?;
    let mut lengths = [0; 6];
    for length in &mut lengths {
        *length = take_length(&mut rest)?;
    }
    let [id, kind, user, others @ ..] = lengths;
    let user = id.checked_add(kind).and_then(|start| rest.get(start..)?.get(..user))?;
    let texts =
        others.into_iter().try_fold(id.checked_add(kind)?.checked_add(user.len())?, usize::checked_add)?;
    Some((user, rest.get(texts..)?))
}

fn read_body(block: &Bytes, start: usize, length: usize) -> Option<Event> {
    let mut rest = block.get(start..start + length)?;
    let seconds = take_i64(&mut rest)?;
    let nanoseconds = i32::from_le_bytes(take(&mut rest)?);
    let at = Timestamp::new(seconds, nanoseconds).ok()?;
    let mut lengths = [0; 6];
    for length in &mut lengths {
        *length = take_length(&mut rest)?;
    }
    // Slices of the block; what is empty holds on to nothing.
    let mut text = |length: usize| {
        let (text, behind) = rest.split_at_checked(length)?;
        rest = behind;
        if text.is_empty() { Some(Text::new()) } else { Text::try_from(block.slice_ref(text)).ok() }
    };
    Some(Event {
        id: text(lengths[0])?,
        kind: text(lengths[1])?,
        at,
        user: text(lengths[2])?,
        app: text(lengths[3])?,
        message: text(lengths[4])?,
        template: text(lengths[5])?,
        payload: Json::trusted(Text::try_from(block.slice_ref(rest)).ok()?),
    })
}

/// An event of a frame with its offset.
pub(super) fn logged(event: Event, log: LogId, at: u64, logged_at: Timestamp) -> LoggedEvent {
    LoggedEvent { offset: Offset { log, partition: 0, at }, logged_at, event }
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(varint::take(rest).ok()?).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

pub(super) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

pub(super) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    take(rest).map(i64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(texts: &[String; 6], payload: &str, at: Timestamp) -> Event {
        let [id, kind, user, app, message, template] = texts.each_ref().map(|text| Text::from(text.as_str()));
        Event { id, kind, at, user, app, message, template, payload: Json::trusted(payload) }
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(
            texts in proptest::array::uniform6("\\PC{0,40}"), payload in "\\PC{0,300}", second in -1_000_000_i64..9_000_000_000, nanosecond in 0..1_000_000_000,
        ) {
            let event = event(&texts, &payload, Timestamp::new(second, nanosecond).expect("timestamp"));
            let mut out = b"before".to_vec();
            write_record(&event, &mut out);
            let block = Bytes::from(out);
            let Ok((read, length)) = read_record(&block, 6) else { panic!("unreadable") };
            let Ok(RecordUser { user, is_erased, bytes }) = read_user(&block[6..]) else { panic!("unreadable") };
            prop_assert_eq!((user, is_erased, bytes), (str::as_bytes(&event.user), false, length));
            prop_assert_eq!(read, event);
            prop_assert_eq!(length, block.len() - 6);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..200) {
            let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
            framed.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            framed.extend_from_slice(&bytes);
            let block = Bytes::from(framed);
            let _ = read_record(&block, at.min(block.len()));
            let _ = read_user(&block[at.min(block.len())..]);
            let _ = FrameHeader::decode(&block);
            let _ = SegmentHeader::decode(&block);
        }
    }

    #[test]
    fn a_flipped_bit_of_a_header_is_noticed() {
        let lineage = Lineage::begin().fork(5);
        let segment = SegmentHeader { first: 7, before: 3, lineage, stream: "shop".to_owned() };
        let frame = FrameHeader { first: 7, logged_at: Timestamp::UNIX_EPOCH, records: 3, bytes: 90 };
        let (segment_bytes, frame_bytes) = (segment.encode(), frame.encode());
        assert_eq!(SegmentHeader::decode(&segment_bytes), Some((segment, segment_bytes.len())));
        assert_eq!(FrameHeader::decode(&frame_bytes), Some(frame));
        for bit in 0..segment_bytes.len() * 8 {
            let mut flipped = segment_bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
        for bit in 0..FRAME_HEADER * 8 {
            let mut flipped = frame_bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_is_found_behind_damage() {
        let frame = FrameHeader { first: 9, logged_at: Timestamp::UNIX_EPOCH, records: 1, bytes: 1 };
        let mut bytes = FRAME_MAGIC.to_vec();
        bytes.extend_from_slice(&frame.encode());
        assert_eq!(FrameHeader::find(&bytes, 0), Some((frame, 4)));
        assert_eq!(FrameHeader::find(&bytes, 5), None);
    }
}
