//! Holds the provider's usage against the journal: call by call where rows name AWUs, by sums of model and day where none
//! does. What the usage is not of is left out, and counted: work that names no provider, and providers that are not audited.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use foldhash::HashSet;
use genops::core::{Amount, AwuId, Name, Timestamp};
use genops::ledger::StoreError;
use serde::Serialize;

use super::findings::{About, Billed, Findings, Kind, Sums};
use super::journal::{Found, Index, Known, Ran};
use super::usage::{Row, Usage};

/// How rows were held against the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Each against its AWU.
    Awu,
    /// Sums of each model on each day, in UTC.
    ModelAndDay,
    /// Sums of each model, since not every row says when.
    Model,
}

/// What came of it.
pub struct Matched {
    /// How.
    pub by: By,
    /// What each AWU of the index is billed; empty where rows name none.
    pub bills: Vec<Option<Bill>>,
    /// All that was held against the journal, of the provider.
    pub usage: Billed,
    /// How many rows are of other times than those that are audited.
    pub outside: u64,
    /// How many rows name AWUs of other providers than those that are audited.
    pub of_others: u64,
    /// What they were held against.
    pub compared: Compared,
}

/// Which AWUs were held against rows.
#[derive(Default)]
pub struct Compared {
    /// How many.
    pub awus: u64,
    /// What the journal has of those whose use is known.
    pub journal: Billed,
    /// How many were left out since they name no provider, and nobody bills them.
    pub without_provider: u64,
    /// How many were left out since they ask other providers.
    pub other_providers: u64,
}

/// The providers that are audited, by their numbers; all of them where none is named.
struct Providers(Option<BTreeSet<u32>>);

/// Why an AWU is not held against the usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// It names no provider.
    WithoutProvider,
    /// It asks one that is not audited.
    OtherProvider,
}

/// What an AWU is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// The file of the first row.
    pub file: usize,
    /// The line of the first row.
    pub line: u64,
    /// The sum of all its rows.
    pub billed: Billed,
}

/// What is audited, and how exactly.
pub struct Terms {
    /// When AWUs were decided.
    pub times: Range<Timestamp>,
    /// So many US dollars are no difference, for each call.
    pub tolerance: Amount,
    /// The providers that the usage is of; all of them where none is named.
    pub providers: Vec<Name>,
}

/// Finds what is unbilled, unaccounted and mispriced, and what can be corrected.
///
/// # Errors
///
/// The journal cannot be read any more.
pub fn compare(
    usage: &Usage,
    terms: &Terms,
    index: &mut Index,
    findings: &mut Findings,
) -> Result<Matched, StoreError> {
    if usage.rows.iter().any(|row| row.awu.is_some()) {
        let named = usage.rows.iter().filter_map(|row| row.awu);
        let unknown: HashSet<AwuId> = named.filter(|awu| index.find(*awu).is_none()).collect();
        let elsewhere = index.outside_among(&unknown)?;
        Ok(call_by_call(usage, terms, index, &elsewhere, findings))
    } else {
        Ok(sum_by_sum(usage, terms, index, findings))
    }
}

impl Providers {
    fn of(terms: &Terms, index: &Index) -> Self {
        let numbers = terms.providers.iter().filter_map(|provider| index.providers.find(provider));
        Self((!terms.providers.is_empty()).then(|| numbers.collect()))
    }

    /// Why an AWU is not compared, if it is not.
    fn leave_out(&self, known: &Known) -> Option<Beside> {
        match (known.provider, &self.0) {
            (None, _) => Some(Beside::WithoutProvider),
            (Some(provider), Some(audited)) if !audited.contains(&provider) => Some(Beside::OtherProvider),
            (Some(_), _) => None,
        }
    }

    /// Why an AWU that a row names is not compared, if it is not. What names no provider is compared with whoever bills it.
    fn leave_out_billed(&self, known: &Known) -> Option<Beside> {
        self.leave_out(known).filter(|why| matches!(why, Beside::OtherProvider))
    }
}

