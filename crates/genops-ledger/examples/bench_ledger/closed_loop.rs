//! Callers in a closed loop: each makes one pair after the other, and waits until both halves are durable.
//!
//! What a pair is, the subject knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Trouble;

const WARM_UP: Duration = Duration::from_millis(500);

/// What is measured.
pub trait Subject: Send + Sync + 'static {
    /// One pair, both halves durable when this is ready. No number is given twice.
    fn pair(&self, number: u64) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// What has been written so far.
    fn written(&self) -> &Written;
}

/// Entries and commits so far.
#[derive(Debug, Default)]
pub struct Written {
    entries: AtomicU64,
    commits: AtomicU64,
}

/// One measurement.
pub struct Sample {
    pub pairs_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub entries_per_commit: f64,
}

/// Measures for so long, after a warm-up.
pub fn measure<S: Subject>(subject: &Arc<S>, callers: u64, duration: Duration) -> Result<Sample, Trouble> {
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
    pub fn add(&self, entries: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> (u64, u64) {
        (self.entries.load(Ordering::Relaxed), self.commits.load(Ordering::Relaxed))
    }
}
