//! What all verdicts come to: the level that was reached, whether it was verified, and what became of a claim.
//!
//! How a level comes about is said in the header of `spec/requirements.yaml`. No telemetry is looked at here.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::across::Variety;
use crate::catalogue::{Checkable, Id, Keyword, REQUIREMENTS, Requirement, Subject, id};
use crate::judge::Judgement;
use crate::rules;
use crate::verdict::{Evidence, Outcome, Tally, Verdict};

/// The level of compliance that a capture reaches (section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Items 1 to 8 of section 9.1.
    Full,
    /// Items 1, 4, 5, 6, 7 and 8.
    Partial,
    /// Less.
    None,
    /// There is no AWU in the capture.
    NothingObserved,
}

/// What somebody claims of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// Full compliance.
    Full,
    /// Partial compliance.
    Partial,
}

/// What is claimed, and how strictly it is taken. None of it comes from the telemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The claim, if there is one.
    pub claim: Option<Claim>,
    /// The words in which it is declared, if they are to be judged (section 9.2).
    pub declaration: Option<String>,
    /// A SHOULD that is not met breaks the claim, though never the level.
    pub strict: bool,
}

/// The verdicts so far, for the rules that sum them up.
#[derive(Debug)]
pub struct Verdicts<'a> {
    tallies: &'a [Tally; REQUIREMENTS.len()],
    /// How many AWUs were judged.
    pub awus: u64,
    /// What varies from AWU to AWU.
    pub variety: &'a Variety,
    /// The level that was reached; `None` while it is being found out.
    pub level: Option<Level>,
    /// What is claimed.
    pub terms: &'a Terms,
}

/// What a capture comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The level that was reached.
    pub level: Level,
    /// Every gating statement of that level was seen to hold, or its condition was met by no AWU.
    pub verified: bool,
    /// The gating statements that stand between "not refuted" and "verified": those that were not seen to hold. Why
    /// stands in their tallies. Statements that only sum up others are left out.
    pub unseen: Vec<Id>,
    /// Whether the claim holds; `None` where nothing is claimed.
    pub claim_holds: Option<bool>,
}

impl Claim {
    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

impl Level {
    /// Whether it is enough for a claim.
    #[must_use]
    pub const fn covers(self, claim: Claim) -> bool {
        matches!((self, claim), (Self::Full, _) | (Self::Partial, Claim::Partial))
    }

    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
            Self::NothingObserved => "nothing_observed",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Verdicts<'_> {
    /// The verdict on a requirement.
    #[must_use]
    pub fn of(&self, id: Id) -> Verdict {
        self.tally(id).verdict()
    }

    /// How often it came to what.
    #[must_use]
    pub fn tally(&self, id: Id) -> Tally {
        self.tallies.get(id.place()).copied().unwrap_or_default()
    }

    /// What several requirements come to together: the first that fails, else whether all were seen to hold.
    #[must_use]
    pub fn roll_up(&self, members: impl Iterator<Item = Id>) -> Outcome {
        if self.awus == 0 {
            return Outcome::NotObserved;
        }
        let mut rolled = Outcome::Pass;
        for id in members {
            match self.of(id) {
                Verdict::Fail => {
                    let name = id.requirement().id;
                    return Evidence::new("capture", name, "fail", "pass")
                        .mend(format!("see {name}"))
                        .fails();
                }
                Verdict::Inconclusive => rolled = Outcome::Inconclusive("one of its members is inconclusive"),
                Verdict::NotObserved if rolled == Outcome::Pass => rolled = Outcome::NotObserved,
                _ => {}
            }
        }
        rolled
    }

    /// The first gating statement that fails, of full or partial compliance.
    #[must_use]
    pub fn first_failure(&self, partial: bool) -> Option<Id> {
        Id::all().find(|id| id.requirement().gates(partial) && self.of(*id) == Verdict::Fail)
    }

