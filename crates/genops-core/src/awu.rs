//! The AWU (section 2): its identity, what it proposes to do, and its life as types.
//!
//! An [`Awu`] is a permit. Only an admission makes an `Awu<Reserved>`; starting it consumes it and gives
//! an `Awu<Executing>`; settling consumes that. Each step hands out the command that the journal has to
//! take. Nothing here is durable by itself: the types guard the living process, the journal the dead one.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::admit::Admitted;
use crate::amount::{Amount, Quantity, Unit};
use crate::attribution::Attribution;
use crate::digest::Digest;
use crate::hex;
use crate::ledger::Command;
use crate::name::Name;
use crate::price::{Price, Tokens};
use crate::rule::Assessment;
use crate::text;

/// An AWU's identity (section 2.2): the trace and span identifiers of its span, assigned before admission.
///
/// Its text is `trace_id-span_id` in lower-case hexadecimal. Where people read, it is serialised so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwuId {
    /// 16 bytes, not all zero.
    pub trace_id: [u8; 16],
    /// 8 bytes, not all zero.
    pub span_id: [u8; 8],
}

impl AwuId {
    /// The identifier of the model call's span, below the AWU's. It follows from the AWU's own, so that whoever
    /// tells the span, however often, and whoever names it to the provider say the same one.
    #[must_use]
    pub fn call_span_id(self) -> [u8; 8] {
        let digest = Digest::of("genops call span 1", &[&self.trace_id, &self.span_id]);
        let mut span_id = [0; 8];
        for (to, from) in span_id.iter_mut().zip(digest.bytes()) {
            *to = *from;
        }
        span_id
    }
}

/// How the AWU's span hangs together with what called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TraceContext {
    /// Nobody said.
    #[default]
    Root,
    /// The caller is trusted: the AWU is in its trace (the trace identifier is the caller's), below this
    /// span.
    Child {
        /// The caller's span.
        parent_span_id: [u8; 8],
    },
    /// The caller is not trusted: the AWU begins a trace of its own, with a link to this span.
    Linked {
        /// The caller's trace.
        trace_id: [u8; 16],
        /// The caller's span.
        span_id: [u8; 8],
    },
}

/// What an AWU asks to do: every fact that the decision may depend on.
///
/// Identity and trace context are not part of it, so equal proposals have equal digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who it belongs to.
    pub attribution: Attribution,
    /// What else is said of it.
    pub labels: Labels,
    /// `genops.operation.name`: what the work is called.
    pub operation_name: Name,
    /// `genops.operation.type`: `inference` and the like.
    pub operation_type: Name,
    /// The key that the caller showed, by name.
    pub key: Option<Name>,
    /// The provider that will be asked; `None` where the work asks none.
    pub provider: Option<Name>,
    /// The model that will be asked for; `None` where the work asks none.
    pub model: Option<Name>,
    /// Where the provider does the work; `None` where nobody knows.
    pub region: Option<Name>,
    /// The most that the call can use.
    pub bound: Tokens,
    /// How many answers are asked for; they share the output of the bound evenly. At least 1.
    pub choices: u64,
    /// The most of other units that it can use: declared ones, and of US dollars where they are known without a price.
    /// At most one of each unit.
    pub quantities: Vec<Quantity>,
    /// The unit that it accounts in; `None` is the policy's.
    pub accounting_unit: Option<Unit>,
    /// The part of the request that may use more than that; `None` where the bound holds.
    pub unbounded: Option<Name>,
    /// The price row that the call will be charged by; `None` where no price is known.
    pub price: Option<Price>,
    /// What was found about conditions and content, in the order of the rules.
    pub assessed: Vec<Assessment>,
}

impl Proposal {
    /// A proposal to ask a model, of one choice, of which nothing else is known: no key, no region, no price, and a bound
    /// of nothing.
    #[must_use]
    pub fn new(
        attribution: Attribution,
        operation_name: Name,
        operation_type: Name,
        provider: Name,
        model: Name,
    ) -> Self {
        let work = Self::work(attribution, operation_name, operation_type);
        Self { provider: Some(provider), model: Some(model), ..work }
    }

