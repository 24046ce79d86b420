//! A streamed answer on its way to the caller: passed on as it comes, metered beside, settled once.
//!
//! The caller pulls: nothing is read from the provider that the caller has not taken, so a slow reader slows
//! the provider and fills no memory. A caller who goes away drops the answer, which hangs up on the provider
//! and settles the call.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use genops::{Awu, Executing};
use genops_core::awu::{End, Execution, Failure, Used};
use genops_core::price::Tokens;
use http_body::{Body, Frame};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::call::Streaming;
use crate::meter::{Meter, Seen};
use crate::provider::{AnswerBody, Sent};

/// A call that runs. Dropping it says that the caller has gone.
#[derive(Debug)]
pub struct Running {
    awu: Option<Awu<Executing>>,
    begun: Instant,
    sent: Sent,
    seen: Seen,
    /// The input that is charged where the text is counted.
    counted_input: Option<u64>,
    /// From sending the call to the first of the answer.
    first_ns: Option<u64>,
    /// How long the caller took to take what had come, which is not the provider's time.
    waited: Duration,
    /// Since when the caller has had something to take.
    handed: Option<Instant>,
    place: Option<OwnedSemaphorePermit>,
}

impl Running {
    /// A call that is about to be sent. `counted_input` is the most that its input comes to, where the
    /// provider is settled by what was counted.
    pub fn new(awu: Awu<Executing>, counted_input: Option<u64>, place: OwnedSemaphorePermit) -> Self {
        let seen = Seen::default();
        Self {
            awu: Some(awu),
            begun: Instant::now(),
            sent: Sent::default(),
            seen,
            counted_input,
            first_ns: None,
            waited: Duration::ZERO,
            handed: None,
            place: Some(place),
        }
    }

    /// The permit to ask a provider; `None` once the call has been settled.
    pub const fn permit(&self) -> Option<&Awu<Executing>> {
        self.awu.as_ref()
    }

    /// Whether anything of the call may have been sent.
    pub fn sent(&self) -> Sent {
        self.sent.clone()
    }

    /// Settles the call with what became of it. Only the first settlement counts.
    pub fn settle(&mut self, execution: Execution) {
        if let Some(awu) = self.awu.take() {
            // It is on its way to the disk; a ledger that takes nothing leaves the AWU in doubt.
            drop(awu.settle(execution));
        }
    }

    /// The call's place among those in flight, for another attempt. Nothing more may come of this one.
    pub const fn take_place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.place.take()
    }

    fn nanos(&self) -> u64 {
        let took = self.begun.elapsed().saturating_sub(self.waited);
        u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The caller asks for more: what they took until now to take the last is theirs.
    fn asked(&mut self) {
        if let Some(handed) = self.handed.take() {
            self.waited = self.waited.saturating_add(handed.elapsed());
        }
    }

    /// The caller has something to take.
    fn handed(&mut self) {
        self.handed = Some(Instant::now());
    }

    fn settle_stream(&mut self, end: End) {
        let end = if self.sent.maybe() { end } else { End::NeverSent };
        let used = match self.seen.usage {
            _ if !self.sent.maybe() => Used::Nothing,
            Some(tokens) if end == End::Completed || self.seen.usage_is_final => Used::Reported(tokens),
            _ => match self.counted_input {
                // Where tokens are counted, they are; elsewhere there are no more of them than bytes.
                Some(input) if self.seen.written_tokens > 0 => {
                    Used::Counted(Tokens::new(input, self.seen.written_tokens))
                }
                Some(input) => Used::Counted(Tokens::new(input, self.seen.written_bytes)),
                None => Used::Unknown,
            },
        };
        let (latency_ns, first_token_ns) = (self.nanos(), self.first_ns);
        let response_model = self.seen.model.clone();
        let quantities = Vec::new();
        self.settle(Execution { end, used, quantities, latency_ns, first_token_ns, response_model });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Who has read the last event may hang up before the connection ends.
        self.settle_stream(if self.seen.done { End::Completed } else { End::Cancelled });
    }
}

/// The body of a streamed answer.
#[derive(Debug)]
pub struct GovernedStream {
    // Dropped first: the provider is hung up on before the call is settled.
    upstream: Option<AnswerBody>,
    meter: Meter,
    running: Running,
    /// So many tokens are reserved for it, where its output is only expected.
    ends_at: Option<u64>,
    gap: Pin<Box<Sleep>>,
    gap_max: Duration,
    /// What was held back when the stream ended.
    rest: Bytes,
    breaking: Breaking,
}

