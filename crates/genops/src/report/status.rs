//! How a running ledger stands, at a glance, for whoever watches over it. Nothing is read from the disk for it.

use std::time::Duration;

use genops_core::Timestamp;
use genops_core::awu::State;
use genops_core::ledger::Books;
use genops_core::policy::Ceilings;
use genops_ledger::LedgerError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReportError, text};
use crate::archivist::Archivist;
use crate::clock;
use crate::governor::Governor;

/// How a ledger stands. What is counted is counted in the books, which are ahead of the disk by `pending` entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// The last entry on the ledger's disk.
    pub as_of: u64,
    /// How many entries are on their way there.
    pub pending: u64,
    /// Whether new work is taken.
    pub takes_work: bool,
    /// Whether the ledger's disk is nearly full: nothing new is admitted then, and what runs is still settled.
    pub short_of_space: bool,
    /// What is not as it should be, each in a sentence that says what follows from it; absent where nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// The ledger's time: that of its last entry, RFC 3339; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_time: Option<String>,
    /// By how many milliseconds the clock is ahead of it; below nothing where the clock is behind, and the ledger's time
    /// stands still until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// AWUs that have been admitted and have not ended, by state.
    pub open_awus: OpenAwuCounts,
    /// The last entry that has left the ledger for an archive: the first that is here is the one after it. Absent where
    /// none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<u64>,
    /// How many cells the books hold: those that have been opened, and not closed since.
    pub cells: usize,
    /// How many idempotency keys are remembered.
    pub remembered_keys: usize,
    /// The policy in force.
    pub policy_version: String,
}

/// How many AWUs are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenAwuCounts {
    /// RESERVED.
    pub reserved: usize,
    /// EXECUTING.
    pub executing: usize,
    /// IN_DOUBT: somebody has to resolve them.
    pub in_doubt: usize,
}

/// A clock that is behind by less is set right in a moment.
const BEHIND_MS: i64 = -1_000;

impl Governor {
    /// How the ledger stands, whether it takes work or not.
    ///
    /// # Errors
    ///
    /// A thread has panicked at the books.
    pub fn status(&self) -> Result<StatusReport, ReportError> {
        let (admits, troubles) = (self.ledger().admits(), self.troubles()?);
        let (now, as_of) = (self.now(), *self.durable().borrow());
        let archived = Some(self.ledger().archived()).filter(|through| *through > 0);
        Ok(self.ledger().read(|books| {
            let time = (books.sequence() > 0).then(|| books.at());
            let clock_ahead_ms = time.map(|time| milliseconds_between(time, now));
            StatusReport {
                as_of,
                pending: books.sequence().saturating_sub(as_of),
                takes_work: admits.is_ok(),
                short_of_space: admits == Err(LedgerError::ShortOfSpace),
                troubles,
                ledger_time: time.map(text),
                clock_ahead_ms,
                open_awus: OpenAwuCounts::of(books),
                archived,
                cells: books.cells().len(),
                remembered_keys: books.remembered_keys(now.max(books.at())),
                policy_version: text(books.policy_version()),
            }
        })?)
    }

    /// What is not as it should be, each in a sentence that says what follows from it; empty where nothing is. Whoever may
    /// ask may ask often.
    ///
    /// # Errors
    ///
    /// A thread has panicked at the books.
    pub fn troubles(&self) -> Result<Vec<String>, ReportError> {
        let now = self.now();
        let (time, crowding) = self.ledger().read(|books| {
            let time = (books.sequence() > 0).then(|| books.at());
            (time, crowding(books, now.max(books.at())))
        })?;
        let clock_ahead_ms = time.map(|time| milliseconds_between(time, now));
        let mut troubles =
            troubles(self.ledger().admits().err(), clock_ahead_ms, clock::held_back(), crowding);
        troubles.extend(self.archivist().and_then(Archivist::trouble));
        Ok(troubles)
    }
}

