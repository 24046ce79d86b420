//! `genops replay`: decides every entry of a journal anew, and compares.

use std::fmt::Write;

use genops::ledger::redecide::{Disagreement, Redecided, redecide};
use genops_core::Digest;
use genops_core::ledger::ENGINE_VERSION;
use genops_core::period::TZDB_VERSION;
use serde::Serialize;

use crate::arguments::{Format, Recorded};
use crate::output::{named, print_all};
use crate::{Trouble, read, verify};

/// What agrees.
#[derive(Serialize)]
struct Agrees {
    /// Nothing where entries were only evolved, or cannot be judged: of them it is not known.
    holds: Option<bool>,
    entries: u64,
    /// Decided anew, with the same outcome.
    decided: u64,
    /// Decided by another version of the rules: evolved, not decided anew.
    evolved: u64,
    /// Another outcome here, under a policy of another edition of the rules of time zones; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    unjudged: Option<Unjudged>,
    engine: u16,
    head: Digest,
}

/// What cannot be judged here.
#[derive(Serialize)]
struct Unjudged {
    entries: u64,
    /// The editions of the rules of time zones that they were decided by.
    editions: Vec<String>,
    /// The edition of this program.
    edition: &'static str,
}

/// Replays ledger files and exports.
pub fn run(recorded: &Recorded) -> Result<(), Trouble> {
    let sources = verify::open(recorded)?;
    let (first, _) = sources.begins();
    if first > 1 {
        let what = format!(
            "{} begins with entry {first}; what was decided follows only from every entry before it, so give the archives \
             that have them as well: `--ledger ARCHIVE... LEDGER`",
            named(&recorded.ledger)
        );
        return Err(verify::unusable(recorded, &what)?);
    }
    let redecided = match redecide(sources) {
        Ok(redecided) => redecided,
        Err(Disagreement::Journal(error)) if verify::is_unreadable(&error) => {
            return Err(verify::unusable(recorded, &error.to_string())?);
        }
        // That is no fault of the journal's, as far as can be known here.
        Err(newer @ Disagreement::Newer { .. }) => {
            return Err(verify::unusable(recorded, &newer.to_string())?);
        }
        Err(failure) => return Err(verify::failed(recorded, failure.entry(), &failure.to_string())?),
    };
    let agrees = Agrees::of(&redecided);
    match recorded.format {
        Format::Json => read::print_json(&agrees),
        Format::Table => print_all(&agrees.text(&named(&recorded.ledger))),
    }
}

impl Agrees {
    fn of(redecided: &Redecided) -> Self {
        Self {
            holds: (redecided.evolved == 0 && redecided.unjudged == 0).then_some(true),
            entries: redecided.replayed.books.sequence(),
            decided: redecided.decided,
            evolved: redecided.evolved,
            unjudged: (redecided.unjudged > 0).then(|| Unjudged {
                entries: redecided.unjudged,
                editions: redecided.editions.iter().map(ToString::to_string).collect(),
                edition: TZDB_VERSION,
            }),
            engine: ENGINE_VERSION,
            head: redecided.replayed.head,
        }
    }

    fn text(&self, named: &str) -> String {
        let Self { entries, decided, evolved, unjudged, head, .. } = self;
        let said = if self.holds.is_some() {
            format!("{named} was decided by these rules, as it stands")
        } else {
            format!("{named} was decided by these rules in part; nothing is shown of the rest")
        };
        let mut others = String::new();
        if *evolved > 0 {
            let _ = writeln!(
                others,
                "  evolved  {evolved} entries that another version of the rules decided; not decided anew"
            );
        }
        if let Some(Unjudged { entries, editions, edition }) = unjudged {
            let _ = writeln!(
                others,
                "  unjudged {entries} entries that come to another outcome here: their policy counts periods by edition {} of \
                 the rules of time zones, and this program by {edition}; replay them with a version of genops of theirs",
                editions.join(", ")
            );
        }
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
    #[test]
    fn entries_that_cannot_be_judged_are_not_said_to_hold_and_it_is_said_why() {
        let editions = [genops_core::Name::new("2019a").unwrap()].into();
        let part = Agrees::of(&Redecided { decided: 2, unjudged: 3, editions, ..Redecided::default() });
        assert_eq!(part.holds, None);
        let text = part.text("it");
        assert!(text.starts_with("it was decided by these rules in part; nothing is shown"), "{text}");
        assert!(text.contains("unjudged 3 entries that come to another outcome here"), "{text}");
        assert!(text.contains("by edition 2019a of the rules of time zones"), "{text}");
    }
}
