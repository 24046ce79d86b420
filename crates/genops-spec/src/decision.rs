//! The four decision states of section 4.1, and the decision that carries one of them.
//!
//! A [`Decision`] is a sum type, so that "ALLOWED with a reason code" and "refused without one"
//! (sections 4.2 and 5.3) cannot be written down. How a decision comes about is not here.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::reason::ReasonCode;

/// What governance decided about one AWU (section 4): the state and, where the specification demands it,
/// the reason code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decision {
    /// No constraint was violated; the work goes on.
    Allowed,
    /// A condition was noted and the work goes on.
    Warning(ReasonCode),
    /// A constraint was violated; the work does not run.
    Blocked(ReasonCode),
    /// Rejected or deferred because of its rate; it may be tried again later, as a new AWU.
    RateLimited(ReasonCode),
}

impl Decision {
    /// The state, for `genops.policy.result`.
    #[must_use]
    pub const fn state(&self) -> DecisionState {
        match self {
            Self::Allowed => DecisionState::Allowed,
            Self::Warning(_) => DecisionState::Warning,
            Self::Blocked(_) => DecisionState::Blocked,
            Self::RateLimited(_) => DecisionState::RateLimited,
        }
    }

    /// The reason code, for `genops.policy.reason_code`: present exactly when the state is not ALLOWED.
    #[must_use]
    pub const fn reason_code(&self) -> Option<&ReasonCode> {
        match self {
            Self::Allowed => None,
            Self::Warning(code) | Self::Blocked(code) | Self::RateLimited(code) => Some(code),
        }
    }
}

/// One of the four states of section 4.1. The set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionState {
    /// Proceeds; no reason code.
    Allowed,
    /// Does not proceed.
    Blocked,
    /// Proceeds; a condition was noted.
    Warning,
    /// Does not proceed now; may be tried again later.
    RateLimited,
}

impl DecisionState {
    /// All states, in the order of section 4.1.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Blocked, Self::Warning, Self::RateLimited];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "ALLOWED",
            Self::Blocked => "BLOCKED",
            Self::Warning => "WARNING",
            Self::RateLimited => "RATE_LIMITED",
        }
    }

    /// Whether work in this state goes on to execution.
    #[must_use]
    pub const fn proceeds(self) -> bool {
        matches!(self, Self::Allowed | Self::Warning)
    }
}

impl fmt::Display for DecisionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
