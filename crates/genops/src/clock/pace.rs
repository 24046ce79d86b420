//! How fast time goes on: the wall clock may be set, and the time that passes cannot.
//!
//! Pure. What the clocks say is an argument.

use std::time::Duration;

use genops_core::Timestamp;

/// A wall clock that has been set forward by no more than this is followed at once. Beyond it, budgets would begin anew
/// and idempotency keys be forgotten for what may be a mistake.
pub const FORWARD_MAX: Duration = Duration::from_secs(3_600);

/// What was told last, by both clocks.
#[derive(Debug, Default)]
pub struct Pace {
    latest: Option<(Timestamp, Duration)>,
    held_back: Duration,
}

impl Pace {
    /// A pace that has told nothing.
    pub const fn new() -> Self {
        Self { latest: None, held_back: Duration::ZERO }
    }

    /// The time, where the wall clock says `wall`, and `passed` is how long everything runs. It is the wall clock's, unless
    /// that has been set forward by more than [`FORWARD_MAX`]: then it goes on from the latest that was told, as fast as
    /// time passes.
    pub fn tell(&mut self, wall: Timestamp, passed: Duration) -> Timestamp {
        let expected =
            self.latest.map_or(wall, |(told, then)| told.plus_nanos(nanos(passed.saturating_sub(then))));
        let ahead = wall.nanos_since(expected);
        if ahead > nanos(FORWARD_MAX) {
            self.held_back = Duration::from_nanos(ahead);
            return expected;
        }
        self.held_back = Duration::ZERO;
        // Set back, it is followed, and what it comes back to is not taken for a jump.
        self.latest = Some((wall.max(expected), passed));
        wall
    }

    /// By how much the wall clock is ahead of what was told last; zero where it is followed.
    pub const fn held_back(&self) -> Duration {
        self.held_back
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    #[test]
    fn the_wall_clock_is_followed_unless_it_is_set_forward_by_more_than_an_hour() {
        // What the clocks say, in seconds, and what is told; by how much it is held back.
        let day = 1_000 * DAY;
        for (clocks, told, held) in [
            (vec![(day, 0)], day, 0),
            (vec![(day, 0), (day + 5, 5)], day + 5, 0),
            // A little ahead, or after a long time.
            (vec![(day, 0), (day + HOUR, 0)], day + HOUR, 0),
            (vec![(day, 0), (day + 3 * DAY, 3 * DAY)], day + 3 * DAY, 0),
            // Set forward.
            (vec![(day, 0), (day + 3 * DAY, 10)], day + 10, 3 * DAY - 10),
            (
                vec![(day, 0), (day + 3 * DAY, 10), (day + 3 * DAY + HOUR, 10 + HOUR)],
                day + 10 + HOUR,
                3 * DAY - 10,
            ),
            // It comes back.
            (vec![(day, 0), (day + 3 * DAY, 10), (day + 20, 20)], day + 20, 0),
            // Set back, and right again: that is no jump.
            (vec![(day, 0), (day - 3 * DAY, 10)], day - 3 * DAY, 0),
            (vec![(day, 0), (day - 3 * DAY, 10), (day + 20, 20)], day + 20, 0),
            (vec![(day, 0), (day - 3 * DAY, 10), (day + 3 * DAY, 20)], day + 20, 3 * DAY - 20),
            // In steps that are each small enough, it is followed: nobody can tell.
            (vec![(day, 0), (day + HOUR, 1), (day + 2 * HOUR, 2)], day + 2 * HOUR, 0),
        ] {
            let mut pace = Pace::new();
            let mut last = Timestamp::default();
            for (wall, passed) in &clocks {
                last = pace.tell(Timestamp::from_nanos(wall * 1_000_000_000), Duration::from_secs(*passed));
            }
            let expected = (Timestamp::from_nanos(told * 1_000_000_000), Duration::from_secs(held));
            assert_eq!((last, pace.held_back()), expected, "{clocks:?}");
        }
    }
}
