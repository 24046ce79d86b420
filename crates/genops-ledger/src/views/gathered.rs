//! What a stretch of the journal does to the tables, gathered first and written in one transaction.

use std::collections::HashMap;

use genops_core::awu::{Execution, State};
use genops_core::ledger::{Command, Entry, Outcome, Settled};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::spec::ReasonCode;
use genops_core::{AwuId, Name, person};
use rusqlite::{Transaction, params};

use super::{bytes, estimates, policies, revocations, stored};

/// What a stretch of the journal does to the tables: an AWU that began and ended in it is written once.
#[derive(Default)]
pub struct Gathered {
    begun: Vec<Row>,
    /// The latest row of an identity, among those that began in the stretch.
    row_of: HashMap<AwuId, usize>,
    moved: Vec<Move>,
    /// Corrections: the row, and the entry.
    corrected: Vec<(u64, u64)>,
    pub estimates: estimates::Gathered,
    /// Executions of AWUs that began before the stretch: the row, and what was executed.
    pub settled_later: Vec<(u64, Execution)>,
    policies: policies::Gathered,
    revocations: revocations::Gathered,
}

/// An AWU that began in the stretch, and where its later entries stand.
struct Row {
    record: AwuRecord,
    started: Option<u64>,
    ended: Option<u64>,
    later: Vec<u64>,
}

/// What an entry does to an AWU that began before the stretch. Its row is found when the entry is taken: later in the stretch
/// another AWU may have the identity.
struct Move {
    awu: AwuId,
    row: u64,
    sequence: u64,
    to: Step,
}

/// A step in the life of an AWU, as the tables see it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Started,
    /// With the state that it came to.
    Ended(&'static str),
    /// It was in doubt before.
    SettledLate,
}

/// Rows that are open from now on, and identities (`None`) that are not any more.
pub type OpenChanges = HashMap<AwuId, Option<u64>>;

impl Gathered {
    /// Takes in an entry. `open` are the rows that were open before the stretch.
    pub fn take(&mut self, journaled: Journaled, open: &HashMap<AwuId, u64>) {
        self.policies.take(&journaled);
        self.revocations.take(&journaled);
        let entry = &journaled.entry;
        let Some(awu) = AwuRecord::subject(&entry.command) else { return };
        let sequence = entry.sequence;
        if let (Command::Correct(correction), Outcome::Corrected { .. }) = (&entry.command, &entry.outcome) {
            self.corrected.push((correction.admitted, sequence));
            return;
        }
        let Some(to) = step_of(&entry.outcome) else {
            if let Some(record) = AwuRecord::begin(journaled) {
                self.row_of.insert(awu, self.begun.len());
                self.begun.push(Row { record, started: None, ended: None, later: Vec::new() });
            }
            return;
        };
        match self.row_of.get(&awu).and_then(|row| self.begun.get_mut(*row)) {
            Some(row) => {
                if let Some(execution) = executed(&journaled.entry) {
                    self.estimates.take(&row.record.request.proposal, execution);
                }
                row.record.follow(journaled.entry);
                match to {
                    Step::Started => row.started = Some(sequence),
                    Step::Ended(_) => row.ended = Some(sequence),
                    Step::SettledLate => row.later.push(sequence),
                }
            }
            None => {
                let Some(row) = open.get(&awu).copied() else { return };
                self.moved.push(Move { awu, row, sequence, to });
                self.settled_later
                    .extend(executed(&journaled.entry).map(|execution| (row, execution.clone())));
            }
        }
    }

