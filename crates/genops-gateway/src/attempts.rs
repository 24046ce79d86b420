//! Attempts: when a call is tried again, and what is asked instead.
//!
//! Every attempt is an AWU of its own, with a decision and a reservation of its own, and says which was the first. Here
//! is only which comes next.

use std::collections::VecDeque;
use std::time::Duration;

use genops_core::Name;
use genops_core::awu::{AwuId, End, Failure};
use genops_spec::ReasonCode;

use crate::config::Route;

/// The attempts of one call.
#[derive(Debug, Default)]
pub struct Attempts {
    first: Option<AwuId>,
    made: u32,
    /// How often the model may be tried again.
    tries_left: u32,
    /// The models that are left to ask instead.
    fallbacks: VecDeque<Name>,
    /// The model that is asked instead of the caller's.
    model: Option<Name>,
    /// How long to wait before the next.
    pause: Option<Duration>,
}

/// The pause before a model is tried again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Attempts {
    /// The model that is asked instead of the caller's.
    #[must_use]
    pub const fn model(&self) -> Option<&Name> {
        self.model.as_ref()
    }

    /// The first attempt; `None` while it is being made.
    #[must_use]
    pub const fn first(&self) -> Option<AwuId> {
        self.first
    }

    /// How many have been made.
    #[must_use]
    pub const fn made(&self) -> u32 {
        self.made
    }

    /// How long to wait before the next.
    #[must_use]
    pub const fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// An attempt has been decided. The route of the first says what may follow.
    pub fn decided(&mut self, awu: AwuId, route: Option<&Route>) {
        self.made = self.made.saturating_add(1);
        if self.first.is_none() {
            self.first = Some(awu);
            if let Some(route) = route {
                self.tries_left = route.retries;
                self.fallbacks = route.fallbacks.iter().cloned().collect();
            }
        }
    }

    /// Goes on after an execution that ended so; `false` where nothing is left to try, or it would not help.
    pub fn after_failure(&mut self, end: End) -> bool {
        if !may_pass(end) {
            return false;
        }
        if let Some(left) = self.tries_left.checked_sub(1) {
            self.tries_left = left;
            self.pause = Some(self.pause.map_or(PAUSE, |pause| (pause * 2).min(PAUSE_MAX)));
            return true;
        }
        self.fall_back()
    }

    /// Goes on after a refusal: where the provider is down or too slow, or where this was no more than a substitute.
    /// Any other refusal of the first attempt is the answer.
    pub fn after_refusal(&mut self, code: Option<&ReasonCode>) -> bool {
        let is_about_provider =
            matches!(code, Some(ReasonCode::ProviderErrorUpstream | ReasonCode::SlaLatencyViolation));
        (is_about_provider || self.made > 1) && self.fall_back()
    }

    fn fall_back(&mut self) -> bool {
        self.tries_left = 0;
        self.pause = None;
        match self.fallbacks.pop_front() {
            Some(model) => {
                self.model = Some(model);
                true
            }
            None => false,
        }
    }
}

/// Whether another attempt may succeed: a server's own trouble, and being told to slow down.
const fn may_pass(end: End) -> bool {
    match end {
        End::ProviderError(Failure::Status(status)) => matches!(status, 408 | 429 | 500..),
        End::ProviderError(_) => true,
        End::Completed
        | End::NeverSent
        | End::Abandoned
        | End::Cancelled
        | End::AtReservation
        | End::Failed => false,
    }
}

#[cfg(test)]
mod tests {
    use genops_core::awu::AwuId;

    use super::*;
    use crate::call::{BoundOptions, LimitField};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn attempts(retries: u32, fallbacks: &[&str]) -> Attempts {
        let route = Route {
            provider: 0,
            max_output_tokens: 1,
            price: None,
            limit_field: LimitField::MaxTokens,
            reports_usage_in_streams: true,
            bound: BoundOptions::default(),
            retries,
            fallbacks: fallbacks.iter().map(|model| name(model)).collect(),
        };
        let mut attempts = Attempts::default();
        attempts.decided(AwuId { trace_id: [1; 16], span_id: [1; 8] }, Some(&route));
        attempts
    }

    #[test]
    fn a_model_is_tried_again_then_the_others_are_asked_in_order() {
        let failed = End::ProviderError(Failure::Status(500));
        let mut attempts = attempts(2, &["b", "c"]);
        let mut asked = Vec::new();
        while attempts.after_failure(failed) {
            asked.push((
                attempts.model().map(Name::to_string),
                attempts.pause().map(|pause| pause.as_millis()),
            ));
            attempts.decided(AwuId { trace_id: [2; 16], span_id: [2; 8] }, None);
        }
        let expected = [(None, Some(100)), (None, Some(200)), (Some("b"), None), (Some("c"), None)];
        assert_eq!(asked, expected.map(|(model, pause)| (model.map(str::to_owned), pause)));
        assert_eq!((attempts.made(), attempts.first().unwrap().trace_id), (5, [1; 16]));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let cases = [
            (End::Completed, false),
            (End::Cancelled, false),
            (End::Abandoned, false),
            (End::ProviderError(Failure::Status(400)), false),
            (End::ProviderError(Failure::Status(401)), false),
            (End::ProviderError(Failure::Status(408)), true),
            (End::ProviderError(Failure::Status(429)), true),
            (End::ProviderError(Failure::Status(503)), true),
            (End::ProviderError(Failure::Timeout), true),
            (End::ProviderError(Failure::Unreachable), true),
        ];
        for (end, again) in cases {
            assert_eq!(attempts(1, &[]).after_failure(end), again, "{end:?}");
        }
    }

    #[test]
    fn a_refusal_falls_back_only_where_it_is_about_the_provider_or_a_substitute() {
        let cases = [
            (ReasonCode::ProviderErrorUpstream, true),
            (ReasonCode::SlaLatencyViolation, true),
            (ReasonCode::BudgetExceeded, false),
            (ReasonCode::RateLimited, false),
        ];
        for (code, falls_back) in cases {
            let mut first = attempts(3, &["b", "c"]);
            assert_eq!(first.after_refusal(Some(&code)), falls_back, "{code}");
            assert_eq!(first.model().map(Name::as_str), falls_back.then_some("b"), "{code}");
        }
        let mut substitute = attempts(0, &["b", "c"]);
        assert!(substitute.after_failure(End::ProviderError(Failure::Timeout)));
        substitute.decided(AwuId { trace_id: [2; 16], span_id: [2; 8] }, None);
        assert!(substitute.after_refusal(Some(&ReasonCode::BudgetExceeded)), "a substitute that is refused");
        assert_eq!(substitute.model().map(Name::as_str), Some("c"));
    }
}
