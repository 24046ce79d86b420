//! Sections 9.2, 9.3 and 11.4: what somebody may claim of a runtime, given the level that its telemetry reaches.
//!
//! The claim comes from whoever asks, never from the telemetry (AMB-09, AMB-13). Nothing here changes the level.

use super::OfVerdicts;
use crate::catalogue::{Id, SPEC_VERSION, id};
use crate::key::VERSION;
use crate::level::{Claim, Level, Verdicts};
use crate::verdict::{Evidence, Outcome};

/// The words in which a partially compliant runtime has to declare its level: with an em dash, U+2014.
pub const DECLARATION: &str = "GenOps v0.1 \u{2014} partial";

/// The rules about a claim.
pub const OF_VERDICTS: &[(Id, OfVerdicts)] = &[
    (id::CMP_9_2_1, cmp_9_2_1),
    (id::CMP_9_2_2, cmp_9_2_2),
    (id::CMP_9_2_3, cmp_9_2_3),
    (id::CMP_9_3_1, cmp_9_3_1),
    (id::VER_11_4_1, ver_11_4_1),
    (id::VER_11_4_2, ver_11_4_2),
    (id::VER_11_4_6, ver_11_4_6),
    (id::VER_11_4_8, ver_11_4_8),
    (id::VER_11_4_9, ver_11_4_9),
];

const FULL: &str = "the level reached is full, and partial compliance is not claimed";

/// Items 1 and 4 to 8 without 2 and 3 make a runtime partially compliant.
fn cmp_9_2_1(verdicts: &Verdicts<'_>) -> Outcome {
    match verdicts.level {
        Some(Level::Partial) => Outcome::Pass,
        Some(Level::Full) => Outcome::NotApplicable("the level reached is full"),
        Some(Level::None) => {
            let broken = verdicts.first_failure(true).map_or("a statement", |id| id.requirement().id);
            let evidence = Evidence::new("capture", "level", "none", "partial");
            evidence.mend(format!("partial compliance breaks on {broken}: see there")).fails()
        }
        Some(Level::NothingObserved) | None => Outcome::NotObserved,
    }
}

/// A partially compliant runtime does not claim full compliance.
fn cmp_9_2_2(verdicts: &Verdicts<'_>) -> Outcome {
    match (verdicts.level, verdicts.terms.claim) {
        (Some(Level::Partial), Some(Claim::Full)) => too_much("full", Level::Partial),
        (Some(Level::Partial), Some(Claim::Partial)) => Outcome::Pass,
        (Some(Level::Full | Level::None), _) => Outcome::NotApplicable("the level reached is not partial"),
        _ => Outcome::NotObserved,
    }
}

/// A partially compliant runtime declares its level in exactly the specification's words.
fn cmp_9_2_3(verdicts: &Verdicts<'_>) -> Outcome {
    declaration(verdicts).unwrap_or(Outcome::Pass)
}

/// A runtime that reaches neither level claims nothing.
fn cmp_9_3_1(verdicts: &Verdicts<'_>) -> Outcome {
    match (verdicts.level, verdicts.terms.claim) {
        (Some(Level::None), Some(claim)) => too_much(claim.as_str(), Level::None),
        (Some(Level::None), None) => Outcome::Pass,
        (Some(Level::Full | Level::Partial), _) => Outcome::NotApplicable("a level is reached"),
        _ => Outcome::NotObserved,
    }
}

/// Who claims declares the version, as section 11.3 has it.
fn ver_11_4_1(verdicts: &Verdicts<'_>) -> Outcome {
    verdicts.roll_up([id::VER_11_3_1, id::VER_11_3_2].into_iter())
}

/// Who claims emits what that version requires; a partial claim is not about events (AMB-01).
fn ver_11_4_2(verdicts: &Verdicts<'_>) -> Outcome {
    let events = (verdicts.terms.claim != Some(Claim::Partial)).then_some(id::CMP_9_1_3);
    verdicts.roll_up(std::iter::once(id::CMP_9_1_1).chain(events))
}

/// Nobody claims what is missing or reinterpreted.
fn ver_11_4_6(verdicts: &Verdicts<'_>) -> Outcome {
    match (verdicts.level, verdicts.terms.claim) {
        (Some(Level::NothingObserved) | None, _) | (_, None) => Outcome::NotObserved,
        (Some(level), Some(claim)) if level.covers(claim) => Outcome::Pass,
        (Some(level), Some(claim)) => too_much(claim.as_str(), level),
    }
}