impl OpenAwuCounts {
    fn of(books: &Books) -> Self {
        let mut counts = Self::default();
        for state in books.open_states() {
            let count = match state {
                State::Reserved => &mut counts.reserved,
                State::Executing => &mut counts.executing,
                State::InDoubt => &mut counts.in_doubt,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}

/// What has a ceiling: of all callers together, or of the one key of a caller that has most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ceiling {
    Cells,
    RateShares,
    Keys,
    KeysOfOne,
    Open,
    OpenOfOne,
}

/// How much there is of what has a ceiling, and how much there may be.
type Crowding = [(Ceiling, u64, u64); 6];

/// How much there is at `at`.
fn crowding(books: &Books, at: Timestamp) -> Crowding {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let Ceilings { cells, rate_shares, idempotency_keys, open_awus, .. } = books.policy().ceilings;
    let of_one = |most| books.policy().ceilings.of_one_key(most);
    let open_of_one = books.most_open_of_one_key().map_or(0, |(_, open)| open);
    [
        (Ceiling::Cells, count(books.cells().len()), cells),
        (Ceiling::RateShares, count(books.kept_shares()), rate_shares),
        (Ceiling::Keys, count(books.remembered_keys(at)), idempotency_keys),
        (Ceiling::KeysOfOne, count(books.most_remembered_of_one_key(at)), of_one(idempotency_keys)),
        (Ceiling::Open, books.open_count(), open_awus),
        (Ceiling::OpenOfOne, open_of_one, of_one(open_awus)),
    ]
}

/// What is used up to four fifths, and what follows. Anybody may be told, so no key is named.
fn told((ceiling, is, most): (Ceiling, u64, u64)) -> Option<String> {
    let is_crowded = u128::from(is) * 5 >= u128::from(most) * 4;
    is_crowded.then(|| match ceiling {
        Ceiling::Cells => format!(
            "{is} of {most} cells are used: where none is left, whoever needs a new one is refused, also for a new period; \
             archive what is over (`retention`, or `genops archive`), or raise `limits.cells`"
        ),
        Ceiling::RateShares => format!(
            "{is} of {most} shares of rates are kept: where none is left, whoever needs a new one is refused until others \
             have flowed off; see what divides the rates (`each`), or raise `limits.rate_shares`"
        ),
        Ceiling::Keys => format!(
            "{is} of {most} idempotency keys are remembered: where none is left, what comes with a new one is not decided \
             until others are forgotten; remember them for less long (`limits.idempotency_hours`), or raise \
             `limits.idempotency_keys`"
        ),
        Ceiling::KeysOfOne => format!(
            "{is} idempotency keys of one key of a caller are remembered of the {most} that one key may have: beyond that \
             nothing of it with a new one is decided until others are forgotten; see who proposes so much, or raise \
             `limits.one_key_percent`"
        ),
        Ceiling::Open => format!(
            "{is} of {most} AWUs are open: where none is left, nothing new is decided until some end; resolve those in \
             doubt, or raise `limits.open_awus`"
        ),
        Ceiling::OpenOfOne => format!(
            "one key of a caller has {is} AWUs open of the {most} that one key may have: beyond that nothing of it is \
             decided until some end; see whose AWUs are open, or raise `limits.one_key_percent`"
        ),
    })
}

fn troubles(
    admits: Option<LedgerError>,
    clock_ahead_ms: Option<i64>,
    held_back: Duration,
    crowding: Crowding,
) -> Vec<String> {
    let behind = clock_ahead_ms.filter(|ahead| *ahead <= BEHIND_MS);
    let behind = behind.map(|ahead| clock::told_behind(Duration::from_millis(ahead.unsigned_abs())));
    let held = (!held_back.is_zero()).then(|| clock::told_ahead(held_back));
    admits
        .map(text)
        .into_iter()
        .chain(behind)
        .chain(held)
        .chain(crowding.into_iter().filter_map(told))
        .collect()
}

fn milliseconds_between(from: Timestamp, until: Timestamp) -> i64 {
    let millis = |nanos: u64| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
    millis(until.nanos_since(from)).saturating_sub(millis(from.nanos_since(until)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use genops_core::awu::{AwuId, Proposal};
    use genops_core::budget::Budget;
    use genops_core::finding::Mode;
    use genops_core::ledger::{Admit, Command, Idempotency, Outcome, apply};
    use genops_core::policy::Policy;
    use genops_core::price::{Price, Tokens};
    use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
    use genops_core::selector::{Facet, Selector};
    use genops_core::{Attribution, Digest, Name, Unit};
    use genops_ledger::StoreError;

    use super::*;
    use crate::Settings;

    const START: u64 = 1_795_000_000_000_000_000;

    #[tokio::test]
    async fn a_clock_that_is_behind_is_told_with_what_follows() {
        let hand = Arc::new(AtomicU64::new(START));
        let at = Arc::clone(&hand);
        let clock = Arc::new(move || Timestamp::from_nanos(at.load(Ordering::SeqCst)));
        let policy = Policy { accounting_unit: Unit::Requests, ..Policy::unrestricted() };
        let settings = Settings { clock, ..Settings::in_memory(policy) };
        let (governor, _) = Governor::open(settings).await.unwrap();
        for (moved_ms, is_told) in
            [(0, false), (60_000, false), (-999, false), (-1_000, true), (-86_400_000, true)]
        {
            hand.store(START.saturating_add_signed(moved_ms * 1_000_000), Ordering::SeqCst);
            let status = governor.status().unwrap();
            assert_eq!((status.clock_ahead_ms, status.takes_work), (Some(moved_ms), true));
            assert_eq!(!status.troubles.is_empty(), is_told, "{status:?}");
            let what = format!("the clock is {} s behind the ledger", -moved_ms / 1_000);
            assert!(status.troubles.iter().all(|trouble| trouble.starts_with(&what)), "{status:?}");
        }
    }

    #[test]
    fn whatever_keeps_the_ledger_from_taking_work_is_told() {
        let failed = LedgerError::Failed(StoreError::Failed { what: "the disk is gone".to_owned() });
        for (error, what) in [(LedgerError::ShortOfSpace, "nearly full"), (failed, "the disk is gone")] {
            let told = troubles(Some(error), Some(-5_000), Duration::from_secs(90_000), each(0, 10));
            assert!(told.len() == 3 && told[0].contains(what), "{told:?}");
            assert!(told[1].contains("5 s behind") && told[2].contains("90000 s ahead"), "{told:?}");
        }
        assert_eq!(troubles(None, Some(0), Duration::ZERO, each(79, 100)), Vec::<String>::new());
        assert_eq!(troubles(None, Some(0), Duration::ZERO, each(80, 100)).len(), 6, "from four fifths on");
    }

    fn each(is: u64, most: u64) -> Crowding {
        crowding(&Books::default(), Timestamp::default()).map(|(ceiling, ..)| (ceiling, is, most))
    }

    /// A policy under which each call of another customer takes up some of this alone.
    fn with(ceilings: Ceilings) -> Policy {
        let each = vec![Facet::CustomerId];
        let budget = Budget { each: each.clone(), ..Budget::new(name("b"), Unit::Usd, "9".parse().unwrap()) };
        let one = "1".parse().unwrap();
        let limit =
            RateLimit::Flow(Flow { measure: Measure::Requests, amount: one, per: Per::Minute, burst: one });
        let (selector, mode) = (Selector::default(), Mode::Enforce);
        let rates = vec![RateRule { name: name("r"), selector, each, limit, mode }];
        Policy {
            remember_ns: 60_000_000_000,
            budgets: vec![budget],
            rates,
            ceilings,
            ..Policy::unrestricted()
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// The call of a customer with an idempotency key and, if one is named, the key of a caller.
    fn asks(books: &Books, number: u8, caller: Option<&str>) -> Command {
        let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
        let mut proposal = Proposal {
            bound: Tokens::new(1, 1),
            key: caller.map(name),
            price: Some(Price::flat(name("p"), "1".parse().unwrap(), "1".parse().unwrap())),
            ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("model"))
        };
        proposal.labels.customer_id = Some(name(&format!("customer {number}")));
        let awu = AwuId { trace_id: [number; 16], span_id: [number; 8] };
        let idempotency = Some(Idempotency { key: name(&format!("key {number}")), payload: Digest::ZERO });
        let assessed_under = Some(books.policy_version());
        Command::Admit(Arc::new(Admit { idempotency, assessed_under, ..Admit::new(awu, proposal) }))
    }

    /// Three calls stay below four fifths of each ceiling, the fourth comes to it.
    #[test]
    fn each_ceiling_warns_from_four_fifths_on_and_says_which_limit_it_is() {
        let wide = Ceilings::default();
        let half = |most| Ceilings { one_key_percent: 50, ..most };
        let cases = [
            (Ceilings { cells: 5, ..wide }, None, "4 of 5 cells are used", "limits.cells"),
            (Ceilings { rate_shares: 5, ..wide }, None, "4 of 5 shares of rates", "limits.rate_shares"),
            (
                Ceilings { idempotency_keys: 5, ..wide },
                None,
                "4 of 5 idempotency keys",
                "limits.idempotency_keys",
            ),
            (
                half(Ceilings { idempotency_keys: 10, ..wide }),
                Some("batch"),
                "4 idempotency keys of one key of a caller are remembered of the 5",
                "limits.one_key_percent",
            ),
            (Ceilings { open_awus: 5, ..wide }, None, "4 of 5 AWUs are open", "limits.open_awus"),
            (
                half(Ceilings { open_awus: 10, ..wide }),
                Some("batch"),
                "one key of a caller has 4 AWUs open of the 5",
                "limits.one_key_percent",
            ),
        ];
        let at = Timestamp::from_nanos(START);
        for (ceilings, caller, what, limit) in cases {
            let mut books = Books::default();
            apply(&mut books, at, Command::AdoptPolicy(with(ceilings).into())).unwrap();
            let heard = |books: &Books, at| -> Vec<String> {
                crowding(books, at).into_iter().filter_map(told).collect()
            };
            for number in 1..=4 {
                assert_eq!(heard(&books, at), Vec::<String>::new(), "{what}: {number}");
                let command = asks(&books, number, caller);
                let entry = apply(&mut books, at, command).unwrap();
                assert!(matches!(entry.outcome, Outcome::Admitted(_)), "{entry:?}");
            }
            let said = heard(&books, at);
            assert!(
                said.len() == 1 && said[0].starts_with(what) && said[0].contains(limit),
                "{what}: {said:?}"
            );
            let is_forgotten = heard(&books, at.plus_nanos(60_000_000_001)).is_empty();
            assert_eq!(
                is_forgotten,
                what.contains("idempotency"),
                "keys are forgotten by themselves: {what}"
            );
        }
    }
}
