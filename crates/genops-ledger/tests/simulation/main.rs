//! A ledger through many lives of its process, over a disk and a clock that fail: everything follows from one seed.
//!
//! Callers, the writer, the disk and the clock take their steps in an order that the seed chooses (`life.rs`). The
//! process dies, fails and is closed; each time the journal is read by the real recovery, and has to be what was promised
//! (`history.rs`): what was told is there, byte for byte, I1 to I8 hold, and of persons there is what the entries say. `cargo xtask simulate` runs more seeds, or
//! one of them again with everything that happens.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise, and says what happened"
)]

mod disk;
mod history;
mod kept;
mod life;
mod persons;
mod random;
mod snapshots;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};

use genops_core::ledger::{self, Books, Entry, Outcome};
use genops_core::{Digest, Timestamp};
use genops_ledger::OpenError;
use genops_ledger::recover::{self, Replayed};
use genops_ledger::store::Store;

use disk::{Disk, Fate, damage};
use history::History;
use kept::Kept;
use life::{Ended, Life};
use random::Random;

/// So many seeds where nobody asks for others.
const SEEDS: u64 = 200;

/// What a run is to meet.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    /// Nothing fails by chance.
    is_calm: bool,
    /// This befalls this append, counted from 0 through all lives.
    fate_of: Option<(u64, Fate)>,
    /// The disk says that it is durable, and now and then it is not.
    lies: bool,
    /// Print everything that happens.
    is_told: bool,
}

/// What has happened, so that it can be said what was tried.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    lives: u64,
    entries: u64,
    told: u64,
    not_taken: u64,
    killed: u64,
    died: u64,
    failed: u64,
    closed: u64,
    torn: u64,
    damaged: u64,
    unreadable: u64,
    resolved: u64,
    snapshots: u64,
    resumed: u64,
    passed_over: u64,
    persons: u64,
    erased: u64,
    /// Erasures that nobody was told of, which a crash took back.
    taken_back: u64,
    /// Times at which cells of periods that were over have left.
    cells_left: u64,
}

