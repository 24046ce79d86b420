//! The rules, one function a requirement, in the order of the specification.
//!
//! A rule looks and answers; it stores nothing, prints nothing, and knows no other rule. A requirement may have a
//! rule for the single AWU and one for the capture as a whole; their outcomes are added up.

mod look;
#[cfg(test)]
mod sample;
mod time;
mod words;

mod accounting;
mod attributes;
mod awu;
mod claims;
mod compliance;
mod decisions;
mod events;
mod optional;
mod reasons;
mod schemas;
mod sla;
mod versions;

use crate::across::{Across, Orphan};
use crate::awu::Awu;
use crate::catalogue::Id;
use crate::level::Verdicts;
use crate::verdict::Outcome;

pub use claims::DECLARATION;
pub use look::misuse;
pub use words::{DOUBTFUL, PLACEHOLDERS, PLACEHOLDERS_VERSION};

/// How strictly is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strictness {
    /// An integer in place of a double is worth a look instead of wrong (AMB-14).
    pub lenient_numeric: bool,
    /// Everything that was emitted is in the capture, so that what is missing was not emitted.
    pub is_complete: bool,
}

/// A rule that looks at one AWU.
pub type OfAwu = fn(&Awu<'_>, Strictness) -> Outcome;
/// A rule that looks at log records whose AWU's span is not in the capture.
pub type OfOrphan = fn(&Orphan<'_>, Strictness) -> Outcome;
/// A rule that looks at the capture as a whole.
pub type OfCapture = fn(&Across, Strictness) -> Outcome;
/// A rule that sums up others, once they are known.
pub type OfVerdicts = fn(&Verdicts<'_>) -> Outcome;

/// The rules that look at one AWU.
pub const OF_AWU: &[&[(Id, OfAwu)]] = &[
    awu::OF_AWU,
    accounting::OF_AWU,
    decisions::OF_AWU,
    reasons::OF_AWU,
    sla::OF_AWU,
    attributes::OF_AWU,
    events::OF_AWU,
    optional::OF_AWU,
    schemas::OF_AWU,
    compliance::OF_AWU,
    versions::OF_AWU,
];

/// The rules that look at log records whose AWU's span is not in the capture.
pub const OF_ORPHAN: &[&[(Id, OfOrphan)]] = &[awu::OF_ORPHAN, decisions::OF_ORPHAN];

/// The rules that look at the capture as a whole.
pub const OF_CAPTURE: &[&[(Id, OfCapture)]] =
    &[awu::OF_CAPTURE, compliance::OF_CAPTURE, versions::OF_CAPTURE];

/// The rules that sum up others, in this order: the roll-ups of section 9.1 first, what is said of a claim last.
pub const OF_VERDICTS: &[&[(Id, OfVerdicts)]] = &[compliance::OF_VERDICTS, claims::OF_VERDICTS];

/// The requirements that at least one rule is about; one that has several comes as often.
pub fn judged() -> impl Iterator<Item = Id> {
    let of_awu = OF_AWU.iter().copied().flatten().map(|(id, _)| *id);
    let of_orphan = OF_ORPHAN.iter().copied().flatten().map(|(id, _)| *id);
    let of_capture = OF_CAPTURE.iter().copied().flatten().map(|(id, _)| *id);
    let of_verdicts = OF_VERDICTS.iter().copied().flatten().map(|(id, _)| *id);
    of_awu.chain(of_orphan).chain(of_capture).chain(of_verdicts)
}

/// Whether a requirement only repeats what others say.
#[must_use]
pub fn is_roll_up(id: Id) -> bool {
    compliance::OF_VERDICTS.iter().any(|(roll_up, _)| *roll_up == id)
}
