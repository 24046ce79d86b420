//! Durable pairs of an admission and a settlement per second, beside raw synced appends of the same bytes.
//!
//! `bench_ledger [--seconds N] [--pairs N] [--callers 1,16,64,256] [--folder DIR]`. Callers form a closed loop:
//! each admits (the start is recorded with it), waits until that is durable, settles, waits until that is
//! durable, and begins anew. The raw appends do the same with one preallocated file, one writer and group
//! commit, and decide nothing. The two take turns. The figures are for a machine that does nothing else.
#![expect(clippy::print_stdout, reason = "it is a program that prints a table")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use genops_core::awu::{AwuId, End, Execution, Proposal, Used};
use genops_core::budget::Budget;
use genops_core::ledger::{self, Admit, Books, Command, Outcome};
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::{Attribution, Name, Timestamp, Unit};
use genops_ledger::frame::Frame;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{Readers, Store};
use genops_ledger::{Ledger, StoreError};
use tokio::sync::oneshot;

const WARM_UP: Duration = Duration::from_millis(500);

/// The preallocated file is written from its beginning again when it is full.
const RAW_FILE_BYTES: usize = 64 << 20;

const SYNCS: usize = 200;

type Trouble = Box<dyn std::error::Error + Send + Sync>;

struct Options {
    seconds: Duration,
    pairs: usize,
    callers: Vec<u64>,
    folder: PathBuf,
}

fn main() -> Result<(), Trouble> {
    let options = Options::read()?;
    std::fs::create_dir_all(&options.folder)?;
    let calls = Calls::new()?;
    let sizes = sizes(&calls)?;
    let raw_file = options.folder.join("raw.log");
    preallocate(&raw_file)?;
    let sync_before = sync_ms(&options.folder)?;
    println!("an admission takes {} bytes, a settlement {}", sizes.admission, sizes.settlement);

    let mut table = Vec::new();
    for callers in &options.callers {
        let (mut of_ledger, mut of_raw) = (Vec::new(), Vec::new());
        for turn in 1..=options.pairs {
            let ledger = Arc::new(OnLedger::open(&options.folder.join("bench.db"), &calls)?);
            of_ledger.push(measure(&ledger, *callers, options.seconds)?);
            drop(ledger);
            let raw = Arc::new(RawAppends::open(&raw_file, &sizes)?);
            of_raw.push(measure(&raw, *callers, options.seconds)?);
            drop(raw);
            for (name, samples) in [("ledger", &of_ledger), ("raw", &of_raw)] {
                let pairs = samples.last().map_or(f64::NAN, |sample| sample.pairs_per_second);
                println!("callers {callers}, turn {turn}: {name:<6} {pairs:>9.0} pairs/s");
            }
        }
        table.push(row(*callers, "ledger", &of_ledger, &of_raw));
        table.push(row(*callers, "raw", &of_raw, &of_raw));
    }
    print_table(&table);
    let sync_after = sync_ms(&options.folder)?;
    println!("fdatasync of 4 KiB, p50: {sync_before:.3} ms before, {sync_after:.3} ms after");
    Ok(())
}

impl Options {
    fn read() -> Result<Self, Trouble> {
        let mut options = Self {
            seconds: Duration::from_secs(4),
            pairs: 7,
            callers: vec![1, 16, 64, 256],
            folder: PathBuf::from("target/bench/ledger"),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--seconds" => options.seconds = Duration::from_secs(value.parse()?),
                "--pairs" => options.pairs = value.parse()?,
                "--callers" => options.callers = numbers(&value)?,
                "--folder" => options.folder = value.into(),
                _ => return Err(format!("`{name}` is not known").into()),
            }
        }
        Ok(options)
    }
}

