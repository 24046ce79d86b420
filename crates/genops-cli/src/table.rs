//! Tables for people.

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
    for line in table.to_string().lines() {
        println!("{}", line.trim_end());
    }
}
