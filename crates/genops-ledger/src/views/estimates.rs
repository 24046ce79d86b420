//! How good the bounds were: for each provider and model, what calls were bounded by and what was reported.
//!
//! Only calls whose usage was reported count. Nothing is corrected by this; people tune the configuration.

use std::collections::HashMap;

use genops_core::Name;
use genops_core::awu::{Execution, Proposal, Used};
use rusqlite::{Connection, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS estimates (
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        calls INTEGER NOT NULL,
        bound_input INTEGER NOT NULL,
        input INTEGER NOT NULL,
        bound_output INTEGER NOT NULL,
        output INTEGER NOT NULL,
        exceeded INTEGER NOT NULL,
        PRIMARY KEY (provider, model)
    ) STRICT, WITHOUT ROWID;";

/// The bounds of one model's calls beside what was reported, summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The provider.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// Calls with a usage report.
    pub calls: u64,
    /// The most input tokens that they could come to.
    pub bound_input: u64,
    /// The input tokens that were reported.
    pub input: u64,
    /// The most output tokens that they could come to.
    pub bound_output: u64,
    /// The output tokens that were reported.
    pub output: u64,
    /// Calls that used more than their bound, in or out: there should be none.
    pub exceeded: u64,
}

/// What a stretch of the journal adds.
#[derive(Debug, Default)]
pub struct Gathered(HashMap<(Name, Name), Estimate>);

impl Gathered {
    /// Takes in what an AWU proposed and what was executed; an execution without a usage report adds nothing.
    pub fn take(&mut self, proposal: &Proposal, execution: &Execution) {
        let Used::Reported(reported) = execution.used else { return };
        let (Some(provider), Some(model)) = (&proposal.provider, &proposal.model) else { return };
        let sums = self.0.entry((provider.clone(), model.clone())).or_default();
        let bound = proposal.bound;
        let exceeds = reported.input > bound.input || reported.output > bound.output;
        sums.calls += 1;
        sums.bound_input = sums.bound_input.saturating_add(bound.input);
        sums.input = sums.input.saturating_add(reported.input);
        sums.bound_output = sums.bound_output.saturating_add(bound.output);
        sums.output = sums.output.saturating_add(reported.output);
        sums.exceeded += u64::from(exceeds);
    }

    pub fn write(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut add = transaction.prepare_cached(
            "INSERT INTO estimates VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (provider, model) DO UPDATE SET
                 calls = calls + excluded.calls,
                 bound_input = min(bound_input + excluded.bound_input, 1 << 62),
                 input = min(input + excluded.input, 1 << 62),
                 bound_output = min(bound_output + excluded.bound_output, 1 << 62),
                 output = min(output + excluded.output, 1 << 62),
                 exceeded = exceeded + excluded.exceeded",
        )?;
        for ((provider, model), sums) in self.0 {
            add.execute(params![
                provider.as_str(),
                model.as_str(),
                stored(sums.calls),
                stored(sums.bound_input),
                stored(sums.input),
                stored(sums.bound_output),
                stored(sums.output),
                stored(sums.exceeded),
            ])?;
        }
        Ok(())
    }
}

pub fn all(connection: &Connection) -> rusqlite::Result<Vec<Estimate>> {
    let mut statement = connection.prepare(
        "SELECT provider, model, calls, bound_input, input, bound_output, output, exceeded
         FROM estimates ORDER BY provider, model",
    )?;
    let number = |stored: i64| u64::try_from(stored).unwrap_or_default();
    let rows = statement.query_map([], |row| {
        Ok(Estimate {
            provider: row.get(0)?,
            model: row.get(1)?,
            calls: number(row.get(2)?),
            bound_input: number(row.get(3)?),
            input: number(row.get(4)?),
            bound_output: number(row.get(5)?),
            output: number(row.get(6)?),
            exceeded: number(row.get(7)?),
        })
    })?;
    rows.collect()
}

/// What a stretch adds is cut, and so are the sums: SQLite's integers must not overflow.
fn stored(number: u64) -> i64 {
    const MOST: i64 = 1 << 50;
    i64::try_from(number).unwrap_or(MOST).min(MOST)
}