/// Everything that outlives a process.
struct World {
    plan: Plan,
    random: Random,
    disk: Disk,
    /// The snapshots, once one is made.
    kept: Option<Kept>,
    history: History,
    counts: Counts,
    now: u64,
    number: u64,
}

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        Self {
            plan,
            random: Random::new(seed),
            disk: Disk::default(),
            kept: None,
            history: History::default(),
            counts: Counts::default(),
            now: 1_795_000_000_000_000_000,
            number: 0,
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.plan.is_told {
            println!("{}", what());
        }
    }

    /// Some lives, and a last look.
    fn run(&mut self) -> Result<Digest, String> {
        let lives = if self.plan.is_calm { 2 } else { 2 + self.random.below(6) };
        for _ in 0..lives {
            let replayed = self.recover()?;
            let steps = 20 + self.random.below(if self.plan.is_calm { 150 } else { 400 });
            self.counts.lives += 1;
            let ended = Life::new(self, replayed).run(steps)?;
            self.say(|| format!("the process has ended: {ended:?}"));
            match ended {
                Ended::Died => self.counts.died += 1,
                Ended::Failed => self.counts.failed += 1,
                Ended::Closed => self.counts.closed += 1,
            }
        }
        let replayed = self.recover()?;
        self.open_as_everybody_does(&replayed)?;
        let left = |entry: &&Entry| matches!(entry.outcome, Outcome::CellsClosed { .. });
        self.counts.cells_left = self.history.applied().iter().filter(left).count() as u64;
        Ok(self.history.digest(&self.disk))
    }

    /// Makes a snapshot behind the writer; `false` where the process dies on the way.
    fn snapshot(&mut self) -> Result<bool, String> {
        let kept = self.kept.get_or_insert_with(Kept::new);
        self.disk.keep_snapshots_at(kept.path());
        self.counts.snapshots += 1;
        kept.make(&self.disk, &mut self.random)
    }

    /// Reads the journal as a new process does, with whatever befalls that. A snapshot changes nothing of it.
    fn recover(&mut self) -> Result<Replayed, String> {
        self.disk.restart();
        self.meet_a_torn_frame()?;
        self.meet_a_disk_that_cannot_be_read()?;
        self.meet_damage()?;
        let replayed = replay(&self.disk).map_err(|error| format!("does not open: {error}"))?;
        let (_, before) = self.history.persons();
        self.history.restart(&self.disk, &replayed)?;
        let (kept, erased) = self.history.persons();
        (self.counts.persons, self.counts.erased) = (kept, erased);
        self.counts.taken_back += before - erased;
        let resumed = self.resume(&replayed)?;
        self.say(|| {
            format!("recovered {} entries, a snapshot after {}", resumed.books.sequence(), resumed.snapshot)
        });
        Ok(resumed)
    }

    /// Begins with the latest snapshot, which may be damaged, and comes to the same as without.
    fn resume(&mut self, whole: &Replayed) -> Result<Replayed, String> {
        let damaged = match &self.kept {
            Some(kept) if self.random.one_in(4) => kept.damage(&mut self.random),
            _ => None,
        };
        let resumed = recover::resume(&mut *self.disk.readers()().unwrap(), u64::MAX);
        let resumed = resumed.map_err(|error| format!("does not open from a snapshot: {error}"))?;
        self.counts.resumed += u64::from(resumed.snapshot > 0);
        self.counts.passed_over += u64::from(resumed.passed_over.is_some());
        if resumed.passed_over.map(|passed| passed.sequence) < damaged {
            return Err(format!("the snapshot after {damaged:?} is damaged, and nobody hears of it"));
        }
        if (&resumed.books, resumed.head) != (&whole.books, whole.head) {
            return Err(format!("the snapshot after {} comes to other books", resumed.snapshot));
        }
        Ok(resumed)
    }

    /// A frame that is there in part is named, and taken for no end of the journal.
    fn meet_a_torn_frame(&mut self) -> Result<(), String> {
        let Some(first) = self.disk.torn() else { return Ok(()) };
        self.counts.torn += 1;
        match opens(&self.disk) {
            Err(OpenError::Frame(bad)) if bad.entry() == first => {}
            other => return Err(format!("the frame at {first} is torn; opening says {other:?}")),
        }
        self.disk.cut_torn_tail();
        Ok(())
    }

    /// What cannot be read now is no end of the journal.
    fn meet_a_disk_that_cannot_be_read(&mut self) -> Result<(), String> {
        if self.plan.is_calm || !self.random.one_in(4) {
            return Ok(());
        }
        self.counts.unreadable += 1;
        self.disk.fail_to_read_after(Some(self.random.below(self.disk.frames().len() as u64 + 1)));
        let read = opens(&self.disk);
        self.disk.fail_to_read_after(None);
        match read {
            Err(OpenError::Store(_)) => Ok(()),
            other => Err(format!("the disk cannot be read; opening says {other:?}")),
        }
    }

    /// Damage to a copy of the journal is named.
    fn meet_damage(&mut self) -> Result<(), String> {
        if self.plan.is_calm || !self.random.one_in(3) {
            return Ok(());
        }
        let mut frames = self.disk.frames();
        let Some(named) = damage(&mut frames, &mut self.random) else { return Ok(()) };
        self.counts.damaged += 1;
        match opens(&Disk::of(frames)) {
            Err(OpenError::Frame(bad)) if named.contains(&bad.entry()) => Ok(()),
            other => Err(format!("one of {named:?} is damaged; opening says {other:?}")),
        }
    }

    /// The real ledger, thread and all, comes to the same books over the same journal.
    fn open_as_everybody_does(&mut self, replayed: &Replayed) -> Result<(), String> {
        let wall = Timestamp::from_nanos(self.now);
        let mut books: Books = replayed.books.clone();
        let open = books.open_awus().into_iter();
        let resolutions: Vec<_> = open.filter_map(|(awu, open)| work::resolution(awu, open)).collect();
        let (mut released, mut in_doubt) = (0, 0);
        for command in resolutions {
            let entry = ledger::apply(&mut books, wall, command).map_err(|error| error.to_string())?;
            match entry.outcome {
                ledger::Outcome::Released => released += 1,
                _ => in_doubt += 1,
            }
        }
        self.counts.resolved += released + in_doubt;
        let disk = self.disk.copy();
        let opened = runtime().block_on(recover::open(disk.clone(), wall));
        let (ledger, recovered) = opened.map_err(|error| format!("does not open: {error}"))?;
        let opened = ledger.read(Books::clone).map_err(|error| error.to_string())?;
        drop(ledger);
        let again = replay(&disk).map_err(|error| format!("does not open again: {error}"))?;
        if opened != books || again.books != books {
            return Err("opening comes to other books than recovery step by step".to_owned());
        }
        if (recovered.released as u64, recovered.in_doubt as u64) != (released, in_doubt) {
            return Err(format!("opening says {recovered:?}; {released} released, {in_doubt} in doubt"));
        }
        Ok(())
    }
}

/// Opening by hand; in messages, a journal that opens is the number of its entries.
fn opens(disk: &Disk) -> Result<u64, OpenError> {
    replay(disk).map(|replayed| replayed.books.sequence())
}

