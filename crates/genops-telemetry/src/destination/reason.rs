//! Why something was not taken: what we say of it, and what the receiver says, which may repeat anything that it was sent.

use hyper_util::client::legacy;

/// Why something was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In our words.
    pub ours: String,
    /// In the receiver's; empty where it says nothing.
    pub theirs: String,
}

/// So many characters of what a receiver says are kept.
const THEIRS_MAX: usize = 300;

impl Reason {
    /// With what the receiver says of it.
    #[must_use]
    pub fn with(ours: impl Into<String>, theirs: impl Into<String>) -> Self {
        Self { ours: ours.into(), theirs: theirs.into() }
    }

    /// What of it may be kept and shown. Where the request named a person, the receiver's words may as well, in a form that
    /// nobody would find and erase: then they are left out.
    #[must_use]
    pub fn kept(&self, names_persons: bool) -> String {
        let Self { ours, theirs } = self;
        if theirs.is_empty() {
            return ours.clone();
        }
        if names_persons {
            return format!("{ours} (its words are not kept: the request names persons)");
        }
        let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
        let theirs: String = theirs.chars().map(shown).take(THEIRS_MAX).collect();
        format!("{ours}: {theirs}")
    }

    /// What became of a request that got no answer.
    pub(super) fn of_client(error: &legacy::Error) -> Self {
        // Until there is a connection, nothing was sent that anybody could repeat.
        if error.is_connect() { chain(error).into() } else { Self::broken(error) }
    }

    /// What became of an answer that did not end.
    pub(super) fn broken(error: &dyn std::error::Error) -> Self {
        Self::with("the connection broke", chain(error))
    }
}

impl From<String> for Reason {
    fn from(ours: String) -> Self {
        Self::with(ours, "")
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_says_is_kept_in_bounds_and_only_of_a_request_that_names_nobody() {
        let long = format!("acme\n{}", "\u{e9}".repeat(1_000));
        let reason = Reason::with("it answered 400", long);
        assert_eq!(reason.kept(false), format!("it answered 400: acme {}", "\u{e9}".repeat(THEIRS_MAX - 5)));
        let kept = reason.kept(true);
        assert!(kept.starts_with("it answered 400 (") && !kept.contains("acme"), "{kept}");
        let ours = Reason::from("it answered 400".to_owned());
        assert_eq!([ours.kept(true), ours.kept(false)], ["it answered 400"; 2]);
    }
}
