//! Places in an expression, and words for what is wrong there.

use cel::ParseErrors;
use cel::common::ast::{IdedExpr, SourceInfo};

use super::super::Problem;

/// How alike two names have to be for the one to be taken for the other, misspelt.
const ALIKE: f64 = 0.85;

/// An expression as text, and where its parts are in it. Places count bytes, from 0, as the parser does.
pub(super) struct Source<'a> {
    text: &'a str,
    places: &'a SourceInfo,
}

impl<'a> Source<'a> {
    pub(super) const fn new(text: &'a str, places: &'a SourceInfo) -> Self {
        Self { text, places }
    }

    /// Where a part is: its operator, its opening bracket, or itself.
    pub(super) fn place(&self, part: &IdedExpr) -> usize {
        let (start, _) = self.places.offset_for(part.id).unwrap_or_default();
        usize::try_from(start).unwrap_or(usize::MAX)
    }

    /// Where a field's name begins, behind its dot.
    pub(super) fn behind(&self, part: &IdedExpr) -> usize {
        let dot = self.place(part);
        let rest = self.text.get(dot..).unwrap_or_default().trim_start_matches('.').trim_start();
        self.text.len() - rest.len()
    }

    /// Where a function's name begins, before its bracket.
    pub(super) fn before(&self, part: &IdedExpr, name: &str) -> usize {
        let before = self.up_to(self.place(part)).trim_end();
        before.strip_suffix(name).map_or(before.len(), str::len)
    }

    /// A problem at a place.
    pub(super) fn problem(&self, place: usize, message: String) -> Problem {
        let before = self.up_to(place);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Problem { line, column, message }
    }

    fn up_to(&self, place: usize) -> &'a str {
        self.text.get(..place).unwrap_or_default()
    }
}

/// What the parser did not understand first; what it says of the rest follows from that.
pub(super) fn syntax(errors: &ParseErrors) -> Problem {
    const SYNTAX: &str = "Syntax error: ";
    let found = errors.errors.iter().find(|error| error.msg.starts_with(SYNTAX)).or(errors.errors.first());
    let Some(found) = found else { return Problem::at_start("the expression cannot be read") };
    let said = found.msg.strip_prefix(SYNTAX).unwrap_or(&found.msg);
    let message = if said.contains("Recursion limit") {
        format!(
            "more than {} brackets or choices stand inside each other; use several rules",
            super::DEPTH_MAX
        )
    } else if said.starts_with("mismatched input '<EOF>'") {
        "the expression ends too early".to_owned()
    } else {
        // What it expected instead is a long list, and what it calls things is not what people call them.
        let said = said.split(" expecting ").next().unwrap_or(said);
        format!("the expression cannot be read from here on: {}", printable(said))
    };
    let counted = |from_one: isize| usize::try_from(from_one).unwrap_or(1).max(1);
    Problem { line: counted(found.pos.0), column: counted(found.pos.1), message }
}

/// Says that a name is not known, which known one may be meant, and which are known.
pub(super) fn unknown(name: &str, what: &str, known_are: &str, known: &[&str]) -> String {
    let alike = |known: &str| strsim::jaro_winkler(name, known);
    let nearest =
        known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|near| alike(near) > ALIKE);
    let meant = nearest.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    if known.is_empty() {
        return format!("`{name}` is not {what}; there are none");
    }
    let separator = if meant.is_empty() { "; " } else { " " };
    format!("`{name}` is not {what}{meant}{separator}{known_are} {}", known.join(", "))
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
