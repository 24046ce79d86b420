//! Budgets and cells in pages, while the ledger goes on.

use std::sync::Arc;

use genops::core::budget::Budget;
use genops::core::policy::Policy;
use genops::core::selector::{Facet, Selector};
use genops::core::{Name, Unit};
use genops::report::{BudgetFilter, CellFilter, PAGE_MAX, ReportError};
use genops::{Governor, Settings};

use crate::common::admitted;

/// More than are looked at before the books are let go.
const MANY: usize = 9_000;

fn budget(name: &str) -> Budget {
    Budget::new(Name::new(name).unwrap(), Unit::Usd, "1".parse().unwrap())
}

/// A policy of which every budget covers every AWU, but for the last, which covers none.
fn policy(count: usize) -> Policy {
    let mut budgets: Vec<_> = (0..count).map(|number| budget(&format!("b{number}"))).collect();
    let nobody = Selector::default().with(Facet::Team, vec![Name::new("nobody").unwrap()]);
    budgets.push(Budget { selector: nobody, ..budget("idle") });
    Policy { budgets, ..Policy::unrestricted() }
}

async fn governor(count: usize) -> Governor {
    Governor::open(Settings::in_memory(policy(count))).await.unwrap().0
}

#[tokio::test]
async fn a_filter_finds_its_cell_among_many_and_pages_have_each_cell_once() {
    let governor = governor(MANY).await;
    let held = admitted(&governor).await;
    let last = format!("b{}", MANY - 1);
    let one = CellFilter { budget: Some(last.clone()), ..CellFilter::default() };
    let page = governor.cells(&one, 1).await.unwrap();
    let found: Vec<_> = page.cells.iter().map(|cell| (cell.number, cell.budget.as_str())).collect();
    assert_eq!(
        (found.as_slice(), page.next),
        ([(u32::try_from(MANY - 1).unwrap(), last.as_str())].as_slice(), None)
    );

    let (mut filter, mut seen) = (CellFilter::default(), Vec::new());
    loop {
        let page = governor.cells(&filter, u32::MAX).await.unwrap();
        assert!(page.cells.len() <= usize::try_from(PAGE_MAX).unwrap());
        assert!(page.cells.iter().all(|cell| cell.current && cell.admitted == cell.outstanding));
        seen.extend(page.cells.into_iter().map(|cell| cell.number));
        let Some(next) = page.next else { break };
        filter.from = next;
    }
    assert!(seen.iter().copied().eq(0..u32::try_from(MANY).unwrap()));
    drop(held);
}

#[tokio::test]
async fn budgets_of_a_policy_that_was_replaced_are_not_current_and_its_pages_end() {
    let governor = governor(3).await;
    drop(admitted(&governor).await);
    let all = BudgetFilter::default();
    let page = governor.budgets(&all, 2).await.unwrap();
    let from = page.next.clone().unwrap().parse().unwrap();
    governor.adopt(Arc::new(policy(1))).await.unwrap();
    let filter = BudgetFilter { from: Some(from), ..all.clone() };
    assert!(matches!(governor.budgets(&filter, 2).await, Err(ReportError::AnotherPolicy)));

    let mut pages = Vec::new();
    let mut filter = all;
    loop {
        let page = governor.budgets(&filter, 1).await.unwrap();
        pages.extend(page.budgets.into_iter().map(|budget| (budget.name, budget.current)));
        let Some(next) = page.next else { break };
        filter.from = Some(next.parse().unwrap());
    }
    let expected = [("b0", true), ("idle", true), ("b1", false), ("b2", false)];
    assert_eq!(pages, expected.map(|(name, current)| (name.to_owned(), current)));
    let past = BudgetFilter { current: Some(false), ..BudgetFilter::default() };
    assert_eq!(governor.budgets(&past, 9).await.unwrap().budgets.len(), 2);
    assert_eq!(governor.cell(9).await.unwrap(), None);
}
