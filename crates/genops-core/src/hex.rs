//! Bytes as lower-case hexadecimal text, and back. Telemetry writes a lot of it.

/// Writes two digits for each byte; stops where either runs out.
pub fn write(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Bytes as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let mut text = vec![b'0'; 2 * bytes.len()];
    write(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Reads exactly `N` bytes, in either case.
#[must_use]
pub fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_round_trips_and_anything_else_is_none() {
        let bytes = [0x00, 0x7f, 0xff, 0xa5];
        assert_eq!(super::text(&bytes), "007fffa5");
        assert_eq!(super::parse("007fFFa5"), Some(bytes));
        for bad in ["", "007fffa", "007fffa5a5", "007fffag", "+07fffa5", "007fff\u{e4}"] {
            assert_eq!(super::parse::<4>(bad), None, "{bad:?}");
        }
    }
}
