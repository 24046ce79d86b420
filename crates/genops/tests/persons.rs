//! What the library promises of customers and sessions: callers and telemetry know them by name, the journal by pseudonyms,
//! and once one is erased nobody does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[expect(dead_code, reason = "not every test needs every helper")]
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{execution, name, proposal};
use genops::core::awu::{Labels, Proposal};
use genops::core::budget::Budget;
use genops::core::finding::Mode;
use genops::core::ledger::{Act, Admit, Command, Grant, Idempotency, Rejection};
use genops::core::policy::Policy;
use genops::core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops::core::rule::{ConditionRule, Effect, OnError};
use genops::core::selector::{Facet, Selector};
use genops::core::{Attribution, Digest, Timestamp, Unit};
use genops::held::HeldError;
use genops::ledger::export::{self, Wanted};
use genops::ledger::redecide::redecide;
use genops::ledger::source::Source;
use genops::ledger::verify::verify;
use genops::ledger::views::Filter;
use genops::ledger::witness::Witness;
use genops::persons::EraseError;
use genops::report::{Archive, BudgetFilter, CellFilter, EntryFilter, EntryKind};
use genops::spec::ReasonCode;
use genops::{Admission, Awu, Destination, Executing, Governor, LedgerError, Settings, erase_in_file};

const ACME: &str = "acme-of-springfield";
const SESSION: &str = "session-of-a-person-4711";

fn act() -> Act {
    Act { author: name("ops"), reason: name("they asked for it") }
}

/// A budget and a rate for each customer, and a budget for one.
fn policy() -> Policy {
    let budget = |name: &str, limit: &str| Budget::new(common::name(name), Unit::Usd, limit.parse().unwrap());
    let of_big = Selector::default().with(Facet::CustomerId, vec![name("big-customer")]);
    let flow = Flow {
        measure: Measure::Requests,
        amount: genops::core::Amount::from_whole(3),
        per: Per::Day,
        burst: genops::core::Amount::from_whole(3),
    };
    Policy {
        budgets: vec![
            Budget {
                each: vec![Facet::CustomerId, Facet::Feature],
                alerts: vec![1],
                ..budget("each", "0.005")
            },
            Budget { selector: of_big, ..budget("big", "1") },
        ],
        rates: vec![RateRule {
            name: name("per-session"),
            selector: Selector::default(),
            each: vec![Facet::SessionId],
            limit: RateLimit::Flow(flow),
            mode: Mode::Enforce,
        }],
        ..Policy::unrestricted()
    }
}

fn of(customer: &str, session: Option<&str>) -> Proposal {
    let labels =
        Labels { customer_id: Some(name(customer)), session_id: session.map(name), ..Labels::default() };
    Proposal { labels, ..proposal() }
}

async fn executing(governor: &Governor, proposal: Proposal) -> Awu<Executing> {
    match governor.admit(proposal).await.unwrap() {
        Admission::Admitted(awu) => awu.start().await.unwrap(),
        Admission::Refused(refusal) => panic!("refused: {}", refusal.reason()),
    }
}

async fn work(governor: &Governor, customer: &str, session: Option<&str>) {
    executing(governor, of(customer, session)).await.settle(execution()).unwrap().durable().await.unwrap();
}

async fn open(path: &Path) -> Governor {
    Governor::open(Settings::in_file(path, policy())).await.unwrap().0
}

