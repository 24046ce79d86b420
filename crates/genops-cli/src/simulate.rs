//! `genops simulate`: what a policy would have done with calls of the past.
//!
//! Calls come from a ledger, a table or a trace; the rules and the books are those of the gateway. With another policy
//! beside it, or with what a ledger decided then, it says which calls are decided differently.

mod decisions;
mod offered;
mod picture;
mod plot;
pub mod recorded;
mod report;
mod run;

use std::io::{IsTerminal, stderr};
use std::path::Path;

use genops::core::ledger::Books;
use genops::core::{Name, Timestamp};
use genops_gateway::Config;

use crate::arguments::{Format, Simulating};
use crate::output::{print_all, say};
use crate::{Trouble, read, serve};
use decisions::Decisions;
use offered::{Calls, Defaults, Gaps, Past};
use recorded::{Traffic, rows, spans};
use report::{Changes, Report};
use run::{Decided, Run, Tally};

/// Simulates, and says what came of it.
pub fn run(simulating: &Simulating) -> Result<(), Trouble> {
    let new = named(&simulating.config)?;
    let current = simulating.current.as_deref().map(named).transpose()?;
    let calls = calls(simulating)?;
    current.iter().chain([&new]).try_for_each(|named| expect_default_model(&calls, named))?;
    let mut decisions = simulating.decisions.as_deref().map(Decisions::create).transpose()?;
    let simulated = simulate(&calls, current.as_ref(), &new, decisions.as_mut())?;
    decisions.map_or(Ok(()), Decisions::finish)?;
    if let Some(path) = &simulating.plot {
        std::fs::write(path, picture::of(&simulated).to_svg()).map_err(|error| cannot_write(path, &error))?;
    }
    match simulating.format {
        Format::Json => read::print_json(&simulated.report)?,
        Format::Table => {
            print_all(&simulated.report.text())?;
            let written = simulating.plot.iter().chain(&simulating.decisions);
            written.for_each(|path| say!("\nwrote {}", path.display()));
        }
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::failed(format!("cannot write `{}`: {error}", path.display()))
}

/// A configuration, and what it is called.
type Named = (String, Config);

fn named(path: &Path) -> Result<Named, Trouble> {
    Ok((path.display().to_string(), serve::read(path)?))
}

/// What was simulated: the report, and each run with its books, for the picture.
pub struct Simulated {
    report: Report,
    runs: Vec<(String, Came)>,
    range: (Timestamp, Timestamp),
}

/// What came of a run.
struct Came {
    books: Books,
    tally: Tally,
    gaps: Gaps,
}

/// Runs the calls through the configuration in force, if it is known, and through the new one. What the new one decides
/// is shown to `decisions`.
fn simulate(
    calls: &Calls,
    current: Option<&Named>,
    new: &Named,
    mut decisions: Option<&mut Decisions>,
) -> Result<Simulated, Trouble> {
    let mut runs = Vec::new();
    let mut changes = Changes::default();
    let mut before = Vec::new();
    if let Some((name, config)) = current {
        let came = through(calls, name, config, &mut |decided| {
            before.push(changes.number(decided.said())?);
            Ok(())
        })?;
        runs.push((name.clone(), came));
    }
    let mut before = before.into_iter();
    let came = through(calls, &new.0, &new.1, &mut |decided| {
        let then = match (current, decided.then) {
            (Some(_), _) => before.next(),
            (None, Some(then)) => Some(changes.number(Ok(then.clone()))?),
            (None, None) => None,
        };
        if let Some(then) = then {
            let now = changes.number(decided.said())?;
            changes.count(then, now);
        }
        match decisions.as_mut() {
            Some(decisions) => decisions.write(calls, decided, then.and_then(|then| changes.said(then))),
            None => Ok(()),
        }
    })?;
    runs.push((new.0.clone(), came));
    let report = Report::new(calls, &runs, &changes);
    Ok(Simulated { report, runs, range: calls.range() })
}

/// So many calls take long enough that somebody wonders.
const MANY: u64 = 500_000;

/// Runs all calls through a configuration, and shows what is decided about each of them.
fn through(
    calls: &Calls,
    name: &str,
    config: &Config,
    watch: &mut dyn FnMut(&Decided<'_>) -> Result<(), Trouble>,
) -> Result<Came, Trouble> {
    if calls.count() > MANY && stderr().is_terminal() {
        eprintln!("genops: simulating {} calls under {name}", calls.count());
    }
    let range = calls.range();
    // Only a policy that contradicts itself can fail here.
    let mut run = Run::new(config, range).map_err(Trouble::unusable)?;
    let gaps = calls.offer(config, &mut |event| {
        run.take(event, &mut *watch).map_err(Trouble::failed)?.unwrap_or(Ok(()))
    })?;
    let (books, tally) = run.finish(range.1).map_err(Trouble::failed)?;
    let came = Came { books, tally, gaps };
    expect_calls(&came, name)?;
    Ok(came)
}

// === where calls come from ===

fn calls(simulating: &Simulating) -> Result<Calls, Trouble> {
    if let Some(ledger) = &simulating.ledger {
        return Past::read(ledger).map(Calls::Journal);
    }
    let mut traffic = Traffic::default();
    for path in &simulating.trace {
        rows::read(path, &mut traffic).map_err(Trouble::unusable)?;
    }
    let mapping = simulating.map.iter().cloned().fold(spans::Mapping::default(), spans::Mapping::with);
    for path in &simulating.otlp {
        spans::read(path, &mapping, &mut traffic).map_err(Trouble::unusable)?;
    }
    notices(&traffic).iter().for_each(|notice| eprintln!("genops: {notice}"));
    let model = simulating.model.as_deref().map(Name::new).transpose();
    let model = model.map_err(|problem| Trouble::unusable(format!("--model {problem}")))?;
    let Simulating { team, project, environment, .. } = simulating;
    let defaults = Defaults::new(team, project, environment, model).map_err(|invalid| {
        let (field, problem) = (invalid.field, invalid.problem);
        Trouble::unusable(format!("--{field} {problem}; calls that do not say theirs are counted for it"))
    })?;
    Ok(Calls::Traffic(traffic, defaults))
}

/// What could not be read of the sources.
fn notices(traffic: &Traffic) -> Vec<String> {
    let mut notices = Vec::new();
    for source in traffic.sources() {
        notices.extend(source.problems.first.iter().map(|problem| format!("{}: {problem}", source.name)));
        if source.problems.more > 0 {
            notices.push(format!("{}: {} more problems", source.name, source.problems.more));
        }
    }
    notices
}

/// The model that is taken where none is named has to be set up.
fn expect_default_model(calls: &Calls, (name, config): &Named) -> Result<(), Trouble> {
    let Calls::Traffic(_, defaults) = calls else { return Ok(()) };
    match defaults.model() {
        Some(model) if config.models.route(model).is_none() => {
            let set_up: Vec<_> = config.listed_models().map(|(model, _)| model).collect();
            let set_up = if set_up.is_empty() { "no model".to_owned() } else { set_up.join(", ") };
            Err(Trouble::unusable(format!("--model `{model}` is not set up in `{name}`, which has {set_up}")))
        }
        _ => Ok(()),
    }
}

/// So many models are named in a message.
const NAMED_MAX: usize = 5;

/// Under a configuration with none of the models there is nothing to say.
fn expect_calls(came: &Came, name: &str) -> Result<(), Trouble> {
    if !came.tally.decisions.is_empty() {
        return Ok(());
    }
    let models: Vec<_> = came.gaps.not_set_up.keys().flatten().map(Name::as_str).take(NAMED_MAX).collect();
    Err(Trouble::unusable(match models.as_slice() {
        [] => format!(
            "no model is set up by name in `{name}`, and the calls name none: set one up, or give --model"
        ),
        models => format!(
            "no call is for a model that is set up in `{name}`: they are for {}; set these up, or `other_models`",
            models.join(", ")
        ),
    }))
}
