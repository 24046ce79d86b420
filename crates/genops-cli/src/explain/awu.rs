//! Why an AWU was decided as it was, laid out for people, or as the JSON of the read API.

use genops::report::{
    AskedReport, AssessmentReport, CallerReport, CellReport, CircuitStateReport, Explanation, RateReport,
    RateStateReport, Recorded,
};
use genops_core::AwuId;

use crate::arguments::{Format, Place};
use crate::output::print_all;
use crate::{Trouble, read, table};

/// Explains the AWU, from a server or from files.
pub async fn run(id: AwuId, place: &Place) -> Result<(), Trouble> {
    let (explanation, end) = match &place.server {
        Some(server) => {
            let path = format!("/genops/v1/awus/{id}/explanation");
            (read::ask::<Explanation>(server, &path, None).await?, None)
        }
        None => {
            let found = Recorded::find(&place.ledger, id).map_err(Trouble::failed)?;
            (found.explanation().map_err(Trouble::failed)?, read::end_of(&found))
        }
    };
    match place.format {
        Format::Json => read::print_json_of(&explanation, end.as_deref()),
        Format::Table => {
            let end = end.map(|end| format!("\n{end}\n")).unwrap_or_default();
            print_all(&(laid_out(&explanation) + &end))
        }
    }
}