/// How far the caller has been told that the stream broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaking {
    /// There is nothing to tell, or it has been told.
    No,
    /// What came before is still on its way: an error would throw it away.
    Flushing,
    /// Now.
    Due,
}

impl GovernedStream {
    /// Passes `upstream` on. A provider that sends nothing for longer than `gap_max` is given up.
    pub fn new(running: Running, upstream: AnswerBody, streaming: Streaming, gap_max: Duration) -> Self {
        let Streaming { usage_asked, choices, ends_at } = streaming;
        let encoding = ends_at.map(|ends_at| ends_at.encoding);
        let meter = Meter::new(usage_asked, choices, running.counted_input.is_some(), encoding);
        let gap = Box::pin(tokio::time::sleep(gap_max));
        Self {
            upstream: Some(upstream),
            meter,
            running,
            ends_at: ends_at.map(|ends_at| ends_at.tokens),
            gap,
            gap_max,
            rest: Bytes::new(),
            breaking: Breaking::No,
        }
    }

    /// Settles at the end of the stream, and hangs up.
    fn end(&mut self, end: End, seen: Seen) {
        self.upstream = None;
        self.rest = self.meter.rest();
        self.running.seen = seen;
        self.running.settle_stream(end);
    }

    /// Ends a stream that has reached its reservation, in the protocol's own way. One that is at its end anyhow is
    /// left to it.
    fn end_at_reservation(&mut self) {
        let reached = |tokens| self.meter.seen().written_tokens >= tokens;
        if self.ends_at.is_some_and(reached) && self.meter.may_end_here() {
            let seen = self.meter.seen().clone();
            self.end(End::AtReservation, seen);
            // What was held back of an event that is not whole goes no further.
            self.rest = self.meter.ended_here();
        }
    }

    fn break_off(&mut self, failure: Failure) {
        self.breaking = Breaking::Flushing;
        let seen = self.meter.seen().clone();
        self.end(End::ProviderError(failure), seen);
    }

    /// How a stream that the provider has ended has ended.
    fn ending(&self) -> End {
        let seen = self.meter.seen();
        let is_whole = seen.done || seen.usage_is_final || seen.has_finished;
        match seen.error || !is_whole {
            true => End::ProviderError(Failure::Answer),
            false => End::Completed,
        }
    }

    /// What is left once the provider has been hung up on.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(rest)));
        }
        match self.breaking {
            Breaking::No => Poll::Ready(None),
            Breaking::Flushing => {
                // The connection sends what it has when there is nothing more for now.
                self.breaking = Breaking::Due;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Breaking::Due => {
                self.breaking = Breaking::No;
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let Some(upstream) = &mut self.upstream else {
                return self.poll_end(cx);
            };
            match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Nobody waits while the caller reads; the gap is counted from when something came.
                    self.gap.as_mut().reset(tokio::time::Instant::now() + self.gap_max);
                    let Ok(chunk) = frame.into_data() else { continue };
                    let ready = self.meter.take(&chunk);
                    if self.running.first_ns.is_none() && self.meter.seen().has_begun {
                        self.running.first_ns = Some(self.running.nanos());
                    }
                    self.end_at_reservation();
                    if !ready.is_empty() {
                        return Poll::Ready(Some(Ok(ready)));
                    }
                }
                Poll::Ready(None) => {
                    let (end, seen) = (self.ending(), self.meter.seen_whole());
                    self.end(end, seen);
                }
                Poll::Ready(Some(Err(_))) => self.break_off(Failure::Answer),
                Poll::Pending => {
                    ready!(self.gap.as_mut().poll(cx));
                    self.break_off(Failure::Timeout);
                }
            }
        }
    }
}

impl Body for GovernedStream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.running.asked();
        let polled = self.poll_upstream(cx);
        if matches!(polled, Poll::Ready(Some(_))) {
            self.running.handed();
        }
        polled.map(|polled| polled.map(|ready| ready.map(Frame::data)))
    }
}

impl Drop for GovernedStream {
    fn drop(&mut self) {
        // The caller has gone before the end: what has been seen until now goes into the settlement.
        self.running.seen = self.meter.seen().clone();
    }
}

/// The provider's answer broke off; the caller's breaks off as well, so that nobody takes it for whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider's answer broke off")]
pub struct Broken;