/// A ledger, and a place where telemetry is written.
struct House {
    directory: tempfile::TempDir,
    told: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), told: tempfile::tempdir().unwrap() }
    }

    fn ledger(&self) -> PathBuf {
        self.directory.path().join("genops.db")
    }

    async fn open(&self) -> Governor {
        let told = Destination::Directory { path: self.told.path().to_owned() };
        let settings = Settings { destinations: vec![told], ..Settings::in_file(self.ledger(), policy()) };
        Governor::open(settings).await.unwrap().0
    }

    /// How often a text stands in the files of the ledger, and of its tables.
    fn in_files(&self, text: &str) -> usize {
        count(self.directory.path(), text)
    }

    fn in_telemetry(&self, text: &str) -> usize {
        count(self.told.path(), text)
    }

    fn export(&self) -> String {
        let source = Source::open(&self.ledger()).unwrap();
        let wanted = Wanted { written_by: "t".into(), ledger: "l".into(), from: 1, through: u64::MAX };
        let mut text = Vec::new();
        export::write((1, Digest::ZERO), source, &wanted, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Verifies the journal and decides it anew. Gives the last entry and the head.
    fn holds(&self) -> (u64, Digest) {
        let source = || Source::open(&self.ledger()).unwrap();
        let verified = verify((1, Digest::ZERO), source(), &mut Witness::default()).unwrap();
        redecide(source()).unwrap();
        (verified.last, verified.head)
    }
}

fn count(directory: &Path, text: &str) -> usize {
    let files =
        std::fs::read_dir(directory).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let wanted = text.as_bytes();
    let begins = |bytes: &[u8], at: usize| bytes[at] == wanted[0] && bytes[at..].starts_with(wanted);
    files.map(|bytes| (0..bytes.len()).filter(|at| begins(&bytes, *at)).count()).sum()
}

/// The frames that a ledger has, as bytes.
fn payloads(path: &Path) -> Vec<u8> {
    Source::open(path).unwrap().flat_map(|frame| frame.unwrap().payload).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_person_stands_in_the_journal_and_everything_that_is_told_names_it() {
    let house = House::new();
    let governor = house.open().await;
    for _ in 0..2 {
        work(&governor, ACME, Some(SESSION)).await;
    }
    work(&governor, "big-customer", None).await;
    let grant = Grant {
        budget: name("each"),
        each: governor.shares(&name("each"), vec![Some(name(ACME)), None]).unwrap(),
        amount: "0.0001".parse().unwrap(),
        until: Timestamp::from_nanos(u64::MAX),
        act: act(),
    };
    governor.grant(grant).await.unwrap();
    work(&governor, ACME, Some(SESSION)).await;
    let Admission::Refused(refusal) = governor.admit(of(ACME, Some(SESSION))).await.unwrap() else {
        panic!("the rate has room")
    };
    assert!(refusal.reason().contains(SESSION), "{}", refusal.reason());

    // Whoever asks is told names.
    let awus = governor.awus(&Filter::default(), 10).unwrap().awus;
    assert_eq!(awus[0].labels.customer_id.as_deref(), Some(ACME));
    assert_eq!(awus[0].labels.session_id.as_deref(), Some(SESSION));
    let explained = governor.explain(awus[1].id.parse().unwrap()).unwrap().unwrap();
    assert_eq!(explained.rates[0].rate, format!("per-session ({SESSION})"));
    assert!(explained.asked.iter().any(|asked| asked.rule.as_deref() == Some("each")), "{explained:?}");
    let of_big = awus.iter().find(|awu| awu.labels.customer_id.as_deref() == Some("big-customer")).unwrap();
    assert!(of_big.cells.iter().any(|cell| cell.budget == "big"), "the policy names it: {of_big:?}");
    let shares =
        |list: Vec<Vec<Option<String>>>| list.iter().any(|each| each.first() == Some(&Some(ACME.into())));
    let budgets = governor.budgets(&BudgetFilter::default(), 100).await.unwrap().budgets;
    assert!(shares(budgets.into_iter().map(|budget| budget.each).collect()));
    let cells = governor.cells(&CellFilter::default(), 100).await.unwrap().cells;
    assert!(shares(cells.into_iter().map(|cell| cell.each).collect()));
    assert_eq!(governor.grants().await.unwrap().grants[0].each[0].as_deref(), Some(ACME));
    let told = governor.policy().await.unwrap();
    assert_eq!(*told.policy, policy());
    assert_ne!(told.version, policy().version().to_string(), "the journal has a pseudonym there");
    assert_eq!(awus[0].policy_version, told.version);
    let entries = governor.entries(EntryFilter::default(), 1_000).unwrap();
    let text = serde_json::to_string(&entries).unwrap();
    assert!(
        [ACME, SESSION, "big-customer"].iter().all(|value| text.contains(value)) && !text.contains("p-1-")
    );
    governor.close().await.unwrap();

    // Telemetry as well, and no pseudonym.
    for value in [ACME, SESSION, "big-customer"] {
        assert!(house.in_telemetry(value) > 0, "{value}");
    }
    assert_eq!(house.in_telemetry("p-1-") + house.in_telemetry("p-2-"), 0);
    // And the file, without a server.
    let awus = Archive::open(&house.ledger()).unwrap().awus(&Filter::default(), 10).unwrap().awus;
    assert_eq!(awus[0].labels.customer_id.as_deref(), Some(ACME));

    // The journal does not, nor what is made of it to be proved.
    let (payloads, export) = (payloads(&house.ledger()), house.export());
    for value in [ACME, SESSION, "big-customer"] {
        assert!(!holds(&payloads, value) && !export.contains(value), "{value}");
    }
    assert!(holds(&payloads, "p-2-") && export.contains("p-2-"));
    house.holds();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_who_was_erased_nothing_is_left_and_the_chain_is_what_it_was() {
    let house = House::new();
    let governor = house.open().await;
    work(&governor, ACME, Some(SESSION)).await;
    let open = executing(&governor, of(ACME, Some(SESSION))).await;
    work(&governor, "another", None).await;
    let (last, head) = house.holds();
    assert!(house.in_files(ACME) > 0 && house.in_files(SESSION) > 0);

    let erased = governor.erase(Facet::CustomerId, &name(ACME), act()).await.unwrap();
    assert_eq!(house.in_files(ACME), 0, "at once, with the server running");
    assert!(house.in_files(SESSION) > 0, "somebody else");
    let entry = governor.entry(erased.sequence).unwrap().unwrap();
    assert_eq!(entry.kind, EntryKind::Erased);
    assert!(serde_json::to_string(&entry).unwrap().contains("they asked for it"));
    let session = governor.erase(Facet::SessionId, &name(SESSION), act()).await.unwrap();
    assert_eq!(house.in_files(SESSION), 0);

    // What ran goes on, and is told by the pseudonym.
    let id = open.id();
    open.settle(execution()).unwrap().durable().await.unwrap();
    let told = governor.awu(id).unwrap().unwrap();
    assert_eq!((told.state.as_str(), told.actual.as_deref()), ("SETTLED", Some("0.0000138")));
    assert_eq!(told.labels.customer_id.as_deref(), Some(erased.pseudonym.as_str()));
    assert_eq!(told.labels.session_id.as_deref(), Some(session.pseudonym.as_str()));
    assert_eq!(told.cells[0].each[0].as_deref(), Some(erased.pseudonym.as_str()));

    // Who comes again is somebody else, with shares of its own.
    work(&governor, ACME, None).await;
    let shares = governor.cells(&CellFilter::default(), 100).await.unwrap().cells;
    let share_of =
        |whose: &str| shares.iter().find(|cell| cell.each.first() == Some(&Some(whose.to_owned())));
    assert_eq!(share_of(ACME).unwrap().used, "0.0000138");
    assert_eq!(share_of(erased.pseudonym.as_str()).unwrap().used, "0.0000276");
    let again = governor.erase(Facet::CustomerId, &name(ACME), act()).await.unwrap();
    assert_ne!(again.pseudonym, erased.pseudonym);
    let unknown = governor.erase(Facet::CustomerId, &name(ACME), act()).await;
    assert!(matches!(unknown, Err(EraseError::Unknown(Facet::CustomerId))), "{unknown:?}");
    assert!(!unknown.unwrap_err().to_string().contains(ACME), "a message names nobody");
    governor.close().await.unwrap();

    // What was told before stays where it was sent; what is told later has the pseudonym.
    assert!(house.in_telemetry(erased.pseudonym.as_str()) > 0);
    assert_eq!(house.in_files(ACME) + house.in_files(SESSION), 0);
    house.holds();
    let same = genops::ledger::Journal::new(Box::new(
        genops::ledger::sqlite::SqliteStore::read(&house.ledger()).unwrap(),
    ))
    .frame(last)
    .unwrap()
    .unwrap();
    assert_eq!(same.hash, head, "an earlier head still holds");
}

#[tokio::test]
async fn a_restart_keeps_pseudonyms_and_a_process_that_dies_leaves_nobody_half_erased() {
    let house = House::new();
    let governor = open(&house.ledger()).await;
    work(&governor, ACME, Some(SESSION)).await;
    work(&governor, "another", None).await;
    governor.close().await.unwrap();
    let governor = open(&house.ledger()).await;
    work(&governor, ACME, Some(SESSION)).await;
    let cells = governor.cells(&CellFilter::default(), 100).await.unwrap().cells;
    let of_acme = cells.iter().filter(|cell| cell.each.first() == Some(&Some(ACME.into())));
    assert_eq!(of_acme.map(|cell| cell.used.as_str()).collect::<Vec<_>>(), ["0.0000276"], "one share");

    // As a kill leaves it: at each moment, either the entry is there and nothing of the person, or neither.
    let before = copied(&house);
    let erased = governor.erase(Facet::CustomerId, &name(ACME), act()).await.unwrap();
    let after = copied(&house);
    drop(governor);
    for (copy, is_erased) in [(before, false), (after, true)] {
        let governor = open(&copy.ledger()).await;
        let entries = governor
            .entries(EntryFilter { kind: Some(EntryKind::Erased), ..EntryFilter::default() }, 10)
            .unwrap()
            .entries;
        assert_eq!(entries.len(), usize::from(is_erased));
        assert_eq!(copy.in_files(ACME) == 0, is_erased);
        let awus = governor.awus(&Filter::default(), 10).unwrap().awus;
        let told = if is_erased { erased.pseudonym.as_str() } else { ACME };
        assert_eq!(awus[0].labels.customer_id.as_deref(), Some(told));
        assert_eq!(awus[1].labels.customer_id.as_deref(), Some("another"));
        governor.close().await.unwrap();
        copy.holds();
    }
}

fn copied(house: &House) -> House {
    let copy = House::new();
    for file in std::fs::read_dir(house.directory.path()).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, copy.directory.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn keyed(governor: &Governor, customer: &str) -> Admit {
    let payload = Digest::of("test", &[b"the same"]);
    let idempotency = Some(Idempotency { key: name("order-1"), payload });
    Admit { idempotency, ..Admit::new(governor.new_id(), of(customer, None)) }
}

#[tokio::test]
async fn a_key_is_recognised_for_the_same_person_also_after_a_restart_and_not_once_it_was_erased() {
    let house = House::new();
    let governor = open(&house.ledger()).await;
    let first = governor.propose(keyed(&governor, ACME)).await.unwrap();
    assert!(!first.is_repeated);
    let again = governor.propose(keyed(&governor, ACME)).await.unwrap();
    assert_eq!((again.is_repeated, again.what.id()), (true, first.what.id()));
    assert_eq!(again.what.request.proposal.labels.customer_id, Some(name(ACME)), "it is told by name");
    governor.close().await.unwrap();
    let governor = open(&house.ledger()).await;
    assert!(governor.propose(keyed(&governor, ACME)).await.unwrap().is_repeated);
    let is_conflict = |told: Result<_, HeldError>| {
        matches!(told, Err(HeldError::Ledger(LedgerError::Rejected(Rejection::KeyConflict { .. }))))
    };
    assert!(is_conflict(governor.propose(keyed(&governor, "another")).await), "another request");
    assert_eq!(house.in_files("another"), 0, "who was turned away is not kept");
    governor.erase(Facet::CustomerId, &name(ACME), act()).await.unwrap();
    // Nobody knows any more that it was this one, and nothing is done twice.
    assert!(is_conflict(governor.propose(keyed(&governor, ACME)).await));
}

#[tokio::test]
async fn whom_the_policy_in_force_names_is_not_erased_until_it_does_not() {
    let governor = Governor::open(Settings::in_memory(policy())).await.unwrap().0;
    work(&governor, "big-customer", Some("in-a-condition")).await;
    let named = governor.erase(Facet::CustomerId, &name("big-customer"), act()).await;
    assert!(matches!(named, Err(EraseError::Named(Facet::CustomerId))), "{named:?}");
    let condition = ConditionRule {
        name: name("c"),
        selector: Selector::default(),
        expression: "session_id == 'in-a-condition'".to_owned(),
        effect: Effect::Warn(ReasonCode::PolicyDenyContent),
        on_error: OnError::Warn,
        mode: Mode::Enforce,
    };
    let with_condition = Policy { budgets: vec![], conditions: vec![condition], ..policy() };
    governor.adopt(Arc::new(with_condition)).await.unwrap();
    governor.erase(Facet::CustomerId, &name("big-customer"), act()).await.unwrap();
    let named = governor.erase(Facet::SessionId, &name("in-a-condition"), act()).await;
    assert!(matches!(named, Err(EraseError::Named(Facet::SessionId))), "{named:?}");
    for (reason, stays) in [("big-customer: a request", true), ("by big-customers", false)] {
        let act = Act { reason: name(reason), ..act() };
        let told = governor.erase(Facet::CustomerId, &name("big-customer"), act).await;
        assert_eq!(matches!(told, Err(EraseError::InReason(_))), stays, "{reason}: {told:?}");
    }
    let by_namesake = Act { author: name("big-customer-admin"), ..act() };
    let told = governor.erase(Facet::CustomerId, &name("big-customer"), by_namesake).await;
    assert!(matches!(told, Err(EraseError::InAuthor(Facet::CustomerId))), "{told:?}");
    let team = governor.erase(Facet::Team, &name("search"), act()).await;
    assert!(matches!(team, Err(EraseError::NotPersonal(Facet::Team))), "{team:?}");
}

#[tokio::test]
async fn facts_found_under_a_policy_that_names_somebody_hold_under_either_of_its_versions() {
    let condition = |code| ConditionRule {
        name: name("c"),
        selector: Selector::default().with(Facet::CustomerId, vec![name(ACME)]),
        expression: "true".to_owned(),
        effect: Effect::Warn(code),
        on_error: OnError::Warn,
        mode: Mode::Enforce,
    };
    let policy = |code| Arc::new(Policy { conditions: vec![condition(code)], ..policy() });
    let (first, second) = (policy(ReasonCode::PolicyDenyContent), policy(ReasonCode::PolicyDenyModel));
    let governor = Governor::open(Settings::in_memory(Arc::clone(&first))).await.unwrap().0;
    let under =
        |version| Admit { assessed_under: Some(version), ..Admit::new(governor.new_id(), of(ACME, None)) };
    let in_journal = governor.policy().await.unwrap().version.parse().unwrap();
    for version in [first.version(), in_journal] {
        assert!(matches!(governor.admit_as(under(version)).await, Ok(Admission::Admitted(_))));
    }
    governor.adopt(Arc::clone(&first)).await.unwrap();
    assert_eq!(governor.policy().await.unwrap().version, in_journal.to_string(), "it was in force already");
    governor.adopt(Arc::clone(&second)).await.unwrap();
    for version in [first.version(), in_journal] {
        let told = governor.admit_as(under(version)).await;
        let other = LedgerError::Rejected(Rejection::AssessedUnderAnotherPolicy);
        assert_eq!(told.err(), Some(other));
    }
    assert!(matches!(governor.admit_as(under(second.version())).await, Ok(Admission::Admitted(_))));
}

#[tokio::test]
async fn a_value_that_looks_like_a_pseudonym_is_nobodys_but_its_own() {
    let house = House::new();
    let unrated = Policy { rates: vec![], ..policy() };
    let governor = Governor::open(Settings::in_file(house.ledger(), unrated)).await.unwrap().0;
    work(&governor, "erased", None).await;
    let erased = governor.erase(Facet::CustomerId, &name("erased"), act()).await.unwrap().pseudonym;
    work(&governor, ACME, None).await;
    // Whoever has seen a pseudonym, in a receipt perhaps, asks whom it stands for.
    let entries = Source::open(&house.ledger()).unwrap().flat_map(|frame| frame.unwrap().entries().unwrap());
    let last = entries.filter_map(|entry| match entry.command {
        Command::Admit(request) => request.proposal.labels.customer_id.clone(),
        _ => None,
    });
    let of_acme = last.last().unwrap();
    assert!(of_acme != erased && of_acme != name(ACME));
    for look_alike in [&erased, &of_acme] {
        let labels = Labels {
            customer_id: Some(look_alike.clone()),
            feature: Some(look_alike.clone()),
            ..Labels::default()
        };
        let team = Attribution::new(Some(look_alike.as_str()), Some("p"), Some("e")).unwrap();
        let awu = executing(&governor, Proposal { labels, attribution: team, ..proposal() }).await;
        let told = governor.awu(awu.id()).unwrap().unwrap();
        let own = Some(look_alike.to_string());
        assert_eq!((&told.labels.customer_id, &told.labels.feature), (&own, &own));
        assert_eq!((Some(&told.team), &told.cells[0].each), (own.as_ref(), &vec![own.clone(), own.clone()]));
        assert_eq!(told.cells[0].remaining_before.as_deref(), Some("0.005"), "a share of its own");
    }
    assert!(!house.export().contains(ACME));
}

#[tokio::test]
async fn somebody_is_erased_in_a_file_that_no_server_holds() {
    let house = House::new();
    let governor = open(&house.ledger()).await;
    work(&governor, ACME, None).await;
    let held = erase_in_file(&house.ledger(), Facet::CustomerId, &name(ACME), act(), governor.now()).await;
    assert!(held.unwrap_err().to_string().contains("held by another process"));
    governor.close().await.unwrap();
    let now = genops::clock::wall();
    let erased = erase_in_file(&house.ledger(), Facet::CustomerId, &name(ACME), act(), now).await.unwrap();
    assert_eq!(house.in_files(ACME), 0);
    let awus = Archive::open(&house.ledger()).unwrap().awus(&Filter::default(), 10).unwrap().awus;
    assert_eq!(awus[0].labels.customer_id.as_deref(), Some(erased.pseudonym.as_str()));
    house.holds();
}
