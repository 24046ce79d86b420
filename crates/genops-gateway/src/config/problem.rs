//! What is wrong with a configuration: file, line, column, what stands there, and what would be right.
//!
//! A secret is never shown, and neither is a line that holds one.

use std::fmt;

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblems {
    file: String,
    problems: Vec<ConfigProblem>,
}

impl ConfigProblems {
    /// The problems of a file.
    #[must_use]
    pub fn new(file: &str, mut problems: Vec<ConfigProblem>) -> Self {
        // What has no place comes last.
        problems.sort_by_key(|problem| problem.place.unwrap_or((u64::MAX, u64::MAX)));
        Self { file: file.to_owned(), problems }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len()
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "{}:", self.file)?;
            if let Some((line, column)) = problem.place {
                write!(f, "{line}:{column}:")?;
            }
            writeln!(f, " {}", problem.message)?;
            if let (Some(excerpt), Some((line, _))) = (&problem.excerpt, problem.place) {
                let gutter = " ".repeat(line.to_string().len());
                let Excerpt { text, before, width } = excerpt;
                let (indent, carets) = (" ".repeat(*before), "^".repeat(*width));
                writeln!(f, " {gutter} |\n {line} | {text}\n {gutter} | {indent}{carets}")?;
            }
        }
        let count = self.problems.len();
        write!(f, "{count} {} in {}", if count == 1 { "problem" } else { "problems" }, self.file)
    }
}

impl std::error::Error for ConfigProblems {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    place: Option<(u64, u64)>,
    excerpt: Option<Excerpt>,
    message: String,
}

/// How much of the line may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The line: nothing on it is a secret. Comments are left out, since anything may stand in them.
    Line,
    /// The word that is wrong: a secret may stand beside it.
    Word,
    /// The key that it stands under: it may be a secret itself.
    Key,
}

/// What is shown of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// So many characters stand before the carets.
    before: usize,
    width: usize,
}

impl ConfigProblem {
    /// A problem at a line and column of `text`, both counted from 1.
    #[must_use]
    pub fn new(text: &str, place: Option<(u64, u64)>, shown: Shown, message: String) -> Self {
        let excerpt = place.and_then(|(line, column)| {
            let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
            // As wide as one column, so that the carets stand where they should.
            let line: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let before = usize::try_from(column).ok()?.checked_sub(1)?;
            Excerpt::of(line.get(..before)?, line.get(before..)?, shown)
        });
        Self { place, excerpt, message }
    }
}

/// A line that is longer is not shown: a terminal would break it, and part it from its carets.
const LINE_CHARS_MAX: usize = 160;
const WORD_CHARS_MAX: usize = 60;

impl Excerpt {
    fn of(before: &[char], rest: &[char], shown: Shown) -> Option<Self> {
        match shown {
            Shown::Line => {
                let rest = without_comment(rest);
                let width = value_width(rest).max(1);
                let text: String = before.iter().chain(rest).collect();
                match text.chars().count() <= LINE_CHARS_MAX {
                    true => Some(Self { text: text.trim_end().to_owned(), before: before.len(), width }),
                    false => Self::of(before, rest, Shown::Word),
                }
            }
            Shown::Word => {
                let is_word = |c: &&char| !" ,:{}[]#\"'".contains(**c);
                let word: String = rest.iter().take_while(is_word).take(WORD_CHARS_MAX).collect();
                let width = word.chars().count();
                (width > 0).then(|| Self { text: format!("… {word} …"), before: 2, width })
            }
            Shown::Key => {
                let before: String = before.iter().collect();
                let key = before.trim_end().strip_suffix(':')?;
                let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let start = key.trim_end_matches(is_key).len();
                let key = key.get(start..).filter(|key| !key.is_empty())?;
                Some(Self { text: format!("… {key}: …"), before: key.chars().count() + 4, width: 1 })
            }
        }
    }
}

/// The characters up to a comment.
fn without_comment(rest: &[char]) -> &[char] {
    let comment = rest.windows(2).position(|pair| matches!(pair, [' ', '#']));
    rest.get(..comment.unwrap_or(rest.len())).unwrap_or(rest)
}

/// How many characters belong to the value that begins here.
fn value_width(rest: &[char]) -> usize {
    let ends = |c: char| ",{}[]".contains(c);
    match rest {
        [quote @ ('"' | '\''), inside @ ..] => {
            inside.iter().position(|c| c == quote).map_or(rest.len(), |at| at + 2)
        }
        _ => {
            let plain: String = rest.iter().take_while(|c| !ends(**c)).collect();
            let key = plain.split_once(": ").map_or(plain.as_str(), |(key, _)| key);
            key.trim_end().trim_end_matches(':').chars().count()
        }
    }
}
