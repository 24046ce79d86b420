//! What was used in a window that moves with time, part by part.
//!
//! A part leaves the window once all of it has: so what is counted is never too little, and too much by at most one part.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::period::Window;
use crate::time::Timestamp;

/// What was used in each part that the window has not left, the oldest first. Empty for windows that do not move.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Aging(VecDeque<(u64, Amount)>);

impl Aging {
    /// What the window has left at `at`, of what is still here.
    pub fn left_by(&self, window: Window, at: Timestamp) -> Amount {
        let left = self.0.iter().take_while(|(part, _)| is_left(window, *part, at));
        left.fold(Amount::ZERO, |sum, (_, amount)| sum.checked_add(*amount).unwrap_or(Amount::MAX))
    }

    /// What is here, each with the time at which the window has left it, in nanoseconds.
    pub fn leaving(&self, window: Window) -> impl Iterator<Item = (u64, Amount)> {
        self.0.iter().filter_map(move |(part, amount)| Some((leaves_at(window, *part)?, *amount)))
    }

    /// Lets go of what the window has left at `at`, and says how much that was.
    pub fn leave(&mut self, window: Window, at: Timestamp) -> Amount {
        let left = self.left_by(window, at);
        while self.0.front().is_some_and(|(part, _)| is_left(window, *part, at)) {
            self.0.pop_front();
        }
        left
    }

    /// Adds to the part of `at`; `None` where that cannot be counted.
    pub fn add(&mut self, window: Window, at: Timestamp, amount: Amount) -> Option<()> {
        let Some(part) = part_of(window, at) else { return Some(()) };
        match self.0.back_mut() {
            Some((last, sum)) if *last == part => *sum = sum.checked_add(amount)?,
            _ => self.0.push_back((part, amount)),
        }
        Some(())
    }

    /// Takes away from the part of `at`, as far as there is something left of it; says how much there was not.
    pub fn take_away(&mut self, window: Window, at: Timestamp, amount: Amount) -> Amount {
        let Some(part) = part_of(window, at) else { return Amount::ZERO };
        let Some((_, sum)) = self.0.iter_mut().find(|(known, _)| *known == part) else { return amount };
        let taken = amount.min(*sum);
        *sum = sum.checked_sub(taken).unwrap_or_default();
        amount.checked_sub(taken).unwrap_or_default()
    }
}

/// The number of the part that `at` falls in; `None` where the window does not move.
fn part_of(window: Window, at: Timestamp) -> Option<u64> {
    match window {
        Window::Rolling { part_ns, .. } => at.nanos().checked_div(part_ns),
        Window::Always | Window::Between { .. } | Window::Calendar { .. } => None,
    }
}

fn is_left(window: Window, part: u64, at: Timestamp) -> bool {
    leaves_at(window, part).is_some_and(|leaves| leaves <= at.nanos())
}

/// When the window has left all of a part, in nanoseconds; `None` where it does not move.
fn leaves_at(window: Window, part: u64) -> Option<u64> {
    let Window::Rolling { length_ns, part_ns } = window else { return None };
    Some(part.saturating_add(1).saturating_mul(part_ns).saturating_add(length_ns))
}
