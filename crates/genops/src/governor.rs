//! The governor: a ledger, its views and its outbox, and the door to admission.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genops_core::awu::{AwuId, Proposal, Reserved};
use genops_core::finding::Mode;
use genops_core::ledger::{Admit, Books, Outcome};
use genops_core::policy::Policy;
use genops_core::rate::RateAnswer;
use genops_core::record::{AwuRecord, Journaled, Verdict};
use genops_core::{Digest, Timestamp};
use genops_ledger::background::step_back;
use genops_ledger::memory::MemoryStore;
use genops_ledger::recover::{self, OpenError, Recovered};
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::views::Views;
use genops_ledger::{Journal, Ledger, LedgerError, StoreError};
use genops_spec::Decision;
use genops_telemetry::{Outbox, Source};
use tokio::sync::watch;

use crate::archivist::{Archivist, Turn, Work};
use crate::awu::Awu;
use crate::background::{Feed, Indexer, LET_OTHERS};
use crate::keeper::Keeper;
use crate::persons::Persons;
use crate::settings::{LedgerPlace, Settings};
use crate::snapshotter::{Pace, Snapshotter};

/// Decides, reserves and accounts. Cloning is cheap; all clones are one governor.
#[derive(Debug, Clone)]
pub struct Governor {
    inner: Arc<Inner>,
}

/// Dropped in this order: the followers of the journal first, the ledger last.
struct Inner {
    outbox: Option<Outbox>,
    indexer: Option<Indexer>,
    keeper: Option<Keeper>,
    archivist: Option<Archivist>,
    snapshotter: Option<Snapshotter>,
    /// Who corrects takes turns.
    corrections: tokio::sync::Mutex<()>,
    views: Arc<Mutex<Views>>,
    persons: Arc<Persons>,
    settings: Settings,
    ledger: Arc<Ledger>,
}

/// What came of a proposal.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would cost every refusal an allocation"
)]
pub enum Admission {
    /// It may run: here is the permit.
    Admitted(Awu<Reserved>),
    /// It may not run, and why.
    Refused(Refusal),
}

/// A refusal, as the journal has it.
#[derive(Debug, Clone)]
pub struct Refusal {
    record: AwuRecord,
}

/// Why a governor cannot open.
#[derive(Debug, thiserror::Error)]
pub enum GovernError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger failed while it was being opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Telemetry cannot start.
    #[error("{0}")]
    Telemetry(String),
}

impl Governor {
    /// Opens the ledger, resolves what the last process left, adopts the policy, starts the followers.
    ///
    /// # Errors
    ///
    /// The ledger is held, damaged or cannot be written, or telemetry cannot start.
    pub async fn open(settings: Settings) -> Result<(Self, Recovered), GovernError> {
        let wall = (settings.clock)();
        let (ledger, recovered, mut views) = match &settings.ledger {
            LedgerPlace::File(path) => {
                let (ledger, recovered) = recover::open(SqliteStore::open(path)?, wall).await?;
                (ledger, recovered, Views::beside(path)?)
            }
            LedgerPlace::Memory => {
                let (ledger, recovered) = recover::open(MemoryStore::default(), wall).await?;
                (ledger, recovered, Views::in_memory()?)
            }
        };
        let persons = Arc::new(Persons::of(&ledger)?);
        if let Some(posted) = persons.adopt(&ledger, wall, &settings.policy)? {
            posted.durable().await?;
        }
        let report = Arc::clone(&settings.report);
        if let Some(passed_over) = recovered.passed_over {
            report(&passed_over.to_string());
        }
        let genesis = ledger.journal()?.genesis()?;
        if let Some(genesis) = genesis
            && !views.belong_to(genesis, recovered.entries)?
        {
            report(
                "the query tables and telemetry cursors beside the ledger were those of another or a later \
                 ledger; they are made anew, and telemetry is sent again from the beginning",
            );
        }
        let views = Arc::new(Mutex::new(views));
        let feed: Arc<dyn Source> = Arc::new(Feed::new(
            ledger.journals(),
            Arc::clone(&persons),
            Arc::clone(&views),
            Arc::clone(&report),
        ));
        let indexer = Indexer::start(&ledger.journals(), Arc::clone(&views), Arc::clone(&report))?;
        let ledger = Arc::new(ledger);
        let keeper = Keeper::start(Arc::clone(&ledger), Arc::clone(&settings.clock), report)?;
        let outbox = match settings.destinations.as_slice() {
            [] => None,
            destinations => Some(
                Outbox::start(&feed, destinations, resource(&settings), &ledger.watch(), step_back)
                    .map_err(GovernError::Telemetry)?,
            ),
        };
        let (indexer, keeper) = (Some(indexer), Some(keeper));
        let (archivist, snapshotter) = beside(&settings, &ledger, &views, recovered)?.unzip();
        let inner = Inner {
            outbox,
            indexer,
            keeper,
            archivist,
            snapshotter,
            corrections: tokio::sync::Mutex::default(),
            views,
            persons,
            settings,
            ledger,
        };
        Ok((Self { inner: Arc::new(inner) }, recovered))
    }

