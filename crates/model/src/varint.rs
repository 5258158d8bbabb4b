//! Numbers of seven bits a byte, low ones first, as Protobuf, Avro and Parquet have them.

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNumber {
    /// The bytes end before the number does.
    Truncated,
    /// It has more than 64 bits.
    TooLong,
}

/// Appends a number.
#[inline]
pub fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number from the front of `bytes`.
///
/// # Errors
/// If there is none. `bytes` may have moved on nevertheless.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Result<u64, NoNumber> {
    // Lengths and small numbers take one byte.
    if let Some((&byte @ ..0x80, rest)) = bytes.split_first() {
        *bytes = rest;
        return Ok(byte.into());
    }
    take_long(bytes)
}

fn take_long(bytes: &mut &[u8]) -> Result<u64, NoNumber> {
    let mut number = 0;
    for index in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or(NoNumber::Truncated)?;
        *bytes = rest;
        if index == 9 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(NoNumber::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_come_back() {
        let numbers = [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX.into(), u64::MAX - 1, u64::MAX];
        let mut bytes = Vec::new();
        numbers.into_iter().for_each(|number| put(number, &mut bytes));
        assert_eq!(bytes[..6], [0, 1, 127, 0x80, 1, 0xac], "low bits first");
        let mut rest = bytes.as_slice();
        for number in numbers {
            assert_eq!(take(&mut rest), Ok(number));
        }
        assert_eq!(take(&mut rest), Err(NoNumber::Truncated));
    }

    #[test]
    fn more_than_64_bits_are_no_number() {
        let mut bytes = [0xff; 9].to_vec();
        bytes.push(2);
        assert_eq!(take(&mut bytes.as_slice()), Err(NoNumber::TooLong));
        assert_eq!(take(&mut [0x80, 0x80].as_slice()), Err(NoNumber::Truncated));
    }
}
