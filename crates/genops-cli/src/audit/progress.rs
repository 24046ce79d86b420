//! A sign of life while something long is read, on a terminal and nowhere else.

use std::io::{IsTerminal, stderr};

/// So many of anything are read in less time than it takes to wonder.
const STEP: u64 = 1_000_000;

/// How far reading has come.
pub struct Progress {
    what: &'static str,
    next: u64,
    is_shown: bool,
}

impl Progress {
    /// At the beginning. `what` is read, in the plural.
    pub fn new(what: &'static str) -> Self {
        Self { what, next: STEP, is_shown: stderr().is_terminal() }
    }

    /// So many have been read.
    pub fn reached(&mut self, count: u64) {
        if count >= self.next {
            self.next = count.saturating_add(STEP);
            if self.is_shown {
                eprintln!("genops: {count} {} read", self.what);
            }
        }
    }
}
