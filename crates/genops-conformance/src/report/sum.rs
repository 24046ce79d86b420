//! What a report says in sum: its first sentence, the eight items of section 9.1, and the findings by requirement.
//!
//! No verdict is made here; those of the requirements are counted and put in order.

use super::{Example, Item, Outcomes, Report, Row};
use crate::catalogue::{Checkable, Id, Keyword, Subject, id};
use crate::level::{Claim, Level};
use crate::rules;
use crate::verdict::Verdict;

/// The items of section 9.1, and the requirements that stand for them.
const ITEMS: [(u8, &[Id]); 8] = [
    (1, &[id::CMP_9_1_1]),
    (2, &[id::CMP_9_1_2]),
    (3, &[id::CMP_9_1_3]),
    (4, &[id::CMP_9_1_4]),
    (5, &[id::CMP_9_1_5]),
    (6, &[id::CMP_9_1_6]),
    (7, &[id::CMP_9_1_7]),
    // No others stand behind these two.
    (8, &[id::CMP_9_1_8, id::CMP_9_1_9]),
];

/// A requirement that is broken or worth a look, with what was found.
#[derive(Debug)]
pub struct Group<'a> {
    /// The requirement.
    pub row: &'a Row,
    /// The examples, those that say the same together.
    pub cases: Vec<Case<'a>>,
    /// How many AWUs are not among the examples.
    pub more: u64,
    /// A requirement before it where exactly the same was found, so that it need not be told again.
    pub same_as: Option<&'static str>,
}

/// What was found alike on some AWUs.
#[derive(Debug)]
pub struct Case<'a> {
    /// What was found.
    pub example: &'a Example,
    /// Where.
    pub awus: Vec<&'a str>,
}

impl Report {
    /// What is broken, with its examples: what a level rests on first. The sums of section 9.1 are not among them,
    /// since what they sum up is, nor what is said of a claim.
    pub(super) fn broken(&self) -> Vec<Group<'_>> {
        self.groups(|row| row.verdict == Verdict::Fail && row.subject != Subject::Claim)
    }

    /// What is worth a look.
    pub(super) fn advisories(&self) -> Vec<Group<'_>> {
        self.groups(|row| row.verdict == Verdict::Advisory)
    }

    /// What is broken because more is claimed than was reached; nothing where nothing is claimed.
    pub(super) fn broken_by_claim(&self) -> Vec<Group<'_>> {
        let is_claimed = self.claim.claimed.is_some() || self.claim.declaration.is_some();
        self.groups(|row| is_claimed && row.verdict == Verdict::Fail && row.subject == Subject::Claim)
    }

    fn groups(&self, is_meant: impl Fn(&Row) -> bool) -> Vec<Group<'_>> {
        let rows = self.requirements.iter().filter(|row| is_meant(row) && !row.is_sum());
        let mut groups: Vec<Group<'_>> = rows.map(|row| self.group(row)).collect();
        groups.sort_by_key(|group| (!group.row.gates_partial, !group.row.gates_full));
        for at in 0..groups.len() {
            let (before, rest) = groups.split_at_mut(at);
            if let Some(group) = rest.first_mut() {
                group.same_as = before.iter().find(|other| other.is_like(group)).map(|other| other.row.id);
            }
        }
        groups
    }

    /// A requirement, with its examples.
    pub(super) fn group<'a>(&'a self, row: &'a Row) -> Group<'a> {
        let mut cases: Vec<Case<'a>> = Vec::new();
        let mut shown = 0;
        for example in self.findings.iter().filter(|one| one.id == row.id && one.verdict == row.verdict) {
            shown += 1;
            match cases.iter_mut().find(|case| case.example.is_like(example)) {
                Some(case) => case.awus.extend(example.awu.as_deref()),
                None => cases.push(Case { example, awus: example.awu.as_deref().into_iter().collect() }),
            }
        }
        let all = if row.verdict == Verdict::Fail { row.awus.fail } else { row.awus.advisory };
        Group { row, cases, more: all.saturating_sub(shown), same_as: None }
    }

    /// Whether the claim is reached or, where nothing is claimed, a level, and under `strict` every SHOULD.
    #[must_use]
    pub fn holds(&self) -> bool {
        let breaks = |row: &Row| row.verdict == Verdict::Fail && row.level == Keyword::Should;
        let is_met = || matches!(self.level, Some(Level::Full | Level::Partial));
        let holds = || is_met() && !(self.terms.strict && self.requirements.iter().any(breaks));
        self.claim.holds.unwrap_or_else(holds)
    }

    /// What became of the claim, in words; none where nothing was claimed.
    pub(super) fn claim_words(&self) -> Option<&'static str> {
        let holds = self.claim.holds.unwrap_or(false);
        Some(match (self.claim.claimed?, holds) {
            (Claim::Full, true) => "The claim of full compliance stands.",
            (Claim::Full, false) => "The claim of full compliance does not stand.",
            (Claim::Partial, true) => "The claim of partial compliance stands.",
            (Claim::Partial, false) => "The claim of partial compliance does not stand.",
        })
    }

    /// Whether a part of the input was lost, in words.
    pub(super) fn unread_words(&self) -> Option<String> {
        let flawed = self.inputs.iter().filter(|input| !input.problems.is_empty()).count() as u64;
        let inputs = plural(flawed, "input", "inputs");
        (flawed > 0).then(|| format!("A part of {inputs} could not be read; nothing is said of it."))
    }
}