fn numbers(list: &str) -> Result<Vec<u64>, Trouble> {
    Ok(list.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

// === The loop ===

/// What is measured.
trait Subject: Send + Sync + 'static {
    /// One pair, both halves durable when this is ready. No number is given twice.
    fn pair(&self, number: u64) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// What has been written so far.
    fn written(&self) -> &Written;
}

/// Entries and commits so far.
#[derive(Debug, Default)]
struct Written {
    entries: AtomicU64,
    commits: AtomicU64,
}

/// One measurement.
struct Sample {
    pairs_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    entries_per_commit: f64,
}

fn measure<S: Subject>(subject: &Arc<S>, callers: u64, duration: Duration) -> Result<Sample, Trouble> {
    let numbers = Arc::new(AtomicU64::new(1));
    closed_loop(subject, callers, WARM_UP, &numbers)?;
    let (entries, commits) = subject.written().so_far();
    let started = Instant::now();
    let mut times = closed_loop(subject, callers, duration, &numbers)?;
    let seconds = started.elapsed().as_secs_f64();
    let (entries_after, commits_after) = subject.written().so_far();
    times.sort_unstable();
    let ms = |part: usize| {
        times.get(times.len() * part / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
    };
    Ok(Sample {
        pairs_per_second: times.len() as f64 / seconds,
        p50_ms: ms(50),
        p99_ms: ms(99),
        entries_per_commit: (entries_after - entries) as f64 / (commits_after - commits) as f64,
    })
}

/// Callers as tasks on one runtime for each core, so that a caller costs as little as in a gateway. Gives
/// how long each pair took.
fn closed_loop<S: Subject>(
    subject: &Arc<S>,
    callers: u64,
    duration: Duration,
    numbers: &Arc<AtomicU64>,
) -> Result<Vec<Duration>, Trouble> {
    let cores = std::thread::available_parallelism()?.get();
    let deadline = Instant::now() + duration;
    let of_core = |core: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in (core..callers).step_by(cores) {
                tasks.spawn(caller(Arc::clone(subject), Arc::clone(numbers), deadline));
            }
            let times = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, Trouble>>()?;
            Ok::<_, Trouble>(times.concat())
        })
    };
    let of_core = &of_core;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..callers.min(cores as u64)).map(|core| scope.spawn(move || of_core(core))).collect();
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| "a caller panicked")??);
        }
        Ok(times)
    })
}

async fn caller<S: Subject>(
    subject: Arc<S>,
    numbers: Arc<AtomicU64>,
    deadline: Instant,
) -> Result<Vec<Duration>, Trouble> {
    let mut times = Vec::new();
    let mut started = Instant::now();
    while started < deadline {
        subject.pair(numbers.fetch_add(1, Ordering::Relaxed)).await?;
        let ended = Instant::now();
        times.push(ended - started);
        started = ended;
    }
    Ok(times)
}

impl Written {
    fn add(&self, entries: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> (u64, u64) {
        (self.entries.load(Ordering::Relaxed), self.commits.load(Ordering::Relaxed))
    }
}

// === The ledger ===

struct OnLedger {
    ledger: Ledger,
    calls: Calls,
    written: Arc<Written>,
}

/// An SQLite store that counts its commits.
struct Counted {
    store: SqliteStore,
    written: Arc<Written>,
}

impl OnLedger {
    /// A new ledger at `path`.
    fn open(path: &Path, calls: &Calls) -> Result<Self, Trouble> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let file = format!("{}{suffix}", path.display());
            if Path::new(&file).exists() {
                std::fs::remove_file(file)?;
            }
        }
        let written = Arc::new(Written::default());
        let store = Counted { store: SqliteStore::open(path)?, written: Arc::clone(&written) };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let ledger = runtime.block_on(async {
            let (ledger, _) = genops_ledger::open(store, wall()).await?;
            ledger.submit(wall(), policy()?)?.durable().await?;
            Ok::<_, Trouble>(ledger)
        })?;
        Ok(Self { ledger, calls: calls.clone(), written })
    }
}

impl Subject for OnLedger {
    async fn pair(&self, number: u64) -> Result<(), Trouble> {
        let admitted = self.ledger.submit(wall(), self.calls.admission(number))?.durable().await?;
        if !matches!(admitted.outcome, Outcome::Admitted(_)) {
            return Err("an admission was refused".into());
        }
        self.ledger.submit(wall(), self.calls.settlement(number))?.durable().await?;
        Ok(())
    }

    fn written(&self) -> &Written {
        &self.written
    }
}

impl Store for Counted {
    fn append(&mut self, frame: &Frame) -> Result<(), StoreError> {
        self.store.append(frame)?;
        self.written.add(u64::from(frame.count));
        Ok(())
    }

    fn readers(&self) -> Readers {
        self.store.readers()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.store.free_bytes()
    }
}

// === Raw appends ===

