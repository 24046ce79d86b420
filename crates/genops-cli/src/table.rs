//! Tables and lines for people.

use comfy_table::{CellAlignment, Column, ColumnConstraint, ContentArrangement, Table, TableStyle, Width};

use crate::output;

/// So many columns a text has that is broken into lines: what every terminal has.
const WIDTH: u16 = 80;

/// So many columns a table has whose numbers stay in one piece.
const WIDE: u16 = 100;

/// So wide the names beside [`facts`] are at least, with the space around them.
const NAMES_WIDTH: u16 = 14;

/// Prints rows below headings; columns whose heading begins with `>` are numbers and stand to the right.
pub fn print(headings: &[&str], rows: Vec<Vec<String>>) {
    output::write(&whole(headings, rows));
}

/// Rows below headings, as [`print`] prints them, each in one line.
pub fn whole(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Disabled);
    text(headings, rows, table)
}

/// Rows below headings, as [`print`] prints them; texts that are too long for a line are broken.
pub fn broken(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    text(headings, rows, table)
}

/// Rows below headings, as [`print`] prints them; in a table that is too wide, texts are broken and numbers are not.
pub fn broken_wide(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDE).set_header(headings);
    numbers(headings, &mut table).for_each(|column| {
        column.set_constraint(ColumnConstraint::ContentWidth);
    });
    text(headings, rows, table)
}

/// Names, and beside each a text, broken where it is too long for a line.
pub fn facts(facts: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.add_rows(facts.into_iter().map(|(name, text)| vec![name.to_owned(), text]));
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(NAMES_WIDTH)));
    }
    trimmed(&table)
}

fn text(headings: &[&str], rows: Vec<Vec<String>>, mut table: Table) -> String {
    table.load_style(TableStyle::new());
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    numbers(headings, &mut table).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.add_rows(rows);
    trimmed(&table)
}

/// The columns whose heading begins with `>`.
fn numbers<'a>(headings: &'a [&str], table: &'a mut Table) -> impl Iterator<Item = &'a mut Column> {
    let columns = table.column_iter_mut().zip(headings);
    columns.filter(|(_, heading)| heading.starts_with('>')).map(|(column, _)| column)
}

fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