/// A name, and what is told beside it.
type Fact = (&'static str, String);

fn laid_out(explanation: &Explanation) -> String {
    let awu = &explanation.awu;
    let mut text = format!("AWU {}\n", awu.id);
    let mut section = |heading: &str, body: String| {
        if !body.is_empty() {
            text.push_str(&format!("\n{heading}\n{body}"));
        }
    };
    section("What it asked", table::facts(proposed(explanation)));
    section("What was found before the books were asked", table::facts(assessed(&explanation.assessed)));
    section("The rules that were asked, in order", asked(&explanation.asked));
    section("The decision", table::facts(decided(explanation)));
    section("The budgets", cells(&awu.cells, awu.state == "REFUSED"));
    section("The rates", table::facts(rates(&explanation.rates)));
    section("The provider and the tier", table::facts(state(explanation)));
    section("What became of it", table::facts(ended(explanation)));
    section("What proves it", table::facts(evidence(explanation)));
    text
}

fn proposed(explanation: &Explanation) -> Vec<Fact> {
    let awu = &explanation.awu;
    let choices = match explanation.choices {
        1 => String::new(),
        choices => format!(", for {choices} choices together"),
    };
    let unbounded = explanation.unbounded.as_ref();
    let all = [
        ("attribution", Some(format!("{}/{}/{}", awu.team, awu.project, awu.environment))),
        ("labels", read::labels_line(&awu.labels)),
        ("key", awu.key.clone()),
        ("operation", Some(format!("{} ({})", awu.operation, explanation.operation_type))),
        ("model", read::model_line(awu)),
        ("region", awu.region.clone()),
        ("bound", Some(format!("{} tokens in, {} out{choices}", awu.bound.input, awu.bound.output))),
        ("unbounded", unbounded.map(|part| format!("`{part}` may use more than that"))),
        ("price", Some(awu.price_row.clone().unwrap_or_else(|| "not known".to_owned()))),
        ("caller", explanation.caller.as_ref().map(caller)),
        ("attempt of", awu.attempt_of.clone()),
    ];
    all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn caller(caller: &CallerReport) -> String {
    let how = if caller.is_parent { "below span" } else { "linked to span" };
    format!("{how} {} of trace {}", caller.span_id, caller.trace_id)
}

fn assessed(assessed: &[AssessmentReport]) -> Vec<Fact> {
    let told = |found: &AssessmentReport| match (&found.kind, found.count) {
        (Some(kind), Some(count)) => ("content", format!("`{}` found {count} {kind}", found.rule)),
        _ if found.found == "failed" => ("condition", format!("`{}` could not be worked out", found.rule)),
        _ => ("condition", format!("`{}` holds", found.rule)),
    };
    assessed.iter().map(told).collect()
}

fn asked(asked: &[AskedReport]) -> String {
    let row = |asked: &AskedReport| {
        let observed = if asked.observed { "\n(observed)" } else { "" };
        let code = asked.reason_code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
        vec![
            asked.question.clone(),
            asked.rule.clone().unwrap_or_default(),
            format!("{}{observed}", asked.said),
            format!("{code}{}", asked.why),
        ]
    };
    table::broken(&["QUESTION", "RULE", "SAID", "WHY"], asked.iter().map(row).collect())
}

fn decided(explanation: &Explanation) -> Vec<Fact> {
    let awu = &explanation.awu;
    let mut facts = vec![("decision", read::result_line(awu))];
    let by = explanation.asked.iter().find(|asked| asked.decided);
    facts.extend(by.map(|asked| ("by", whose(asked))));
    facts.extend(awu.reason.clone().map(|reason| ("because", reason)));
    if let Some(asked) = by.filter(|asked| asked.observed) {
        facts.push(("observed", format!("the rule only observes: its {} came to a warning", asked.said)));
    }
    facts.extend(awu.output_limit.map(|limit| ("capped", format!("to {limit} tokens out for each choice"))));
    facts.push(("at", awu.at.clone()));
    facts
}

fn whose(asked: &AskedReport) -> String {
    match &asked.rule {
        Some(rule) => format!("{rule} ({})", asked.question),
        None => format!("no rule that somebody wrote ({})", asked.question),
    }
}

fn cells(cells: &[CellReport], is_refused: bool) -> String {
    if cells.is_empty() {
        return String::new();
    }
    let or_none = |amount: &Option<String>| amount.clone().unwrap_or_else(|| "unlimited".to_owned());
    let row = |cell: &CellReport| {
        vec![
            read::cell(&cell.budget, &cell.each),
            cell.window.clone(),
            cell.unit.clone(),
            or_none(&cell.allocated),
            or_none(&cell.remaining_before),
            cell.reserved.clone(),
            or_none(&cell.remaining_after),
            cell.actual.clone().unwrap_or_default(),
        ]
    };
    let reserved = if is_refused { ">WANTED" } else { ">RESERVED" };
    let headings =
        ["BUDGET", "WINDOW", "UNIT", ">ALLOCATED", ">LEFT BEFORE", reserved, ">LEFT AFTER", ">ACTUAL"];
    table::broken(&headings, cells.iter().map(row).collect())
}

fn rates(rates: &[RateReport]) -> Vec<(&str, String)> {
    let state = |state: &RateStateReport| match state {
        RateStateReport::TakenMs(millis) => format!("taken for {millis} ms"),
        RateStateReport::InFlight(calls) => format!("{calls} in flight"),
    };
    let told = |rate: &RateReport| {
        let answer = match (rate.answer.as_str(), &rate.earliest) {
            (_, Some(earliest)) => format!("no room before {earliest}"),
            ("taken", None) => "room".to_owned(),
            ("room", None) => "room, of which a refused call takes nothing".to_owned(),
            ("never", None) => "never room for so much".to_owned(),
            ("no_place", None) => "no place for another share".to_owned(),
            (answer, None) => answer.to_owned(),
        };
        let (before, after) = (state(&rate.before), state(&rate.after));
        format!("{}; before: {before}; {answer}; after: {after}", rate.limit)
    };
    rates.iter().map(|rate| (rate.rate.as_str(), told(rate))).collect()
}

fn state(explanation: &Explanation) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(circuit) = &explanation.circuit {
        facts.push(("circuit", circuit_line(&circuit.before)));
        if circuit.after != circuit.before {
            facts.push(("then", circuit_line(&circuit.after)));
        }
    }
    facts.extend(explanation.awu.sla.as_ref().map(|sla| ("tier", read::sla_line(sla))));
    facts
}

fn circuit_line(state: &CircuitStateReport) -> String {
    let stands =
        state.open_since.as_ref().map_or_else(|| "closed".to_owned(), |at| format!("open since {at}"));
    match state.failures {
        0 => stands,
        1 => format!("{stands}, after a failure"),
        failures => format!("{stands}, after {failures} failures in a row"),
    }
}

fn ended(explanation: &Explanation) -> Vec<Fact> {
    let awu = &explanation.awu;
    let charged = awu.actual.as_ref().zip(awu.unit.as_ref()).map(|(actual, unit)| format!("{actual} {unit}"));
    let incomplete = awu.incomplete.then(|| "nobody reported what was used".to_owned());
    let later: Vec<_> = awu.later.iter().map(read::later_line).collect();
    let all = [
        ("state", Some(awu.state.clone())),
        ("ended", awu.ended_at.clone()),
        ("end", awu.end.clone()),
        ("latency", awu.latency_ms.map(|latency| format!("{latency} ms"))),
        ("tokens", awu.tokens.map(read::tokens_line)),
        ("charged", charged),
        ("later", (!later.is_empty()).then(|| later.join("; "))),
        ("incomplete", incomplete),
        ("found", (!explanation.end_findings.is_empty()).then(|| explanation.end_findings.join("; "))),
    ];
    all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn evidence(explanation: &Explanation) -> Vec<Fact> {
    let awu = &explanation.awu;
    vec![
        ("policy", awu.policy_version.clone()),
        ("entry", awu.sequence.to_string()),
        ("chain", awu.chain.clone()),
        ("input digest", explanation.input_digest.clone()),
        ("state digest", explanation.state_digest.clone()),
    ]
}
