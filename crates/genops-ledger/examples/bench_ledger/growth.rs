//! Whether a call takes longer the more cells there are, or the more budgets are on its path.
//!
//! All sizes are open at once and take turns, every other turn backwards. Beside durable pairs, where the disk may
//! hide what the books take, it measures the books alone: the same pair applied in memory, on one thread.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genops_core::ledger::{self, Books};

use super::closed_loop::measure;
use super::governed::{OnLedger, expect_admitted};
use super::house::{Calls, House, wall};
use super::{Trouble, say};

/// Pairs of one measurement of the books alone.
const APPLIED: u64 = 50_000;

/// As many numbers are set apart for each measurement of the books alone.
const NUMBERS: u64 = 1 << 40;

struct Size {
    count: u64,
    subject: Arc<OnLedger>,
    books: Books,
}

/// Prints a line `figures COUNT PAIRS_PER_SECOND APPLY_NANOS` for each size in each turn.
pub fn run(
    folder: &Path,
    sizes: &[House],
    callers: u64,
    duration: Duration,
    turns: u64,
) -> Result<(), Trouble> {
    let mut sizes = sizes.iter().map(|house| Size::open(folder, *house)).collect::<Result<Vec<_>, _>>()?;
    for turn in 1..=turns {
        sizes.reverse();
        for size in &mut sizes {
            let apply = size.apply(turn)?;
            let durable = measure(&size.subject, callers, duration)?;
            say(&format!("figures {} {} {apply}", size.count, durable.pairs_per_second))?;
        }
    }
    Ok(())
}

impl Size {
    fn open(folder: &Path, house: House) -> Result<Self, Trouble> {
        let count = match house {
            House::Teams(count) | House::Path(count) => count,
            House::Two => 2,
        };
        let started = Instant::now();
        let subject = OnLedger::begin(&folder.join(format!("growth-{count}.db")), house)?;
        match house {
            House::Teams(teams) => subject.open_cells(teams)?,
            House::Path(_) | House::Two => subject.write(1)?,
        }
        let books = subject.ledger.read(Books::clone)?;
        let (cells, seconds) = (books.cells().len(), started.elapsed().as_secs_f64());
        if cells as u64 != count {
            return Err(format!("{cells} cells are open instead of {count}").into());
        }
        say(&format!("{cells} cells opened in {seconds:.1} s"))?;
        Ok(Self { count, subject: Arc::new(subject), books })
    }

    /// What a pair takes in memory, in nanoseconds. The commands are made before.
    fn apply(&mut self, turn: u64) -> Result<f64, Trouble> {
        let calls: &Calls = &self.subject.calls;
        let numbers = turn * NUMBERS..turn * NUMBERS + APPLIED;
        let pairs = numbers
            .map(|number| Ok((calls.admission(number)?, calls.settlement(number))))
            .collect::<Result<Vec<_>, Trouble>>()?;
        let started = Instant::now();
        for (admission, settlement) in pairs {
            expect_admitted(&ledger::apply(&mut self.books, wall(), admission)?.outcome)?;
            ledger::apply(&mut self.books, wall(), settlement)?;
        }
        Ok(started.elapsed().as_nanos() as f64 / APPLIED as f64)
    }
}