    /// Writes the stretch. What it does to the open rows is for after the commit.
    pub fn write(self, transaction: &Transaction<'_>) -> rusqlite::Result<OpenChanges> {
        self.estimates.write(transaction)?;
        self.policies.write(transaction)?;
        self.revocations.write(transaction)?;
        let mut changes = OpenChanges::new();
        let mut after = transaction.prepare_cached("INSERT OR IGNORE INTO later VALUES (?1, ?2)")?;
        let mut start =
            transaction.prepare_cached("UPDATE awus SET started = ?2, state = ?3 WHERE admitted = ?1")?;
        let mut end =
            transaction.prepare_cached("UPDATE awus SET ended = ?2, state = ?3 WHERE admitted = ?1")?;
        let mut settle = transaction.prepare_cached("UPDATE awus SET state = ?2 WHERE admitted = ?1")?;
        for Move { awu, row, sequence, to } in self.moved {
            let stays_open = match to {
                Step::Started => {
                    start.execute(params![stored(row), stored(sequence), State::Executing.as_str()])?;
                    true
                }
                Step::Ended(state) => {
                    end.execute(params![stored(row), stored(sequence), state])?;
                    state == State::InDoubt.as_str()
                }
                Step::SettledLate => {
                    after.execute(params![stored(row), stored(sequence)])?;
                    settle.execute(params![stored(row), SETTLED])?;
                    false
                }
            };
            changes.insert(awu, stays_open.then_some(row));
        }
        for (row, sequence) in self.corrected {
            after.execute(params![stored(row), stored(sequence)])?;
        }
        // Whatever began under an identity began after that which had it before the stretch had ended.
        begin(self.begun, transaction, &mut changes)?;
        Ok(changes)
    }
}

/// What was executed, as an entry says that settles an AWU.
const fn executed(entry: &Entry) -> Option<&Execution> {
    match (&entry.command, &entry.outcome) {
        (Command::Settle { execution, .. } | Command::Resolve { execution, .. }, Outcome::Settled(_)) => {
            Some(execution)
        }
        _ => None,
    }
}

/// Writes the rows of AWUs that began in the stretch.
fn begin(begun: Vec<Row>, transaction: &Transaction<'_>, changes: &mut OpenChanges) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO awus (admitted, id, started, ended, at, team, project, environment, feature,
                           cost_center, customer, session, key, operation_type, provider, model, result, reason_code, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )?;
    let mut after = transaction.prepare_cached("INSERT OR IGNORE INTO later VALUES (?1, ?2)")?;
    for Row { record, started, ended, later } in begun {
        let proposal = &record.request.proposal;
        let attribution = &proposal.attribution;
        insert.execute(params![
            stored(record.sequence),
            bytes(record.id()),
            started.map(stored),
            ended.map(stored),
            stored(record.at.nanos()),
            attribution.team().as_str(),
            attribution.project().as_str(),
            attribution.environment().as_str(),
            proposal.labels.feature.as_ref().map(Name::as_str),
            proposal.labels.cost_center.as_ref().map(Name::as_str),
            // Of a pseudonym the number alone, which takes few bytes.
            proposal.labels.customer_id.as_ref().and_then(person::number).map(stored),
            proposal.labels.session_id.as_ref().and_then(person::number).map(stored),
            proposal.key.as_ref().map(Name::as_str),
            proposal.operation_type.as_str(),
            proposal.provider.as_ref().map(Name::as_str),
            proposal.model.as_ref().map(Name::as_str),
            record.decision().state().as_str(),
            record.decision().reason_code().map(ReasonCode::as_str),
            record.state(),
        ])?;
        for sequence in later {
            after.execute(params![stored(record.sequence), stored(sequence)])?;
        }
        let is_over = record.is_complete() && record.state() != State::InDoubt.as_str();
        changes.insert(record.id(), (!is_over).then_some(record.sequence));
    }
    Ok(())
}

const SETTLED: &str = "SETTLED";

/// The step that an outcome is for its AWU; `None` for one that begins it, changes nothing here, or is about none.
const fn step_of(outcome: &Outcome) -> Option<Step> {
    match outcome {
        Outcome::Started => Some(Step::Started),
        Outcome::Settled(Settled { late: Some(_), .. }) => Some(Step::SettledLate),
        Outcome::Settled(_) => Some(Step::Ended(SETTLED)),
        Outcome::Released => Some(Step::Ended("RELEASED")),
        Outcome::InDoubt { .. } => Some(Step::Ended(State::InDoubt.as_str())),
        Outcome::Admitted(_)
        | Outcome::Refused(_)
        | Outcome::Extended { .. }
        | Outcome::Corrected { .. }
        | Outcome::Granted
        | Outcome::GrantEnded { .. }
        | Outcome::Noted
        | Outcome::CellsClosed { .. }
        | Outcome::PolicyAdopted { .. } => None,
    }
}
