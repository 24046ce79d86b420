//! Calls of the past, as they would come to a gateway that is set up in some way: what is proposed, and how it would end
//! if it were admitted.
//!
//! What a recording does not say is assumed, and every assumption is counted. Nothing is decided here.

mod journal;
mod traffic;

use std::collections::BTreeMap;

use genops::core::awu::{AwuId, Execution, Proposal};
use genops::core::policy::Policy;
use genops::core::selector::Selector;
use genops::core::{Name, Timestamp};
use genops_gateway::Config;

use super::recorded::{Place, Traffic};
use super::run::Said;
use crate::Trouble;

pub use journal::Past;
pub use traffic::Defaults;

/// Where calls come from.
#[derive(Debug)]
pub enum Calls {
    /// Tables and traces.
    Traffic(Traffic, Defaults),
    /// The journal of a ledger.
    Journal(Past),
}

/// Something that happens. Events come in the order of time.
#[derive(Debug)]
pub enum Event {
    /// A call comes.
    Call(Box<Offered>),
    /// A call comes with a model that is not set up. A gateway answers 404, and there is no AWU.
    NotSetUp(NotSetUp),
    /// A call ends, whose end is recorded.
    End(Ended),
}

/// A call, and what it would come to.
#[derive(Debug)]
pub struct Offered {
    /// Where it was recorded.
    pub origin: Origin,
    /// When it comes.
    pub at: Timestamp,
    /// What it asks. Of its assessments only those that were recorded.
    pub proposal: Proposal,
    /// How it ends if it is admitted.
    pub ends: Ends,
    /// What was decided about it then; `None` where nobody decided.
    pub decided: Option<Said>,
}

/// How a call ends.
#[derive(Debug)]
pub enum Ends {
    /// So, after its latency.
    After(Execution),
    /// As an [`Event::End`] will say; if none comes, nobody knows.
    AsRecorded,
}

/// A call with a model that is not set up.
#[derive(Debug)]
pub struct NotSetUp {
    /// Where it was recorded.
    pub origin: Origin,
    /// When it comes.
    pub at: Timestamp,
    /// The model.
    pub model: Option<Name>,
    /// What was decided about it then; `None` where nobody decided.
    pub decided: Option<Said>,
}

/// The recorded end of a call.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub awu: AwuId,
    /// When.
    pub at: Timestamp,
    /// How.
    pub execution: Execution,
    /// How many tokens it could write, where that had been lowered.
    pub output_max: Option<u64>,
}

/// Where a call was recorded.
#[derive(Debug, Clone, Copy)]
pub enum Origin {
    /// In a table or a trace.
    Place(Place),
    /// In a ledger, as this AWU.
    Awu(AwuId),
}

/// What the recording left open, and of how many calls.
#[derive(Debug, Default)]
pub struct Gaps {
    /// What was assumed instead.
    pub assumed: BTreeMap<Assumption, u64>,
    /// Rules that would have had to be asked about a call and could not be.
    pub not_asked: BTreeMap<(&'static str, Name), u64>,
    /// Models that are not set up; without a name where a call names none and none is set up by name.
    pub not_set_up: BTreeMap<Option<Name>, u64>,
}

/// Something that is assumed of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assumption {
    /// The bound of its input.
    Bound,
    /// Its output limit.
    OutputLimit,
    /// Its output limit, where it asked for more than the model may write.
    LowerLimit,
    /// How long it took.
    Latency,
    /// What it used.
    Usage,
    /// That it cost nothing, since it failed.
    Failed,
    /// What it used and how long it took, since it was refused then.
    Average,
    /// What it used, since it was refused then and no call of its model ran.
    NoAverage,
    /// That it would have used no more if no budget had lowered its output limit.
    Capped,
    /// That it would have ended earlier.
    Shortened,
    /// How it ended, since that was not known when the ledger was read.
    Open,
    /// Its model.
    Model,
    /// Its attribution.
    Attribution,
    /// Its attribution, in the place of a word that attributes it to nobody.
    Placeholder,
}

