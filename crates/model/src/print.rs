//! Numbers and times as text, quicker than through `fmt`: a stream prints several
//! of them for each row.

use jiff::Timestamp;
use jiff::tz::Offset;

const LONGEST: usize = 33;
/// The longest text there is.
const PATTERN: [u8; LONGEST] = *b"-000000-00-00T00:00:00.000000000Z";
/// Where the year has four digits, as usually, the text begins here.
const FOUR_DIGITS: usize = 3;
/// Digits after the point of a second.
const FRACTION: usize = 9;

/// A time as ISO 8601 text in UTC, with as many digits of a second as it has.
pub struct Printed {
    bytes: [u8; LONGEST],
    start: usize,
    end: usize,
}

impl Printed {
    /// Prints a moment as its `Display` does.
    pub fn moment(at: Timestamp) -> Printed {
        let at = Offset::UTC.to_datetime(at);
        let mut bytes = PATTERN;
        let year = at.year().unsigned_abs();
        // One place after the other, so that nothing is looked up in a list.
        let mut put = |place: usize, number: u8| {
            bytes[place] = b'0' + number / 10;
            bytes[place + 1] = b'0' + number % 10;
        };
        put(3, (year / 100) as u8);
        put(5, (year % 100) as u8);
        put(8, at.month().unsigned_abs());
        put(11, at.day().unsigned_abs());
        put(14, at.hour().unsigned_abs());
        put(17, at.minute().unsigned_abs());
        put(20, at.second().unsigned_abs());
        let start = if at.year() < 0 { 0 } else { FOUR_DIGITS };
        let end = seconds_end(at.subsec_nanosecond().unsigned_abs(), &mut bytes);
        Printed { bytes, start, end }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("digits and signs are ASCII")
    }

    /// Returns the text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

/// Writes the digits after the whole seconds, and the zone. Returns where the text ends.
fn seconds_end(nanoseconds: u32, bytes: &mut [u8; LONGEST]) -> usize {
    const POINT: usize = 22;
    if nanoseconds == 0 {
        bytes[POINT] = b'Z';
        return POINT + 1;
    }
    // Most clocks count in milliseconds, many in microseconds.
    let (mut number, mut digits) = match nanoseconds {
        whole if whole % 1_000_000 == 0 => (whole / 1_000_000, 3),
        whole if whole % 1_000 == 0 => (whole / 1_000, 6),
        whole => (whole, FRACTION),
    };
    while number % 10 == 0 {
        number /= 10;
        digits -= 1;
    }
    for place in (POINT + 1..=POINT + digits).rev() {
        bytes[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let end = POINT + digits + 1;
    bytes[end] = b'Z';
    end + 1
}

/// Appends a whole number.
pub fn number(number: impl itoa::Integer, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_moment_is_printed_as_it_displays(
            second in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
            nanosecond in prop_oneof![Just(0), 0..1_000_000_000, (0..1_000).prop_map(|milli| milli * 1_000_000)],
        ) {
            let Ok(at) = Timestamp::new(second, nanosecond) else { return Ok(()) };
            let printed = Printed::moment(at);
            prop_assert_eq!(printed.as_str(), at.to_string());
        }
    }

    #[test]
    fn the_first_and_the_last_moment_are_printed() {
        for at in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            assert_eq!(Printed::moment(at).as_str(), at.to_string());
        }
    }
}
