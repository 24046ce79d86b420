//! A power loss at any moment: whatever has left the process by then, the disk can answer for it.
//!
//! The power is not cut. The process runs under a recorder (`power_loss/recorder.c`), and from its log the
//! test works out what the disk would have held at each send (`power_loss/disk.rs`), and at each step of erasing a person
//! (`power_loss/persons.rs`).
//!
//! `GENOPS_POWER_LOSS_SEED` repeats a run's random choices.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod common;

#[path = "power_loss/disk.rs"]
mod disk;

#[path = "power_loss/persons.rs"]
mod persons;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::process::Process;
use common::{Client, REASON, Site, Told, is_admitted};
use disk::{Disk, Kind, Record, records};
use genops::report::{Archive, AwuReport};
use genops_core::{AwuId, Name};
use persons::Gone;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::task::JoinSet;

const CALLERS: usize = 8;

/// So many of the callers have hardly any budget: two of their calls at a time, and few in all.
const POOR: usize = 3;

const CALLS: usize = 300;

/// So many calls in turn are of one customer. Every other customer is erased after the last of them.
const CALLS_OF_ONE: usize = 50;

/// At so many steps of an erasure the power fails, and then at one in `CUTS_LATER`.
const CUTS: usize = 30;
const CUTS_LATER: u32 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_the_process_before_the_disk_can_answer_for_it() {
    let seed =
        std::env::var("GENOPS_POWER_LOSS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("GENOPS_POWER_LOSS_SEED={seed}");
    let site = Site::new(&[("rich".to_owned(), "1000"), ("poor".to_owned(), "0.0015")]).await;
    let ledger_folder = site.ledger().parent().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");

    let mut command = site.serve();
    command.env("LD_PRELOAD", compile_recorder(folder.path()));
    command.env("RECORDER_LOG", &log).env("RECORDER_PREFIX", &ledger_folder);
    let gateway = Process::start(command);
    let client = Client::to(gateway.origin());
    let (told, gone) = make_calls(&client).await;
    let listed = client.awus().await;
    site.collector.until(|telling| telling.has_all_of(&listed)).await;
    gateway.stop();

    let mut check = Check {
        images: Images {
            disk: Disk::empty(&ledger_folder),
            rng: StdRng::seed_from_u64(seed),
            now: None,
            bare: 0,
            torn: 0,
        },
        gone: &gone,
        acknowledged: 0,
        erasing: None,
        cuts: 0,
        told: &told,
        by_id: told.values().map(|told| (told.awu, told)).collect(),
        answered: HashSet::new(),
        asked: HashSet::new(),
        exported: HashSet::new(),
    };
    records(&std::fs::read(&log).unwrap()).for_each(|record| check.follow(record));
    check.conclude(site.reached());
}

/// Compiles the recorder into a folder.
fn compile_recorder(folder: &Path) -> PathBuf {
    let library = folder.join("recorder.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power_loss/recorder.c");
    let mut command = Command::new("cc");
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]);
    assert!(command.status().unwrap().success(), "{command:?}");
    library
}

/// Makes the calls, each an operation of its own, and erases customers. Gives what the callers were told, and who was erased.
async fn make_calls(client: &Client) -> (HashMap<String, Told>, Vec<Gone>) {
    let next = Arc::new(AtomicUsize::new(0));
    let answered: Arc<Vec<_>> =
        Arc::new((0..CALLS.div_ceil(CALLS_OF_ONE)).map(|_| AtomicUsize::new(0)).collect());
    let gone = Arc::new(Mutex::new(Vec::new()));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, next) = (client.clone(), Arc::clone(&next));
        let (answered, gone) = (Arc::clone(&answered), Arc::clone(&gone));
        let team = if caller < POOR { "poor" } else { "rich" };
        callers.spawn(async move {
            let mut told = Vec::new();
            loop {
                let call = next.fetch_add(1, Ordering::Relaxed);
                if call >= CALLS {
                    return told;
                }
                let (place, operation) = (call / CALLS_OF_ONE, format!("call-{call}"));
                let customer = format!("customer-{place}-of-the-test");
                let answer = client.of(&customer).call(team, &operation).await.unwrap();
                told.push((operation, answer));
                let is_last = answered[place].fetch_add(1, Ordering::SeqCst) + 1 == CALLS_OF_ONE;
                if is_last && place % 2 == 0 {
                    let pseudonym = client.erase(&customer).await.unwrap();
                    gone.lock().unwrap().push(Gone { customer, pseudonym: Name::new(&pseudonym).unwrap() });
                }
            }
        });
    }
    let told = callers.join_all().await.into_iter().flatten().collect();
    (told, Arc::into_inner(gone).unwrap().into_inner().unwrap())
}

