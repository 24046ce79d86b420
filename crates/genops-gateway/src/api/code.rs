//! What is wrong, in words for programs: every `code` of an error of the governance API that is no reason code of a decision.
//!
//! Which status goes with a code is not known here.

macro_rules! codes {
    ($($(#[$about:meta])* $name:ident = $word:literal,)*) => {
        /// The code of an error of the governance API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$about])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word that stands in the error.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// What is asked for has left the ledger for an archive.
    Archived = "archived",
    /// What the caller says of whom the work is for cannot be taken.
    Attribution = "attribution",
    /// The AWU stands where the step cannot be taken.
    AwuState = "awu_state",
    /// A correction rests on a charge that is not the one in force.
    ChargedOtherwise = "charged_otherwise",
    /// The AWU is a call through the gateway.
    HeldByTheGateway = "held_by_the_gateway",
    /// The idempotency key was used for another proposal.
    IdempotencyKeyReused = "idempotency_key_reused",
    /// The idempotency key is older than what is remembered.
    IdempotencyKeyTooOld = "idempotency_key_too_old",
    /// There is no key, or none that is known.
    InvalidApiKey = "invalid_api_key",
    /// The policy in force names who is to be erased.
    NamedByPolicy = "named_by_policy",
    /// Nobody signs receipts.
    NoSigningKey = "no_signing_key",
    /// As many idempotency keys are remembered as may be.
    TooManyIdempotencyKeys = "too_many_idempotency_keys",
    /// As many AWUs are open as may be.
    TooManyOpenAwus = "too_many_open_awus",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_to_those_who_write_programs() {
        let explained = include_str!("../../../../docs/api.md");
        for code in Code::ALL {
            let row = format!("| `{}` | ", code.as_str());
            assert_eq!(explained.matches(&row).count(), 1, "docs/api.md does not explain {code:?}");
        }
    }
}
