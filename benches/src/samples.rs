//! What is moved: app events, the same for every way.
//!
//! An event is a text in which a few digits change, so that making one costs
//! next to nothing beside moving it.

use std::ops::Range;

use memchr::memmem;

/// How many users the events are about.
const USERS: u64 = 400_000;

/// The first event happened here, 2026-03-01T00:00:00Z; one follows each millisecond.
const FIRST_MS: u64 = 1_772_323_200_000;

/// What happened, and what is different about it.
const KINDS: [(&str, &str); 8] = [
    (
        "order_placed",
        r#""total":42.50,"currency":"EUR","items":[{"sku":"esp-1","quantity":2},{"sku":"oat-9","quantity":1}]"#,
    ),
    ("cart_updated", r#""total":17.20,"currency":"EUR","items":[{"sku":"esp-1","quantity":2}]"#),
    ("page_viewed", r#""page":"/menu/espresso","referrer":"https://www.example.com/coffee","seconds":12"#),
    ("search_made", r#""query":"oat milk","results":7,"page":"/search","filters":["vegan","hot"]"#),
    ("video_watched", r#""video":"latte-art-2","seconds":48,"finished":true,"quality":"1080p""#),
    ("offer_opened", r#""offer":"spring-2026","channel":"push","discount":0.15,"expires":"2026-04-01""#),
    ("store_visited", r#""store":"berlin-mitte","minutes":23,"wifi":true,"latitude":52.5219"#),
    ("profile_changed", r#""changed":["language","city"],"language":"de","city":"Berlin""#),
];

/// The digits that differ from event to event.
const NUMBER: &str = "NNNNNNNNNNNN";
const USER: &str = "UUUUUUUU";
const TIME: &str = "TTTTTTTTTTTTT";
const SENT: &str = "SSSSSSSSSSSSSSSS";

/// The text before the time of sending: what receives looks for it.
const SENT_MARK: &[u8] = b"\"sent\":\"";

/// The events.
pub(crate) struct Samples(Vec<Sample>);

struct Sample {
    text: String,
    number: Range<usize>,
    user: Range<usize>,
    time: Range<usize>,
    sent: Range<usize>,
}

impl Samples {
    /// Ready to be written.
    pub(crate) fn new() -> Samples {
        let sample = |(kind, more): &(&str, &str)| {
            let text = format!(
                r#"{{"id":"bench-{NUMBER}","event_name":"{kind}","external_id":"user-{USER}","timestamp":{TIME},"app_id":"cafe","properties":{{"sent":"{SENT}","plan":"pro","tags":["spring","mobile"],{more}}}}}"#
            );
            let at = |digits: &str| {
                let start = text.find(digits).expect("the text was made with these digits");
                start..start + digits.len()
            };
            Sample { number: at(NUMBER), user: at(USER), time: at(TIME), sent: at(SENT), text: text.clone() }
        };
        Samples(KINDS.iter().map(sample).collect())
    }

    /// Appends the event of this number, sent at this microsecond.
    pub(crate) fn write(&self, number: u64, sent: u64, out: &mut Vec<u8>) {
        let sample = &self.0[(number % KINDS.len() as u64) as usize];
        let start = out.len();
        out.extend_from_slice(sample.text.as_bytes());
        let event = &mut out[start..];
        digits(&mut event[sample.number.clone()], number);
        digits(&mut event[sample.user.clone()], user(number));
        digits(&mut event[sample.time.clone()], time_ms(number));
        digits(&mut event[sample.sent.clone()], sent);
    }

    /// How many bytes an event has on average.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|sample| sample.text.len()).sum::<usize>() / self.0.len()
    }
}

/// The user of an event, as its key in a topic.
pub(crate) fn key(number: u64) -> String {
    format!("user-{:08}", user(number))
}

fn user(number: u64) -> u64 {
    // Multiplied by a large prime number, so that neighbours are about different users.
    number.wrapping_mul(2_654_435_761) % USERS
}

fn time_ms(number: u64) -> u64 {
    // Four months of events are enough, and none may lie in the future.
    FIRST_MS + number % 10_000_000_000
}

/// Writes a number with leading zeros; what does not fit is cut off in front.
fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// When the events of a text were sent.
pub(crate) fn all_sent(text: &[u8]) -> impl Iterator<Item = u64> {
    memmem::find_iter(text, SENT_MARK).filter_map(|at| digits_at(text, at + SENT_MARK.len(), SENT.len()))
}

/// The number of the event that a text begins with.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let mark = b"\"id\":\"bench-";
    digits_at(text, memmem::find(text, mark)? + mark.len(), NUMBER.len())
}

fn digits_at(text: &[u8], start: usize, count: usize) -> Option<u64> {
    std::str::from_utf8(text.get(start..start + count)?).ok()?.parse().ok()
}

/// The Avro schema of the same events.
pub(crate) const AVRO: &str = r#"{"type":"record","name":"Event","namespace":"bench","fields":[{"name":"id","type":"string"},{"name":"event_name","type":"string"},{"name":"external_id","type":"string"},{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"properties","type":{"type":"record","name":"Properties","fields":[{"name":"sent","type":"string"},{"name":"plan","type":"string"},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"total","type":["null","double"]},{"name":"page","type":"string"},{"name":"seconds","type":"int"}]}}]}"#;

/// Appends an event in Avro, in the framing of a schema registry.
///
/// Source: Apache Avro specification, binary encoding; Confluent docs, wire format.
pub(crate) fn write_avro(number: u64, sent: u64, schema: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&schema.to_be_bytes());
    text(&format!("bench-{number:012}"), out);
    text(KINDS[(number % KINDS.len() as u64) as usize].0, out);
    text(&key(number), out);
    long(time_ms(number), out);
    text(&format!("{sent:0width$}", width = SENT.len()), out);
    text("pro", out);
    long(2, out);
    text("spring", out);
    text("mobile", out);
    long(0, out);
    long(1, out);
    out.extend_from_slice(&42.5_f64.to_le_bytes());
    text("/menu/espresso", out);
    long(number % 60, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    long(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A number that is not negative: its zigzag form is its double.
fn long(number: u64, out: &mut Vec<u8>) {
    let mut rest = number << 1;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_its_number_its_user_and_when_it_was_sent() {
        let samples = Samples::new();
        let mut written = Vec::new();

        samples.write(9, 1_234, &mut written);

        let event: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(event["id"], "bench-000000000009");
        assert_eq!(event["event_name"], "cart_updated");
        assert_eq!(event["external_id"], *key(9));
        assert_eq!(event["timestamp"], FIRST_MS + 9);
        assert_eq!(number(&written), Some(9));
        assert_eq!(all_sent(&written).collect::<Vec<_>>(), [1_234]);
    }

    #[test]
    fn numbers_in_avro_take_seven_bits_a_byte() {
        let written = |number| {
            let mut out = Vec::new();
            long(number, &mut out);
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(63), [126]);
        assert_eq!(written(64), [128, 1]);
        assert_eq!(written(8_192), [128, 128, 1]);
    }
}
