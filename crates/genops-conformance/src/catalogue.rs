//! The catalogue: every normative statement of the specification, as `spec/requirements.yaml` has it, compiled in.
//!
//! What a statement says and how telemetry shows it stands here; the rules that look are in [`rules`](crate::rules).

use schemars::JsonSchema;
use serde::Serialize;

/// A requirement, by its place in [`REQUIREMENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u8);

/// One normative statement, paraphrased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// Its stable name, such as `ATT-7.1-6`.
    pub id: &'static str,
    /// The section of the specification that it stands in.
    pub section: &'static str,
    /// How strongly it binds.
    pub level: Keyword,
    /// Whom it binds.
    pub subject: Subject,
    /// Whether it counts toward full compliance.
    pub full: bool,
    /// Whether it counts toward partial compliance.
    pub partial: bool,
    /// The item of section 9.1 that pulls it into a claim; 0 where another section does.
    pub item: u8,
    /// What it says, in our words.
    pub text: &'static str,
    /// When it applies, where that is not always.
    pub applies_when: Option<&'static str>,
    /// What telemetry alone can say of it.
    pub checkable: Checkable,
    /// How telemetry shows it.
    pub how: &'static str,
    /// Where to look.
    pub signal: &'static str,
    /// An example that meets it.
    pub pass: &'static str,
    /// An example that breaks it.
    pub fail: &'static str,
}

/// A place where the specification can be read in more than one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// Its name, such as `AMB-03`.
    pub id: &'static str,
    /// The sections that it is about.
    pub sections: &'static [&'static str],
    /// What is not clear.
    pub problem: &'static str,
    /// How it is read here.
    pub resolution: &'static str,
}

/// How strongly a statement binds (RFC 2119, and the tables of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Keyword {
    /// MUST
    #[serde(rename = "MUST")]
    Must,
    /// MUST NOT
    #[serde(rename = "MUST NOT")]
    MustNot,
    /// REQUIRED
    #[serde(rename = "REQUIRED")]
    Required,
    /// SHOULD
    #[serde(rename = "SHOULD")]
    Should,
    /// MAY
    #[serde(rename = "MAY")]
    May,
    /// OPTIONAL
    #[serde(rename = "OPTIONAL")]
    Optional,
}

/// Whom a statement binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The runtime that emits the telemetry.
    Runtime,
    /// Whoever claims compliance.
    Claim,
    /// Whoever reads the telemetry.
    Consumer,
    /// The editors of the specification.
    SpecEditors,
    /// Whoever publishes a test suite.
    Suite,
}

/// What telemetry alone can say of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Checkable {
    /// It decides, for what was observed.
    Yes,
    /// It can refute, not prove.
    Partially,
    /// Nothing.
    No,
}

impl Id {
    /// Its place in the catalogue, from 0.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// Every requirement, in the order of the specification.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(REQUIREMENTS.len()).map(Self)
    }

    /// What is required.
    #[must_use]
    pub fn requirement(self) -> &'static Requirement {
        // Only the constants of the generated module and `all` make ids.
        REQUIREMENTS.get(self.place()).unwrap_or(&REQUIREMENTS[0])
    }

    /// The requirement with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|id| id.requirement().id == name)
    }
}

impl Keyword {
    /// As the specification writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::MustNot => "MUST NOT",
            Self::Required => "REQUIRED",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Optional => "OPTIONAL",
        }
    }

    /// Whether breaking it breaks compliance; a SHOULD warns, and the others permit.
    #[must_use]
    pub const fn binds(self) -> bool {
        matches!(self, Self::Must | Self::MustNot | Self::Required)
    }
}

impl Requirement {
    /// Whether a claim of compliance can fail on it: full, or for `partial` also partial.
    #[must_use]
    pub const fn gates(&self, partial: bool) -> bool {
        let counted = if partial { self.partial } else { self.full };
        counted && matches!(self.subject, Subject::Runtime) && self.level.binds()
    }
}

include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));