fn replay(disk: &Disk) -> Result<Replayed, OpenError> {
    recover::replay(&mut *disk.readers()()?)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Runs a seed. A panic is a finding as well.
fn run(seed: u64, plan: Plan) -> Result<(Digest, Counts, u64), String> {
    let run = || {
        let mut world = World::new(seed, plan);
        world.run().map(|digest| (digest, world.counts, world.disk.appends()))
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked, see above".to_owned()))
}

/// Runs a seed that has to be right. Where it is not, everything that happened is printed, and how to see it again.
fn expect_right(seed: u64, plan: Plan) -> (Digest, Counts, u64) {
    run(seed, plan).unwrap_or_else(|finding| {
        println!("seed {seed}, {plan:?}: what happened:");
        let _ = run(seed, Plan { is_told: true, ..plan });
        panic!("seed {seed}, {plan:?}: {finding}; to see it again: cargo xtask simulate --seed {seed}");
    })
}

/// `GENOPS_SEEDS` as `from..to`, where somebody asks for those.
fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("GENOPS_SEEDS") else { return 0..SEEDS };
    let (from, to) = asked.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

// === what is promised ===

#[test]
fn what_was_told_outlives_every_fault_and_the_books_are_right() {
    let seeds = seeds();
    let plan = Plan { is_told: seeds.end - seeds.start == 1, ..Plan::default() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let totals = std::thread::scope(|scope| {
        let share = |thread| seeds.clone().filter(move |seed| seed % threads == thread);
        let of_thread = |thread| {
            scope.spawn(move || share(thread).map(|seed| expect_right(seed, plan).1).collect::<Vec<_>>())
        };
        let running: Vec<_> = (0..threads).map(of_thread).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |count: fn(&Counts) -> u64| totals.iter().map(count).sum::<u64>();
    let sums = [
        ("lives", sum(|counts| counts.lives)),
        ("entries", sum(|counts| counts.entries)),
        ("told", sum(|counts| counts.told)),
        ("not taken", sum(|counts| counts.not_taken)),
        ("killed", sum(|counts| counts.killed)),
        ("died", sum(|counts| counts.died)),
        ("failed", sum(|counts| counts.failed)),
        ("closed", sum(|counts| counts.closed)),
        ("torn frames", sum(|counts| counts.torn)),
        ("damaged journals", sum(|counts| counts.damaged)),
        ("unreadable disks", sum(|counts| counts.unreadable)),
        ("resolved AWUs", sum(|counts| counts.resolved)),
        ("snapshots", sum(|counts| counts.snapshots)),
        ("lives from a snapshot", sum(|counts| counts.resumed)),
        ("snapshots passed over", sum(|counts| counts.passed_over)),
        ("persons", sum(|counts| counts.persons)),
        ("erased", sum(|counts| counts.erased)),
        ("erasures that a crash took back", sum(|counts| counts.taken_back)),
        ("times that cells left", sum(|counts| counts.cells_left)),
    ];
    println!("{} seeds: {sums:?}", totals.len());
    if totals.len() as u64 >= SEEDS {
        for (what, times) in sums {
            assert!(times > 0, "no {what}: the simulation tries too little");
        }
    }
}

#[test]
fn whatever_befalls_each_append_in_turn() {
    const FATES: [Fate; 6] = [
        Fate::Dies { kept: false },
        Fate::Dies { kept: true },
        Fate::Tears,
        Fate::SyncFails { kept: false },
        Fate::SyncFails { kept: true },
        Fate::Full,
    ];
    for seed in 0..3 {
        let calm = Plan { is_calm: true, ..Plan::default() };
        let (_, _, appends) = expect_right(seed, calm);
        assert!(appends > 5, "seed {seed}: {appends}");
        for append in 0..appends {
            for fate in FATES {
                let (_, counts, _) = expect_right(seed, Plan { fate_of: Some((append, fate)), ..calm });
                assert_eq!(counts.died + counts.failed, 1, "seed {seed}: {fate:?} of append {append}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let digests = || (0..10).map(|seed| expect_right(seed, Plan::default()).0).collect::<Vec<_>>();
    let first = digests();
    assert_eq!(first, digests());
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_disk_that_says_too_early_that_it_is_durable_is_found_out() {
    let lies = Plan { lies: true, ..Plan::default() };
    let found: Vec<_> = (0..20).filter_map(|seed| run(seed, lies).err()).collect();
    assert!(found.iter().any(|finding| finding.starts_with("I8")), "{found:?}");
}