impl Compared {
    fn take(&mut self, known: &Known) {
        self.awus += 1;
        if let Some(charged) = charged(known).filter(|_| known.ran == Ran::Known) {
            self.journal.add(&charged);
        }
    }

    const fn leave_out(&mut self, why: Beside) {
        match why {
            Beside::WithoutProvider => self.without_provider += 1,
            Beside::OtherProvider => self.other_providers += 1,
        }
    }
}

/// Whether a row is of another time than what is audited.
fn is_outside(row: &Row, terms: &Terms) -> bool {
    row.at.is_some_and(|at| !terms.times.contains(&at))
}

// === Call by call ===

/// `elsewhere` are the identities in rows that the journal knows from other times.
fn call_by_call(
    usage: &Usage,
    terms: &Terms,
    index: &Index,
    elsewhere: &HashSet<AwuId>,
    findings: &mut Findings,
) -> Matched {
    let providers = Providers::of(terms, index);
    let mut bills: Vec<Option<Bill>> = vec![None; index.awus.len()];
    let (mut all, mut outside, mut of_others) = (Billed::default(), 0, 0);
    for (number, row) in usage.rows.iter().enumerate() {
        let place = match row.awu.and_then(|awu| index.find(awu)) {
            Some(Found::Awu(place) | Found::Call(place)) => Some(place),
            None if row.awu.is_some_and(|awu| elsewhere.contains(&awu)) || is_outside(row, terms) => {
                outside += 1;
                continue;
            }
            None => None,
        };
        let known = place.and_then(|place| index.awus.get(place));
        if known.is_some_and(|known| providers.leave_out_billed(known).is_some()) {
            of_others += 1;
            continue;
        }
        all.add(&row.billed);
        match place.and_then(|place| bills.get_mut(place)) {
            Some(Some(bill)) => bill.billed.add(&row.billed),
            Some(bill) => *bill = Some(Bill { file: row.file, line: row.line, billed: row.billed }),
            None => {
                let what = match row.awu {
                    Some(_) => "the provider bills a call whose AWU the journal does not know",
                    None => "the provider bills a call, and the row names no AWU as others do",
                };
                findings.add(Kind::Unaccounted, About::Row(number), what.to_owned());
            }
        }
    }
    let mut compared = Compared::default();
    for (place, (known, bill)) in index.awus.iter().zip(&bills).enumerate() {
        if let Some(why) = providers.leave_out(known).filter(|_| bill.is_none()) {
            compared.leave_out(why);
            continue;
        }
        compared.take(known);
        if let Some((kind, what)) = judge(known, bill.as_ref(), terms.tolerance) {
            findings.add(kind, About::Awu(place), what);
        }
    }
    Matched { by: By::Awu, bills, usage: all, outside, of_others, compared }
}

/// What is to be said of an AWU and what it is billed.
fn judge(known: &Known, bill: Option<&Bill>, tolerance: Amount) -> Option<(Kind, String)> {
    let bill = bill.map(|bill| &bill.billed);
    match (known.ran, bill) {
        (Ran::Known, None) if is_charged(known) => {
            Some((Kind::Unbilled, "it was charged, and no row of the usage names it".to_owned()))
        }
        (Ran::Known, Some(bill)) => {
            let journal = charged(known)?;
            let differences = differences(&journal, bill, known.cost.is_some(), tolerance);
            let twice =
                if bill.calls > 1 { format!(" ({} rows name it)", bill.calls) } else { String::new() };
            (!differences.is_empty()).then(|| (Kind::Mispriced, format!("{}{twice}", differences.join("; "))))
        }
        (Ran::No, Some(bill)) if !bill.is_nothing() => {
            let what =
                format!("the provider bills it; in the journal it is {}, and nothing was sent", known.state);
            Some((Kind::Unaccounted, what))
        }
        (Ran::Unsure, None) => {
            let what = correction(known, Amount::ZERO, "no row of the usage names it", tolerance)?;
            Some((Kind::Correction, what))
        }
        (Ran::Unsure, Some(bill)) => {
            let says =
                format!("the provider bills {} tokens in, {} out", bill.input_tokens, bill.output_tokens);
            Some((Kind::Correction, correction(known, bill.cost, &says, tolerance)?))
        }
        (Ran::Still, Some(bill)) => {
            let what = format!(
                "the journal has no end of it; the provider bills {} tokens in, {} out, {} USD",
                bill.input_tokens, bill.output_tokens, bill.cost
            );
            Some((Kind::Correction, what))
        }
        (Ran::Known | Ran::No | Ran::Still, None) | (Ran::No, Some(_)) => None,
    }
}

