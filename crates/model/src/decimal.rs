//! Decimal numbers as text: `-12.50`, `1.5e3`.

/// A number in the form 0.`digits` × 10^`power`.
pub(crate) struct Scientific {
    pub(crate) negative: bool,
    /// The power of ten of the place before its first digit; the lowest of all for zero.
    pub(crate) power: i64,
    /// Its digits without zeros around them; empty for zero.
    pub(crate) digits: String,
}

impl Scientific {
    /// Reads a number of the form that JSON has. Returns `None` if its exponent is beyond 64 bits.
    pub(crate) fn of(text: &str) -> Option<Scientific> {
        let (negative, number) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let leading = digits.len() - digits.trim_start_matches('0').len();
        let significant = digits.trim_matches('0').to_owned();
        if significant.is_empty() {
            return Some(Scientific { negative: false, power: i64::MIN, digits: significant });
        }
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()?;
        let power = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        Some(Scientific { negative, power, digits: significant })
    }
}

/// Returns a number without its fraction; `None` for a text that is no number (`NaN`), and for a number
/// that has more digits than 128 bits hold.
pub(crate) fn whole_part(text: &str) -> Option<i128> {
    /// The most digits of a number of 128 bits.
    const DIGITS_MAX: usize = 39;
    if !crate::json::is_number(text) {
        return None;
    }
    let Scientific { negative, power, digits } = Scientific::of(text)?;
    if power <= 0 {
        return Some(0);
    }
    let places = usize::try_from(power).ok().filter(|places| *places <= DIGITS_MAX)?;
    let whole = &digits[..digits.len().min(places)];
    format!("{}{whole:0<places$}", if negative { "-" } else { "" }).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_part_of_a_decimal_is_found_however_it_is_written() {
        for (text, whole) in [
            ("100.75", Some(100)),
            ("-1.5e5", Some(-150_000)),
            ("1.5e5", Some(150_000)),
            ("15E+4", Some(150_000)),
            ("123.456e1", Some(1_234)),
            ("1500e-3", Some(1)),
            ("-0.9", Some(0)),
            ("9e-400", Some(0)),
            ("0", Some(0)),
            ("0e99", Some(0)),
            ("1e39", None),
            ("1e99999999999999999999", None),
            ("NaN", None),
            ("Infinity", None),
            ("", None),
        ] {
            assert_eq!(whole_part(text), whole, "{text}");
        }
        assert_eq!(whole_part(&i128::MIN.to_string()), Some(i128::MIN));
    }
}
