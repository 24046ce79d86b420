//! What is decided differently: decisions by number, so that a decision of every call can be kept, and pairs of them.

use foldhash::HashMap;
use genops::core::spec::ReasonCode;
use serde::Serialize;

use super::super::recorded::distinct::Distinct;
use super::super::run::{Answer, Undecided};
use crate::Trouble;

/// Decisions, and how often one took the place of another.
#[derive(Debug, Default)]
pub struct Changes {
    said: Distinct<Answer>,
    pairs: HashMap<(u32, u32), u64>,
}

/// Calls that are decided differently.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What was decided then, or is by the policy in force, and what decided it.
    pub before: String,
    /// What the policy that is tried decides.
    pub after: String,
    /// How many calls.
    pub calls: u64,
}

/// So many different decisions are told apart; there are as many as rules, about.
const DIFFERENT_MAX: usize = 1_000_000;

impl Changes {
    /// The number of a decision.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn number(&mut self, said: Answer) -> Result<u32, Trouble> {
        let too_many = || Trouble::failed(format!("there are more than {DIFFERENT_MAX} different decisions"));
        self.said.place_of(said, DIFFERENT_MAX).ok_or_else(too_many)
    }

    /// The decision with a number.
    #[must_use]
    pub fn said(&self, number: u32) -> Option<&Answer> {
        self.said.get(number)
    }

    /// Counts a call.
    pub fn count(&mut self, then: u32, now: u32) {
        if then != now {
            *self.pairs.entry((then, now)).or_default() += 1;
        }
    }

    /// Calls with another state or code than before, the most frequent first. Where only the rule is another one, the
    /// call is decided as before.
    #[must_use]
    pub fn all(&self) -> Vec<Change> {
        let decision = |number| {
            let said = self.said(number).map(Result::as_ref);
            said.map(|said| said.map(|said| &said.decision))
        };
        let changed = self.pairs.iter().filter(|((then, now), _)| decision(*then) != decision(*now));
        let mut all: Vec<_> = changed
            .map(|((then, now), calls)| Change {
                before: words(self.said(*then)),
                after: words(self.said(*now)),
                calls: *calls,
            })
            .collect();
        all.sort_unstable_by(|a, b| {
            b.calls.cmp(&a.calls).then_with(|| (&a.before, &a.after).cmp(&(&b.before, &b.after)))
        });
        all
    }
}

/// A decision in a few words.
fn words(said: Option<&Answer>) -> String {
    let said = match said {
        Some(Ok(said)) => said,
        Some(Err(Undecided::TooManyOpen)) => return "503 too many open".to_owned(),
        Some(Err(Undecided::NotSetUp)) | None => return "404 model not set up".to_owned(),
    };
    let state = said.decision.state().as_str();
    let mut words = match said.decision.reason_code().map(ReasonCode::as_str) {
        // RATE_LIMITED is a state and a code.
        Some(code) if code == state => state.to_owned(),
        Some(code) => format!("{state} {code}"),
        None => state.to_owned(),
    };
    if let Some((_, Some(rule))) = &said.by {
        words.push_str(&format!(" ({rule})"));
    }
    words
}
