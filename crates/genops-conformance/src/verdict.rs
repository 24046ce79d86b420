//! What a rule says of one AWU, what all of that comes to for a requirement, and the evidence.
//!
//! Nothing here looks at telemetry.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

/// What a rule says of one AWU, or of the capture as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It is broken.
    Fail(Box<Evidence>),
    /// It holds, and something beside it is worth a look.
    Advisory(Box<Evidence>),
    /// Nothing that would show it was there.
    NotObserved,
    /// What was there does not decide, for this reason.
    Inconclusive(&'static str),
    /// It does not concern this AWU, by this rule.
    NotApplicable(&'static str),
}

/// What was seen, and what should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Where on the AWU.
    pub place: Cow<'static, str>,
    /// The attribute, event or field.
    pub key: Cow<'static, str>,
    /// What stands there.
    pub observed: String,
    /// What should.
    pub expected: Cow<'static, str>,
    /// How to mend it.
    pub mend: Cow<'static, str>,
}

impl Evidence {
    /// Evidence at a place of an AWU. See [`Self::mend`] for the advice.
    pub fn new(
        place: impl Into<Cow<'static, str>>,
        key: impl Into<Cow<'static, str>>,
        observed: impl Into<String>,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            place: place.into(),
            key: key.into(),
            observed: observed.into(),
            expected: expected.into(),
            mend: Cow::Borrowed(""),
        }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn mend(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.mend = advice.into();
        self
    }

    /// As the outcome of a rule that is broken.
    #[must_use]
    pub fn fails(self) -> Outcome {
        Outcome::Fail(Box::new(self))
    }

    /// As the outcome of a rule that holds, with something worth a look.
    #[must_use]
    pub fn advises(self) -> Outcome {
        Outcome::Advisory(Box::new(self))
    }
}

/// The six verdicts on a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At least one AWU breaks it.
    Fail,
    /// None breaks it, and something is worth a look.
    Advisory,
    /// Observed on at least one AWU, and held on all where it was.
    Pass,
    /// Seen, but what was there does not decide.
    Inconclusive,
    /// Nothing in the capture would show it. Never counted as a pass.
    NotObserved,
    /// It concerns none of the AWUs.
    NotApplicable,
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Advisory => "advisory",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::NotObserved => "not_observed",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// How often a requirement came to which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// AWUs that meet it.
    pub passed: u64,
    /// AWUs that break it.
    pub failed: u64,
    /// AWUs that meet it, with something worth a look.
    pub advised: u64,
    /// AWUs of which the capture cannot say.
    pub inconclusive: u64,
    /// AWUs that do not show it.
    pub not_observed: u64,
    /// AWUs that it does not concern.
    pub not_applicable: u64,
    /// Why it was inconclusive, or did not apply, the last time.
    pub why: Option<&'static str>,
}

impl Tally {
    /// Counts an outcome.
    pub const fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail(_) => self.failed += 1,
            Outcome::Advisory(_) => self.advised += 1,
            Outcome::NotObserved => self.not_observed += 1,
            Outcome::Inconclusive(why) => {
                self.inconclusive += 1;
                self.why = Some(why);
            }
            Outcome::NotApplicable(why) => {
                self.not_applicable += 1;
                if self.inconclusive == 0 {
                    self.why = Some(why);
                }
            }
        }
    }

    /// What it all comes to.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        if self.failed > 0 {
            Verdict::Fail
        } else if self.advised > 0 {
            Verdict::Advisory
        } else if self.passed > 0 {
            Verdict::Pass
        } else if self.inconclusive > 0 {
            Verdict::Inconclusive
        } else if self.not_observed > 0 || self.not_applicable == 0 {
            Verdict::NotObserved
        } else {
            Verdict::NotApplicable
        }
    }

    /// On how many AWUs it was seen to hold.
    #[must_use]
    pub const fn exercised(&self) -> u64 {
        self.passed + self.advised
    }
}
