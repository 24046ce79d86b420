//! Reason codes: the nine of section 5.2 and the extensions of section 5.5.
//!
//! A code is parsed, never free text. The sentence that a person reads beside it
//! (`genops.policy.reason`) is made elsewhere and never stands in for the code.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a decision is not ALLOWED (section 5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReasonCode {
    /// The budget is used up; nothing is left.
    BudgetExceeded,
    /// Something is left in the budget, but less than the reservation needs.
    BudgetReservationFailed,
    /// Policy does not permit the requested model.
    PolicyDenyModel,
    /// Policy does not permit the provider's region.
    PolicyDenyRegion,
    /// A rule about the request's content denied it.
    PolicyDenyContent,
    /// Over the permitted request rate.
    RateLimited,
    /// Predicted or observed latency is beyond the SLA boundary.
    SlaLatencyViolation,
    /// The provider's error prevented fulfilment.
    ProviderErrorUpstream,
    /// The accounting invariant was violated.
    AccountingInvariantViolation,
    /// An organisation's own code, `x_…` (section 5.5).
    Extension(Extension),
}

/// The name of an extension code: matches `^x_[a-z0-9_]+$` (section 5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extension(String);

impl ReasonCode {
    /// The nine codes of section 5.2, in its order.
    pub const DEFINED: [Self; 9] = [
        Self::BudgetExceeded,
        Self::BudgetReservationFailed,
        Self::PolicyDenyModel,
        Self::PolicyDenyRegion,
        Self::PolicyDenyContent,
        Self::RateLimited,
        Self::SlaLatencyViolation,
        Self::ProviderErrorUpstream,
        Self::AccountingInvariantViolation,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::BudgetReservationFailed => "BUDGET_RESERVATION_FAILED",
            Self::PolicyDenyModel => "POLICY_DENY_MODEL",
            Self::PolicyDenyRegion => "POLICY_DENY_REGION",
            Self::PolicyDenyContent => "POLICY_DENY_CONTENT",
            Self::RateLimited => "RATE_LIMITED",
            Self::SlaLatencyViolation => "SLA_LATENCY_VIOLATION",
            Self::ProviderErrorUpstream => "PROVIDER_ERROR_UPSTREAM",
            Self::AccountingInvariantViolation => "ACCOUNTING_INVARIANT_VIOLATION",
            Self::Extension(Extension(name)) => name,
        }
    }

    /// Extension code of this runtime: no price is known for the requested model.
    #[must_use]
    pub fn unpriced_model() -> Self {
        Self::Extension(Extension("x_unpriced_model".to_owned()))
    }

    /// Extension code of this runtime: the request may cost more than can be bounded beforehand.
    #[must_use]
    pub fn unbounded_request() -> Self {
        Self::Extension(Extension("x_unbounded_request".to_owned()))
    }

    /// Extension code of this runtime: the output limit was lowered to what the budgets afford.
    #[must_use]
    pub fn output_capped() -> Self {
        Self::Extension(Extension("x_output_capped".to_owned()))
    }

    /// Extension code of this runtime: the share of a budget or rate is new, and the books hold as many as they may.
    #[must_use]
    pub fn too_many_shares() -> Self {
        Self::Extension(Extension("x_too_many_shares".to_owned()))
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReasonCode {
    type Err = InvalidReasonCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(code) = Self::DEFINED.into_iter().find(|code| code.as_str() == text) {
            return Ok(code);
        }
        let name = text.strip_prefix("x_").unwrap_or_default();
        let well_formed = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if well_formed {
            Ok(Self::Extension(Extension(text.to_owned())))
        } else {
            Err(InvalidReasonCode { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for ReasonCode {
    type Error = InvalidReasonCode;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ReasonCode> for String {
    fn from(code: ReasonCode) -> Self {
        code.as_str().to_owned()
    }
}

/// The text is neither one of the nine codes nor a well-formed extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReasonCode {
    text: String,
}

impl fmt::Display for InvalidReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a reason code: use one of section 5.2, or `x_` followed by lower-case letters, \
             digits and underscores",
            self.text
        )
    }
}

impl core::error::Error for InvalidReasonCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_nine_codes_and_well_formed_extensions_parse() {
        for code in ReasonCode::DEFINED {
            assert_eq!(code.as_str().parse(), Ok(code.clone()));
        }
        for good in ["x_a", "x__", "x_unpriced_model", "x_9"] {
            assert_eq!(good.parse::<ReasonCode>().unwrap().as_str(), good);
        }
        for bad in ["", "x_", "X_a", "x_A", "x-a", "x_a\n", "x_a b", "budget_exceeded", "BUDGET", "free text"]
        {
            assert!(bad.parse::<ReasonCode>().is_err(), "{bad:?} must not parse");
        }
        assert_eq!("x_unpriced_model".parse(), Ok(ReasonCode::unpriced_model()));
    }
}
