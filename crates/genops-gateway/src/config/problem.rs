//! What is wrong with a configuration: file, line, column, the word that stands there, and what would be right.

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
    /// A problem at a line and column of `text`, both counted from 1. The word that stands there is shown with
    /// it, and no more of the line: a secret may stand beside it. Where it may be a secret itself, `text` is
    /// empty.
    #[must_use]
    pub fn new(file: &str, text: &str, place: Option<(u64, u64)>, message: String) -> Self {
        let excerpt = place.and_then(|(line, column)| {
            let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
            let rest = line.chars().skip(usize::try_from(column).ok()?.checked_sub(1)?);
            let word: String = rest.take_while(|c| !" ,:{}[]".contains(*c)).take(WORD_CHARS_MAX).collect();
            (!word.is_empty()).then_some(word)
        });
        Self { file: file.to_owned(), place, excerpt, message }
    }
}

const WORD_CHARS_MAX: usize = 60;

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((line, column)) = self.place else { return write!(f, "{}: {}", self.file, self.message) };
        write!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        if let Some(word) = &self.excerpt {
            let gutter = " ".repeat(line.to_string().len());
            write!(
                f,
                "\n {gutter} |\n {line} | … {word} …\n {gutter} |   {}",
                "^".repeat(word.chars().count())
            )?;
        }
        Ok(())
    }
}
