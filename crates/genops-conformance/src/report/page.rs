//! Plain text in lines and columns. It knows nothing of reports.

/// So many columns a line has.
const WIDTH: usize = 110;

/// Lines that are being written.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// What was written.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// A heading, an empty line above it.
    pub(crate) fn heading(&mut self, heading: &str) {
        self.text.push('\n');
        self.line(0, heading);
    }

    /// A paragraph, each line of it so far from the left.
    pub(crate) fn line(&mut self, indent: usize, text: &str) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.fill(indent, text);
    }

    /// A line that stays one, however long it is.
    pub(crate) fn whole_line(&mut self, indent: usize, text: &str) {
        self.text.push_str(&format!("{}{text}\n", " ".repeat(indent)));
    }

    /// A name, and beside it what belongs to it, both in their columns.
    pub(crate) fn pair(&mut self, indent: usize, name: &str, value: &str) {
        self.columns(indent, &format!("{name:<10}"), value);
    }

    /// What stands in columns already, and beside it a text that has the rest of the line, and of those below.
    pub(crate) fn columns(&mut self, indent: usize, head: &str, text: &str) {
        self.text.push_str(&format!("{}{head}", " ".repeat(indent)));
        self.fill(indent + head.chars().count(), text);
    }

    /// The rest of a line, and below it what does not fit. A word that is longer than a line stays whole.
    fn fill(&mut self, indent: usize, text: &str) {
        let mut column = indent;
        for word in text.split(' ') {
            let length = word.chars().count();
            if column > indent {
                if column + 1 + length > WIDTH {
                    self.text.push('\n');
                    self.text.extend(std::iter::repeat_n(' ', indent));
                    column = indent;
                } else {
                    self.text.push(' ');
                    column += 1;
                }
            }
            self.text.push_str(word);
            column += length;
        }
        self.text.push('\n');
    }
}
