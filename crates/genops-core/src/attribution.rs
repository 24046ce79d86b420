//! Attribution (section 2.3): which team, project and environment an AWU belongs to.
//!
//! An [`Attribution`] is made once, checked, and cannot change. Empty and placeholder values are refused
//! here (section 9.1 item 8), and the error names the field. Where the values come from (a key, a header)
//! is not known here.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{InvalidName, Name};
use crate::selector::Facet;

/// Who an AWU belongs to. Immutable; each field is meaningful text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attribution {
    team: Name,
    project: Name,
    environment: Name,
}

/// Texts that name nothing, compared without regard to case.
pub const PLACEHOLDERS: [&str; 16] = [
    "unknown",
    "none",
    "n/a",
    "na",
    "null",
    "nil",
    "undefined",
    "todo",
    "tbd",
    "fixme",
    "changeme",
    "xxx",
    "-",
    "?",
    "placeholder",
    "string",
];

/// Whether a text names nothing: one of [`PLACEHOLDERS`], or a template that nobody filled in.
#[must_use]
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let between = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    PLACEHOLDERS.iter().any(|word| word.eq_ignore_ascii_case(text))
        || between("<", ">")
        || between("${", "}")
        || between("{{", "}}")
}

impl Attribution {
    /// Checks the three fields in this order and keeps them.
    ///
    /// # Errors
    ///
    /// Names the first field that is missing, empty, malformed or a placeholder.
    pub fn new(
        team: Option<&str>,
        project: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Self, InvalidAttribution> {
        Ok(Self::of(
            Meaningful::new(Field::Team, team)?,
            Meaningful::new(Field::Project, project)?,
            Meaningful::new(Field::Environment, environment)?,
        ))
    }

    /// From values that have been checked one by one.
    #[must_use]
    pub fn of(team: Meaningful, project: Meaningful, environment: Meaningful) -> Self {
        Self { team: team.0, project: project.0, environment: environment.0 }
    }

    /// `genops.team`.
    #[must_use]
    pub const fn team(&self) -> &Name {
        &self.team
    }

    /// `genops.project`.
    #[must_use]
    pub const fn project(&self) -> &Name {
        &self.project
    }

    /// `genops.environment`.
    #[must_use]
    pub const fn environment(&self) -> &Name {
        &self.environment
    }

    /// The fields, to put other names in their places.
    pub(crate) const fn names_mut(&mut self) -> [(Facet, &mut Name); 3] {
        [
            (Facet::Team, &mut self.team),
            (Facet::Project, &mut self.project),
            (Facet::Environment, &mut self.environment),
        ]
    }
}

/// One value of an attribution, checked by itself: a name that says who is responsible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaningful(Name);

impl Meaningful {
    /// Checks what somebody said, or did not say, for `field`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the field.
    pub fn new(field: Field, text: Option<&str>) -> Result<Self, InvalidAttribution> {
        let text = text.ok_or(InvalidAttribution { field, problem: Problem::Missing })?;
        if is_placeholder(text) {
            return Err(InvalidAttribution { field, problem: Problem::Placeholder });
        }
        match Name::new(text) {
            Ok(name) => Ok(Self(name)),
            Err(problem) => Err(InvalidAttribution { field, problem: Problem::Name(problem) }),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A field of the attribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `genops.team`.
    Team,
    /// `genops.project`.
    Project,
    /// `genops.environment`.
    Environment,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Team => "team",
            Self::Project => "project",
            Self::Environment => "environment",
        })
    }
}

/// A field of the attribution says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidAttribution {
    /// Which field.
    pub field: Field,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field of the attribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nobody said it.
    #[error("is missing")]
    Missing,
    /// A word such as `unknown`, which attributes the work to nobody.
    #[error("is a placeholder; it has to name who is responsible")]
    Placeholder,
    /// Not a name at all.
    #[error("{0}")]
    Name(InvalidName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_say_nothing_are_refused_and_the_field_is_named() {
        let good = Some("search");
        for bad in [None, Some(""), Some("  "), Some("unknown"), Some("N/A"), Some("Null"), Some("${TEAM}")] {
            assert_eq!(Attribution::new(bad, good, good).unwrap_err().field, Field::Team, "{bad:?}");
            assert_eq!(Attribution::new(good, bad, good).unwrap_err().field, Field::Project, "{bad:?}");
            assert_eq!(Attribution::new(good, good, bad).unwrap_err().field, Field::Environment, "{bad:?}");
        }
        for bad in [Some("todo"), Some("-"), Some("a\nb"), Some(" a"), Some("\u{7f}")] {
            assert!(Attribution::new(bad, good, good).is_err(), "{bad:?}");
        }
        assert!(Attribution::new(Some("nonesuch"), Some("Ünïcode"), Some("prod")).is_ok());
    }

    #[test]
    fn the_error_says_the_field_and_what_to_do() {
        let error = Attribution::new(Some("a"), Some("b"), Some("unknown")).unwrap_err();
        assert_eq!(error.to_string(), "`environment` is a placeholder; it has to name who is responsible");
    }
}