fn is_charged(known: &Known) -> bool {
    charged(known).is_some_and(|charged| !charged.is_nothing())
}

/// What the journal has of an AWU whose use is known.
pub fn charged(known: &Known) -> Option<Billed> {
    let tokens = known.tokens?;
    Some(Billed {
        calls: 1,
        input_tokens: tokens.input,
        cached_input_tokens: Some(tokens.cached_input),
        output_tokens: tokens.output,
        cost: known.cost.unwrap_or(Amount::ZERO),
    })
}

/// What journal and provider say differently.
fn differences(journal: &Billed, usage: &Billed, has_cost: bool, tolerance: Amount) -> Vec<String> {
    let mut found = Vec::new();
    let cached = usage.cached_input_tokens.map(|usage| (journal.cached_input_tokens.unwrap_or(0), usage));
    let counts = [
        ("input tokens", Some((journal.input_tokens, usage.input_tokens))),
        ("output tokens", Some((journal.output_tokens, usage.output_tokens))),
        ("cached input tokens", cached),
    ];
    for (what, counts) in counts {
        if let Some((journal, usage)) = counts.filter(|(journal, usage)| journal != usage) {
            found.push(format!("{what}: journal {journal}, provider {usage}"));
        }
    }
    if has_cost && !is_within(journal.cost, usage.cost, tolerance) {
        found.push(format!("cost: journal {} USD, provider {} USD", journal.cost, usage.cost));
    }
    found
}

fn is_within(one: Amount, other: Amount, tolerance: Amount) -> bool {
    one.max(other).checked_sub(one.min(other)).is_some_and(|between| between <= tolerance)
}

/// What is to be corrected; nothing where what the provider says is what is charged.
fn correction(known: &Known, truth: Amount, says: &str, tolerance: Amount) -> Option<String> {
    let Some(charged) = known.cost else {
        return Some(format!("its charge is not known in US dollars; {says}"));
    };
    if is_within(charged, truth, tolerance) {
        return None;
    }
    let by = match truth.checked_sub(charged) {
        Some(by) if by > Amount::ZERO => format!("correct its charge of {charged} USD by +{by} USD"),
        Some(by) => format!("correct its charge of {charged} USD by {by} USD"),
        None => "beyond what can be counted".to_owned(),
    };
    Some(format!("{says}, {truth} USD: {by}"))
}

// === Sum by sum ===

/// What the journal has of one model and day.
#[derive(Default)]
struct Sum {
    journal: Billed,
    /// Whether a part of it is not counted in US dollars.
    lacks_cost: bool,
    usage: Billed,
    /// What is charged without knowing what was used.
    unsure: Billed,
}

/// The day, where rows say when, and the number of the model.
type Group = (Option<String>, u32);

