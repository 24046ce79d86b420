//! What is audited: a ledger with AWUs of every ending, and its telemetry as the outbox wrote it to a directory. Made once.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use genops::core::awu::{AwuId, End, Execution, Failure, Proposal, Used};
use genops::core::budget::Budget;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Attribution, Name, Unit};
use genops::ledger::views::Filter;
use genops::report::AwuReport;
use genops::{Admission, Awu, Destination, Executing, Governor, Settings};
use tempfile::TempDir;

/// What was recorded.
pub struct Recorded {
    /// Keeps the files.
    folder: TempDir,
    /// `traces.jsonl` and `logs.jsonl`, as the outbox wrote them.
    pub traces: String,
    pub logs: String,
    /// Every AWU, in the order in which they were decided.
    pub awus: Vec<AwuReport>,
    /// The ledger as it was before its process died, with one AWU that runs.
    pub before: PathBuf,
}

/// Far longer than anything takes that will come at all.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    // On a thread of its own: whoever asks may be on a runtime already.
    std::thread::spawn(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(record())
    })
    .join()
    .unwrap()
});

impl Recorded {
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("genops.db")
    }

    /// The AWUs in a state.
    pub fn in_state(&self, state: &str) -> Vec<&AwuReport> {
        self.awus.iter().filter(|awu| awu.state == state).collect()
    }

    /// The one whose end has a name.
    pub fn ended(&self, end: &str) -> &AwuReport {
        self.awus.iter().find(|awu| awu.end.as_deref() == Some(end)).unwrap()
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn policy() -> Policy {
    let budget = Budget::new(name("all"), Unit::Usd, "0.02".parse().unwrap());
    Policy { budgets: vec![budget], ..Policy::unrestricted() }
}

/// Reserves at most `output` tokens at 0.6 dollars a million, and 1000 read at 0.15.
fn proposal(model: &str, output: u64) -> Proposal {
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
    Proposal {
        bound: Tokens::new(1_000, output),
        price: Some(Price::flat(name("list"), "0.15".parse().unwrap(), "0.6".parse().unwrap())),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name(model))
    }
}

async fn executing(governor: &Governor, model: &str) -> Awu<Executing> {
    match governor.admit(proposal(model, 1_000)).await.unwrap() {
        Admission::Admitted(awu) => awu.start().await.unwrap(),
        Admission::Refused(refusal) => panic!("refused: {}", refusal.reason()),
    }
}

async fn settle(awu: Awu<Executing>, end: End, used: Used) {
    let response_model = (end == End::Completed).then(|| name("small-2026"));
    let execution = Execution { end, used, response_model, ..Execution::abandoned(1_000) };
    awu.settle(execution).unwrap().durable().await.unwrap();
}

async fn open(ledger: &Path, telemetry: &Path) -> Governor {
    open_with(Settings::in_file(ledger, policy()), telemetry).await
}

/// With its telemetry told to a directory.
pub async fn open_with(settings: Settings, telemetry: &Path) -> Governor {
    let destinations = vec![Destination::Directory { path: telemetry.to_owned() }];
    Governor::open(Settings { destinations, ..settings }).await.unwrap().0
}

pub async fn until_told(governor: &Governor) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = governor.telemetry().unwrap();
        if report.followers.len() == 2 && report.followers.iter().all(|follower| follower.waiting == 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{report:?}");
        tokio::task::yield_now().await;
    }
}

async fn record() -> Recorded {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, telemetry] =
        ["before.db", "genops.db", "telemetry"].map(|name| folder.path().join(name));
    let governor = open(&first, &telemetry).await;
    for calls in 1..=4 {
        let tokens = Tokens { cached_input: calls, ..Tokens::new(100 * calls, 7 * calls) };
        settle(executing(&governor, "small").await, End::Completed, Used::Reported(tokens)).await;
    }
    settle(executing(&governor, "small").await, End::ProviderError(Failure::Status(400)), Used::Nothing)
        .await;
    settle(executing(&governor, "small").await, End::Cancelled, Used::Unknown).await;
    settle(executing(&governor, "small").await, End::NeverSent, Used::Nothing).await;
    let Admission::Admitted(awu) = governor.admit(proposal("small", 10)).await.unwrap() else {
        panic!("refused")
    };
    awu.release().unwrap();
    let Admission::Refused(_) = governor.admit(proposal("small", 900_000)).await.unwrap() else {
        panic!("admitted")
    };
    let runs = executing(&governor, "small").await;
    until_told(&governor).await;
    // As a crash leaves it.
    std::mem::forget(runs);
    for suffix in ["db", "db-wal", "db.views", "db.views-wal"] {
        std::fs::copy(first.with_extension(suffix), second.with_extension(suffix)).unwrap();
    }
    drop(governor);
    let governor = open(&second, &telemetry).await;
    settle(executing(&governor, "large").await, End::Completed, Used::Reported(Tokens::new(50, 5))).await;
    until_told(&governor).await;
    let mut awus = governor.awus(&Filter::default(), 1_000).unwrap().awus;
    awus.reverse();
    governor.close().await.unwrap();
    let read = |file: &str| std::fs::read_to_string(telemetry.join(file)).unwrap();
    let (traces, logs) = (read("traces.jsonl"), read("logs.jsonl"));
    Recorded { folder, traces, logs, awus, before: first }
}

/// The identity of an AWU's model call: what a provider is told.
pub fn call_of(awu: &AwuReport) -> (String, String) {
    let id: AwuId = awu.id.parse().unwrap();
    let (trace, _) = awu.id.split_once('-').unwrap();
    let span = id.call_span_id().iter().map(|byte| format!("{byte:02x}")).collect();
    (trace.to_owned(), span)
}
