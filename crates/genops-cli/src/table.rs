//! Tables and lines for people.

use std::io::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};

/// Prints rows below headings; columns whose heading begins with `>` are numbers and stand to the right.
pub fn print(headings: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for (index, heading) in headings.iter().enumerate() {
        if let (true, Some(column)) = (heading.starts_with('>'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    for row in table.to_string().lines() {
        line(row.trim_end());
    }
}

/// Prints a line. Somebody who has seen enough (`| head`) closes the pipe; that is no error.
pub fn line(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}
