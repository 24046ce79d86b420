//! The model's cells: limits, grants, charges and alerts, each time from everything that happened.

use std::collections::{BTreeMap, BTreeSet};

use genops_core::budget::{Budget, CellKey};
use genops_core::ledger::{Books, Grant};
use genops_core::period::Window;
use genops_core::{Timestamp, Unit};

use super::{Begun, Event, Model, Work, nanos};

/// A charge of a work in a cell, or what was taken away of it.
pub struct Post {
    pub(super) work: usize,
    pub(super) key: CellKey,
    /// The time that it counts for.
    at: i128,
    /// What was asked for.
    pub(super) asked: i128,
    /// What came of it: what the window has left cannot be taken away.
    atoms: i128,
}

/// An alert: the cell, the percents, what is used and what is allocated.
pub type Told = (CellKey, u16, i128, i128);

/// Length and part, where the window moves.
fn rolling(key: &CellKey) -> Option<(i128, i128)> {
    match key.window {
        Window::Rolling { length_ns, part_ns } => Some((i128::from(length_ns), i128::from(part_ns))),
        _ => None,
    }
}

fn is_for(grant: &Grant, key: &CellKey) -> bool {
    key.budget.as_ref() == Some(&grant.budget) && (grant.each.is_empty() || grant.each == key.each)
}

impl Model {
    // === limits ===

    /// What the policies and the grants allow in a cell at `at`; `None` without a budget.
    pub(super) fn allocated(&self, key: &CellKey, at: i128) -> Option<i128> {
        Some(self.limit(key)? + self.granted(key, at))
    }

    /// The same, by which people are told: until its end is written down, a grant counts.
    fn told_by(&self, key: &CellKey, at: i128) -> Option<i128> {
        Some(self.limit(key)? + self.granted_by(key, at, i128::MIN))
    }

    /// What the policies allow in a cell; `None` without a budget.
    fn limit(&self, key: &CellKey) -> Option<i128> {
        let name = key.budget.as_ref()?;
        let (mut limit, mut opened, mut in_force) = (None, false, None);
        for (place, (_, event)) in self.history.iter().enumerate() {
            let is_of_it = place >= self.begun(key).history;
            match event {
                Event::Adopted(policy, windows) => {
                    let mut budgets = policy.budgets.iter().zip(windows);
                    let found = budgets.find(|(budget, _)| budget.name == *name);
                    in_force = found.map(|(budget, _)| budget);
                    if let (true, Some((budget, window))) = (opened, found)
                        && (budget.unit, *window) == (key.unit, Some(key.window))
                        && budget.each == key.each.iter().map(|share| share.facet).collect::<Vec<_>>()
                    {
                        limit = Some(budget.limit.atoms());
                    }
                }
                Event::Admitted(place)
                    if !opened
                        && is_of_it
                        && self.works[*place].ruled.path.iter().any(|step| step.key == *key) =>
                {
                    opened = true;
                    limit = Some(in_force.unwrap().limit.atoms());
                }
                _ => {}
            }
        }
        limit
    }

    /// The grants that hold in a cell.
    pub(super) fn granted(&self, key: &CellKey, at: i128) -> i128 {
        self.granted_by(key, at, at)
    }

    /// The same, of grants whose time is over no earlier than at `by`.
    fn granted_by(&self, key: &CellKey, at: i128, by: i128) -> i128 {
        if let Some(until) = key.window.until().map(nanos).filter(|until| *until <= at) {
            return self.ever_granted(key, until);
        }
        let grants = self.history.iter().filter_map(|(_, event)| match event {
            Event::Granted(number, grant) if nanos(grant.until) > by && !self.has_ended(*number) => {
                Some(grant)
            }
            _ => None,
        });
        grants.filter(|grant| is_for(grant, key)).map(|grant| grant.amount.atoms()).sum()
    }

    /// The grants that held when a cell was opened, and those that were made from then on until it was over.
    fn ever_granted(&self, key: &CellKey, until: i128) -> i128 {
        let (mut opened, mut holding) = (false, BTreeMap::new());
        for (at, event) in self.history.iter().filter(|(at, _)| *at < until) {
            match event {
                Event::Granted(number, grant) if is_for(grant, key) => {
                    holding.insert(*number, grant);
                }
                Event::Ended(number) if !opened => {
                    holding.remove(number);
                }
                Event::Admitted(place)
                    if !opened && self.works[*place].ruled.path.iter().any(|step| step.key == *key) =>
                {
                    opened = true;
                    holding.retain(|_, grant| nanos(grant.until) > *at);
                }
                _ => {}
            }
        }
        holding.values().map(|grant| grant.amount.atoms()).sum()
    }

    // === charges ===

    /// Outstanding and used in a cell.
    pub(super) fn held(&self, key: &CellKey, at: i128) -> i128 {
        let [out, ..] = self.sums(key);
        out + self.counted(key, at)
    }