impl Assumption {
    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::OutputLimit => "output_limit",
            Self::LowerLimit => "lower_output_limit",
            Self::Latency => "latency",
            Self::Usage => "usage",
            Self::Failed => "failed",
            Self::Average => "refused_then",
            Self::NoAverage => "refused_then_and_model_unused",
            Self::Capped => "capped_then",
            Self::Shortened => "shortened",
            Self::Open => "open",
            Self::Model => "model",
            Self::Attribution => "attribution",
            Self::Placeholder => "placeholder",
        }
    }

    /// What was missing, and what is taken instead.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Bound => {
                "nobody recorded how long the body was: the tokens that were read are taken as the bound of what is \
                 read; a gateway bounds by bytes, which are several times as many, unless the model has \
                 `bound.encoding`"
            }
            Self::OutputLimit => "no output limit was recorded: the model's `max_output_tokens` is reserved",
            Self::LowerLimit => {
                "the output limit is above the model's `max_output_tokens`: that is taken; a gateway answers 400"
            }
            Self::Latency => {
                "nobody recorded how long it took: 200 ms, and 20 ms for each token that was written, are taken"
            }
            Self::Usage => "nobody recorded what was used: the reservation is charged",
            Self::Failed => {
                "the call failed, and no use was recorded: an answer of status 500 that costs nothing"
            }
            Self::Average => {
                "the call was refused then: if it runs now, it uses and takes what calls of its model did on average, \
                 within its bound"
            }
            Self::NoAverage => {
                "the call was refused then, and no call of its model ran: if it runs now, it takes 200 ms, and its \
                 reservation is charged"
            }
            Self::Capped => {
                "a budget had lowered the output limit, and it was reached: without that it would have used more, \
                 which nobody knows"
            }
            Self::Shortened => "it wrote more than it may now: it is charged for what it may write",
            Self::Open => {
                "its end was not in the ledger: it runs to the last, and its reservation is charged"
            }
            Self::Model => "no model was recorded: that of --model, or the first that is set up, is taken",
            Self::Attribution => {
                "team, project or environment was not recorded: that of --team, --project or --environment is taken"
            }
            Self::Placeholder => {
                "team, project or environment is a placeholder, for which a gateway answers 400: that of --team, \
                 --project or --environment is taken"
            }
        }
    }
}

impl Gaps {
    fn assume(&mut self, what: Assumption) {
        *self.assumed.entry(what).or_default() += 1;
    }
}

impl Calls {
    /// When the first comes, and when the last thing happens that was recorded.
    #[must_use]
    pub fn range(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::Traffic(traffic, _) => {
                let calls = traffic.calls();
                calls.first().zip(calls.last()).map(|(first, last)| (first.at, last.at)).unwrap_or_default()
            }
            Self::Journal(past) => past.range(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Traffic(traffic, _) => traffic.calls().len() as u64,
            Self::Journal(past) => past.calls(),
        }
    }

    /// Where a call was recorded, for people.
    #[must_use]
    pub fn place(&self, origin: Origin) -> String {
        match (self, origin) {
            (Self::Traffic(traffic, _), Origin::Place(place)) => traffic.place(place),
            (_, Origin::Awu(awu)) => awu.to_string(),
            (Self::Journal(_), Origin::Place(_)) => String::new(),
        }
    }

    /// Gives every event, in order, as a gateway with `config` would see it; and what the recording left open.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read, or `take` fails.
    pub fn offer(
        &self,
        config: &Config,
        take: &mut dyn FnMut(Event) -> Result<(), Trouble>,
    ) -> Result<Gaps, Trouble> {
        match self {
            Self::Traffic(traffic, defaults) => traffic::offer(traffic, defaults, config, take),
            Self::Journal(past) => past.offer(config, take),
        }
    }
}

/// A rule that a recording does not say enough for: it looks at a prompt, or at headers and the like.
struct Unrecorded<'c> {
    kind: &'static str,
    name: &'c Name,
    selector: &'c Selector,
}

/// What the rules are called that look at prompts.
pub const CONTENT: &str = "content rule";

/// What the rules are called that are expressions.
pub const CONDITION: &str = "condition";

/// The rules of a configuration that a recording does not say enough for.
fn unrecorded(config: &Config) -> Vec<Unrecorded<'_>> {
    let contents = config.policy.contents.iter();
    let contents =
        contents.map(|rule| Unrecorded { kind: CONTENT, name: &rule.name, selector: &rule.selector });
    let conditions = config.policy.conditions.iter();
    let conditions = conditions.filter(|rule| !config.assessor.knows_from_facts(&rule.name));
    let conditions =
        conditions.map(|rule| Unrecorded { kind: CONDITION, name: &rule.name, selector: &rule.selector });
    contents.chain(conditions).collect()
}

impl Unrecorded<'_> {
    /// Whether two policies have the same rule of this name and kind.
    fn is_the_same(&self, policy: &Policy, other: &Policy) -> bool {
        fn same<R: PartialEq>(rules: &[R], others: &[R], is_it: impl Fn(&R) -> bool) -> bool {
            let rule = rules.iter().find(|rule| is_it(rule));
            rule.is_some() && rule == others.iter().find(|rule| is_it(rule))
        }
        match self.kind {
            CONTENT => same(&policy.contents, &other.contents, |rule| rule.name == *self.name),
            _ => same(&policy.conditions, &other.conditions, |rule| rule.name == *self.name),
        }
    }

    /// It could not be asked about `calls` calls.
    fn was_not_asked(&self, calls: u64, gaps: &mut Gaps) {
        *gaps.not_asked.entry((self.kind, self.name.clone())).or_default() += calls;
    }
}