/// Follows a recorder's log and checks everything that is sent against the disk as of that moment.
struct Check<'a> {
    images: Images,
    /// The customers who were erased.
    gone: &'a [Gone],
    /// So many erasures were answered.
    acknowledged: usize,
    /// An erasure is being written; so many steps of it have been seen.
    erasing: Option<usize>,
    /// So many images were looked at while one was.
    cuts: usize,
    /// What the callers were told, by operation.
    told: &'a HashMap<String, Told>,
    by_id: HashMap<AwuId, &'a Told>,
    /// The AWUs whose callers were answered.
    answered: HashSet<AwuId>,
    /// The AWUs for which the provider was asked.
    asked: HashSet<AwuId>,
    /// The AWUs that the collector was told of.
    exported: HashSet<AwuId>,
}

impl Check<'_> {
    fn follow(&mut self, record: Record<'_>) {
        self.images.disk.follow(record);
        if record.kind != Kind::Send {
            return self.erase(record);
        }
        let text = String::from_utf8_lossy(record.data);
        let first_line = text.lines().next().unwrap_or_default();
        if first_line.starts_with("HTTP/1.1 ") {
            self.answer(&text);
        } else if first_line.starts_with("POST ") && first_line.contains("/chat/completions") {
            self.provider_call(&text);
        } else if first_line.starts_with("POST ") && first_line.contains("/v1/traces") {
            self.export(record.data, &SPAN, |report| report.state != "EXECUTING");
        } else if first_line.starts_with("POST ") && first_line.contains("/v1/logs") {
            self.export(record.data, &LOG, |_| true);
        }
    }

    /// A caller is answered: the disk has that decision.
    fn answer(&mut self, text: &str) {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        if body.starts_with("{\"pseudonym\"") {
            return self.erased(body);
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<_, _> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let Some(told) = Told::read(status, |name| headers.get(name).map(|&value| value.to_owned())) else {
            return;
        };
        assert_eq!(Some(&&told), self.by_id.get(&told.awu), "what was sent is what the caller got");
        for image in self.images.now() {
            told.check(image.awu(told.awu).as_ref());
        }
        self.answered.insert(told.awu);
    }

    /// The power fails while somebody is erased: the entry is there and nothing of the person, or neither has happened.
    fn erase(&mut self, record: Record<'_>) {
        if record.kind == Kind::Write && persons::holds(record.data, REASON.as_bytes()) {
            self.erasing.get_or_insert(0);
        }
        let Some(step) = &mut self.erasing else { return };
        *step += 1;
        if *step <= CUTS || self.images.rng.random_ratio(1, CUTS_LATER) {
            self.images.cut(|folder| drop(persons::check(folder, self.gone)));
            self.cuts += 1;
        }
    }

    /// Somebody is said to be erased: the disk has the entry, and nothing of the person once it is opened again.
    fn erased(&mut self, body: &str) {
        let gone = self.gone.iter().find(|gone| body.contains(gone.pseudonym.as_str())).unwrap();
        for image in self.images.now() {
            let erased = persons::check(image.folder.path(), self.gone);
            assert!(erased.contains(&gone.pseudonym), "{} was told before it was durable", gone.pseudonym);
        }
        self.acknowledged += 1;
        self.erasing = None;
    }

    /// The provider is asked: the disk has that call's admission.
    fn provider_call(&mut self, text: &str) {
        let (_, prompt) =
            text.split_once('<').unwrap_or_else(|| panic!("a request without its body: {text}"));
        let (operation, _) = prompt.split_once('>').unwrap();
        let awu = self.told[operation].awu;
        for image in self.images.now() {
            let report =
                image.awu(awu).unwrap_or_else(|| panic!("{operation} ran before its admission was durable"));
            assert!(report.operation == operation && is_admitted(&report), "{operation} ran: {report:?}");
        }
        self.asked.insert(awu);
    }

    /// The collector is told: the disk has what it is told of.
    fn export(&mut self, payload: &[u8], tags: &Tags, is_due: impl Fn(&AwuReport) -> bool) {
        for awu in ids_in(payload, tags).filter(|awu| self.by_id.contains_key(awu)) {
            for image in self.images.now() {
                let report =
                    image.awu(awu).unwrap_or_else(|| panic!("{awu} was told of before it was durable"));
                assert!(is_due(&report), "an end was told of before it was durable: {report:?}");
            }
            self.exported.insert(awu);
        }
    }

    /// In the end the disk has all of it, and all of it was looked at.
    fn conclude(mut self, reached: u64) {
        for image in self.images.now() {
            for told in self.told.values() {
                told.check(image.awu(told.awu).as_ref());
            }
        }
        let all: HashSet<AwuId> = self.by_id.keys().copied().collect();
        let admitted: HashSet<AwuId> =
            self.told.values().filter(|told| told.is_admission()).map(|told| told.awu).collect();
        assert_eq!(all.len(), CALLS, "each call is an AWU");
        assert!(!admitted.is_empty() && admitted.len() < all.len(), "{} were admitted", admitted.len());
        assert_eq!(self.answered, all, "the log has every answer");
        assert_eq!(self.asked, admitted, "the log has every request to the provider");
        assert_eq!(reached, admitted.len() as u64);
        assert!(!self.exported.is_empty(), "the log has no telemetry");
        assert_eq!(self.acknowledged, self.gone.len(), "the log has every erasure");
        // All of them may be in one commit; one has some two hundred steps.
        assert!(self.cuts >= CUTS, "only {} steps of erasures were looked at", self.cuts);
        println!(
            "{} customers were erased, and the power failed at {} steps of it",
            self.gone.len(),
            self.cuts
        );
        let Images { bare, torn, .. } = self.images;
        println!(
            "{} admitted; {bare} images, {torn} of them also torn; {} exports",
            admitted.len(),
            self.exported.len()
        );
        // A commit carries at most one admission of each caller, and each stands in an image.
        assert!(bare > admitted.len() / CALLERS, "only {bare} images were looked at");
        assert!(torn > 0, "no image had anything that was not synced");
    }
}

