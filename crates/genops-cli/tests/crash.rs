//! `kill -9` at random moments under load, again and again over the same ledger: what was acknowledged is
//! never lost, and all of it is told, each AWU with one content. Half of the callers stream, and
//! hang up on every other stream in the middle. One of them erases customers: who was said to be erased is
//! nowhere in the ledger's files once the next process runs.
//!
//! `GENOPS_CRASH_ROUNDS` says how often (5 unless set), `GENOPS_CRASH_SEED` repeats a run's random choices;
//! which entry a kill meets is left to the scheduler all the same.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::collector::{Collector, Manner, Telling};
use common::process::{PATIENCE, PROGRAM, Process};
use common::{Client, Site, Told, is_admitted};
use genops::ledger::views::Filter;
use genops::report::{Archive, AwuReport};
use genops_core::AwuId;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const CALLERS: usize = 16;

/// So many of the callers have hardly any budget: two of their calls at a time, and few in all.
const POOR: usize = 4;

/// What the names of the customers begin with, and nothing else does.
const CUSTOMER: &str = "customer-of-the-crash-";

/// The operations, by what becomes of the answer: awaited as a whole, read as a stream, hung up on.
const WHOLE: &str = "whole";
const STREAMED: &str = "streamed";
const HUNG_UP: &str = "hung-up";

/// A caller who hangs up has read fewer pieces than this; the stand-in's streams have more.
const STAYS_FOR: usize = 16;

/// The collector keeps everything and denies it: all of it has to be sent again.
const DENIES: Manner = Manner { keeps: true, status: StatusCode::SERVICE_UNAVAILABLE };