/// Group commit and nothing else: one file, one writer, bytes without meaning.
struct RawAppends {
    shared: Arc<Shared>,
    admission: Vec<u8>,
    settlement: Vec<u8>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    gathering: Mutex<Gathering>,
    work: Condvar,
    written: Written,
}

#[derive(Default)]
struct Gathering {
    bytes: Vec<u8>,
    waiters: Vec<oneshot::Sender<()>>,
    /// Nothing more is taken: the benchmark is over, or the disk has refused.
    closed: bool,
}

impl RawAppends {
    fn open(path: &Path, sizes: &Sizes) -> Result<Self, Trouble> {
        let file = File::options().write(true).open(path)?;
        let shared = Arc::new(Shared::default());
        let of_writer = Arc::clone(&shared);
        let writer = std::thread::spawn(move || {
            // Whoever waits, or comes later, sees that the writer has gone.
            drop(of_writer.write(&file));
            let mut gathering = of_writer.gathering.lock().unwrap_or_else(PoisonError::into_inner);
            gathering.closed = true;
            gathering.waiters.clear();
        });
        let (admission, settlement) = (vec![0x5a; sizes.admission], vec![0xa5; sizes.settlement]);
        Ok(Self { shared, admission, settlement, writer: Some(writer) })
    }

    async fn append(&self, bytes: &[u8]) -> Result<(), Trouble> {
        let (tell, told) = oneshot::channel();
        {
            let mut gathering = self.shared.gathering.lock().unwrap_or_else(PoisonError::into_inner);
            if gathering.closed {
                return Err("the raw file cannot be written".into());
            }
            gathering.bytes.extend_from_slice(bytes);
            gathering.waiters.push(tell);
        }
        self.shared.work.notify_one();
        Ok(told.await?)
    }
}

impl Subject for RawAppends {
    async fn pair(&self, _number: u64) -> Result<(), Trouble> {
        self.append(&self.admission).await?;
        self.append(&self.settlement).await
    }

    fn written(&self) -> &Written {
        &self.shared.written
    }
}

impl Shared {
    /// Writes batch after batch; what comes meanwhile gathers for the next.
    fn write(&self, file: &File) -> std::io::Result<()> {
        let mut at = 0;
        let mut spare = Vec::new();
        loop {
            let gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
            let nothing = |gathering: &mut Gathering| gathering.waiters.is_empty() && !gathering.closed;
            let waited = self.work.wait_while(gathering, nothing);
            let mut gathering = waited.unwrap_or_else(PoisonError::into_inner);
            if gathering.waiters.is_empty() {
                return Ok(());
            }
            let bytes = std::mem::replace(&mut gathering.bytes, spare);
            let waiters = std::mem::take(&mut gathering.waiters);
            drop(gathering);
            if at + bytes.len() > RAW_FILE_BYTES {
                at = 0;
            }
            file.write_all_at(&bytes, at as u64)?;
            file.sync_data()?;
            at += bytes.len();
            self.written.add(waiters.len() as u64);
            for waiter in waiters {
                // Whoever has stopped waiting does not want to know.
                let _ = waiter.send(());
            }
            spare = bytes;
            spare.clear();
        }
    }
}

