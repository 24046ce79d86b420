//! Numbers of payment cards.
//!
//! Digits count as one where they are written as cards are (in one go, in fours, as 4-6-5, 4-6-4 or 6-13,
//! with one space or dash between), begin as the numbers of a network do, have a length that the network
//! issues, and end in the right check digit. One number in ten has that by chance: what a number is beside (a
//! letter, a decimal point, the plus of a telephone number) rules out more. Digits outside ASCII are not
//! looked at.

/// The most digits of a card's number.
const DIGITS_MAX: usize = 19;
/// The most groups that it is written in.
const GROUPS_MAX: usize = 5;

/// How many card numbers a text holds.
pub fn count(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut count, mut at) = (0_u64, 0_usize);
    loop {
        let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        let Some(digit) = rest.iter().position(u8::is_ascii_digit) else { return count };
        if digit > 0 {
            at = at.saturating_add(digit);
            continue;
        }
        let card = if may_begin_after(before) { card(rest) } else { None };
        count = count.saturating_add(u64::from(card.is_some()));
        at = at.saturating_add(card.unwrap_or_else(|| group(rest).len()));
    }
}

/// Whether a number may begin after this: not within a word, a decimal fraction or a telephone number.
fn may_begin_after(before: &[u8]) -> bool {
    match before {
        [.., b'.'] => !matches!(before, [.., b'0'..=b'9', _]),
        [.., b'+'] => false,
        [.., last] => !last.is_ascii_alphanumeric(),
        [] => true,
    }
}

/// Whether a number may end before this.
fn may_end_before(after: &[u8]) -> bool {
    match after {
        [b'.', next, ..] => !next.is_ascii_digit(),
        [next, ..] => !next.is_ascii_alphanumeric(),
        [] => true,
    }
}

/// The length in bytes of the longest card number that begins here.
fn card(text: &[u8]) -> Option<usize> {
    let (mut digits, mut lengths) = (Vec::with_capacity(DIGITS_MAX), Vec::with_capacity(GROUPS_MAX));
    let (mut longest, mut rest) = (None, text);
    loop {
        let group = group(rest);
        digits.extend(group.iter().take(DIGITS_MAX + 1).map(|digit| digit - b'0'));
        lengths.push(group.len());
        if digits.len() > DIGITS_MAX || lengths.len() > GROUPS_MAX || !is_issued(&digits) {
            return longest;
        }
        rest = rest.get(group.len()..)?;
        if may_end_before(rest) && is_written_so(&lengths) && is_number(&digits) {
            longest = text.len().checked_sub(rest.len());
        }
        match after_separator(rest) {
            Some(next) if next.first().is_some_and(u8::is_ascii_digit) => rest = next,
            _ => return longest,
        }
    }
}