/// The collector is down.
const DOWN: Manner = Manner { keeps: false, status: StatusCode::SERVICE_UNAVAILABLE };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_an_acknowledged_decision_or_the_telemetry_of_an_awu() {
    let rounds: u64 = set_or("GENOPS_CRASH_ROUNDS", 5);
    let seed: u64 = set_or("GENOPS_CRASH_SEED", rand::random());
    println!("{rounds} rounds, GENOPS_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut budgets = vec![("rich".to_owned(), "1000")];
    budgets.extend((0..rounds).map(|round| (poor(round), "0.0015")));
    let site = Site::new(&budgets).await;

    let mut told = Vec::new();
    let mut erased = HashMap::new();
    for (round, manner) in (0..rounds).zip([Manner::GOOD, DENIES, DOWN].into_iter().cycle()) {
        site.collector.behave(manner);
        kill_while_it_starts(&site, &mut rng).await;
        let (round_told, round_erased) = kill_under_load(&site, round, &mut rng).await;
        told.extend(round_told);
        erased.extend(round_erased);
        let gateway = Process::start(site.serve());
        // Once callers are answered, what the process before has left is recovered.
        gateway.origin();
        check_erased(&site, &erased);
        drop(gateway);
    }
    let sent_again = kill_before_telemetry_is_acknowledged(&site).await;

    site.collector.behave(Manner::GOOD);
    let gateway = Process::start(site.serve());
    let listed = Client::to(gateway.origin()).awus().await;
    site.collector.until(|telling| telling.has_all_of(&listed)).await;
    gateway.stop();

    let verified = Command::new(PROGRAM).arg("verify").arg("--ledger").arg(site.ledger()).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let mut archive = Archive::open(&site.ledger()).unwrap();
    told.push(sent_again.clone());
    check_what_was_told(&mut archive, &told);
    let awus = all_of(&mut archive);
    check_customers(&awus, &erased);
    check_states(&awus);
    check_charges(&awus);
    check_budgets(&archive);
    assert!(site.collector.telling().spans[&sent_again.awu].len() > 1, "nothing was sent again");
    check_telemetry(&site.collector, &awus);
    let admitted = awus.iter().filter(|awu| is_admitted(awu)).count() as u64;
    let reached = site.reached();
    assert!(reached <= admitted, "{reached} calls reached the model, {admitted} were admitted");
    println!("{} told, {} decided, {admitted} admitted, {reached} reached", told.len(), awus.len());
}

fn set_or(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// The team of a round's poor callers.
fn poor(round: u64) -> String {
    format!("poor-{round}")
}

// === The rounds ===

/// Kills a gateway that nobody calls: while it starts, recovers, or sends what the one before left.
async fn kill_while_it_starts(site: &Site, rng: &mut StdRng) {
    let gateway = Process::start(site.serve());
    tokio::time::sleep(Duration::from_millis(rng.random_range(1..100))).await;
    drop(gateway);
}

/// Kills a gateway while it is called, and gives what the callers had been told, and who they had been told was erased.
async fn kill_under_load(site: &Site, round: u64, rng: &mut StdRng) -> (Vec<Told>, HashMap<String, String>) {
    let gateway = Process::start(site.serve());
    let client = Client::to(gateway.origin());
    let load = Arc::new(Load::default());
    let mut callers = JoinSet::new();
    for caller in 1..CALLERS {
        let team = if caller < POOR { poor(round) } else { "rich".to_owned() };
        callers.spawn(call_until_killed(client.clone(), team, caller % 2 == 1, Arc::clone(&load)));
    }
    let erases = tokio::spawn(erase_until_killed(client, round, Arc::clone(&load)));
    tokio::select! {
        () = load.answered.notified() => {}
        ended = callers.join_next() => panic!("a caller gave up: {ended:?}"),
    }
    tokio::time::timeout(PATIENCE, load.erased.notified()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(rng.random_range(50..400))).await;
    load.killed.store(true, Ordering::SeqCst);
    drop(gateway);
    let (mut told, erased) = erases.await.unwrap();
    told.extend(callers.join_all().await.concat());
    (told, erased)
}

/// What the callers and the killer tell each other.
#[derive(Default)]
struct Load {
    answered: Notify,
    /// A customer was erased, and another was not.
    erased: Notify,
    killed: AtomicBool,
}

/// Who streams hangs up on every other stream, each time after another number of pieces.
async fn call_until_killed(client: Client, team: String, streams: bool, load: Arc<Load>) -> Vec<Told> {
    let mut told = Vec::new();
    for number in 0.. {
        let answer = match number % 2 {
            _ if !streams => client.call(&team, WHOLE).await.map(|told| (told, true)),
            0 => stream(&client, &team, STREAMED, usize::MAX).await,
            _ => stream(&client, &team, HUNG_UP, number / 2 % STAYS_FOR).await,
        };
        let is_killed = load.killed.load(Ordering::SeqCst);
        match answer {
            Ok((answer, is_as_promised)) => {
                assert!(is_as_promised || is_killed, "a stream broke before the kill: {answer:?}");
                told.push(answer);
            }
            Err(_) if is_killed => break,
            Err(error) => panic!("the connection broke before the kill: {error:?}"),
        }
        load.answered.notify_one();
    }
    told
}

/// Calls for another customer each time, and erases every other of them. Gives what was told, and what stands for those of
/// whom it was told that they are erased.
async fn erase_until_killed(
    client: Client,
    round: u64,
    load: Arc<Load>,
) -> (Vec<Told>, HashMap<String, String>) {
    let (mut told, mut erased) = (Vec::new(), HashMap::new());
    for number in 0.. {
        let customer = format!("{CUSTOMER}{round}-{number}.");
        let Ok(answer) = client.of(&customer).call("rich", WHOLE).await else { break };
        told.push(answer);
        if number % 2 == 0 {
            let Some(pseudonym) = client.erase(&customer).await else { break };
            erased.insert(customer, pseudonym);
        } else {
            load.erased.notify_one();
        }
    }
    assert!(load.killed.load(Ordering::SeqCst), "the connection broke before the kill");
    (told, erased)
}

/// Makes a streamed call, reads so many pieces of its answer and hangs up. Gives what was told, and whether
/// the stream was whole as far as it was read.
async fn stream(
    client: &Client,
    team: &str,
    operation: &str,
    pieces: usize,
) -> Result<(Told, bool), legacy::Error> {
    let (told, mut body) = client.ask(team, operation, r#""stream":true,"#).await?;
    let mut last = Bytes::new();
    for _ in 0..pieces {
        match body.frame().await {
            Some(Ok(frame)) => last = frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Ok((told, false)),
            None => {
                let is_whole = !told.is_admission() || last.ends_with(b"data: [DONE]\n\n");
                return Ok((told, is_whole));
            }
        }
    }
    Ok((told, true))
}

/// Kills a gateway whose collector has a span and has not said so, and gives what was told of that AWU.
async fn kill_before_telemetry_is_acknowledged(site: &Site) -> Told {
    site.collector.behave(Manner::GOOD);
    let gateway = Process::start(site.serve());
    let client = Client::to(gateway.origin());
    let listed = client.awus().await;
    site.collector.until(|telling| telling.has_all_of(&listed)).await;
    site.collector.behave(DENIES);
    let told = client.call("rich", WHOLE).await.unwrap();
    site.collector.until(|telling| telling.spans.contains_key(&told.awu)).await;
    drop(gateway);
    told
}

// === What must hold in the end ===

fn all_of(archive: &mut Archive) -> Vec<AwuReport> {
    let mut filter = Filter::default();
    let mut awus = Vec::new();
    loop {
        let page = archive.awus(&filter, 1_000).unwrap();
        awus.extend(page.awus);
        filter.before = page.next;
        if page.next.is_none() {
            return awus;
        }
    }
}

/// Every decision that was acknowledged is in the journal as it was told.
fn check_what_was_told(archive: &mut Archive, told: &[Told]) {
    for told in told {
        told.check(archive.awu(told.awu).unwrap().as_ref());
    }
    let ids: HashSet<AwuId> = told.iter().map(|told| told.awu).collect();
    assert_eq!(ids.len(), told.len(), "an AWU was told to two callers");
    let admissions = told.iter().filter(|told| told.is_admission()).count();
    assert!(admissions > 0 && admissions < told.len(), "{admissions} admissions of {} answers", told.len());
}

/// Of who was said to be erased nothing is in the ledger's files.
fn check_erased(site: &Site, erased: &HashMap<String, String>) {
    let folder = site.ledger().parent().unwrap().to_owned();
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for behind in text.split(CUSTOMER).skip(1) {
            let left = erased.keys().find(|customer| {
                customer.strip_prefix(CUSTOMER).is_some_and(|rest| behind.starts_with(rest))
            });
            assert!(left.is_none(), "{left:?} was said to be erased");
        }
    }
}

/// Who was said to be erased is known by the pseudonym, and others by their names.
fn check_customers(awus: &[AwuReport], erased: &HashMap<String, String>) {
    let customers: HashSet<&str> = awus.iter().filter_map(|awu| awu.labels.customer_id.as_deref()).collect();
    for (customer, pseudonym) in erased {
        assert!(!customers.contains(&**customer) && customers.contains(&**pseudonym), "{customer}");
    }
    let known = customers.iter().filter(|customer| customer.starts_with(CUSTOMER)).count();
    assert!(!erased.is_empty() && known > 0, "{} are erased, {known} are not", erased.len());
    println!("{} customers were said to be erased, {known} are known", erased.len());
}

/// Nothing is open, and nothing that was in flight was forgotten or given back.
fn check_states(awus: &[AwuReport]) {
    let count = |state: &str| awus.iter().filter(|awu| awu.state == state).count();
    let (settled, in_doubt, refused) = (count("SETTLED"), count("IN_DOUBT"), count("REFUSED"));
    assert_eq!(settled + in_doubt + refused, awus.len(), "some AWU is still open, or was released");
    assert!(settled > 0 && refused > 0, "{settled} settled, {refused} refused: that was no load");
    assert!(in_doubt > 0, "no kill met a call in flight");
}

/// What was streamed to its end is charged exactly, what was hung up on its reservation, and so is what a
/// kill cut off.
fn check_charges(awus: &[AwuReport]) {
    let mut hung_up = 0;
    for awu in awus.iter().filter(|awu| is_admitted(awu)) {
        if awu.state == "IN_DOUBT" || awu.incomplete {
            assert_eq!(awu.actual, awu.reserved, "{awu:?}");
        } else {
            let used = awu.tokens.map(|tokens| (tokens.input, tokens.output));
            assert_eq!(used, Some((12, 20)), "{awu:?}");
        }
        match awu.state.as_str() {
            "SETTLED" if awu.operation == HUNG_UP => hung_up += usize::from(awu.incomplete),
            "SETTLED" => assert!(!awu.incomplete, "nobody hung up: {awu:?}"),
            _ => {}
        }
    }
    assert!(hung_up > 0, "nobody hung up in the middle");
    let in_doubt = |operation: &str| {
        awus.iter().filter(|awu| awu.state == "IN_DOUBT" && awu.operation == operation).count()
    };
    let (whole, streamed) = (in_doubt(WHOLE), in_doubt(STREAMED));
    assert!(streamed > 0, "no kill met a stream: {whole} whole calls are in doubt");
    println!("in doubt are {whole} whole calls and {streamed} streams; {hung_up} were hung up on");
}

/// No budget is overspent.
fn check_budgets(archive: &Archive) {
    let budgets = archive.budgets(genops::clock::wall()).unwrap().budgets;
    for budget in &budgets {
        let remaining = budget.remaining.as_deref().unwrap_or("0");
        assert!(!remaining.starts_with('-') && budget.outstanding == "0", "{budget:?}");
    }
    assert!(budgets.iter().any(|budget| budget.name.starts_with("poor") && budget.used != "0"));
}

/// All that the ledger knows was told, each AWU with one content, and nothing else was. Of a customer who was erased the
/// content may be told twice, by name and by pseudonym.
fn check_telemetry(collector: &Collector, awus: &[AwuReport]) {
    let mut telling = std::mem::take(&mut *collector.telling());
    telling.spans.values_mut().flatten().for_each(name_nobody);
    for awu in awus {
        let id: AwuId = awu.id.parse().unwrap();
        let spans = telling.spans.remove(&id).unwrap_or_default();
        let Some(first) = spans.first() else { panic!("no span of {awu:?}") };
        assert!(spans.iter().all(|span| span == first), "two contents of {awu:?}: {spans:?}");
        assert_eq!(first.name, "genops.awu");
        assert_eq!(text_of(&first.attributes, "genops.policy.result"), Some(&*awu.result), "{awu:?}");
        assert_eq!(
            text_of(&first.attributes, "genops.policy.reason_code"),
            awu.reason_code.as_deref(),
            "{awu:?}"
        );
        let events: Vec<_> = first.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(events, Telling::events_of(awu), "{awu:?}");
        let chain = text_of(&first.events[0].attributes, "genops_runtime.ledger.chain");
        assert_eq!(chain, Some(&*awu.chain), "{awu:?}");

        let mut logs = telling.logs.remove(&id).unwrap_or_default();
        logs.sort_by_key(|log| events.iter().position(|name| *name == log.event_name));
        logs.dedup();
        let logged: Vec<_> = logs.iter().map(|log| log.event_name.as_str()).collect();
        assert_eq!(logged, events, "the log records of {awu:?}: {logs:?}");
    }
    let ids: HashSet<&str> = awus.iter().map(|awu| awu.id.as_str()).collect();
    for (id, spans) in &telling.spans {
        let first = &spans[0];
        assert!(spans.iter().all(|span| span == first), "two contents of {id}: {spans:?}");
        assert_ne!(first.name, "genops.awu", "an AWU that the ledger does not know: {first:?}");
        let parent = AwuId { trace_id: id.trace_id, span_id: first.parent_span_id[..].try_into().unwrap() };
        assert!(ids.contains(&*parent.to_string()), "below no AWU that the ledger knows: {first:?}");
    }
    let calls = awus.iter().filter(|awu| awu.state == "SETTLED").count();
    assert_eq!(telling.spans.len(), calls, "each settled call has a span of its own below its AWU's");
    assert!(telling.logs.is_empty(), "log records of nobody: {:?}", telling.logs);
}

/// Puts one word in the place of a customer's name, and of what stands for it.
fn name_nobody(span: &mut Span) {
    let named = span.attributes.iter_mut().filter(|attribute| attribute.key == "genops.customer_id");
    for attribute in named {
        attribute.value = None;
    }
}

fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        other => panic!("`{key}` is {other:?}"),
    }
}
