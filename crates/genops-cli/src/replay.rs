//! `genops replay`: decides every entry of a journal anew, and compares.

use genops::ledger::redecide::{Disagreement, Redecided, redecide};
use genops_core::Digest;
use genops_core::ledger::ENGINE_VERSION;
use serde::Serialize;

use crate::arguments::{Format, Recorded};
use crate::{Trouble, print_all, read, verify};

/// What agrees.
#[derive(Serialize)]
struct Agrees {
    /// Nothing where entries were only evolved: of them it is not known.
    holds: Option<bool>,
    entries: u64,
    /// Decided anew, with the same outcome.
    decided: u64,
    /// Decided by another version of the rules: evolved, not decided anew.
    evolved: u64,
    engine: u16,
    head: Digest,
}

/// Replays ledger files and exports.
pub fn run(recorded: &Recorded) -> Result<(), Trouble> {
    let sources = verify::open(recorded)?;
    let (first, _) = sources.begins();
    if first > 1 {
        let what = format!(
            "{} begins with entry {first}; what was decided follows only from every entry before it",
            verify::named(recorded)
        );
        return Err(verify::unusable(recorded, &what)?);
    }
    let redecided = match redecide(sources) {
        Ok(redecided) => redecided,
        Err(Disagreement::Journal(error)) if verify::is_unreadable(&error) => {
            return Err(verify::unusable(recorded, &error.to_string())?);
        }
        Err(failure) => return Err(verify::failed(recorded, failure.entry(), &failure.to_string())?),
    };
    let agrees = Agrees::of(&redecided);
    match recorded.format {
        Format::Json => read::print_json(&agrees),
        Format::Table => print_all(&agrees.text(&verify::named(recorded))),
    }
}

impl Agrees {
    fn of(redecided: &Redecided) -> Self {
        Self {
            holds: (redecided.evolved == 0).then_some(true),
            entries: redecided.replayed.books.sequence(),
            decided: redecided.decided,
            evolved: redecided.evolved,
            engine: ENGINE_VERSION,
            head: redecided.replayed.head,
        }
    }

    fn text(&self, named: &str) -> String {
        let Self { entries, decided, evolved, head, .. } = self;
        let (said, others) = match evolved {
            0 => (format!("{named} was decided by these rules, as it stands"), String::new()),
            evolved => (
                format!("{named} was decided by these rules in part; nothing is shown of the rest"),
                format!(
                    "  evolved  {evolved} entries that another version of the rules decided; not decided anew\n"
                ),
            ),
        };
        format!(
            "{said}\n  decided  {decided} entries anew; every outcome is the same, byte for byte\n{others}  \
             head     {head} at entry {entries}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_only_evolved_are_not_said_to_hold() {
        let all = Agrees::of(&Redecided { decided: 2, ..Redecided::default() });
        assert_eq!(all.holds, Some(true));
        assert!(
            all.text("it").starts_with("it was decided by these rules, as it stands\n  decided  2 entries")
        );
        for decided in [0, 2] {
            let part = Agrees::of(&Redecided { decided, evolved: 1, ..Redecided::default() });
            assert_eq!(part.holds, None);
            let text = part.text("it");
            assert!(text.starts_with("it was decided by these rules in part; nothing is shown"), "{text}");
            assert!(text.contains("\n  evolved  1 entries that another version"), "{text}");
        }
    }
}
