//! How long a ledger takes to open, for each million of its entries.
//!
//! Once the whole journal is read, and once only what came after a snapshot of the books: the second half, and nothing.

use super::example::Example;
use super::{Options, Report};
use crate::bench::statistics::median;
use crate::table::Table;

const HEADINGS: [&str; 4] = ["opened", ">entries", ">s median [min..max]", ">s for a million entries"];

pub fn run(example: &Example, options: &Options, report: &mut Report) -> Result<(), String> {
    println!("== recovery: writing {} entries", options.entries);
    example.run("write", &[options.entries.to_string()])?;
    let mut table = Table::new(&HEADINGS);
    table.row(opened(example, options, "from the whole journal")?);
    let mut made = Vec::new();
    for (how, through) in
        [("from a snapshot in the middle", options.entries / 2), ("from a snapshot at the end", u32::MAX)]
    {
        let [entry, took] = example.figures("snapshot", &[through.to_string()])?;
        made.push(format!("that after entry {entry:.0} in {took:.2} s"));
        table.row(opened(example, options, how)?);
    }
    report.tables.push(table);
    report.notes.push(
        "recovery: the chain is verified, every entry applied and audited; the file is in the page cache, its entries \
         in commits of about 1,024"
            .to_owned(),
    );
    report.notes.push(format!(
        "snapshots: {}, the second from the first; a running server makes them behind its writer",
        made.join(", ")
    ));
    Ok(())
}

fn opened(example: &Example, options: &Options, how: &str) -> Result<Vec<String>, String> {
    let mut seconds = Vec::new();
    let mut entries = 0.0;
    for _ in 0..options.turns {
        let [opened, took] = example.figures("open", &[])?;
        entries = opened;
        seconds.push(took);
    }
    let (min, max) =
        (seconds.iter().copied().fold(f64::INFINITY, f64::min), seconds.iter().copied().fold(0.0, f64::max));
    let took = median(&seconds);
    Ok(vec![
        how.to_owned(),
        format!("{entries:.0}"),
        format!("{took:.2} [{min:.2}..{max:.2}]"),
        format!("{:.2}", took * 1e6 / entries),
    ])
}
