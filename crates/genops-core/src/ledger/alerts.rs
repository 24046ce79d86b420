//! Whom people are told of: cells in which thresholds are reached, because something is charged there or because their limit
//! comes down.
//!
//! Each threshold is told once for a cell, and once more where a window that moves had fallen below it. A grant counts here
//! until its end is in the journal, a moment after its time: so what its end reaches is told then, by nothing else, and once.
//! Pure: it reads the books and changes nothing.

use super::act::{Alert, Grant};
use super::books::Books;
use super::books::grants::with_each_of;
use super::cell::{Cell, CellId};
use crate::amount::Amount;
use crate::budget::{Budget, CellKey};
use crate::period::Window;
use crate::time::Timestamp;

/// So many alerts stand in an entry that is about many cells. Whoever is not told of then is told of with the next charge;
/// where the window moves, of what had been told before only once that has fallen below it and reaches it anew.
const MOST: usize = 1_000;

/// How much of a cell has been used, and of how much.
#[derive(Clone, Copy)]
struct Level {
    used: Amount,
    allocated: Amount,
}

/// The thresholds that are reached once these amounts have been added to what was used in their cells.
pub fn of_postings(books: &Books, at: Timestamp, postings: &[(CellId, Amount)]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for (id, amount) in postings {
        let Some(cell) = books.cell(*id) else { continue };
        let budget = cell.key.budget.as_ref().and_then(|name| books.in_force().budget(name, at));
        let Some((budget, _)) = budget.filter(|(budget, _)| !budget.alerts.is_empty()) else { continue };
        let Some(limit) = cell.standing.allocated else { continue };
        let used = cell.used_at(at);
        let Some(more) = used.checked_add(*amount) else { continue };
        let allocated = books.limit_with_kept_grants(cell, limit, at);
        let [before, after] = [used, more].map(|used| Level { used, allocated });
        tell(&mut alerts, (*id, cell), budget, before, after);
    }
    alerts
}

/// The thresholds of a cell of `budget` that are reached once a policy is in force that has the budget. `grants` are those of
/// the budget whose end is not in the journal.
pub fn of_policy(
    alerts: &mut Vec<Alert>,
    at: Timestamp,
    cell: (CellId, &Cell),
    budget: &Budget,
    grants: &[(u64, &Grant)],
) {
    let (_, known) = cell;
    let used = known.used_at(at);
    if alerts.len() >= MOST || !may_be_news(known, budget, Level { used, allocated: budget.limit }) {
        return;
    }
    let level = |limit| {
        let allocated = with_each_of(grants.iter().map(|(_, grant)| *grant), &known.key, limit, at);
        Level { used, allocated }
    };
    let (Some(before), after) = (known.standing.allocated.map(level), level(budget.limit)) else { return };
    tell(alerts, cell, budget, before, after);
}

/// The thresholds that are reached once a grant has ended, in the cells that it was for.
pub fn of_end(books: &Books, at: Timestamp, number: u64, grant: &Grant) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let budget = books.in_force().budget(&grant.budget, at);
    let Some((budget, Some(window))) = budget.filter(|(budget, _)| !budget.alerts.is_empty()) else {
        return alerts;
    };
    let kept = books.kept_grants_of(&grant.budget);
    for (id, cell) in reached_by(books, grant, budget, window) {
        if alerts.len() >= MOST {
            break;
        }
        let (Some(limit), used) = (cell.standing.allocated, cell.used_at(at)) else { continue };
        if may_be_news(cell, budget, Level { used, allocated: limit }) {
            let level = |without| {
                let others = kept.iter().filter(|(number, _)| Some(*number) != without);
                let allocated = with_each_of(others.map(|(_, grant)| *grant), &cell.key, limit, at);
                Level { used, allocated }
            };
            tell(&mut alerts, (id, cell), budget, level(None), level(Some(number)));
        }
    }
    alerts
}

/// The cells of `budget` in `window` that a grant is for. That of a share is looked up: many may be granted more, and
/// nobody decides while all cells are walked for each.
fn reached_by<'a>(
    books: &'a Books,
    grant: &Grant,
    budget: &Budget,
    window: Window,
) -> impl Iterator<Item = (CellId, &'a Cell)> {
    let each = grant.each.clone();
    let key = CellKey { budget: Some(grant.budget.clone()), each, unit: budget.unit, window };
    let is_whole = grant.each.is_empty();
    let all = is_whole.then(|| books.cells_from(CellId::default())).into_iter().flatten();
    let one = if is_whole { None } else { books.find(&key) };
    all.chain(one).filter(move |(_, cell)| cell.key.is_current(budget, window))
}

/// Whether a threshold may be told, as far as that can be said without a look at the grants, which only make more of the
/// limit.
fn may_be_news(cell: &Cell, budget: &Budget, level: Level) -> bool {
    let untold = budget.alerts.iter().filter(|percent| cell.moves() || !cell.was_told(**percent));
    // Many cells are asked: what does not reach the lowest reaches none.
    untold.min().is_some_and(|lowest| level.reaches(*lowest))
}

fn tell(alerts: &mut Vec<Alert>, (id, cell): (CellId, &Cell), budget: &Budget, before: Level, after: Level) {
    // Where the window moves, it may have fallen below a threshold since people were told.
    let is_told = |percent| cell.was_told(percent) && (!cell.moves() || before.reaches(percent));
    let mut reached: Vec<u16> = budget.alerts.clone();
    reached.retain(|percent| after.reaches(*percent) && !is_told(*percent));
    reached.sort_unstable();
    reached.dedup();
    let Level { used, allocated } = after;
    let told = |percent| Alert { cell: id, key: cell.key.clone(), percent, used, allocated };
    alerts.extend(reached.into_iter().map(told));
}

impl Level {
    fn reaches(self, percent: u16) -> bool {
        let threshold = self.allocated.percent(percent);
        self.used > Amount::ZERO && threshold.is_some_and(|threshold| self.used >= threshold)
    }
}