// === The images ===

/// The disk, and the images of it that hold now. Each is read once.
struct Images {
    disk: Disk,
    rng: StdRng,
    now: Option<(u64, Vec<Image>)>,
    bare: usize,
    torn: usize,
}

/// A ledger as it would be found.
struct Image {
    archive: Archive,
    folder: TempDir,
}

impl Images {
    /// The ledger if the power fails now: with nothing of what was not synced, and with some of it.
    fn now(&mut self) -> &mut [Image] {
        if self.now.as_ref().is_none_or(|(version, _)| *version != self.disk.version) {
            let mut images = vec![Image::of(&self.disk, || false)];
            self.bare += 1;
            if self.disk.is_in_between() {
                images.push(Image::of(&self.disk, || self.rng.random()));
                self.torn += 1;
            }
            self.now = Some((self.disk.version, images));
        }
        self.now.as_mut().map_or(&mut [], |(_, images)| images)
    }

    /// Looks at the files if the power fails now, with some of what was not synced.
    fn cut(&mut self, look: impl Fn(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        self.disk.write_image(folder.path(), || self.rng.random());
        look(folder.path());
    }
}

impl Image {
    /// Opens a ledger as a new process would: its chain and its invariants hold, or this fails.
    fn of(disk: &Disk, keeps: impl FnMut() -> bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        disk.write_image(folder.path(), keeps);
        let archive = Archive::open(&folder.path().join("genops.db"))
            .unwrap_or_else(|error| panic!("something was sent while no ledger could be found: {error}"));
        Self { archive, folder }
    }

    fn awu(&mut self, id: AwuId) -> Option<AwuReport> {
        self.archive.awu(id).unwrap()
    }
}

// === OTLP, as little of it as is needed ===

/// How the two identifiers are introduced: field and length of the trace's, and of the span's.
type Tags = [[u8; 2]; 2];

/// Fields 1 and 2 of a span.
const SPAN: Tags = [[0x0a, 16], [0x12, 8]];

/// Fields 9 and 10 of a log record.
const LOG: Tags = [[0x4a, 16], [0x52, 8]];

/// The identifiers of the records at the beginning of a request: as many as the log has kept.
fn ids_in<'a>(payload: &'a [u8], [trace_tag, span_tag]: &'a Tags) -> impl Iterator<Item = AwuId> + 'a {
    payload.windows(28).filter_map(move |window| {
        let window = window.strip_prefix(trace_tag)?;
        let (trace_id, window) = window.split_first_chunk()?;
        let span_id = window.strip_prefix(span_tag)?;
        Some(AwuId { trace_id: *trace_id, span_id: span_id.try_into().ok()? })
    })
}