impl Drop for RawAppends {
    fn drop(&mut self) {
        self.shared.gathering.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

/// Zeros that are written, not only promised, so that a later write changes no metadata.
fn preallocate(path: &Path) -> Result<(), Trouble> {
    let mut file = File::create(path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..RAW_FILE_BYTES / zeros.len() {
        file.write_all(&zeros)?;
    }
    Ok(file.sync_all()?)
}

fn sync_ms(folder: &Path) -> Result<f64, Trouble> {
    let path = folder.join("sync.probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    std::fs::remove_file(path)?;
    Ok(median(&times))
}

// === The calls ===

/// What every call has in common.
#[derive(Clone)]
struct Calls {
    proposal: Proposal,
    execution: Execution,
}

/// The bytes that a pair takes in the journal, without the frame around them.
struct Sizes {
    admission: usize,
    settlement: usize,
}

impl Calls {
    /// As the benchmark of the gateway makes them.
    fn new() -> Result<Self, Trouble> {
        let attribution = Attribution::new(Some("platform"), Some("gateway"), Some("benchmark"))?;
        let [operation, kind, stand_in] = ["chat stand-in", "inference", "stand-in"].map(Name::new);
        let (provider, model) = (stand_in.clone()?, stand_in?);
        let proposal = Proposal {
            key: Some(Name::new("bench")?),
            bound: Tokens::new(250, 64),
            price: Some(Price::flat(Name::new("config stand-in")?, "0.15".parse()?, "0.60".parse()?)),
            ..Proposal::new(attribution, operation?, kind?, provider, model)
        };
        let used = Used::Reported(Tokens::new(12, 20));
        let response_model = Some(Name::new("stand-in")?);
        let execution =
            Execution { end: End::Completed, used, response_model, ..Execution::abandoned(200_000) };
        Ok(Self { proposal, execution })
    }

    fn admission(&self, number: u64) -> Command {
        Command::Admit(Arc::new(Admit { starts: true, ..Admit::new(awu(number), self.proposal.clone()) }))
    }

    fn settlement(&self, number: u64) -> Command {
        Command::Settle { awu: awu(number), execution: self.execution.clone() }
    }
}

fn awu(number: u64) -> AwuId {
    let trace_id = u128::from(number) | (7 << 64);
    AwuId { trace_id: trace_id.to_be_bytes(), span_id: number.to_be_bytes() }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Two budgets that are never used up, so that each pair touches two cells.
fn policy() -> Result<Command, Trouble> {
    let budget = |name: &str, unit, limit: &str, period| {
        let (name, limit) = (Name::new(name)?, limit.parse()?);
        Ok::<_, Trouble>(Budget { period, ..Budget::new(name, unit, limit) })
    };
    let calendar = |span| Ok::<_, Trouble>(Period::Calendar { span, zone: Name::new("UTC")? });
    Ok(Command::AdoptPolicy(Arc::new(Policy {
        budgets: vec![
            budget("dollars-month", Unit::Usd, "1000000000", calendar(Span::Month)?)?,
            budget("tokens-day", Unit::Tokens, "1000000000000000", calendar(Span::Day)?)?,
        ],
        ..Policy::unrestricted()
    })))
}

/// Those of a pair in the middle of a run: numbers grow, and the first pair opens the cells.
fn sizes(calls: &Calls) -> Result<Sizes, Trouble> {
    let mut books = Books::default();
    ledger::apply(&mut books, wall(), policy()?)?;
    let mut sizes = Sizes { admission: 0, settlement: 0 };
    for number in 1..=50_000 {
        let admitted = ledger::apply(&mut books, wall(), calls.admission(number))?;
        let settled = ledger::apply(&mut books, wall(), calls.settlement(number))?;
        if number == 50_000 {
            sizes.admission = postcard::to_stdvec(&admitted)?.len();
            sizes.settlement = postcard::to_stdvec(&settled)?.len();
        }
    }
    Ok(sizes)
}

// === The table ===

const HEADINGS: [&str; 8] = [
    "callers",
    "subject",
    "runs",
    "pairs/s median [min..max]",
    "ratio to raw",
    "p50 ms",
    "p99 ms",
    "entries per commit",
];

fn row(callers: u64, subject: &str, samples: &[Sample], raw: &[Sample]) -> [String; 8] {
    let each = |value: fn(&Sample) -> f64| samples.iter().map(value).collect::<Vec<f64>>();
    let rates = each(|sample| sample.pairs_per_second);
    let min = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let max = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ratios: Vec<f64> =
        rates.iter().zip(raw).map(|(rate, beside)| rate / beside.pairs_per_second).collect();
    [
        callers.to_string(),
        subject.to_owned(),
        samples.len().to_string(),
        format!("{:.0} [{min:.0}..{max:.0}]", median(&rates)),
        format!("{:.3}", median(&ratios)),
        format!("{:.3}", median(&each(|sample| sample.p50_ms))),
        format!("{:.3}", median(&each(|sample| sample.p99_ms))),
        format!("{:.1}", median(&each(|sample| sample.entries_per_commit))),
    ]
}

fn print_table(rows: &[[String; 8]]) {
    let headings = HEADINGS.map(str::to_owned);
    let lines = || std::iter::once(&headings).chain(rows);
    let mut widths = [0; 8];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    println!();
    for line in lines() {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        println!("{}", cells.join("  "));
    }
}

/// The middle of the values, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => f64::NAN,
    }
}
