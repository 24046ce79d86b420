//! A mutant: a golden capture, an edit, and what the checker has to say of the result.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use genops_conformance::checker::OPEN_BYTES_MAX;
use genops_conformance::level::Claim;

use crate::common::{Capture, How, PARTIAL, Said};
use crate::rollups;

/// A golden capture with one edit, and what has to be found.
pub struct Mutant {
    /// The golden capture.
    pub golden: &'static str,
    /// What was done to it.
    pub name: String,
    edit: Box<dyn Fn(&mut Capture)>,
    how: How,
    fails: BTreeSet<&'static str>,
    /// What has to be worth a look.
    pub advises: BTreeSet<&'static str>,
    unclear: BTreeSet<&'static str>,
}

/// A mutant that breaks nothing, until it is said what it breaks.
pub fn mutant(
    golden: &'static str,
    name: impl Into<String>,
    edit: impl Fn(&mut Capture) + 'static,
) -> Mutant {
    let claim = if golden == PARTIAL { Claim::Partial } else { Claim::Full };
    Mutant {
        golden,
        name: name.into(),
        edit: Box::new(edit),
        how: How::claiming(claim),
        fails: BTreeSet::new(),
        advises: BTreeSet::new(),
        unclear: BTreeSet::new(),
    }
}

impl Mutant {
    /// These fail, and what sums them up.
    pub fn fails(mut self, ids: &'static str) -> Self {
        self.fails.extend(set(ids));
        self
    }

    /// These are worth a look.
    pub fn advises(mut self, ids: &'static str) -> Self {
        self.advises.extend(set(ids));
        self
    }

    /// These cannot be decided.
    pub fn unclear(mut self, ids: &'static str) -> Self {
        self.unclear.extend(set(ids));
        self
    }

    /// Everything that was emitted is in the capture.
    pub fn complete(mut self) -> Self {
        self.how.strictness.is_complete = true;
        self
    }

    /// A SHOULD that is not met fails.
    pub fn strict(mut self) -> Self {
        self.how.terms.strict = true;
        self
    }

    /// An integer in place of a double is worth a look.
    pub fn lenient(mut self) -> Self {
        self.how.strictness.lenient_numeric = true;
        self
    }

    /// Something is claimed.
    pub fn claiming(mut self, claim: Claim) -> Self {
        self.how.terms.claim = Some(claim);
        self
    }

    /// The claim is declared in these words.
    pub fn declared(mut self, declaration: &str) -> Self {
        self.how.terms.declaration = Some(declaration.to_owned());
        self
    }

    /// Open traces may take so many bytes.
    pub fn in_bytes(mut self, open_bytes_max: usize) -> Self {
        self.how.open_bytes_max = open_bytes_max;
        self
    }

    /// Open traces have no room for everything.
    pub fn is_judged_in_pieces(&self) -> bool {
        self.how.open_bytes_max < OPEN_BYTES_MAX
    }

    /// Everything that has to fail.
    pub fn must_fail(&self) -> BTreeSet<&'static str> {
        let mut leaves = self.fails.clone();
        if self.golden == PARTIAL {
            leaves.extend(WITHOUT_EVENTS);
        }
        rollups::closure(&leaves, self.how.terms.claim)
    }

    /// What the checker says.
    pub fn judge(&self) -> Said {
        self.how.judge(&self.capture().documents)
    }

    /// What the checker says when everything comes twice, and the other way round.
    pub fn judge_twice_and_backwards(&self) -> Said {
        let mut documents = self.capture().documents;
        documents.extend(documents.clone());
        documents.reverse();
        for document in &mut documents {
            crate::edit::reverse_records(document);
        }
        self.how.judge(&documents)
    }

    fn capture(&self) -> Capture {
        let mut capture = Capture::golden(self.golden);
        (self.edit)(&mut capture);
        capture
    }

    /// Holds what the checker says against what was declared; tells the difference.
    pub fn prove(&self) -> Result<(), String> {
        let said = self.judge();
        let mut wrong = String::new();
        compare(&mut wrong, "fails", &self.must_fail(), &said.fails);
        compare(&mut wrong, "advises", &self.advises, &said.advises);
        compare(&mut wrong, "unclear", &self.unclear, &rollups::leaves(&said.unclear));
        let level = rollups::level(&self.must_fail());
        if said.standing.level != level {
            write!(wrong, "\n    level: {level} was declared, {} was said", said.standing.level)
                .map_err(|error| error.to_string())?;
        }
        if said.changes_nothing(self) {
            wrong.push_str("\n    nothing changed: this mutant proves nothing");
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl Said {
    fn changes_nothing(&self, mutant: &Mutant) -> bool {
        let unchanged = How::claiming(if mutant.golden == PARTIAL { Claim::Partial } else { Claim::Full });
        let before = unchanged.judge(&Capture::golden(mutant.golden).documents);
        (&before.fails, &before.advises, &before.unclear) == (&self.fails, &self.advises, &self.unclear)
    }
}

/// Where attributes of the span were left out, one that must not be there may be among them.
pub const BESIDE_DROPPED_ATTRIBUTES: &str = "RSN-5.3-2";

/// Where events, or attributes of events, were left out, one that must not be there may be among them.
pub const BESIDE_DROPPED_EVENTS: &str = "RSN-5.3-2 SCH-8.1-3";

/// What the golden capture of a partial runtime breaks by itself.
const WITHOUT_EVENTS: [&str; 7] =
    ["AWU-2.4-3", "ACC-3.3-1", "ACC-3.3-2", "ACC-3.3-6", "EVT-7.2-1", "EVT-7.2-2", "EVT-7.2-3"];

fn set(ids: &'static str) -> BTreeSet<&'static str> {
    ids.split_whitespace().map(|id| rollups::requirement(id).id).collect()
}

fn compare(wrong: &mut String, what: &str, declared: &BTreeSet<&str>, said: &BTreeSet<&str>) {
    let list = |ids: Vec<&&str>| ids.into_iter().copied().collect::<Vec<_>>().join(" ");
    let silent = list(declared.difference(said).collect());
    let unasked = list(said.difference(declared).collect());
    if !silent.is_empty() {
        wrong.push_str(&format!("\n    {what}: declared, not said: {silent}"));
    }
    if !unasked.is_empty() {
        wrong.push_str(&format!("\n    {what}: said, not declared: {unasked}"));
    }
}