    /// The gating statements, of full or partial compliance, that telemetry can show and this capture does not. A
    /// statement that applies under a condition which no AWU met is not among them, nor one that sums up others.
    pub fn unseen(&self, partial: bool) -> impl Iterator<Item = Id> {
        let is_unseen = move |id: &Id| match self.of(*id) {
            Verdict::Pass | Verdict::Advisory | Verdict::Fail => false,
            Verdict::NotApplicable => !is_conditional(id.requirement()),
            Verdict::Inconclusive | Verdict::NotObserved => true,
        };
        let counts = move |id: &Id| {
            let requirement = id.requirement();
            let repeats = rules::is_roll_up(*id) && *id != id::CMP_9_1_2;
            requirement.gates(partial) && requirement.checkable != Checkable::No && !repeats
        };
        Id::all().filter(counts).filter(is_unseen)
    }

    fn find_level(&self) -> Level {
        match (self.awus, self.first_failure(false), self.first_failure(true)) {
            (0, ..) => Level::NothingObserved,
            (_, None, _) => Level::Full,
            (_, Some(_), None) => Level::Partial,
            (_, Some(_), Some(_)) => Level::None,
        }
    }
}

/// Sums up a judgement: the roll-ups are judged, then the level is found, then what is claimed is judged.
pub fn sum_up(judgement: &mut Judgement, terms: &Terms) -> Standing {
    if terms.strict {
        fail_what_should_hold(judgement);
    }
    let mut level = None;
    for (id, rule) in rules::OF_VERDICTS.iter().copied().flatten() {
        // What is said of a claim comes last, when the level is known.
        if id.requirement().subject == Subject::Claim && level.is_none() {
            level = Some(verdicts(judgement, None, terms).find_level());
        }
        let outcome = rule(&verdicts(judgement, level, terms));
        judgement.take(*id, None, outcome);
    }
    let verdicts = verdicts(judgement, level, terms);
    let level = level.unwrap_or_else(|| verdicts.find_level());
    let unseen: Vec<Id> = verdicts.unseen(level == Level::Partial).collect();
    let breaks = |id: Id| terms.strict && should_hold(id) && verdicts.of(id) == Verdict::Fail;
    let claim_holds = terms.claim.map(|claim| level.covers(claim) && !Id::all().any(breaks));
    let verified = matches!(level, Level::Full | Level::Partial) && unseen.is_empty();
    Standing { level, verified, unseen, claim_holds }
}

fn verdicts<'a>(judgement: &'a Judgement, level: Option<Level>, terms: &'a Terms) -> Verdicts<'a> {
    let Judgement { tallies, counts, across, .. } = judgement;
    Verdicts { tallies, awus: counts.awus, variety: &across.variety, level, terms }
}

/// Whether a statement applies only under a condition that a runtime need not meet. For section 6.3 that is that SLA
/// enforcement is active, also where the catalogue does not repeat it (AMB-22).
fn is_conditional(requirement: &Requirement) -> bool {
    requirement.applies_when.is_some() || requirement.section == "6.3"
}

/// A SHOULD that binds the runtime.
fn should_hold(id: Id) -> bool {
    let requirement = id.requirement();
    requirement.level == Keyword::Should && requirement.subject == Subject::Runtime
}

/// Under `--strict`, what a SHOULD advises is broken: in the tallies, and in the findings that tell of it.
fn fail_what_should_hold(judgement: &mut Judgement) {
    for id in Id::all().filter(|id| should_hold(*id)) {
        if let Some(tally) = judgement.tallies.get_mut(id.place()) {
            tally.failed += std::mem::take(&mut tally.advised);
        }
    }
    for finding in judgement.findings.iter_mut().filter(|finding| should_hold(finding.id)) {
        finding.verdict = Verdict::Fail;
    }
}

/// A judgement of one AWU with a model call, by which every statement but the roll-ups and the claims holds.
#[cfg(test)]
pub fn all_passed() -> Judgement {
    let mut judgement = Judgement::new(rules::Strictness::default());
    judgement.counts.awus = 1;
    judgement.across.variety.called = 1;
    for id in Id::all().filter(|id| id.requirement().subject == Subject::Runtime && !rules::is_roll_up(*id)) {
        judgement.take(id, None, Outcome::Pass);
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails() -> Outcome {
        Evidence::new("here", "key", "one", "another").fails()
    }

    fn advises() -> Outcome {
        Evidence::new("here", "key", "one", "another").advises()
    }

    /// Everything passed, but for these, which came to something else instead.
    fn judged(changes: &[(Id, Outcome)]) -> Judgement {
        let mut judgement = all_passed();
        for (id, outcome) in changes {
            judgement.tallies[id.place()] = Tally::default();
            judgement.take(*id, None, outcome.clone());
        }
        judgement
    }

    fn sum(changes: &[(Id, Outcome)], terms: &Terms) -> (Standing, Judgement) {
        let mut judgement = judged(changes);
        (sum_up(&mut judgement, terms), judgement)
    }

    fn claiming(claim: Claim, strict: bool) -> Terms {
        Terms { claim: Some(claim), declaration: None, strict }
    }

    #[test]
    fn the_level_follows_from_the_gating_statements_that_fail() {
        use Level::{Full, None, Partial};
        for (id, level) in [
            (id::EVT_7_2_2, Partial),
            (id::ACC_3_3_1, Partial),
            (id::SCH_8_3_2, Partial),
            (id::ATT_7_1_1, None),
            (id::SLA_6_3_5, None),
            (id::DEC_4_4_2, None),
            (id::VER_11_4_5, None),
            (id::OPT_7_3_2, Full),
            (id::SCH_8_4_1, Full),
            (id::ACC_3_5_4, Full),
        ] {
            let (standing, _) = sum(&[(id, fails())], &Terms::default());
            assert_eq!(standing.level, level, "{}", id.requirement().id);
        }
    }

    #[test]
    fn only_failures_lower_the_level() {
        for outcome in
            [Outcome::NotObserved, Outcome::Inconclusive("why"), Outcome::NotApplicable("why"), advises()]
        {
            let (standing, _) = sum(&[(id::ATT_7_1_1, outcome.clone())], &claiming(Claim::Full, false));
            assert_eq!((standing.level, standing.claim_holds), (Level::Full, Some(true)), "{outcome:?}");
        }
    }

    #[test]
    fn a_claim_holds_if_the_level_covers_it() {
        let partial = (id::EVT_7_2_2, fails());
        let none = (id::ATT_7_1_1, fails());
        for (changes, full, partial) in [
            (vec![], true, true),
            (vec![partial.clone()], false, true),
            (vec![partial, none.clone()], false, false),
            (vec![none], false, false),
        ] {
            assert_eq!(sum(&changes, &claiming(Claim::Full, false)).0.claim_holds, Some(full), "{changes:?}");
            assert_eq!(
                sum(&changes, &claiming(Claim::Partial, false)).0.claim_holds,
                Some(partial),
                "{changes:?}"
            );
            assert_eq!(sum(&changes, &Terms::default()).0.claim_holds, None);
        }
    }

    #[test]
    fn a_capture_without_an_awu_reaches_nothing() {
        let mut judgement = Judgement::new(rules::Strictness::default());
        judgement.capture();
        let standing = sum_up(&mut judgement, &claiming(Claim::Partial, false));
        assert_eq!((standing.level, standing.claim_holds), (Level::NothingObserved, Some(false)));
        assert!(!standing.verified);
        let is_quiet =
            |id: &Id| matches!(verdict(&judgement, *id), Verdict::NotObserved | Verdict::NotApplicable);
        let loud: Vec<_> = Id::all().filter(|id| !is_quiet(id)).map(|id| id.requirement().id).collect();
        assert!(loud.is_empty(), "{loud:?}");
    }

    fn verdict(judgement: &Judgement, id: Id) -> Verdict {
        judgement.tallies[id.place()].verdict()
    }

    #[test]
    fn what_was_not_seen_stands_between_not_refuted_and_verified() {
        assert!(sum(&[], &Terms::default()).0.verified);
        let condition = Outcome::NotApplicable("not met");
        for (id, outcome, is_unseen) in [
            (id::ATT_7_1_1, Outcome::NotObserved, true),
            (id::ATT_7_1_1, Outcome::Inconclusive("why"), true),
            (id::ATT_7_1_1, advises(), false),
            // Nobody was refused.
            (id::ATT_7_1_10, condition.clone(), true),
            // What telemetry can only refute has to have been exercised, too.
            (id::AWU_2_3_4, Outcome::NotObserved, true),
            // The condition of section 6.3 was met by no AWU.
            (id::SLA_6_3_1, condition.clone(), false),
            (id::SLA_6_3_5, condition, false),
            (id::SLA_6_3_1, Outcome::NotObserved, true),
            // These count toward no level.
            (id::OPT_7_3_2, Outcome::NotObserved, false),
            (id::ACC_3_5_4, Outcome::NotObserved, false),
        ] {
            let (standing, judgement) = sum(&[(id, outcome.clone())], &Terms::default());
            let expected: Vec<Id> = is_unseen.then_some(id).into_iter().collect();
            assert_eq!((standing.unseen, standing.verified), (expected, !is_unseen), "{outcome:?}");
            let coverage = if is_unseen { Verdict::NotObserved } else { Verdict::Pass };
            assert_eq!(self::verdict(&judgement, id::CMP_9_4_1), coverage, "{outcome:?}");
        }
    }

    #[test]
    fn of_a_partial_runtime_only_the_partial_statements_have_to_be_seen() {
        let changes = [(id::EVT_7_2_2, fails()), (id::EVT_7_2_3, Outcome::NotObserved)];
        let (standing, judgement) = sum(&changes, &Terms::default());
        assert_eq!((standing.level, standing.verified), (Level::Partial, true));
        assert_eq!(verdict(&judgement, id::CMP_9_4_1), Verdict::NotObserved);
        let (standing, _) = sum(&[(id::ATT_7_1_1, fails())], &Terms::default());
        assert!(!standing.verified, "what is refuted is not verified");
    }

    #[test]
    fn a_should_breaks_a_strict_claim_and_never_the_level() {
        let change = [(id::DEC_4_3_3, advises())];
        let (standing, judgement) = sum(&change, &claiming(Claim::Full, false));
        assert_eq!((standing.level, standing.claim_holds), (Level::Full, Some(true)));
        assert_eq!(verdict(&judgement, id::DEC_4_3_3), Verdict::Advisory);
        let (standing, judgement) = sum(&change, &claiming(Claim::Full, true));
        assert_eq!((standing.level, standing.claim_holds), (Level::Full, Some(false)));
        assert_eq!(verdict(&judgement, id::DEC_4_3_3), Verdict::Fail);
        assert!(judgement.findings.iter().all(|finding| finding.verdict == Verdict::Fail));
        // Advice beside a statement that binds, and a broken statement that only permits, break no claim.
        let (standing, judgement) =
            sum(&[(id::ATT_7_1_1, advises()), (id::SCH_8_4_3, fails())], &claiming(Claim::Full, true));
        assert_eq!(standing.claim_holds, Some(true));
        assert_eq!(verdict(&judgement, id::ATT_7_1_1), Verdict::Advisory);
    }

    #[test]
    fn an_item_is_what_its_members_come_to() {
        for (outcome, expected) in [
            (fails(), Verdict::Fail),
            (Outcome::Inconclusive("why"), Verdict::Inconclusive),
            (Outcome::NotObserved, Verdict::NotObserved),
            (Outcome::NotApplicable("why"), Verdict::Pass),
            (advises(), Verdict::Pass),
        ] {
            for (member, item) in [
                (id::ATT_7_1_14, id::CMP_9_1_1),
                (id::ACC_3_5_3, id::CMP_9_1_2),
                (id::DEC_4_1_4, id::CMP_9_1_2),
                (id::EVT_7_2_1_4, id::CMP_9_1_3),
                (id::SCH_8_2_3, id::CMP_9_1_3),
                (id::SCH_8_1_1, id::CMP_9_1_4),
                (id::RSN_5_4_1, id::CMP_9_1_5),
                (id::AWU_2_2_5, id::CMP_9_1_6),
                (id::DEC_4_4_1, id::CMP_9_1_7),
            ] {
                let (_, judgement) = sum(&[(member, outcome.clone())], &Terms::default());
                let what = format!("{} in {}", member.requirement().id, item.requirement().id);
                assert_eq!(verdict(&judgement, item), expected, "{what}");
            }
        }
    }

    #[test]
    fn without_a_model_call_item_2_is_not_seen() {
        let mut judgement = all_passed();
        judgement.across.variety.called = 0;
        sum_up(&mut judgement, &Terms::default());
        assert_eq!(verdict(&judgement, id::CMP_9_1_2), Verdict::NotObserved);
    }
}