/// Nobody claims a version that is not implemented.
fn ver_11_4_8(verdicts: &Verdicts<'_>) -> Outcome {
    if verdicts.terms.claim.is_none() {
        return Outcome::NotObserved;
    }
    match declared(verdicts) {
        // That version is implemented as far as its level is reached.
        Outcome::Pass => ver_11_4_6(verdicts),
        outcome => outcome,
    }
}

/// A partial claim is made in so many words, and its version stands on the spans.
fn ver_11_4_9(verdicts: &Verdicts<'_>) -> Outcome {
    declaration(verdicts).unwrap_or_else(|| declared(verdicts))
}

/// What is to be said of the declaration; nothing, where it is as it should be.
fn declaration(verdicts: &Verdicts<'_>) -> Option<Outcome> {
    let terms = verdicts.terms;
    let Some(text) = &terms.declaration else { return Some(Outcome::NotObserved) };
    if verdicts.level == Some(Level::Full) && terms.claim != Some(Claim::Partial) {
        return Some(Outcome::NotApplicable(FULL));
    }
    if text == DECLARATION {
        return None;
    }
    let evidence = Evidence::new("claim", "declaration", format!("{text:?}"), format!("{DECLARATION:?}"));
    let is_dash = |c: char| matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let advice = match text.replace(is_dash, "\u{2014}") == DECLARATION {
        true => "the dash has to be an em dash, U+2014: a hyphen or an en dash is another character",
        false => "declare it in exactly these words, with an em dash, U+2014",
    };
    Some(evidence.mend(advice).fails())
}

/// Whether every AWU declares the version that is judged here.
fn declared(verdicts: &Verdicts<'_>) -> Outcome {
    let (exact, well_formed) = (verdicts.tally(id::VER_11_1_2), verdicts.tally(id::VER_11_3_1));
    let others = well_formed.passed.saturating_sub(exact.passed);
    let wrong = others.saturating_add(exact.failed);
    if wrong > 0 {
        let observed = format!("another version, or none, on {wrong} of {} AWUs", verdicts.awus);
        let evidence =
            Evidence::new("capture", VERSION.name(), observed, format!("{SPEC_VERSION} on every AWU"));
        return evidence.mend("claim the version that the spans declare").fails();
    }
    match (exact.passed, exact.inconclusive) {
        (0, 0) => Outcome::NotObserved,
        (_, 0) => Outcome::Pass,
        _ => Outcome::Inconclusive("not every AWU shows its version"),
    }
}

