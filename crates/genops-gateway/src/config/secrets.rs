//! Secrets: where they come from, and which lines of the configuration are not shown for their sake.
//!
//! They come in only by reference to the environment or a file. No message repeats what may be one.

use std::collections::HashSet;

use super::meaning::Outside;
use super::written::Written;

/// Fetches what a reference refers to; otherwise says why not, as the end of a sentence about the field.
///
/// # Errors
///
/// It is no reference, or there is nothing where it points.
pub fn fetch(reference: &str, outside: &Outside<'_>) -> Result<String, String> {
    let secret = if let Some(variable) = reference.strip_prefix("env:") {
        if !is_variable(variable) {
            return Err(
                "refers to the environment, but `env:` is not followed by the name of a variable".into()
            );
        }
        let found = (outside.env)(variable);
        found
            .ok_or_else(|| format!("refers to `{variable}`; the environment has no variable `{variable}`"))?
    } else if let Some(path) = reference.strip_prefix("file:") {
        (outside.read_file)(path)
            .map_err(|error| format!("cannot be fetched: cannot read `{path}`: {error}"))?
    } else if reference.contains("${") {
        return Err("is a secret, and `${...}` is not replaced here; refer to it as `env:VARIABLE` or \
                    `file:PATH`"
            .to_owned());
    } else {
        return Err("is a secret; refer to it as `env:VARIABLE` or `file:PATH`".to_owned());
    };
    match secret.trim() {
        "" => Err("refers to something that is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}

/// A shorter word gives nothing away, and would hide lines that have nothing to do with it.
const SECRET_BYTES_MIN: usize = 6;

/// Whether a text refers to something, in a form that may be repeated.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("file:") || text.strip_prefix("env:").is_some_and(is_variable)
}

/// Whether it may be repeated: a key that somebody wrote behind `env:` hardly looks like the name of a variable.
fn is_variable(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(is_word)
}

/// What may be a secret in the configuration as written, and the lines that it stands on.
#[derive(Debug, Default)]
pub struct Secrets {
    lines: HashSet<u64>,
    /// What stands on more than one line, by its words.
    words: HashSet<String>,
}

impl Secrets {
    /// The secrets of a configuration.
    #[must_use]
    pub fn of(written: &Written) -> Self {
        let mut secrets = Self::default();
        for text in written.may_be_secrets() {
            secrets.lines.extend([text.referenced.line(), text.defined.line()]);
            if !is_reference(&text.value) {
                let words = text.value.split_whitespace().filter(|word| word.len() >= SECRET_BYTES_MIN);
                secrets.words.extend(words.map(str::to_owned));
            }
        }
        secrets
    }

    /// Whether something that may be a secret stands on this line, counted from 1.
    #[must_use]
    pub fn may_share_line(&self, text: &str, line: u64) -> bool {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        let shown = at.and_then(|at| text.lines().nth(at)).unwrap_or_default();
        self.lines.contains(&line) || self.words.iter().any(|word| shown.contains(word.as_str()))
    }
}