    /// A proposal of work that asks no model, of which nothing else is known.
    #[must_use]
    pub fn work(attribution: Attribution, operation_name: Name, operation_type: Name) -> Self {
        Self {
            attribution,
            labels: Labels::default(),
            operation_name,
            operation_type,
            key: None,
            provider: None,
            model: None,
            region: None,
            bound: Tokens::default(),
            choices: 1,
            quantities: Vec::new(),
            accounting_unit: None,
            unbounded: None,
            price: None,
            assessed: Vec::new(),
        }
    }

    /// The most that it says it can use of `unit`, beside tokens and their price.
    #[must_use]
    pub fn quantity(&self, unit: Unit) -> Option<Amount> {
        quantity(&self.quantities, unit)
    }
}

fn quantity(quantities: &[Quantity], unit: Unit) -> Option<Amount> {
    quantities.iter().find(|quantity| quantity.unit == unit).map(|quantity| quantity.amount)
}

/// What may be said of an AWU beside its attribution (section 7.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Labels {
    /// `genops.customer_id`.
    pub customer_id: Option<Name>,
    /// `genops.feature`.
    pub feature: Option<Name>,
    /// `genops.cost_center`.
    pub cost_center: Option<Name>,
    /// `genops.session_id`.
    pub session_id: Option<Name>,
}

/// How an execution came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The provider did the work.
    Completed,
    /// The provider, or the way to it, failed.
    ProviderError(Failure),
    /// Nothing was sent: no byte of the request left the building.
    NeverSent,
    /// Whoever ran the work let go of it without saying how it ended.
    Abandoned,
    /// Whoever asked went away before the answer was complete, and the provider was told to stop.
    Cancelled,
    /// It reached its reservation, and was ended there.
    AtReservation,
    /// The work failed, and whoever ran it does not say that its provider did: nothing follows of the provider.
    Failed,
}

/// In which way a provider failed. Its text is `error.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// It answered with this HTTP status.
    Status(u16),
    /// It did not answer in time.
    Timeout,
    /// The connection broke before it answered.
    Connection,
    /// Its answer broke off, or could not be taken.
    Answer,
    /// It could not be reached: no byte of the request was sent.
    Unreachable,
}

impl End {
    /// Whether anything may have been sent. Work of which nothing was sent has used nothing.
    #[must_use]
    pub const fn was_sent(self) -> bool {
        !matches!(self, Self::NeverSent | Self::ProviderError(Failure::Unreachable))
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ProviderError(Failure::Unreachable) => "unreachable",
            Self::ProviderError(_) => "provider_error",
            Self::NeverSent => "never_sent",
            Self::Abandoned => "abandoned",
            Self::Cancelled => "cancelled",
            Self::AtReservation => "at_reservation",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Connection => f.write_str("connection"),
            Self::Answer => f.write_str("answer"),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

/// What is known of how many tokens an execution used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Used {
    /// The provider reported it.
    Reported(Tokens),
    /// Provably nothing: never sent, or refused by the provider.
    Nothing,
    /// Not known. The reservation is charged and the record marked incomplete (section 3.5).
    Unknown,
    /// Not reported, but counted by this runtime; charged where the provider is configured so. The record
    /// is marked incomplete all the same.
    Counted(Tokens),
}

/// One execution, whatever became of it. There is no error beside it: success, failure, a caller gone
/// and a call never made all settle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// How it ended.
    pub end: End,
    /// What it used.
    pub used: Used,
    /// What it used of other units, as far as that is known: declared ones, and US dollars where they are known without
    /// a price. At most one of each unit.
    pub quantities: Vec<Quantity>,
    /// From sending the request to the end of the answer, by a monotonic clock, in nanoseconds.
    pub latency_ns: u64,
    /// From sending the request to the first of a streamed answer; `None` where it was not streamed, or never came.
    pub first_token_ns: Option<u64>,
    /// The model that the provider says it used.
    pub response_model: Option<Name>,
}

impl Execution {
    /// An execution that somebody let go of.
    #[must_use]
    pub const fn abandoned(latency_ns: u64) -> Self {
        Self {
            end: End::Abandoned,
            used: Used::Unknown,
            quantities: Vec::new(),
            latency_ns,
            first_token_ns: None,
            response_model: None,
        }
    }