fn too_much(claim: &'static str, level: Level) -> Outcome {
    let evidence = Evidence::new("claim", "claim", claim, format!("at most what is reached: {level}"));
    evidence.mend("mend what the findings show, or claim less").fails()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Judgement;
    use crate::level::{Terms, all_passed, sum_up};
    use crate::rules::Strictness;
    use crate::verdict::Verdict::{self, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    fn at(level: Level) -> Judgement {
        let mut judgement = all_passed();
        let broken = match level {
            Level::Full => return judgement,
            Level::Partial => id::EVT_7_2_2,
            Level::None => id::ATT_7_1_1,
            Level::NothingObserved => return Judgement::new(Strictness::default()),
        };
        judgement.take(broken, None, Evidence::new("here", "key", "one", "another").fails());
        judgement
    }

    fn verdict(mut judgement: Judgement, claim: Option<Claim>, declaration: Option<&str>, id: Id) -> Verdict {
        let terms = Terms { claim, declaration: declaration.map(str::to_owned), strict: false };
        sum_up(&mut judgement, &terms);
        judgement.tallies[id.place()].verdict()
    }

    /// For no claim, one of partial and one of full compliance, at each level.
    type Row = (Id, Level, [Verdict; 3]);

    #[test]
    fn a_claim_is_held_against_the_level() {
        use Level::{Full, None as NoLevel, NothingObserved, Partial};
        let rows: &[Row] = &[
            (id::CMP_9_2_1, Full, [NotApplicable; 3]),
            (id::CMP_9_2_1, Partial, [Pass; 3]),
            (id::CMP_9_2_1, NoLevel, [Fail; 3]),
            (id::CMP_9_2_1, NothingObserved, [NotObserved; 3]),
            (id::CMP_9_2_2, Full, [NotApplicable; 3]),
            (id::CMP_9_2_2, Partial, [NotObserved, Pass, Fail]),
            (id::CMP_9_2_2, NoLevel, [NotApplicable; 3]),
            (id::CMP_9_2_2, NothingObserved, [NotObserved; 3]),
            (id::CMP_9_2_3, Partial, [NotObserved; 3]),
            (id::CMP_9_3_1, Full, [NotApplicable; 3]),
            (id::CMP_9_3_1, Partial, [NotApplicable; 3]),
            (id::CMP_9_3_1, NoLevel, [Pass, Fail, Fail]),
            (id::CMP_9_3_1, NothingObserved, [NotObserved; 3]),
            (id::VER_11_4_1, Full, [Pass; 3]),
            (id::VER_11_4_2, Full, [Pass; 3]),
            (id::VER_11_4_2, Partial, [Fail, Pass, Fail]),
            (id::VER_11_4_2, NoLevel, [Fail; 3]),
            (id::VER_11_4_6, Full, [NotObserved, Pass, Pass]),
            (id::VER_11_4_6, Partial, [NotObserved, Pass, Fail]),
            (id::VER_11_4_6, NoLevel, [NotObserved, Fail, Fail]),
            (id::VER_11_4_6, NothingObserved, [NotObserved; 3]),
            (id::VER_11_4_8, Full, [NotObserved, Pass, Pass]),
            (id::VER_11_4_8, Partial, [NotObserved, Pass, Fail]),
            (id::VER_11_4_8, NothingObserved, [NotObserved; 3]),
            (id::VER_11_4_9, Partial, [NotObserved; 3]),
        ];
        for (id, level, expected) in rows {
            for (claim, expected) in [None, Some(Claim::Partial), Some(Claim::Full)].into_iter().zip(expected)
            {
                let what = format!("{} at {level} with {claim:?}", id.requirement().id);
                assert_eq!(verdict(at(*level), claim, None, *id), *expected, "{what}");
            }
        }
    }

    #[test]
    fn a_declaration_is_compared_character_by_character() {
        let partial = || at(Level::Partial);
        for (text, expected) in [
            ("GenOps v0.1 \u{2014} partial", Pass),
            ("GenOps v0.1 - partial", Fail),
            ("GenOps v0.1 \u{2013} partial", Fail),
            ("GenOps v0.1 \u{2014} partial ", Fail),
            ("genops v0.1 \u{2014} partial", Fail),
            ("partial", Fail),
            ("", Fail),
        ] {
            for id in [id::CMP_9_2_3, id::VER_11_4_9] {
                assert_eq!(verdict(partial(), None, Some(text), id), expected, "{text:?}");
            }
        }
        for (claim, expected) in
            [(None, NotApplicable), (Some(Claim::Full), NotApplicable), (Some(Claim::Partial), Fail)]
        {
            assert_eq!(verdict(at(Level::Full), claim, Some("fully"), id::CMP_9_2_3), expected, "{claim:?}");
        }
    }

    #[test]
    fn a_hyphen_in_a_declaration_is_told_of() {
        let mut judgement = at(Level::Partial);
        let declaration = Some("GenOps v0.1 - partial".to_owned());
        sum_up(&mut judgement, &Terms { claim: Some(Claim::Partial), declaration, strict: false });
        let finding = judgement.findings.iter().find(|finding| finding.id == id::CMP_9_2_3).unwrap();
        assert!(finding.evidence.mend.contains("U+2014: a hyphen"), "{:?}", finding.evidence);
    }

    #[test]
    fn a_claim_is_about_the_version_on_every_awu() {
        let other = |outcome: Outcome| {
            let mut judgement = all_passed();
            judgement.counts.awus = 2;
            let form = if outcome == Outcome::Inconclusive("unsupported version") {
                Outcome::Pass
            } else {
                Outcome::NotObserved
            };
            judgement.take(id::VER_11_1_2, None, outcome);
            judgement.take(id::VER_11_3_1, None, form);
            judgement
        };
        let of = |judgement| verdict(judgement, Some(Claim::Full), Some(DECLARATION), id::VER_11_4_8);
        assert_eq!(of(all_passed()), Pass);
        assert_eq!(of(other(Outcome::Inconclusive("unsupported version"))), Fail);
        assert_eq!(of(other(Outcome::Inconclusive("left out"))), Inconclusive);
        let partial = |judgement| verdict(judgement, Some(Claim::Partial), Some(DECLARATION), id::VER_11_4_9);
        assert_eq!(partial(all_passed()), Pass);
        assert_eq!(partial(other(Outcome::Inconclusive("unsupported version"))), Fail);
    }
}