    /// Decides a proposal, and reserves for it if it may run. The decision is durable when this returns.
    ///
    /// An admission may say an [output limit](genops_core::admit::Admitted::output_limit): what the budgets afford.
    /// Whoever executes the work has to keep to it, or overruns them.
    ///
    /// # Errors
    ///
    /// The ledger takes nothing, or the policy has conditions or content rules: what they find has to be worked out
    /// beforehand and given to [`admit_as`](Self::admit_as). Either way there is no decision and no AWU.
    pub async fn admit(&self, proposal: Proposal) -> Result<Admission, LedgerError> {
        let awu = self.new_id();
        self.admit_as(Admit::new(awu, proposal)).await
    }

    /// As [`admit`](Self::admit), for a caller that brings the AWU's identity and trace context, or lets the
    /// admission record the start as well because nothing stands between the two.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit); and an identity that is open already is rejected, as are facts that were worked out
    /// under another policy than the one in force.
    pub async fn admit_as(&self, request: Admit) -> Result<Admission, LedgerError> {
        let awu = request.awu;
        let posted = self.inner.persons.admit(&self.inner.ledger, self.now(), request)?;
        // The guard exists before the wait: whoever stops waiting leaves nothing reserved.
        let admitted = match &posted.entry.outcome {
            Outcome::Admitted(admitted) => Some(Awu::guarded(
                Arc::clone(&self.inner.ledger),
                Arc::clone(&self.inner.settings.clock),
                awu,
                Arc::clone(admitted),
                posted.entry.at,
            )),
            _ => None,
        };
        let entry = posted.durable().await?;
        let sequence = entry.sequence;
        match admitted {
            Some(awu) => Ok(Admission::Admitted(awu)),
            None => match AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }) {
                Some(record) => {
                    let record = self.inner.persons.record(record).map_err(LedgerError::Failed)?;
                    Ok(Admission::Refused(Refusal { record }))
                }
                None => Err(LedgerError::Failed(StoreError::Failed {
                    what: format!("entry {sequence} is no decision"),
                })),
            },
        }
    }

    /// Goes by another policy from now on. Where it names customers or sessions, the journal has it with pseudonyms in their
    /// place, and so under another version than its own: that one is told of decisions and by
    /// [`policy`](Self::policy). In [`Admit::assessed_under`] either is good. Whatever is decided after its entry is decided by it; AWUs that run go on
    /// under the policy that admitted them. The entry is durable when this returns; there is none where the policy is
    /// in force already.
    ///
    /// # Errors
    ///
    /// The policy contradicts itself, and nothing has changed; or the ledger takes nothing.
    pub async fn adopt(&self, policy: Arc<Policy>) -> Result<(), LedgerError> {
        if let Some(posted) = self.inner.persons.adopt(&self.inner.ledger, self.now(), &policy)? {
            posted.durable().await?;
        }
        Ok(())
    }

    /// A new identity for an AWU.
    #[must_use]
    pub fn new_id(&self) -> AwuId {
        let (trace_id, span_id) = (self.inner.settings.ids)();
        AwuId { trace_id, span_id }
    }

    /// The time by the governor's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.inner.settings.clock)()
    }

    /// The number of the last durable entry, and its changes.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.inner.ledger.watch()
    }

    /// Why the ledger takes nothing any more, if so: then the process has to stop and recover.
    #[must_use]
    pub fn failure(&self) -> Option<LedgerError> {
        self.inner.ledger.failure()
    }

    /// Writes what has gathered, sends what can be sent within a few seconds, and closes. What could not be
    /// sent stays in the ledger.
    ///
    /// # Errors
    ///
    /// The ledger has failed.
    pub async fn close(self) -> Result<(), LedgerError> {
        let sequence = self.inner.ledger.read(Books::sequence)?;
        let written = self.inner.ledger.durable(sequence).await;
        let closing = tokio::task::spawn_blocking(move || drop(self));
        // The closing does not panic; if it did, the ledger is closed by the end of the process.
        let _ = closing.await;
        written
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn outbox(&self) -> Option<&Outbox> {
        self.inner.outbox.as_ref()
    }

    pub(crate) fn archivist(&self) -> Option<&Archivist> {
        self.inner.archivist.as_ref()
    }

    pub(crate) async fn corrections(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.corrections.lock().await
    }

    pub(crate) fn persons(&self) -> &Persons {
        &self.inner.persons
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// Looks at the query tables once they have everything that is durable now. Blocks for as long as a disk does; others have
    /// the tables between the stretches.
    pub(crate) fn with_views_now<T, E: From<StoreError>>(
        &self,
        journal: &mut Journal,
        look: impl FnOnce(&mut Views, &mut Journal) -> Result<T, E>,
    ) -> Result<T, E> {
        let last = *self.durable().borrow();
        let mut step = || {
            self.with_views(|views| {
                Ok::<_, StoreError>(views.as_of() < last && views.step(journal)? && views.as_of() < last)
            })
        };
        while step()? {
            std::thread::sleep(LET_OTHERS);
        }
        self.with_views(|views| look(views, journal))
    }

    pub(crate) fn with_views<T>(&self, look: impl FnOnce(&mut Views) -> T) -> T {
        look(&mut self.inner.views.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts those who write to the ledger's file beside the writer; `None` where there is no file.
fn beside(
    settings: &Settings,
    ledger: &Arc<Ledger>,
    views: &Arc<Mutex<Views>>,
    recovered: Recovered,
) -> Result<Option<(Archivist, Snapshotter)>, StoreError> {
    let LedgerPlace::File(path) = &settings.ledger else { return Ok(None) };
    let (turn, report) = (Turn::default(), &settings.report);
    let work = Work {
        path: path.clone(),
        views: Arc::clone(views),
        retention: settings.retention.clone(),
        turn: Arc::clone(&turn),
        clock: Arc::clone(&settings.clock),
        report: Arc::clone(report),
    };
    let archivist = Archivist::start(Arc::clone(ledger), work)?;
    let (durable, report) = (ledger.watch(), Arc::clone(report));
    let snapshotter = Snapshotter::start(path, recovered, durable, Pace::default(), turn, report)?;
    Ok(Some((archivist, snapshotter)))
}

/// The telemetry's resource: every key once, and what the settings say before what is usual.
fn resource(settings: &Settings) -> Vec<(String, String)> {
    let usual = [("service.name", "genops"), ("service.version", env!("CARGO_PKG_VERSION"))];
    let usual = usual.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut resource: Vec<(String, String)> = Vec::new();
    for (key, value) in usual.into_iter().chain(settings.resource.iter().cloned()) {
        match resource.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => resource.push((key, value)),
        }
    }
    resource
}

impl Refusal {
    /// The refusal that a record is of; `None` where it was admitted.
    #[must_use]
    pub fn of(record: &AwuRecord) -> Option<Self> {
        matches!(record.verdict, Verdict::Refused(_)).then(|| Self { record: record.clone() })
    }

    /// BLOCKED or RATE_LIMITED, with its reason code.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        self.record.decision()
    }

    /// The AWU's identity.
    #[must_use]
    pub fn id(&self) -> AwuId {
        self.record.id()
    }

    /// How long it takes from `now`, by the governor's clock, until a rate would admit it if nothing else arrives, or its
    /// provider is tried again; `None` where neither refused, or waiting alone does not help. Where the ledger's time is ahead of the clock and stands still, that is longer
    /// than the rate alone says.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let Verdict::Refused(refused) = &self.record.verdict else { return None };
        Some(Duration::from_nanos(refused.earliest()?.nanos_since(now)))
    }

    /// Whether the same call may be admitted at another time: not where a rate never has room for its size.
    #[must_use]
    pub fn may_pass_later(&self) -> bool {
        let rates = self.record.ruling().rates.iter();
        rates.filter(|step| step.mode == Mode::Enforce).all(|step| step.answer != RateAnswer::TooMuch)
    }

    /// Whether only work in flight keeps it out of a budget: there is room once enough of that has ended.
    #[must_use]
    pub fn waits_for_work(&self) -> bool {
        matches!(&self.record.verdict, Verdict::Refused(refused) if refused.waits_for_work)
    }

    /// Whether the same idempotency key is answered so from now on.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.record.request.idempotency.is_some()
    }

    /// Why, in a sentence for people.
    #[must_use]
    pub fn reason(&self) -> String {
        self.record.reason().unwrap_or_default()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // In this order: the outbox still wants its cursors, the ledger writes what is left.
        drop(self.outbox.take());
        drop(self.indexer.take());
        drop(self.keeper.take());
        drop(self.archivist.take());
        drop(self.snapshotter.take());
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Governor").field("settings", &self.settings).finish_non_exhaustive()
    }
}
