//! What is wrong with a configuration: file, line, column, the line itself, and what would be right.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    file: String,
    place: Option<(u64, u64)>,
    excerpt: Option<String>,
    message: String,
}

impl ConfigProblem {
    /// A problem at a line and column of `text`, both counted from 1. The line is shown with it.
    #[must_use]
    pub fn new(file: &str, text: &str, place: Option<(u64, u64)>, message: String) -> Self {
        let line = place.and_then(|(line, _)| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?));
        let excerpt = line.filter(|line| !line.trim().is_empty()).map(str::to_owned);
        Self { file: file.to_owned(), place, excerpt, message }
    }

    /// The same without the line, for one that may hold a secret.
    #[must_use]
    pub fn without_excerpt(self) -> Self {
        Self { excerpt: None, ..self }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((line, column)) = self.place else { return write!(f, "{}: {}", self.file, self.message) };
        write!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        if let Some(excerpt) = &self.excerpt {
            let column = usize::try_from(column).unwrap_or(1).max(1);
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            let indent = " ".repeat(column - 1);
            write!(f, "\n {gutter} |\n {number} | {excerpt}\n {gutter} | {indent}^")?;
        }
        Ok(())
    }
}