    /// What is counted as used in a cell at `at`. Where the window moves, that is what was charged in the parts that it
    /// has not left.
    pub(super) fn counted(&self, key: &CellKey, at: i128) -> i128 {
        let begun = self.begun(key).works;
        let posts = self.posts.iter().filter(|post| post.key == *key && post.work >= begun);
        let counts = |post: &&Post| {
            rolling(key).is_none_or(|(length, part)| (post.at / part + 1) * part + length > at)
        };
        posts.filter(counts).map(|post| post.atoms).sum()
    }

    /// Charges a work, or takes away from what it was charged last; says which alerts that has to give.
    pub(super) fn post(&mut self, work: usize, at: i128, postings: &[(CellKey, i128)]) -> Vec<Told> {
        let told: Vec<_> = postings.iter().flat_map(|(key, atoms)| self.alerts(key, at, *atoms)).collect();
        for (key, asked) in postings {
            if *asked >= 0 {
                self.posts.push(Post { work, key: key.clone(), at, asked: *asked, atoms: *asked });
                continue;
            }
            let mut less = -asked;
            for (charged_at, charge) in self.own(key, work).into_iter().rev() {
                let taken = less.min(charge);
                less -= taken;
                let has_left =
                    rolling(key).is_some_and(|(length, part)| (charged_at / part + 1) * part + length <= at);
                let atoms = if has_left { 0 } else { -taken };
                self.posts.push(Post { work, key: key.clone(), at: charged_at, asked: -taken, atoms });
            }
            assert_eq!(less, 0, "a work is charged less than nothing");
        }
        told
    }

    /// What a work is charged in a cell, by when it was charged.
    fn own(&self, key: &CellKey, work: usize) -> BTreeMap<i128, i128> {
        let mut charges = BTreeMap::new();
        for post in self.posts.iter().filter(|post| post.key == *key && post.work == work) {
            *charges.entry(post.at).or_default() += post.asked;
        }
        charges
    }

    /// An independent judge of windows that move: what an admission counted is never less than what was charged in the
    /// time before it, and more only by what was charged in one part.
    pub(super) fn check_rolling(&self, place: usize) {
        let now = self.works[place].at;
        for step in &self.works[place].ruled.path {
            let Some((length, part)) = rolling(&step.key) else { continue };
            let charges: Vec<_> = (0..self.works.len()).flat_map(|work| self.own(&step.key, work)).collect();
            let since = |from: i128| {
                charges.iter().filter(|(at, _)| *at > from).map(|(_, atoms)| atoms).sum::<i128>()
            };
            let counted = self.counted(&step.key, now);
            assert!(counted >= since(now - length), "{:?} counts too little", step.key);
            assert!(counted <= since(now - length - part), "{:?} counts too much", step.key);
        }
    }

    // === closing ===

    /// The cells in which nothing counts any more at `at`, nothing was reserved or charged since `before`, and no work is
    /// open.
    pub(super) fn closable(&self, before: Timestamp, at: i128) -> BTreeSet<CellKey> {
        let is_over = |key: &CellKey| {
            let begun = self.begun(key).works;
            let of_it = |post: &&Post| post.key == *key && post.work >= begun;
            let is_empty = || {
                let mut charges = self.posts.iter().filter(of_it);
                let mut works = self.works[begun..].iter();
                let is_later = |work: &Work| {
                    work.at >= nanos(before) && work.ruled.path.iter().any(|step| step.key == *key)
                };
                charges.all(|post| post.at < nanos(before))
                    && !works.any(is_later)
                    && self.counted(key, at) == 0
            };
            key.window.until().is_some_and(|until| until <= before) || (rolling(key).is_some() && is_empty())
        };
        let is_open = |work: &Work| !matches!(work.state, "settled" | "released");
        let works = self.works.iter().filter(|work| is_open(work));
        let held: BTreeSet<_> = works.flat_map(|work| &work.ruled.path).map(|step| &step.key).collect();
        self.there().into_iter().filter(|key| is_over(key) && !held.contains(key)).collect()
    }

    /// The cells that have been opened, and not closed since.
    pub(super) fn there(&self) -> BTreeSet<CellKey> {
        let works = self.works.iter().enumerate();
        let reserved =
            works.flat_map(|(place, work)| work.ruled.path.iter().map(move |step| (place, &step.key)));
        let there = reserved.filter(|(place, key)| *place >= self.begun(key).works);
        there.map(|(_, key)| key.clone()).collect()
    }

    /// Where a cell begins.
    fn begun(&self, key: &CellKey) -> Begun {
        self.begun.get(key).copied().unwrap_or_default()
    }

    // === alerts ===

    fn alerts(&self, key: &CellKey, at: i128, more: i128) -> Vec<Told> {
        let policy = &self.policy;
        let Some(budget) = policy.budgets.iter().find(|budget| Some(&budget.name) == key.budget.as_ref())
        else {
            return Vec::new();
        };
        let allocated = self.told_by(key, at).unwrap();
        let used = self.counted(key, at);
        self.reached(budget, key, (used, allocated), (used + more, allocated))
    }