fn sum_by_sum(usage: &Usage, terms: &Terms, index: &Index, findings: &mut Findings) -> Matched {
    let has_days = usage.rows.iter().all(|row| row.at.is_some());
    let day = |at: Timestamp| has_days.then(|| at.to_string().chars().take(DAY.len()).collect());
    let (names, providers) = (Naming::of(usage, index), Providers::of(terms, index));
    let mut sums: BTreeMap<Group, Sum> = BTreeMap::new();
    let (mut all, mut outside) = (Billed::default(), 0);
    for row in &usage.rows {
        if is_outside(row, terms) {
            outside += 1;
            continue;
        }
        all.add(&row.billed);
        sums.entry((row.at.and_then(day), row.model)).or_default().usage.add(&row.billed);
    }
    let mut compared = Compared::default();
    for known in &index.awus {
        if let Some(why) = providers.leave_out(known) {
            compared.leave_out(why);
            continue;
        }
        compared.take(known);
        let group = || (day(known.at), names.model(known));
        match (known.ran, charged(known)) {
            (Ran::Known, Some(charged)) => {
                let sum = sums.entry(group()).or_default();
                sum.journal.add(&charged);
                sum.lacks_cost |= known.cost.is_none();
            }
            (Ran::Unsure, _) => {
                let cost = known.cost.unwrap_or(Amount::ZERO);
                let unsure = Billed { calls: 1, cost, ..Billed::default() };
                let sum = sums.entry(group()).or_default();
                sum.unsure.add(&unsure);
                sum.lacks_cost |= known.cost.is_none();
            }
            _ => {}
        }
    }
    for ((day, model), sum) in sums {
        let Some((kind, what)) = sum.judge(terms.tolerance) else { continue };
        let Ok(model) = Name::new(index.models.name(model)) else { continue };
        let about = Sums { day, model, journal: sum.journal, usage: sum.usage };
        findings.add(kind, About::Sums(Box::new(about)), what);
    }
    let by = if has_days { By::ModelAndDay } else { By::Model };
    Matched { by, bills: Vec::new(), usage: all, outside, of_others: 0, compared }
}

/// How bills name the models of the journal.
struct Naming {
    named: BTreeSet<u32>,
    /// What answered for the models that were asked for.
    answers: BTreeMap<u32, BTreeSet<u32>>,
}

impl Naming {
    fn of(usage: &Usage, index: &Index) -> Self {
        let mut answers: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for Known { models: (asked, answered), .. } in &index.awus {
            answers.entry(*asked).or_default().insert(*answered);
        }
        Self { named: usage.rows.iter().map(|row| row.model).collect(), answers }
    }

    /// The model that an AWU is billed as: the one that answered, or the one that was asked for; where nobody said what
    /// answered, what always did.
    fn model(&self, known: &Known) -> u32 {
        let (asked, answered) = known.models;
        if let Some(named) = [answered, asked].into_iter().find(|model| self.named.contains(model)) {
            return named;
        }
        let mut usual =
            self.answers.get(&asked).into_iter().flatten().filter(|model| self.named.contains(model));
        match (usual.next(), usual.next()) {
            (Some(model), None) => *model,
            _ => answered,
        }
    }
}

const DAY: &str = "2026-11-28";

impl Sum {
    fn judge(&self, tolerance: Amount) -> Option<(Kind, String)> {
        let Self { journal, usage, unsure, lacks_cost } = self;
        let calls = i128::from(journal.calls.max(1));
        let tolerance = Amount::from_atoms(tolerance.atoms().saturating_mul(calls));
        let differences = differences(journal, usage, !lacks_cost, tolerance);
        if differences.is_empty() && unsure.calls == 0 {
            return None;
        }
        let has_more =
            usage.input_tokens >= journal.input_tokens && usage.output_tokens >= journal.output_tokens;
        let has_same =
            usage.input_tokens == journal.input_tokens && usage.output_tokens == journal.output_tokens;
        // Calls without a report explain what is billed beyond the others, and never that less is billed.
        let at_most = journal.cost.checked_add(unsure.cost).and_then(|cost| cost.checked_add(tolerance));
        let is_less = usage.cost < journal.cost && !is_within(usage.cost, journal.cost, tolerance);
        let is_explained = *lacks_cost || (!is_less && usage.cost <= at_most.unwrap_or(Amount::MAX));
        let kind = match () {
            () if unsure.calls > 0 && has_more && is_explained => Kind::Correction,
            () if has_same => Kind::Mispriced,
            () if has_more => Kind::Unaccounted,
            () => Kind::Unbilled,
        };
        let mut what =
            if differences.is_empty() { "the same sums".to_owned() } else { differences.join("; ") };
        if unsure.calls > 0 {
            what.push_str(&format!("; not in the journal's sum: {} calls without a report", unsure.calls));
            if !lacks_cost {
                what.push_str(&format!(", charged {} USD", unsure.cost));
            }
        }
        Some((kind, what))
    }
}