/// The digits that stand here in a row.
fn group(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// What follows one space or dash, the ones of typesetting included.
fn after_separator(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b' ' | b'-', rest @ ..]
        // The no-break spaces; the hyphens and the shorter dashes.
        | [0xc2, 0xa0, rest @ ..]
        | [0xe2, 0x80, 0x89 | 0x90..=0x93 | 0xaf, rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Whether cards are written in groups of these lengths.
fn is_written_so(lengths: &[usize]) -> bool {
    match lengths {
        [13..=DIGITS_MAX] | [4, 6, 4 | 5] | [6, 13] => true,
        [fours @ .., 1..=4] => fours.len() >= 3 && fours.iter().all(|length| *length == 4),
        _ => false,
    }
}

/// Whether a number that begins so may be one: saves looking at most that are none.
fn is_issued(digits: &[u8]) -> bool {
    digits.first_chunk().is_some_and(|head| !issued(number(*head)).is_empty())
}

fn is_number(digits: &[u8]) -> bool {
    let lengths = digits.first_chunk().map_or(&[][..], |head| issued(number(*head)));
    lengths.contains(&digits.len()) && has_check_digit(digits)
}

fn number(head: [u8; 4]) -> u32 {
    head.into_iter().fold(0, |number, digit| number * 10 + u32::from(digit))
}

/// The lengths of the numbers that networks issue with these first four digits.
#[expect(clippy::match_same_arms, reason = "a line for each network")]
fn issued(head: u32) -> &'static [usize] {
    const SIXTEEN: &[usize] = &[16];
    const FROM_SIXTEEN: &[usize] = &[16, 17, 18, 19];
    match head {
        4000..=4999 => &[13, 16, 19],         // Visa
        2221..=2720 | 5100..=5599 => SIXTEEN, // Mastercard
        3400..=3499 | 3700..=3799 => &[15],   // American Express
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => &[14, 15, 16, 17, 18, 19], // Diners Club
        3528..=3589 => FROM_SIXTEEN,          // JCB
        6011 | 6440..=6599 => FROM_SIXTEEN,   // Discover
        6200..=6299 => FROM_SIXTEEN,          // UnionPay
        2200..=2204 => FROM_SIXTEEN,          // Mir
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => &[13, 14, 15, 16, 17, 18, 19], // Maestro
        5080..=5089 | 6000..=6099 | 8100..=8299 => SIXTEEN, // RuPay
        _ => &[],
    }
}

/// The check of Luhn: every second digit from the right doubled, the digits of all that summed, is a multiple
/// of 10.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .zip([false, true].into_iter().cycle())
        .map(|(digit, doubled)| {
            let digit = u32::from(*digit);
            match (doubled, digit) {
                (false, _) => digit,
                (true, 0..=4) => digit * 2,
                (true, _) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn card_numbers_are_found() {
        let cases = [
            ("4111111111111111", 1),        // Visa
            ("4012888888881881", 1),        // Visa
            ("4222222222222", 1),           // Visa, 13 digits
            ("4000 0000 0000 0000 006", 1), // Visa, 19 digits
            ("5555555555554444", 1),        // Mastercard
            ("5105-1051-0510-5100", 1),     // Mastercard
            ("2223003122003222", 1),        // Mastercard, the newer series
            ("378282246310005", 1),         // American Express
            ("3714 496353 98431", 1),       // American Express
            ("6011111111111117", 1),        // Discover
            ("6011 0009 9013 9424", 1),     // Discover
            ("30569309025904", 1),          // Diners Club
            ("3622 720627 1667", 1),        // Diners Club
            ("3530111333300000", 1),        // JCB
            ("3566 0020 2036 0505", 1),     // JCB
            ("6200000000000005", 1),        // UnionPay
            ("620550 0000000000004", 1),    // UnionPay, 19 digits
            ("6759649826438453", 1),        // Maestro
            ("2200 0000 0000 0004", 1),     // Mir
            ("Card: 4111 1111 1111 1111, exp. 12/26", 1),
            ("4111 1111 1111 1111 12 26", 1),
            ("no. 7 4111 1111 1111 1111", 1),
            ("4111-1111 1111\u{a0}1111", 1),
            ("4111\u{2011}1111\u{2011}1111\u{2011}1111", 1),
            ("4111111111111111 5555555555554444;378282246310005", 3),
            ("4111 1111 1111 1111 5555 5555 5555 4444", 2),
            ("卡号4111111111111111是", 1),
            ("card_4111111111111111.", 1),
            ("id,number\n1,4111111111111111,12/26\n", 1),
            ("{\"card\":4111111111111111}", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn other_digits_are_none() {
        let cases = [
            "4111111111111112", // the check digit
            "5555555555554445",
            "378282246310006",
            "1111111111111117",        // no network
            "9780306406157",           // ISBN
            "4006381333931",           // EAN, whose check digit is another
            "41111111111111111111",    // 20 digits
            "411111111111",            // 12 digits
            "41111111111111",          // Visa has none of 14
            "4111  1111  1111  1111",  // two spaces
            "4111\n1111\n1111\n1111",  // a column
            "41 11 11 11 11 11 11 11", // not in fours
            "4111.1111.1111.1111",
            "4111/1111/1111/1111",
            "0.4111111111111111", // fractions
            "4111111111111111.25",
            "x4111111111111111",
            "4111111111111111e3",
            "0x4111111111111111",
            "+4915112345670", // telephone
            "+4222222222222",
            "+49 1511 2345678",
            "tel. 030 1234567890",
            "2024-01-31 12:00:00.000000",
            "1700000000000",       // time in milliseconds
            "1700000000000000000", // and in nanoseconds
            "Order 2024-0000-1234-5678",
            "550e8400-e29b-41d4-a716-446655440000", // UUID
            "12345678-4111-1111-1111-111111111111",
            "d41d8cd98f00b204e9800998ecf8427e", // digest
            "4111111111111111a98f00b204e98009",
            "v4.11.11111111111111",
            "192.168.100.200:54321",
            "[4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "DE89 3704 0044 0532 0130 00", // IBAN
        ];
        for text in cases {
            assert_eq!(count(text), 0, "{text}");
        }
    }

    /// The check as it is usually taught: on the text, from the right.
    fn naive_luhn(digits: &str) -> bool {
        let doubled = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
        let sum: usize = digits
            .bytes()
            .rev()
            .map(|digit| usize::from(digit - b'0'))
            .enumerate()
            .map(|(place, digit)| if place % 2 == 1 { doubled[digit] } else { digit })
            .sum();
        sum.is_multiple_of(10)
    }

    /// Every place where a number may begin and end, each tried: what the detector says in one pass.
    fn naive_count(text: &str) -> u64 {
        let bytes = text.as_bytes();
        let (mut count, mut start) = (0, 0);
        while start < text.len() {
            let ends = (start + 1..=text.len()).rev().filter(|end| end - start < DIGITS_MAX + GROUPS_MAX);
            let found = ends.into_iter().find(|end| {
                let number = text.get(start..*end).unwrap();
                let groups: Vec<&str> = number.split([' ', '-']).collect();
                let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
                let digits = groups.concat();
                let alone = |byte: Option<&u8>| byte.is_none_or(|byte| matches!(byte, b' ' | b'-'));
                let whole = alone(start.checked_sub(1).map(|at| &bytes[at])) && alone(bytes.get(*end));
                let written = match &lengths[..] {
                    [4, 6, 4 | 5] | [6, 13] => true,
                    [one] => (13..=19).contains(one),
                    lengths => {
                        lengths.len() >= 4
                            && lengths[..lengths.len() - 1].iter().all(|length| *length == 4)
                            && (1..=4).contains(&lengths[lengths.len() - 1])
                    }
                };
                whole
                    && written
                    && digits.starts_with('4')
                    && [13, 16, 19].contains(&digits.len())
                    && naive_luhn(&digits)
            });
            count += u64::from(found.is_some());
            start = found.unwrap_or(start + 1);
        }
        count
    }

    proptest! {
        #[test]
        fn the_check_digit_agrees_with_a_naive_one(digits in "[0-9]{1,30}") {
            let values: Vec<u8> = digits.bytes().map(|digit| digit - b'0').collect();
            prop_assert_eq!(has_check_digit(&values), naive_luhn(&digits));
        }

        #[test]
        fn exactly_one_last_digit_is_right(head in "4[0-9]{14}") {
            let right = (0..10).filter(|last| count(&format!("{head}{last}")) == 1).count();
            prop_assert_eq!(right, 1);
        }

        // Only `4` begins a network's numbers among these digits.
        #[test]
        fn the_count_agrees_with_a_naive_one(text in "([ -]{0,2}(4[147]{3}|[147]{4}|[147]{1,20}|4[147]{12}|4[147]{15})){1,12}") {
            prop_assert_eq!(count(&text), naive_count(&text), "{}", text);
        }
    }
}
