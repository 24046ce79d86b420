//! The arguments of `awus`: where from, and which.

use clap::{Args, ValueEnum};

use super::Source;

/// Arguments of `awus`.
#[derive(Debug, Args)]
pub struct Listing {
    /// Where from.
    #[command(flatten)]
    pub source: Source,
    /// Only of this team
    #[arg(long)]
    pub team: Option<String>,
    /// Only of this project
    #[arg(long)]
    pub project: Option<String>,
    /// Only of this environment
    #[arg(long)]
    pub environment: Option<String>,
    /// Only for this feature
    #[arg(long)]
    pub feature: Option<String>,
    /// Only paid by this cost centre
    #[arg(long)]
    pub cost_center: Option<String>,
    /// Only for this customer, as callers say it; or by the pseudonym, as one who was erased has it alone
    #[arg(long)]
    pub customer_id: Option<String>,
    /// Only in this session, likewise
    #[arg(long)]
    pub session_id: Option<String>,
    /// Only of the key with this name
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// Only of this kind of work: inference, training
    #[arg(long, value_name = "TYPE")]
    pub operation_type: Option<String>,
    /// Only at this provider
    #[arg(long)]
    pub provider: Option<String>,
    /// Only with this model
    #[arg(long)]
    pub model: Option<String>,
    /// Only with this result
    #[arg(long, value_enum, ignore_case = true)]
    pub result: Option<AwuResult>,
    /// Only in this state
    #[arg(long, value_enum, ignore_case = true)]
    pub state: Option<AwuState>,
    /// Only decided before this entry: the `next` of the page before
    #[arg(long, value_name = "SEQUENCE")]
    pub before: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// What was decided about an AWU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AwuResult {
    /// It goes on
    Allowed,
    /// It goes on, and something was noted
    Warning,
    /// It does not go on
    Blocked,
    /// It does not go on now
    RateLimited,
}

/// Where an AWU stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AwuState {
    /// Admitted, and not started
    Reserved,
    /// Started
    Executing,
    /// Accounted for
    Settled,
    /// Lost while it ran: charged its reservation until somebody knows better
    InDoubt,
    /// Never executed: its reservation was given back
    Released,
    /// Not admitted
    Refused,
}

/// The word of a value, as it is written in arguments and in answers.
pub fn word<T: ValueEnum>(value: &T) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use genops_core::spec::DecisionState;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn listing(arguments: &str) -> Result<Listing, String> {
        match Arguments::try_parse_from(["genops", "awus"].into_iter().chain(arguments.split(' '))) {
            Ok(Arguments { command: Command::Awus(listing) }) => Ok(listing),
            Ok(_) => Err("it is another command".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn results_and_states_are_known_in_whatever_case_and_others_are_refused_with_the_list() {
        for (known, expected) in [
            ("--state settled", [None, Some("SETTLED")]),
            ("--state IN_DOUBT --result Allowed", [Some("ALLOWED"), Some("IN_DOUBT")]),
            ("--result rate_limited", [Some("RATE_LIMITED"), None]),
        ] {
            let words = listing(known).map(|listing| {
                [listing.result.as_ref().and_then(word), listing.state.as_ref().and_then(word)]
            });
            assert_eq!(words, Ok(expected.map(|word| word.map(str::to_owned))));
        }
        for (unknown, list) in [
            ("--state nope", "[possible values: RESERVED, EXECUTING, SETTLED, IN_DOUBT, RELEASED, REFUSED]"),
            ("--result settled", "[possible values: ALLOWED, WARNING, BLOCKED, RATE_LIMITED]"),
        ] {
            let told = listing(unknown).err().unwrap_or_default();
            assert!(told.contains(list), "{told}");
        }
    }

    #[test]
    fn results_are_those_of_the_specification() {
        let mut ours: Vec<_> = AwuResult::value_variants().iter().filter_map(word).collect();
        let mut theirs = DecisionState::ALL.map(DecisionState::as_str);
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
    }
}
