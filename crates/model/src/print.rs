//! Numbers and times as text, without a way through `std::fmt`: a stream prints several of them for
//! each row.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// The longest text is `-009999-01-02T01:59:59.999999999Z`.
const LONGEST: usize = 33;

/// A time as ISO 8601 text in UTC, with as many digits of a second as it has.
pub struct Printed {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Printed {
    /// Prints a moment as its `Display` does.
    pub fn moment(at: Timestamp) -> Printed {
        const PRINTER: DateTimePrinter = DateTimePrinter::new();
        let mut printed = Printed { bytes: [0; LONGEST], len: 0 };
        PRINTER.print_timestamp(&at, &mut printed).expect("no time has a longer text");
        printed
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("digits and signs are ASCII")
    }

    /// Returns the text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl jiff::fmt::Write for Printed {
    fn write_str(&mut self, text: &str) -> Result<(), jiff::Error> {
        let room = self.bytes.get_mut(self.len..self.len + text.len());
        let room =
            room.ok_or_else(|| jiff::Error::from_args(format_args!("a time of more than {LONGEST} bytes")))?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
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
