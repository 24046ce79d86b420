//! A line for every call, JSON: what was asked, what is decided about it, by which rule, and what is reserved.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use genops::core::finding::Question;
use genops::core::record::Verdict;
use genops::core::spec::ReasonCode;
use genops::core::{Name, Timestamp};
use serde::Serialize;

use super::cannot_write;
use super::offered::Calls;
use super::run::{Answer, Decided, Undecided};
use crate::Trouble;

/// A file of decisions.
pub struct Decisions {
    path: PathBuf,
    file: BufWriter<File>,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    /// Where the call was recorded: file and line, span, or AWU.
    call: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a Name>,
    #[serde(flatten)]
    decision: Decision<'a>,
    /// The output limit of each choice, where a budget lowered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_limit: Option<u64>,
    /// What is reserved; nothing, where the call is refused.
    cells: Vec<Cell<'a>>,
    /// What was decided then, or is by the policy in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Decision<'a>>,
}

/// A decision, or why there is none.
#[derive(Serialize)]
struct Decision<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    not_decided: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a Name>,
}

/// A reservation.
#[derive(Serialize)]
struct Cell<'a> {
    budget: &'a str,
    /// Whose share, by the values of its `each`; absent where it has one cell for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    each: Vec<Option<&'a Name>>,
    window: String,
    unit: &'a str,
    reserved: String,
}

impl Decisions {
    /// A file that has nothing in it yet.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn create(path: &Path) -> Result<Self, Trouble> {
        let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Adds a call. `before` is what was decided about it then, or is by the policy in force.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(
        &mut self,
        calls: &Calls,
        decided: &Decided<'_>,
        before: Option<&Answer>,
    ) -> Result<(), Trouble> {
        let now = decided.said();
        let proposal = decided.proposal;
        let (output_limit, cells) = reserved(decided.verdict.ok());
        let line = Line {
            call: calls.place(decided.origin),
            at: Timestamp::to_string(&decided.at),
            team: proposal.map(|proposal| proposal.attribution.team()),
            project: proposal.map(|proposal| proposal.attribution.project()),
            environment: proposal.map(|proposal| proposal.attribution.environment()),
            model: decided.model,
            decision: Decision::of(&now),
            output_limit,
            cells,
            before: before.map(Decision::of),
        };
        let written = serde_json::to_writer(&mut self.file, &line).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|error| cannot_write(&self.path, &error))
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(), Trouble> {
        self.file.flush().map_err(|error| cannot_write(&self.path, &error))
    }
}

impl<'a> Decision<'a> {
    fn of(answer: &'a Answer) -> Self {
        let said = answer.as_ref().ok();
        let by = said.and_then(|said| said.by.as_ref());
        Self {
            not_decided: answer.as_ref().err().copied().map(Undecided::as_str),
            result: said.map(|said| said.decision.state().as_str()),
            reason_code: said.and_then(|said| said.decision.reason_code()).map(ReasonCode::as_str),
            question: by.map(|(question, _)| Question::as_str(*question)),
            rule: by.and_then(|(_, rule)| rule.as_ref()),
        }
    }
}

fn reserved(verdict: Option<&Verdict>) -> (Option<u64>, Vec<Cell<'_>>) {
    let Some(Verdict::Admitted(admitted)) = verdict else { return (None, Vec::new()) };
    let cells = admitted.path().iter().map(|step| Cell {
        budget: step.key.budget_name(),
        each: step.key.each.iter().map(|share| share.value.as_ref()).collect(),
        window: step.key.window.to_string(),
        unit: step.key.unit.as_str(),
        reserved: step.amount.to_string(),
    });
    (admitted.output_limit(), cells.collect())
}
