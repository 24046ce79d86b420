//! The processes, seen from where they were started; and what all of them together were told, compared as it comes.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use genops::report::AwuReport;

use crate::CALLERS;
use crate::caller::{Order, Step, Told, as_decided};
use crate::process::PATIENCE;
use crate::request::{Key, Kind};

/// The processes. Dropping them ends them.
pub struct Callers {
    processes: Vec<(Child, ChildStdin)>,
    readers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tally: Mutex<Tally>,
    grows: Condvar,
}

/// What all of them were told.
#[derive(Default)]
pub struct Tally {
    agreed: HashMap<(u64, Step), Agreed>,
    answers: u64,
    retries: u64,
    repeats: u64,
    contradictions: Vec<String>,
    gone: u64,
}

/// What everybody has been told of a step so far.
struct Agreed {
    awu: Option<AwuReport>,
    /// A bit for each process that was told.
    who: u64,
    /// How many were told that they were the first.
    firsts: u64,
}

/// What came of a key: everybody was told so.
pub struct Outcome {
    /// The key.
    pub key: Key,
    /// The AWU: as it was refused, or as it ended.
    pub awu: AwuReport,
}

impl Callers {
    /// Starts them. They wait for an order.
    pub fn start(seed: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let (mut processes, mut readers) = (Vec::new(), Vec::new());
        for number in 0..CALLERS {
            let mut command = Command::new(std::env::current_exe().unwrap());
            // The program has one test, which takes the place of a caller.
            command.args(["--nocapture", "--test-threads=1"]);
            command.env("GENOPS_HELD_CALLER", seed.wrapping_add(number).to_string());
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let to = Arc::clone(&shared);
            readers.push(std::thread::spawn(move || to.read(number, output)));
            processes.push((child, input));
        }
        Self { processes, readers, shared }
    }

    /// Tells all of them what to do.
    pub fn order(&mut self, order: &Order) {
        for (_, input) in &mut self.processes {
            writeln!(input, "{}", serde_json::to_string(order).unwrap()).unwrap();
        }
    }

    /// Waits until so many more answers have come.
    pub fn await_answers(&self, count: u64) {
        let wanted = self.shared.tally().answers + count;
        let waits = |tally: &mut Tally| {
            assert!(tally.contradictions.is_empty(), "{:#?}", tally.contradictions);
            assert_eq!(tally.gone, 0, "a process has given up");
            tally.answers < wanted
        };
        let waited = self.shared.grows.wait_timeout_while(self.shared.tally(), PATIENCE, waits);
        let waited = waited.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!waited.timed_out(), "nobody is answered");
    }

    /// Waits until they have done everything, and gives what they were told.
    pub fn end(mut self) -> Tally {
        self.await_all();
        for (child, _) in &mut self.processes {
            assert!(child.wait().unwrap().success(), "a process has given up");
        }
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        std::mem::take(&mut *self.shared.tally())
    }

    /// Waits until all of them are done, for as long as somebody is answered.
    fn await_all(&self) {
        let mut tally = self.shared.tally();
        while tally.gone < CALLERS {
            let (answers, gone) = (tally.answers, tally.gone);
            let waits = |tally: &mut Tally| (tally.answers, tally.gone) == (answers, gone);
            let waited = self.shared.grows.wait_timeout_while(tally, PATIENCE, waits);
            let (grown, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            assert!(!waited.timed_out(), "nobody is answered");
            tally = grown;
        }
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for (child, _) in &mut self.processes {
            // Both fail only for a process that is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, number: u64, output: ChildStdout) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // The harness prints as well.
            if line.starts_with('{') {
                let told: Told = serde_json::from_str(&line).unwrap();
                self.tally().take(number, &told);
                self.grows.notify_one();
            }
        }
        self.tally().gone += 1;
        self.grows.notify_one();
    }
}

impl Tally {
    fn take(&mut self, number: u64, told: &Told) {
        self.answers += 1;
        self.retries += told.retries;
        self.repeats += u64::from(told.repeated == Some(true));
        let at = (told.key, told.step);
        let agreed =
            self.agreed.entry(at).or_insert_with(|| Agreed { awu: told.awu.clone(), who: 0, firsts: 0 });
        agreed.who |= 1 << number;
        agreed.firsts += u64::from(told.repeated == Some(false));
        if agreed.awu != told.awu {
            self.contradictions.push(format!("{at:?}: told {:?}, and {:?}", agreed.awu, told.awu));
        }
        if agreed.firsts > 1 {
            self.contradictions.push(format!("{at:?}: two were told that they were the first"));
        }
    }

    /// What came of each of so many keys. Every process must have been told the same of each.
    pub fn outcomes(&self, keys: u64) -> Vec<Outcome> {
        assert!(self.contradictions.is_empty(), "{:#?}", self.contradictions);
        assert!(self.retries > 0 && self.repeats > 0, "no kill met a request: {self}");
        (0..keys).map(|key| self.outcome(Key(key))).collect()
    }

    fn outcome(&self, key: Key) -> Outcome {
        let decided = self.told_to_all(key, Step::Propose);
        if decided.state == "REFUSED" {
            assert!(!self.agreed.contains_key(&(key.0, Step::Start)), "{key:?} was refused, and begun");
            assert!(!self.agreed.contains_key(&(key.0, Step::End)), "{key:?} was refused, and ended");
            let by = decided.rule.as_deref();
            let is_foreseen = if key.kind() == Kind::Refused { by.is_some() } else { by == Some("round") };
            assert!(is_foreseen, "{decided:?}");
            return Outcome { key, awu: decided };
        }
        let awu = self.told_to_all(key, Step::End);
        assert_eq!(as_decided(awu.clone()), decided, "told at the end, and told of the decision");
        Outcome { key, awu }
    }

    fn told_to_all(&self, key: Key, step: Step) -> AwuReport {
        let Some(agreed) = self.agreed.get(&(key.0, step)) else {
            panic!("{step:?} of {key:?} was told to nobody")
        };
        assert_eq!(agreed.who.count_ones(), u32::try_from(CALLERS).unwrap(), "{step:?} of {key:?}");
        agreed.awu.clone().unwrap()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.agreed.keys().filter(|(_, step)| *step == Step::Propose).count();
        let Self { answers, retries, repeats, .. } = self;
        write!(formatter, "{keys} keys, {answers} answers, {repeats} of them repeated, {retries} retries")
    }
}