impl Group<'_> {
    fn is_like(&self, other: &Self) -> bool {
        let is_like =
            |one: &Case<'_>, other: &Case<'_>| one.example.is_like(other.example) && one.awus == other.awus;
        let all = || self.cases.iter().zip(&other.cases).all(|(one, other)| is_like(one, other));
        !self.cases.is_empty() && self.cases.len() == other.cases.len() && self.more == other.more && all()
    }
}

impl Example {
    fn is_like(&self, other: &Self) -> bool {
        let same_place = self.place == other.place && self.key == other.key && self.mend == other.mend;
        same_place && self.observed == other.observed && self.expected == other.expected
    }
}

impl Row {
    /// Whether it only sums up others.
    fn is_sum(&self) -> bool {
        Id::named(self.id).is_some_and(rules::is_roll_up)
    }

    /// Which level rests on it, in words.
    pub(super) const fn weight(&self) -> &'static str {
        match (self.gates_full, self.gates_partial) {
            (_, true) => "full and partial compliance rest on it",
            (true, false) => "full compliance rests on it",
            (false, false) => "no level rests on it",
        }
    }
}

impl Item {
    /// How many of its requirements were seen to hold, in words.
    pub(super) fn held(&self) -> String {
        format!("{} of {}", self.requirements.held(), self.requirements.due())
    }

    /// What it lacks, in words.
    pub(super) fn lacks(&self) -> String {
        let mut lacks = String::new();
        if !self.broken.is_empty() {
            lacks.push_str(&format!(" Broken: {}.", self.broken.join(", ")));
        }
        if !self.unseen.is_empty() {
            lacks.push_str(&format!(" Not exercised: {}.", self.unseen.len()));
        }
        lacks
    }
}

impl Outcomes {
    /// All that could have been seen to hold.
    const fn due(&self) -> u64 {
        self.pass + self.advisory + self.fail + self.inconclusive + self.not_observed
    }

    /// All that were.
    pub(super) const fn held(&self) -> u64 {
        self.pass + self.advisory
    }

    const fn count(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Fail => &mut self.fail,
            Verdict::Advisory => &mut self.advisory,
            Verdict::Inconclusive => &mut self.inconclusive,
            Verdict::NotObserved => &mut self.not_observed,
            Verdict::NotApplicable => &mut self.not_applicable,
        };
        *count += 1;
    }
}

/// The eight items.
pub(super) fn items(rows: &[Row], unseen: &[Id]) -> Vec<Item> {
    ITEMS.iter().filter_map(|(item, sums)| one_item(rows, *item, sums, unseen)).collect()
}

fn one_item(rows: &[Row], item: u8, sums: &[Id], unseen: &[Id]) -> Option<Item> {
    let first = rows.get(sums.first()?.place())?;
    // The first of the verdicts is the one that counts: fail before advisory before pass.
    let verdict = sums.iter().filter_map(|id| Some(rows.get(id.place())?.verdict)).min()?;
    let stands_behind = |row: &&Row| row.item == item && row.gates_full && row.checkable != Checkable::No;
    let members: Vec<&Row> = rows.iter().filter(stands_behind).filter(|row| !row.is_sum()).collect();
    let mut requirements = Outcomes::default();
    members.iter().for_each(|row| requirements.count(row.verdict));
    let broken = members.iter().filter(|row| row.verdict == Verdict::Fail).map(|row| row.id);
    let unseen = unseen.iter().map(|id| id.requirement()).filter(|requirement| requirement.item == item);
    Some(Item {
        item,
        id: first.id,
        text: first.text,
        verdict,
        partial: first.gates_partial,
        requirements,
        broken: broken.collect(),
        unseen: unseen.map(|requirement| requirement.id).collect(),
    })
}

/// The first sentence: the level, and how sure that is.
pub(super) fn summary(report: &Report) -> String {
    let broken = |counts: fn(&Row) -> bool| {
        let is_broken = |row: &&Row| row.verdict == Verdict::Fail && counts(row) && !row.is_sum();
        report.requirements.iter().filter(is_broken).count() as u64
    };
    let held =
        |level: &str| format!("{level}, verified: every statement that telemetry can show was seen to hold");
    let unseen = |level: &str| {
        let unseen = report.unseen.len() as u64;
        format!(
            "{level}, not refuted: {}",
            plural(unseen, "statement was not exercised", "statements were not exercised")
        )
    };
    match report.level {
        None => "not readable: nothing of the input is OTLP".to_owned(),
        Some(Level::NothingObserved) => "nothing observed: there is no AWU in what was read".to_owned(),
        Some(Level::Full) if report.verified => held("full"),
        Some(Level::Full) => unseen("full"),
        Some(Level::Partial) => {
            let level = if report.verified { held("partial") } else { unseen("partial") };
            let broken = broken(|row| row.gates_full && !row.gates_partial);
            format!(
                "{level}; of full compliance {}",
                plural(broken, "requirement is broken", "requirements are broken")
            )
        }
        Some(Level::None) => {
            let broken = broken(|row| row.gates_partial);
            let broken = plural(broken, "requirement is broken", "requirements are broken");
            format!("none: {broken} on which even partial compliance rests")
        }
    }
}

/// A count, with the word for one or for several.
pub(super) fn plural(count: u64, one: &str, several: &str) -> String {
    let word = if count == 1 { one } else { several };
    format!("{} {word}", grouped(count))
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
