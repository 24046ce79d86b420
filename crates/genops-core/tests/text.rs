//! What small values look like: text where people read, and in the journal the bytes that they always had.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use core::fmt::Debug;

use genops_core::{Amount, AwuId, Digest, Timestamp};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks both forms, and that both are read back.
fn check<T>(value: &T, text: &str, bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    assert_eq!(serde_json::to_value(value).unwrap(), text);
    assert_eq!(postcard::to_stdvec(value).unwrap(), bytes, "the bytes of {text}");
    assert_eq!(serde_json::from_value::<T>(text.into()).unwrap(), *value);
    assert_eq!(postcard::from_bytes::<T>(bytes).unwrap(), *value);
}

#[test]
fn people_read_text_and_the_journal_keeps_its_bytes() {
    check(&Amount::ZERO, "0", &[0]);
    check(&Amount::from_atoms(-1), "-0.000000000001", &[1]);
    check(&Amount::from_atoms(150), "0.00000000015", &[0xac, 0x02]);
    check(&Timestamp::from_nanos(0), "1970-01-01T00:00:00.000000000Z", &[0]);
    check(&Timestamp::from_nanos(300), "1970-01-01T00:00:00.000000300Z", &[0xac, 0x02]);
    let latest = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    check(&Timestamp::from_nanos(u64::MAX), "2554-07-21T23:34:33.709551615Z", &latest);
    check(&Digest::from_bytes([0xab; 32]), &"ab".repeat(32), &[0xab; 32]);
    let id = AwuId { trace_id: [0x0f; 16], span_id: [0xf0; 8] };
    let bytes = [[0x0f; 16].as_slice(), [0xf0; 8].as_slice()].concat();
    check(&id, &format!("{}-{}", "0f".repeat(16), "f0".repeat(8)), &bytes);
}

#[test]
fn what_is_no_such_text_is_refused() {
    assert!(serde_json::from_str::<Amount>("\"1e3\"").is_err());
    assert!(serde_json::from_str::<Amount>("1").is_err(), "a number of JSON may be a float to somebody");
    assert!(serde_json::from_str::<Timestamp>("\"1969-12-31T23:59:59Z\"").is_err());
    assert!(serde_json::from_str::<Digest>("\"ab\"").is_err());
    assert!(serde_json::from_str::<AwuId>("\"ab-cd\"").is_err());
}

proptest! {
    #[test]
    fn an_amount_has_the_bytes_of_its_atoms_and_a_time_those_of_its_nanoseconds(atoms: i128, nanos: u64) {
        let amount = postcard::to_stdvec(&Amount::from_atoms(atoms)).unwrap();
        prop_assert_eq!(amount, postcard::to_stdvec(&atoms).unwrap());
        let time = Timestamp::from_nanos(nanos);
        prop_assert_eq!(postcard::to_stdvec(&time).unwrap(), postcard::to_stdvec(&nanos).unwrap());
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&serde_json::to_string(&time).unwrap()).unwrap(), time);
    }
}
