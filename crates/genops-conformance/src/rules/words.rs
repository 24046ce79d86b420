//! The published word lists: what counts as a placeholder (section 9.1, item 8), and the currency codes of ISO 4217.
//!
//! The lists are versioned, so that a report can say which were used. What follows from a word is decided by the
//! rules.

/// The version of [`PLACEHOLDERS`] and [`DOUBTFUL`].
pub const PLACEHOLDERS_VERSION: u32 = 1;

/// Texts that mean nothing, whatever the case of their letters and the blanks around them. Beside them stand the
/// forms `<…>`, `${…}` and `{{…}}` of templates that nobody filled in.
pub const PLACEHOLDERS: &[&str] = &[
    "null",
    "none",
    "nil",
    "undefined",
    "unknown",
    "n/a",
    "na",
    "tbd",
    "todo",
    "fixme",
    "placeholder",
    "changeme",
    "xxx",
    "string",
    "?",
    "-",
];

/// Texts that may mean something and often do not.
pub const DOUBTFUL: &[&str] = &["default", "test"];

/// None of them is longer.
const LENGTH_MAX: usize = 11;

/// The forms of templates: how they begin and how they end.
const TEMPLATES: &[(&str, &str)] = &[("<", ">"), ("${", "}"), ("{{", "}}")];

/// What is left of a text without the blanks around it: white space, control characters, and characters without
/// width.
pub fn trimmed(text: &str) -> &str {
    let is_blank = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
    };
    // Mostly there is nothing around it.
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim_matches(is_blank),
    }
}

/// Whether a trimmed text stands in the place of a value.
pub fn is_placeholder(text: &str) -> bool {
    let is_template =
        |(begin, end): &(&str, &str)| text.strip_prefix(begin).is_some_and(|rest| rest.ends_with(end));
    is_one_of(text, PLACEHOLDERS) || TEMPLATES.iter().any(is_template)
}

/// Whether a trimmed text may stand in the place of a value.
pub fn is_doubtful(text: &str) -> bool {
    is_one_of(text, DOUBTFUL)
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    text.len() <= LENGTH_MAX && words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether a text is an alphabetic currency code of ISO 4217.
pub fn is_currency(text: &str) -> bool {
    CURRENCIES.binary_search(&text).is_ok()
}

/// The alphabetic codes of ISO 4217, in their order: the list in force in 2026, and codes that left it since 2023,
/// since a capture may be older than that.
const CURRENCIES: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
    "BIF", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF",
    "CHW", "CLF", "CLP", "CNY", "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD",
    "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD",
    "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS",
    "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL",
    "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN",
    "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD",
    "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS", "SRD", "SSP", "STN",
    "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD",
    "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAD", "XAF", "XAG", "XAU", "XBA",
    "XBB", "XBC", "XBD", "XCD", "XCG", "XDR", "XOF", "XPD", "XPF", "XPT", "XSU", "XTS", "XUA", "XXX", "YER",
    "ZAR", "ZMW", "ZWG", "ZWL",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known_in_any_case_and_between_blanks() {
        for text in [
            "null",
            "NULL",
            "Unknown",
            "n/a",
            "N/A",
            "TBD",
            "xxx",
            "?",
            "-",
            "<team>",
            "<>",
            "${TEAM}",
            "{{ team }}",
        ] {
            assert!(is_placeholder(text), "{text:?}");
        }
        for text in [
            "payments",
            "nullable",
            "unknown-team",
            "x",
            "--",
            "<team",
            "team>",
            "$TEAM",
            "{team}",
            "default",
            "nà",
        ] {
            assert!(!is_placeholder(text), "{text:?}");
        }
        assert_eq!(trimmed(" \t\u{a0}\u{3000}TBD\u{200b}\u{feff}\n"), "TBD");
        assert_eq!(trimmed("\u{200b} \u{0}"), "");
        for (text, left) in
            [("", ""), ("x", "x"), (" x", "x"), ("x\n", "x"), ("x y", "x y"), ("é\u{a0}", "é")]
        {
            assert_eq!(trimmed(text), left, "{text:?}");
        }
        assert_eq!(PLACEHOLDERS.iter().chain(DOUBTFUL).map(|word| word.len()).max(), Some(LENGTH_MAX));
    }

    #[test]
    fn default_and_test_are_only_doubtful() {
        for text in ["default", "Test"] {
            assert!(is_doubtful(text) && !is_placeholder(text), "{text:?}");
        }
        assert!(!is_doubtful("testing"));
    }

    #[test]
    fn currencies_are_three_capital_letters_in_order() {
        assert!(CURRENCIES.is_sorted());
        assert!(
            CURRENCIES
                .iter()
                .all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
        );
        for (text, is_code) in [
            ("USD", true),
            ("EUR", true),
            ("ZWG", true),
            ("usd", false),
            ("dollars", false),
            ("", false),
            ("USD ", false),
        ] {
            assert_eq!(is_currency(text), is_code, "{text:?}");
        }
    }
}
