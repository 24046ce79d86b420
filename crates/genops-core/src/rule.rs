//! Rules that need nothing but the proposal: lists of models and regions, conditions, and rules about content.
//!
//! Conditions and rules about content take time, or the prompt; so they are worked out before the books are asked, and
//! what was found is a fact of the proposal, an [`Assessment`]. How an expression or a text is read is not known here.

use core::fmt;

use genops_spec::{Decision, ReasonCode};
use serde::{Deserialize, Serialize};

use crate::finding::Mode;
use crate::index::Selective;
use crate::name::Name;
use crate::selector::Selector;

/// Restricts the AWUs that a selector chooses to a list of models, or of regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRule {
    /// The rule's name, for `genops.policy.name`.
    pub name: Name,
    /// Whom it concerns.
    pub selector: Selector,
    /// What they may use; an entry that ends in `*` allows everything with that beginning.
    pub allow: Vec<Name>,
    /// Whether it refuses or only warns.
    pub mode: Mode,
}

impl ListRule {
    /// Whether the list contains `wanted`.
    #[must_use]
    pub fn allows(&self, wanted: &Name) -> bool {
        self.allow.iter().any(|entry| match entry.as_str().strip_suffix('*') {
            Some(beginning) => wanted.as_str().starts_with(beginning),
            None => entry == wanted,
        })
    }
}

/// Speaks up where an expression over the facts of a call holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionRule {
    /// The rule's name; unique among conditions and content rules.
    pub name: Name,
    /// Whom it concerns.
    pub selector: Selector,
    /// The expression, in the Common Expression Language.
    pub expression: String,
    /// What it says where the expression holds.
    pub effect: Effect,
    /// What it says where the expression cannot be worked out.
    pub on_error: OnError,
    /// Whether it refuses or only warns.
    pub mode: Mode,
}

/// What a rule says where it speaks up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// The AWU is refused, with this code.
    Deny(ReasonCode),
    /// The AWU runs, and this code is noted.
    Warn(ReasonCode),
}

/// What a condition says where it cannot be worked out. It never passes in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnError {
    /// The AWU is refused with the condition's code.
    Refuse,
    /// The AWU runs, and the condition's code is noted.
    Warn,
}

/// Speaks up where a prompt holds something that it looks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRule {
    /// The rule's name; unique among conditions and content rules.
    pub name: Name,
    /// Whom it concerns.
    pub selector: Selector,
    /// Words, whatever their letters' case.
    pub keywords: Vec<String>,
    /// Regular expressions.
    pub patterns: Vec<String>,
    /// Kinds of text that are known by their shape.
    pub detect: Vec<ContentKind>,
    /// What it says where something is found.
    pub effect: Effect,
    /// Whether it refuses or only warns.
    pub mode: Mode,
}

/// What kind of content was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ContentKind {
    /// One of the rule's keywords.
    Keyword,
    /// A match of one of the rule's patterns.
    Pattern,
    /// An e-mail address.
    Email,
    /// A payment card number whose check digit is right.
    PaymentCard,
    /// A key for some service.
    ApiKey,
    /// A private key.
    PrivateKey,
}

impl ContentKind {
    /// The word that people write and read for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Pattern => "pattern",
            Self::Email => "email",
            Self::PaymentCard => "payment_card",
            Self::ApiKey => "api_key",
            Self::PrivateKey => "private_key",
        }
    }
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was found outside the books about one rule that covers the AWU. A rule without an assessment found nothing to
/// say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The condition or content rule.
    pub rule: Name,
    /// What was found.
    pub found: Found,
}

/// What was found about a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// The condition holds.
    Holds,
    /// The condition could not be worked out.
    Failed,
    /// Content of this kind stands in the prompt, so many times. What it says is not kept.
    Content {
        /// Which kind.
        kind: ContentKind,
        /// How often.
        count: u64,
    },
}

impl Effect {
    /// The code that it gives.
    #[must_use]
    pub const fn code(&self) -> &ReasonCode {
        match self {
            Self::Deny(code) | Self::Warn(code) => code,
        }
    }

    /// What it says.
    #[must_use]
    pub fn decision(&self) -> Decision {
        match self {
            Self::Deny(code) => Decision::Blocked(code.clone()),
            Self::Warn(code) => Decision::Warning(code.clone()),
        }
    }
}

impl ConditionRule {
    /// What it says about an AWU of which this was found.
    #[must_use]
    pub fn says(&self, found: &Found) -> Decision {
        match (found, self.on_error) {
            (Found::Failed, OnError::Refuse) => Decision::Blocked(self.effect.code().clone()),
            (Found::Failed, OnError::Warn) => Decision::Warning(self.effect.code().clone()),
            _ => self.effect.decision(),
        }
    }
}

impl Selective for ListRule {
    fn selector(&self) -> &Selector {
        &self.selector
    }
}

impl Selective for ConditionRule {
    fn selector(&self) -> &Selector {
        &self.selector
    }
}

impl Selective for ContentRule {
    fn selector(&self) -> &Selector {
        &self.selector
    }
}
