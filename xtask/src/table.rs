//! A table of texts, for the terminal and for Markdown.

/// Rows under headings.
#[derive(Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A heading that begins with `>` sets its column to the right.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// For the terminal.
    pub fn plain(&self) -> String {
        let columns: Vec<(bool, Vec<&str>)> = self.columns().collect();
        let widths: Vec<usize> = columns.iter().map(|(_, cells)| width(cells)).collect();
        let mut text = String::new();
        for line in 0..=self.rows.len() {
            let cells = columns.iter().zip(&widths).map(|((is_right, cells), width)| {
                let cell = cells.get(line).copied().unwrap_or_default();
                if *is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    pub fn markdown(&self) -> String {
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.columns().filter_map(|(_, cells)| cells.first().copied()).collect());
        text.push_str(&line(
            self.columns().map(|(is_right, _)| if is_right { "---:" } else { "---" }).collect(),
        ));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(String::as_str).collect()));
        }
        text
    }

    /// Whether the column is set to the right, and its cells with the heading first.
    fn columns(&self) -> impl Iterator<Item = (bool, Vec<&str>)> {
        self.headings.iter().enumerate().map(|(at, heading)| {
            let (is_right, name) = match heading.strip_prefix('>') {
                Some(name) => (true, name),
                None => (false, *heading),
            };
            let cells = self.rows.iter().map(|row| row.get(at).map_or("", String::as_str));
            (is_right, std::iter::once(name).chain(cells).collect())
        })
    }
}

fn width(cells: &[&str]) -> usize {
    cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["what", ">count"]);
        table.row(vec!["a longer name".to_owned(), "7".to_owned()]);
        table.row(vec!["b".to_owned(), "1,000".to_owned()]);
        assert_eq!(table.plain(), "what           count\na longer name      7\nb              1,000\n");
        let markdown = "| what | count |\n| --- | ---: |\n| a longer name | 7 |\n| b | 1,000 |\n";
        assert_eq!(table.markdown(), markdown);
    }
}
