//! Decimals as Avro and Confluent's Protobuf type carry them.

use std::fmt::Write as _;

use tidegate_model::Reason;

/// The largest unscaled value that is believed, in bytes: 600 digits.
const BYTES_MAX: usize = 256;
/// As many digits after the point are written out; more need an exponent.
const SCALE_MAX: i64 = 1_000;
/// A group of nine decimal digits.
const GROUP: u64 = 1_000_000_000;

/// Appends a JSON number: `unscaled` (two's complement, highest byte first)
/// divided by ten to the power of `scale`, digit for digit.
pub(super) fn write(unscaled: &[u8], scale: i64, out: &mut String) -> Result<(), Reason> {
    if unscaled.len() > BYTES_MAX {
        return Err(Reason::new("schema_mismatch", format!("a decimal has more than {BYTES_MAX} bytes")));
    }
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let digits = digits(unscaled, negative);
    if negative {
        out.push('-');
    }
    match usize::try_from(scale) {
        Ok(0) => out.push_str(&digits),
        Ok(scale) if scale as i64 <= SCALE_MAX => {
            let whole = digits.len().saturating_sub(scale);
            out.push_str(if whole == 0 { "0" } else { &digits[..whole] });
            out.push('.');
            out.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
            out.push_str(&digits[whole..]);
        }
        _ => {
            let _ = write!(out, "{digits}e{}", -i128::from(scale));
        }
    }
    Ok(())
}

/// The digits of the magnitude.
fn digits(unscaled: &[u8], negative: bool) -> String {
    if unscaled.len() <= 16 {
        let mut bytes = [if negative { 0xff } else { 0 }; 16];
        bytes[16 - unscaled.len()..].copy_from_slice(unscaled);
        return i128::from_be_bytes(bytes).unsigned_abs().to_string();
    }
    // Groups of nine digits, lowest first. The magnitude of a negative number
    // is its complement plus one.
    let mut groups: Vec<u64> = vec![0];
    let mut add = |factor: u64, more: u64| {
        let mut carry = more;
        for group in &mut groups {
            let value = *group * factor + carry;
            *group = value % GROUP;
            carry = value / GROUP;
        }
        if carry > 0 {
            groups.push(carry);
        }
    };
    for byte in unscaled {
        add(256, u64::from(if negative { !byte } else { *byte }));
    }
    if negative {
        add(1, 1);
    }
    let mut out = String::new();
    for (at, group) in groups.iter().rev().enumerate() {
        let _ = if at == 0 { write!(out, "{group}") } else { write!(out, "{group:09}") };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        let large = i128::MAX.to_be_bytes();
        let mut larger = vec![0x7f];
        larger.extend([0xff; 16]);
        let mut lowest = vec![0x80];
        lowest.extend([0; 16]);
        let cases: [(&[u8], i64, &str); 12] = [
            (&[], 2, "0.00"),
            (&[0], 0, "0"),
            (&[5], 2, "0.05"),
            (&[0x04, 0xd2], 2, "12.34"),
            (&[0xff], 2, "-0.01"),
            (&[0xfb, 0x2e], 2, "-12.34"),
            (&[0xfb, 0x2e], -3, "-1234e3"),
            (&[12], 5_000, "12e-5000"),
            (&[12], i64::MIN, "12e9223372036854775808"),
            (&large, 10, "17014118346046923173168730371.5884105727"),
            (&larger, 0, "43556142965880123323311949751266331066367"),
            (&lowest, 1, "-4355614296588012332331194975126633106636.8"),
        ];
        for (unscaled, scale, expected) in cases {
            let mut out = String::new();
            write(unscaled, scale, &mut out).expect("small");
            assert_eq!(out, expected);
        }
        assert_eq!(write(&[1; 300], 0, &mut String::new()).expect_err("too large").code, "schema_mismatch");
    }
}
