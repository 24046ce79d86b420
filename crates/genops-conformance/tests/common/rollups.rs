//! The statements that sum up others, and the level, derived from what the catalogue says of them (`how` and
//! `profiles`), apart from the checker's own way to do so.
//!
//! Expectations declare the statements that are broken themselves; these add what follows.
#![expect(clippy::panic, reason = "a name that the catalogue does not know is a mistake in a test")]

use std::collections::BTreeSet;

use genops_conformance::catalogue::{Id, Keyword, Requirement, Subject};
use genops_conformance::level::{Claim, Level};

/// The statements that are derived here, and need not be declared.
pub const DERIVED: &[&str] = &[
    "CMP-9.1-1",
    "CMP-9.1-2",
    "CMP-9.1-3",
    "CMP-9.1-4",
    "CMP-9.1-5",
    "CMP-9.1-6",
    "CMP-9.1-7",
    "CMP-9.1-8",
    "CMP-9.2-1",
    "CMP-9.2-2",
    "CMP-9.3-1",
    "VER-11.4-1",
    "VER-11.4-2",
    "VER-11.4-6",
    "VER-11.4-8",
];

/// The failures that follow from others, with these.
pub fn closure(leaves: &BTreeSet<&'static str>, claim: Option<Claim>) -> BTreeSet<&'static str> {
    let mut fails = leaves.clone();
    for (roll_up, is_member) in ROLL_UPS {
        if leaves.iter().any(|id| is_member(requirement(id))) {
            fails.insert(roll_up);
        }
    }
    let level = level(&fails);
    if level == Level::None {
        // It is not even partially compliant.
        fails.insert("CMP-9.2-1");
    }
    if let Some(claim) = claim {
        add_claims(&mut fails, claim, level);
    }
    fails
}

/// The level, by the header of the catalogue: what counts toward it, binds the runtime, and fails.
pub fn level(fails: &BTreeSet<&'static str>) -> Level {
    let gates = |counts: fn(&Requirement) -> bool| {
        fails.iter().map(|id| requirement(id)).any(|requirement| {
            counts(requirement) && requirement.subject == Subject::Runtime && requirement.level.binds()
        })
    };
    match (gates(|requirement| requirement.full), gates(|requirement| requirement.partial)) {
        (false, _) => Level::Full,
        (true, false) => Level::Partial,
        (true, true) => Level::None,
    }
}

type IsMember = fn(&Requirement) -> bool;

/// The statements of section 9.1, by the members that the catalogue names in `how`.
const ROLL_UPS: &[(&str, IsMember)] = &[
    ("CMP-9.1-1", |member| member.id.starts_with("ATT-7.1-")),
    ("CMP-9.1-2", |member| {
        let is_must = matches!(member.level, Keyword::Must | Keyword::MustNot);
        member.id.starts_with("ACC-3.3-")
            || (member.id.starts_with("ACC-3.5-") && is_must)
            || ["AWU-2.4-1", "AWU-2.4-2", "DEC-4.1-2", "DEC-4.1-4"].contains(&member.id)
    }),
    ("CMP-9.1-3", |member| {
        let of_schemas =
            ["SCH-8.1-", "SCH-8.2-", "SCH-8.3-"].iter().any(|prefix| member.id.starts_with(prefix));
        member.id.starts_with("EVT-7.2-")
            || member.id.starts_with("EVT-7.2.1-")
            || (of_schemas && member.item == 3)
    }),
    ("CMP-9.1-4", |member| ["DEC-4.1-1", "DEC-4.1-5", "DEC-4.2-1", "SCH-8.1-1"].contains(&member.id)),
    ("CMP-9.1-5", |member| {
        member.id.starts_with("RSN-5.") || ["DEC-4.2-2", "SCH-8.1-2", "SCH-8.1-3"].contains(&member.id)
    }),
    ("CMP-9.1-6", |member| member.id.starts_with("AWU-2.2-")),
    ("CMP-9.1-7", |member| ["AWU-2.3-4", "AWU-2.3-5", "DEC-4.4-1"].contains(&member.id)),
    ("CMP-9.1-8", |member| member.id == "CMP-9.1-9"),
];

/// The statements about a claim (sections 9.2, 9.3 and 11.4).
fn add_claims(fails: &mut BTreeSet<&'static str>, claim: Claim, level: Level) {
    let mut broken = Vec::new();
    if claim == Claim::Full && level == Level::Partial {
        broken.push("CMP-9.2-2");
    }
    if level == Level::None {
        broken.push("CMP-9.3-1");
    }
    if !level.covers(claim) {
        broken.extend(["VER-11.4-6", "VER-11.4-8"]);
    }
    if fails.contains("VER-11.3-1") || fails.contains("VER-11.3-2") {
        broken.push("VER-11.4-1");
    }
    // The half about events does not concern a partial claim (AMB-01).
    if fails.contains("CMP-9.1-1") || (claim == Claim::Full && fails.contains("CMP-9.1-3")) {
        broken.push("VER-11.4-2");
    }
    fails.extend(broken);
}

/// The requirement of this name.
pub fn requirement(id: &str) -> &'static Requirement {
    Id::named(id).unwrap_or_else(|| panic!("the catalogue has no requirement {id}")).requirement()
}

/// Without the statements that are derived.
pub fn leaves(ids: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    ids.iter().copied().filter(|id| !DERIVED.contains(id) && *id != "CMP-9.4-1").collect()
}
