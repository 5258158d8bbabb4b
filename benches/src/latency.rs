//! How long things took, one by one.

use std::fmt;
use std::time::Duration;

/// Measured times, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    /// From microseconds in any order.
    pub(crate) fn of(mut micros: Vec<u64>) -> Latencies {
        micros.sort_unstable();
        Latencies(micros)
    }

    /// How many were measured.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The time that this share of all did not exceed: 0.5 is the median.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        // The rank is never beyond the last one, however large the list is.
        let rank = ((self.0.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
        Duration::from_micros(self.0.get(rank).copied().unwrap_or_default())
    }
}

/// A time in milliseconds, for tables.
pub(crate) struct Millis(pub(crate) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1000.0;
        if millis < 10.0 { write!(f, "{millis:.1} ms") } else { write!(f, "{millis:.0} ms") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_time_that_so_many_did_not_exceed() {
        let latencies = Latencies::of((1..=200).rev().map(|millis| millis * 1000).collect());

        let at = |share| latencies.at(share).as_millis();

        assert_eq!([at(0.0), at(0.5), at(0.99), at(1.0)], [1, 100, 198, 200]);
    }

    #[test]
    fn nothing_measured_is_no_time() {
        assert_eq!(Latencies::default().at(0.99), Duration::ZERO);
    }

    #[test]
    fn short_times_have_a_digit_more() {
        let told =
            [900, 9_940, 10_000, 1_250_400].map(|micros| Millis(Duration::from_micros(micros)).to_string());
        assert_eq!(told, ["0.9 ms", "9.9 ms", "10 ms", "1250 ms"]);
    }
}
