//! How much slower a call gets with more cells, or with more budgets on its path.
//!
//! The example keeps one ledger of each size open and lets them take turns.

use super::example::Example;
use super::{CALLERS_OF_GROWTH, Options, Report, ratio};
use crate::bench::statistics::{median, spread};
use crate::table::Table;

/// What grows.
pub struct Growth {
    /// The example's word.
    part: &'static str,
    headings: [&'static str; 5],
    sizes: fn(&Options) -> &[u32],
    note: &'static str,
}

pub const CELLS: Growth = Growth {
    part: "cells",
    headings: headings(">cells"),
    sizes: |options| &options.cells,
    note: "cells: so many teams with a budget each, every cell opened by a call before; each call is of any team and \
           reserves in one cell",
};

pub const BUDGETS: Growth = Growth {
    part: "budgets",
    headings: headings(">budgets on a path"),
    sizes: |options| &options.budgets,
    note: "budgets on a path: each call reserves in all of them, and its entries grow with them",
};

const fn headings(first: &'static str) -> [&'static str; 5] {
    [first, ">pairs/s median [min..max]", ">times slower", ">apply µs a pair", ">times slower"]
}

/// What one size came to in each turn.
#[derive(Default)]
struct Samples {
    pairs: Vec<f64>,
    apply_nanos: Vec<f64>,
}

pub fn run(example: &Example, options: &Options, growth: &Growth, report: &mut Report) -> Result<(), String> {
    println!("== {}", growth.part);
    let sizes = (growth.sizes)(options);
    let mut arguments = [CALLERS_OF_GROWTH, options.seconds, options.turns].map(|n| n.to_string()).to_vec();
    arguments.extend(sizes.iter().map(u32::to_string));
    let lines = example.run(growth.part, &arguments)?;
    let measured: Vec<Samples> = sizes.iter().map(|size| of_size(*size, &lines)).collect();
    let mut table = Table::new(&growth.headings);
    if let Some(first) = measured.first() {
        for (size, samples) in sizes.iter().zip(&measured) {
            table.row(samples.row(*size, first));
        }
    }
    report.tables.push(table);
    report.notes.push(growth.note.to_owned());
    Ok(())
}

/// From the lines `COUNT PAIRS_PER_SECOND APPLY_NANOS`.
fn of_size(size: u32, lines: &[Vec<f64>]) -> Samples {
    let mut samples = Samples::default();
    for line in lines {
        if let [count, pairs, apply] = line.as_slice()
            && *count == f64::from(size)
        {
            samples.pairs.push(*pairs);
            samples.apply_nanos.push(*apply);
        }
    }
    samples
}

impl Samples {
    fn row(&self, size: u32, first: &Self) -> Vec<String> {
        vec![
            size.to_string(),
            spread(&self.pairs),
            format!("{:.2}", ratio(&first.pairs, &self.pairs)),
            format!("{:.1}", median(&self.apply_nanos) / 1e3),
            format!("{:.2}", ratio(&self.apply_nanos, &first.apply_nanos)),
        ]
    }
}