    /// What it is known to have used of `unit`, beside tokens and their price.
    #[must_use]
    pub fn quantity(&self, unit: Unit) -> Option<Amount> {
        quantity(&self.quantities, unit)
    }
}

/// Where an open AWU stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Admitted; not started.
    Reserved,
    /// Started: the provider may be working, and may be owed.
    Executing,
    /// Its process died while it ran: charged its reservation until somebody knows better.
    InDoubt,
}

impl State {
    /// The word in tables and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "RESERVED",
            Self::Executing => "EXECUTING",
            Self::InDoubt => "IN_DOUBT",
        }
    }
}

/// The permit to go one step further in an AWU's life. `S` is where it stands.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an AWU that is dropped here settles only through its guard or through recovery"]
pub struct Awu<S> {
    id: AwuId,
    stage: S,
}

/// Admitted; the reservation is recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct Reserved(Arc<Admitted>);

/// Started; only this can be executed.
#[derive(Debug, PartialEq, Eq)]
pub struct Executing(Arc<Admitted>);

impl Awu<Reserved> {
    /// The permit that an admission gives. [`Admitted`] comes from the ledger alone.
    pub const fn admitted(id: AwuId, admitted: Arc<Admitted>) -> Self {
        Self { id, stage: Reserved(admitted) }
    }

    /// Starts the AWU. The command is `None` where its admission recorded the start as well.
    pub fn start(self) -> (Awu<Executing>, Option<Command>) {
        let command = (!self.stage.0.started()).then_some(Command::Start { awu: self.id });
        (Awu { id: self.id, stage: Executing(self.stage.0) }, command)
    }

    /// Gives the reservation back: the work will not run.
    #[must_use]
    pub fn release(self) -> Command {
        Command::Release { awu: self.id }
    }

    /// What admission granted.
    #[must_use]
    pub fn admission(&self) -> &Admitted {
        &self.stage.0
    }
}

impl Awu<Executing> {
    /// Ends the AWU with what the execution came to.
    #[must_use]
    pub fn settle(self, execution: Execution) -> Command {
        Command::Settle { awu: self.id, execution }
    }

    /// What admission granted.
    #[must_use]
    pub fn admission(&self) -> &Admitted {
        &self.stage.0
    }
}

impl<S> Awu<S> {
    /// The AWU's identity.
    #[must_use]
    pub const fn id(&self) -> AwuId {
        self.id
    }
}

// === identity as text ===

impl fmt::Display for AwuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; 49];
        let (trace, span) = text.split_at_mut(32);
        hex::write(&self.trace_id, trace);
        if let Some((_, span)) = span.split_first_mut() {
            hex::write(&self.span_id, span);
        }
        f.pad(core::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for AwuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AwuId {
    type Err = InvalidAwuId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (trace, span) = text.split_once('-').ok_or(InvalidAwuId)?;
        let trace_id = hex::parse(trace).ok_or(InvalidAwuId)?;
        let span_id = hex::parse(span).ok_or(InvalidAwuId)?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return Err(InvalidAwuId);
        }
        Ok(Self { trace_id, span_id })
    }
}

impl Serialize for AwuId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.trace_id, self.span_id).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for AwuId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return text::parsed(deserializer);
        }
        let (trace_id, span_id) = Deserialize::deserialize(deserializer)?;
        Ok(Self { trace_id, span_id })
    }
}

/// The text is not `trace_id-span_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an AWU's identity is 32 hexadecimal digits, `-`, and 16 hexadecimal digits, neither part all zero")]
pub struct InvalidAwuId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_round_trip_as_text() {
        let id = AwuId { trace_id: [0xab; 16], span_id: [0x01; 8] };
        assert_eq!(id.to_string(), format!("{}-{}", "ab".repeat(16), "01".repeat(8)));
        assert_eq!(id.to_string().parse(), Ok(id));
        let zero_span = format!("{}-{}", "ab".repeat(16), "00".repeat(8));
        for bad in ["", "-", "ab-cd", &"a".repeat(49), &zero_span, "ä-b"] {
            assert_eq!(bad.parse::<AwuId>(), Err(InvalidAwuId), "{bad:?}");
        }
    }
}
