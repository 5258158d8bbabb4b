//! Numbers and times as text, quicker than through `fmt`: a stream prints several
//! of them for each row.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The longest text of [`Printed`]: `-009999-01-02T01:59:59.999999999Z`.
const LONGEST: usize = 33;
/// Digits behind the point of a second.
const FRACTION: usize = 9;

/// A time as ISO 8601 text in UTC, with as many digits of a second as it has.
pub struct Printed {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Printed {
    /// Prints a moment as its `Display` does.
    pub fn moment(at: Timestamp) -> Printed {
        let at = Offset::UTC.to_datetime(at);
        let mut printed = Printed::second(at);
        printed.fraction(at.subsec_nanosecond().unsigned_abs());
        printed.push(b"Z");
        printed
    }

    fn second(at: DateTime) -> Printed {
        let mut printed = Printed { bytes: [0; LONGEST], length: 0 };
        let year = at.year().unsigned_abs();
        if at.year() < 0 {
            printed.push(b"-00");
        }
        printed.push(&two(year / 100));
        printed.push(&two(year % 100));
        let parts = [
            (b'-', at.month()),
            (b'-', at.day()),
            (b'T', at.hour()),
            (b':', at.minute()),
            (b':', at.second()),
        ];
        for (before, part) in parts {
            let [tens, ones] = two(part.unsigned_abs().into());
            printed.push(&[before, tens, ones]);
        }
        printed
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("digits and signs are ASCII")
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn fraction(&mut self, mut nanoseconds: u32) {
        if nanoseconds == 0 {
            return;
        }
        let mut digits = [0; FRACTION];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (nanoseconds % 10) as u8;
            nanoseconds /= 10;
        }
        let used = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        self.push(b".");
        self.push(&digits[..used]);
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }
}

/// Two digits of a number below 100.
fn two(number: u16) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
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