    /// What people are to be told of, and by what: used and allocated, before and after.
    fn reached(
        &self,
        budget: &Budget,
        key: &CellKey,
        before: (i128, i128),
        after: (i128, i128),
    ) -> Vec<Told> {
        let reaches = |(used, allocated): (i128, i128), percent: u16| {
            used > 0 && used >= (allocated * i128::from(percent)).div_euclid(100)
        };
        let is_told = |percent: u16| {
            self.history[self.begun(key).history..]
                .iter()
                .any(|(_, event)| matches!(event, Event::Told(of, told) if of == key && *told >= percent))
        };
        let percents: BTreeSet<u16> = budget.alerts.iter().copied().collect();
        let is_news = |percent: &u16| {
            let fell_below = rolling(key).is_some() && !reaches(before, *percent);
            reaches(after, *percent) && (!is_told(*percent) || fell_below)
        };
        percents.into_iter().filter(is_news).map(|percent| (key.clone(), percent, after.0, after.1)).collect()
    }

    /// By what people are told in each cell.
    pub(super) fn levels(&self, books: &Books, at: i128) -> Vec<(CellKey, Option<i128>)> {
        let keys = books.cells().iter().map(|cell| cell.key.clone());
        keys.map(|key| (key.clone(), self.told_by(&key, at))).collect()
    }

    /// What people are to be told of where limits have come down from what they were: in every cell that is in use by the
    /// policy, whatever the act was about.
    pub(super) fn brought_down(&self, before: &[(CellKey, Option<i128>)], at: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        let at_nanos = nanos(at);
        for (budget, windows) in self.policy.budgets.iter().zip(&self.windows) {
            for (place, (key, level)) in before.iter().enumerate() {
                let facets: Vec<_> = key.each.iter().map(|share| share.facet).collect();
                let is_in_use = key.budget.as_ref() == Some(&budget.name)
                    && (key.unit, Some(key.window), facets)
                        == (budget.unit, windows.at(at), budget.each.clone());
                let (Some(before), true) = (level, is_in_use) else { continue };
                let used = self.counted(key, at_nanos);
                let after = self.told_by(key, at_nanos).unwrap();
                let reached = self.reached(budget, key, (used, *before), (used, after));
                told.extend(reached.into_iter().map(|told| (place, told)));
            }
        }
        // In the order of the cells.
        told.sort_by_key(|(place, _)| *place);
        told.into_iter().map(|(_, told)| told).collect()
    }

    // === the books ===

    /// Outstanding, ever used, admitted, settled, released, in doubt.
    fn sums(&self, key: &CellKey) -> [i128; 6] {
        let mut sums = [0; 6];
        for work in &self.works[self.begun(key).works..] {
            for (at, step) in work.ruled.path.iter().enumerate().filter(|(_, step)| step.key == *key) {
                sums[2] += step.atoms;
                match work.state {
                    "reserved" | "executing" => sums[0] += step.atoms,
                    "settled" => {
                        sums[1] += work.actual[at];
                        sums[3] += step.atoms;
                    }
                    "released" => sums[4] += step.atoms,
                    _ => {
                        sums[1] += step.atoms;
                        sums[5] += step.atoms;
                    }
                }
            }
        }
        for (_, event) in &self.history[self.begun(key).history..] {
            let Event::Corrected(postings) = event else { continue };
            sums[1] += postings.iter().filter(|(of, _)| of == key).map(|(_, atoms)| atoms).sum::<i128>();
        }
        sums
    }

    /// Holds every cell against the history, at the time of the books and later.
    pub(super) fn compare_cells(&self, books: &Books) {
        let mut seen = BTreeSet::new();
        for cell in books.cells() {
            let key = &cell.key;
            let [out, ever, admitted, settled, released, in_doubt] = self.sums(key);
            for later in [0, 1_500_000_000, 8_000_000_000] {
                let at = books.at().plus_nanos(later);
                let standing = books.standing(cell, at);
                let allocated = standing.allocated.map(|amount| amount.atoms());
                let now = nanos(at);
                assert_eq!(standing.used.atoms(), self.counted(key, now), "{key:?} in {later} ns");
                assert_eq!(standing.out.atoms(), out, "{key:?}");
                assert_eq!(allocated, self.allocated(key, now), "{key:?} in {later} ns");
            }
            assert_eq!(cell.standing.used.atoms() + cell.totals.aged.atoms(), ever, "{key:?}");
            let totals =
                [cell.totals.admitted, cell.totals.settled, cell.totals.released, cell.totals.in_doubt];
            assert_eq!(totals.map(|total| total.atoms()), [admitted, settled, released, in_doubt], "{key:?}");
            assert_eq!(admitted, settled + released + in_doubt + out, "{key:?}");
            assert!(seen.insert(key.clone()), "two cells for {key:?}");
            assert!(cell.totals.aged.atoms() == 0 || rolling(key).is_some(), "{key:?}");
        }
        assert_eq!(seen, self.there());
        assert!(seen.iter().all(|key| key.budget.is_some() || key.window == Window::Always));
        assert!(
            seen.iter().all(|key| key.unit != Unit::Requests || key.budget.is_none() || key.each.len() == 1)
        );
    }
}
