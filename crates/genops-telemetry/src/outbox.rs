//! The outbox: one follower for each destination and signal walks the journal behind the writer, encodes,
//! sends, and moves its cursor over what was acknowledged.
//!
//! A collector that is down delays and loses nothing: the records wait in the journal. After a restart a
//! follower goes on from its cursor. What a destination rejects for good is noted as a dead letter, which
//! blocks nothing, and is sent again where somebody wants it.
//!
//! A request that names somebody is not sent once that person is erased: it is gathered from the journal anew.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use genops_core::Name;
use genops_core::cursor::{Cursor, DeadLetter};
use genops_core::record::Journaled;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::destination::{Delivery, Destination, Way};
use crate::parcel::Parcel;
use crate::signal::Signal;
use crate::walk::Walk;

/// What the outbox needs of whoever keeps the journal. Calls may block for as long as a disk does.
pub trait Source: Send + Sync + 'static {
    /// Opens a reader of the journal.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn entries(&self) -> Result<Box<dyn Entries>, String>;

    /// Where a follower stands, as it was last moved.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn cursor(&self, follower: &str) -> Result<Cursor, String>;

    /// The last entry that has left for an archive; 0 where none has.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn archived(&self) -> Result<u64, String>;

    /// Moves a follower's cursor.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn move_cursor(&self, follower: &str, cursor: Cursor) -> Result<(), String>;

    /// Keeps a note of what could not be delivered.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn bury(&self, letter: &DeadLetter) -> Result<(), String>;

    /// A follower's dead letters that somebody wants to be sent again.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn to_resend(&self, follower: &str) -> Result<Vec<DeadLetter>, String>;

    /// Puts what of a dead letter was rejected again in its place, which may be nothing, all at once.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn resent(&self, letter: &DeadLetter, rejected: &[DeadLetter]) -> Result<(), String>;

    /// How many persons were erased since the journal was opened. It rises when nobody knows one of them any more, and
    /// before the erasure is acknowledged.
    fn erasures(&self) -> watch::Receiver<u64>;

    /// Tells people what they should know.
    fn report(&self, notice: &str);
}

/// A reader of the journal.
pub trait Entries: Send {
    /// Some entries after `sequence`, in order; none at the end of the journal.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn after(&mut self, sequence: u64) -> Result<Vec<Journaled>, String>;

    /// Whom a pseudonym in an entry stands for; `None` where it is none, or nobody knows any more.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn person(&mut self, pseudonym: &Name) -> Result<Option<Name>, String>;
}

/// The followers, at work on a thread of their own. Dropping it stops them where they stand.
#[derive(Debug)]
pub struct Outbox {
    followers: Vec<String>,
    closing: watch::Sender<bool>,
    resending: watch::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// A request holds about this much at most. Receivers with the old limit of 4 MiB take it, and so do the
/// processor's caches.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// A destination that says "too large" is sent less, down to this much.
const REQUEST_BYTES_MIN: usize = 64 << 10;

/// How long a follower lets entries gather before it sends a small request.
const GATHER: Duration = Duration::from_millis(100);

/// The first and the longest pause before a request is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A collector cannot ask for a longer pause than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// How long closing waits for what can still be delivered.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

impl Outbox {
    /// Starts a follower for each destination and signal. Each begins with the dead letters that are to be sent
    /// again. `durable` is the last durable entry; `on_thread` is
    /// called on the followers' thread before they begin.
    ///
    /// # Errors
    ///
    /// Two destinations are one, a destination cannot be opened, the journal cannot be read, or no thread can
    /// be had.
    pub fn start(
        source: &Arc<dyn Source>,
        destinations: &[Destination],
        resource: Vec<(String, String)>,
        durable: &watch::Receiver<u64>,
        on_thread: fn(),
    ) -> Result<Self, String> {
        let (closing, closes) = watch::channel(false);
        let (resending, resends) = watch::channel(());
        let resource: Arc<[_]> = resource.into();
        let hears = Hears { durable: durable.clone(), resends, closes: closes.clone() };
        let mut names = HashSet::new();
        let mut followers = Vec::new();
        for destination in destinations {
            for signal in destination.signals() {
                let follower = Follower::new(
                    Arc::clone(source),
                    destination,
                    *signal,
                    Arc::clone(&resource),
                    hears.clone(),
                )?;
                if !names.insert(follower.name.clone()) {
                    let name = follower.name;
                    return Err(format!("two destinations of telemetry are the same, `{name}`: remove one"));
                }
                followers.push(follower);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("telemetry cannot start: {error}"))?;
        let mut closing_of_all = closes;
        let work = move || {
            on_thread();
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                followers.into_iter().for_each(|follower| drop(tasks.spawn(follower.follow())));
                let deadline = async {
                    // An error says that the outbox is gone, which is closing too.
                    let _ = closing_of_all.wait_for(|closing| *closing).await;
                    tokio::time::sleep(CLOSE_WITHIN).await;
                };
                tokio::select! {
                    _ = async { while tasks.join_next().await.is_some() {} } => {}
                    () = deadline => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("genops-outbox".to_owned()).spawn(work);
        let thread = thread.map_err(|error| format!("telemetry cannot start: {error}"))?;
        let followers = names.into_iter().collect();
        Ok(Self { followers, closing, resending, thread: Some(thread) })
    }

    /// What the followers are called, in no order; also those that have delivered nothing yet.
    #[must_use]
    pub fn followers(&self) -> &[String] {
        &self.followers
    }

    /// Has every follower look for dead letters that are to be sent again.
    pub fn resend(&self) {
        self.resending.send_replace(());
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Followers do not panic; if one did, its cursor stands where it stood.
            let _ = thread.join();
        }
    }
}

/// What a follower waits for.
#[derive(Clone)]
struct Hears {
    durable: watch::Receiver<u64>,
    resends: watch::Receiver<()>,
    closes: watch::Receiver<bool>,
}

struct Follower {
    source: Arc<dyn Source>,
    entries: Box<dyn Entries>,
    name: String,
    way: Way,
    signal: Signal,
    walk: Walk,
    resource: Arc<[(String, String)]>,
    request_bytes_max: usize,
    hears: Hears,
    erasures: watch::Receiver<u64>,
    troubled: bool,
    /// When dead letters are looked for, and how long the pause is if the collector cannot take them then.
    resend: Option<(Instant, Duration)>,
}

/// What came of a request that was sent once.
enum Sent {
    Taken,
    /// So many records, and why.
    Rejected(u64, String),
    /// It was too large, and the next ones will be smaller.
    Smaller,
    /// It names somebody who was erased.
    Outdated,
    /// Not before so long, and why.
    Later(Option<Duration>, String),
}

/// What came of sending a dead letter again.
enum Resent {
    /// All of it was sent, and this was rejected again.
    All(Vec<DeadLetter>),
    /// It stays to be sent: not before so long, and why.
    Later(Option<Duration>, String),
    /// It stays to be sent: the outbox closes.
    Closing,
}

/// Where a follower goes on. One that has never been there begins with what has not been archived; the others come after that
/// anyhow. One that tells of alerts begins with what comes then: nobody wants to be woken by those of last year.
fn beginning(source: &dyn Source, name: &str, signal: Signal, durable: u64) -> Result<Cursor, String> {
    let cursor = source.cursor(name)?;
    // Asked of what was kept: what has been archived makes nobody less new.
    if signal != Signal::Alerts || cursor != Cursor::default() {
        let archived = source.archived()?;
        let from = cursor.from.max(archived.saturating_add(1));
        return Ok(Cursor { through: cursor.through.max(archived), from });
    }
    let cursor = Cursor { through: durable, from: durable.saturating_add(1) };
    source.move_cursor(name, cursor)?;
    Ok(cursor)
}

impl Follower {
    fn new(
        source: Arc<dyn Source>,
        destination: &Destination,
        signal: Signal,
        resource: Arc<[(String, String)]>,
        hears: Hears,
    ) -> Result<Self, String> {
        let name = destination.follower(signal);
        let way = destination.open(signal).map_err(|error| format!("{name}: {error}"))?;
        let walk = Walk::from(signal, beginning(&*source, &name, signal, *hears.durable.borrow())?);
        let (entries, erasures) = (source.entries()?, source.erasures());
        Ok(Self {
            source,
            entries,
            name,
            way,
            signal,
            walk,
            resource,
            request_bytes_max: REQUEST_BYTES_MAX,
            hears,
            erasures,
            troubled: false,
            resend: Some((Instant::now(), RETRY.0)),
        })
    }

    /// Sends what there is, waits for more, until the outbox closes.
    async fn follow(mut self) {
        loop {
            if let Some(pause) = self.is_to_resend()
                && let Err(trouble) = self.resend(pause).await
            {
                self.tell(&trouble);
                self.resend = Some((Instant::now() + RETRY.1, RETRY.1));
            }
            match self.gather() {
                Ok(Some(parcel)) => {
                    let is_small = parcel.is_small;
                    self.deliver(parcel).await;
                    if is_small {
                        self.pause(GATHER).await;
                    }
                }
                Ok(None) if self.is_closing() => return,
                Ok(None) => self.wait().await,
                Err(trouble) => {
                    self.tell(&trouble);
                    if self.is_closing() {
                        return;
                    }
                    self.pause(RETRY.1).await;
                }
            }
        }
    }

    /// Fills a request from the journal; `None` where there is nothing to tell.
    fn gather(&mut self) -> Result<Option<Parcel>, String> {
        let parcel = Parcel::gather(
            &mut self.walk,
            &self.way,
            &mut *self.entries,
            &self.erasures,
            &self.resource,
            self.request_bytes_max,
            u64::MAX,
        );
        // What was read for a request that did not come about is read again.
        let parcel = parcel.inspect_err(|_| self.walk.go_back())?;
        let cursor = self.walk.standing();
        if parcel.is_none() && cursor.through > self.walk.cursor.through {
            self.acknowledge(cursor, 0)?;
        }
        Ok(parcel)
    }

    /// Sends a request until it is taken or rejected for good.
    async fn deliver(&mut self, parcel: Parcel) {
        let mut pause = RETRY.0;
        loop {
            match self.send(&parcel).await {
                Sent::Taken => break,
                Sent::Rejected(records, reason) => {
                    self.bury(&parcel, records, reason);
                    break;
                }
                Sent::Smaller | Sent::Outdated => return self.walk.go_back(),
                Sent::Later(after, reason) => {
                    self.tell_trouble(&reason);
                    if self.is_closing() {
                        // Until the outbox is out of time.
                        tokio::time::sleep(RETRY.0).await;
                    } else {
                        self.pause(asked_for(after, pause)).await;
                        pause = (pause * 2).min(RETRY.1);
                    }
                }
            }
        }
        if self.troubled {
            self.troubled = false;
            self.source.report(&format!("telemetry to {} is taken again", self.name));
        }
        if let Err(trouble) = self.acknowledge(parcel.cursor, parcel.part) {
            self.tell(&trouble);
        }
    }

    /// Sends a request once.
    async fn send(&mut self, parcel: &Parcel) -> Sent {
        let delivery = match self.send_unless_erased(parcel).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return Sent::Outdated,
            Err(trouble) => return Sent::Later(None, trouble),
        };
        let names_persons = parcel.names_persons();
        match delivery {
            Delivery::Taken => Sent::Taken,
            Delivery::TakenInPart { rejected, reason } => {
                Sent::Rejected(rejected, reason.kept(names_persons))
            }
            Delivery::Never { reason } => Sent::Rejected(parcel.records, reason.kept(names_persons)),
            Delivery::TooLarge if self.request_bytes_max > REQUEST_BYTES_MIN && parcel.records > 1 => {
                self.request_bytes_max /= 2;
                Sent::Smaller
            }
            Delivery::TooLarge => {
                Sent::Rejected(parcel.records, "the collector says it is too large".to_owned())
            }
            Delivery::Later { after, reason } => Sent::Later(after, reason.kept(names_persons)),
        }
    }

    /// Sends a request, unless it names somebody who was erased; where that happens before it is answered, it is given up.
    async fn send_unless_erased(&mut self, parcel: &Parcel) -> Result<Option<Delivery>, String> {
        let Self { way, entries, erasures, .. } = self;
        let sending = way.deliver(&parcel.payload);
        tokio::pin!(sending);
        let mut seen = parcel.erasures;
        loop {
            // Noted beforehand, so that whoever is erased meanwhile is asked for again.
            let now = *erasures.borrow();
            if now != seen && parcel.names_erased(&mut **entries)? {
                return Ok(None);
            }
            seen = now;
            tokio::select! {
                delivery = &mut sending => return Ok(Some(delivery)),
                Ok(_) = erasures.wait_for(|erasures| *erasures != seen) => {}
            }
        }
    }

    /// Sends dead letters again. Where the collector cannot take one now, it and the rest wait for `pause`, and
    /// what is new does not wait for them.
    async fn resend(&mut self, pause: Duration) -> Result<(), String> {
        self.resend = None;
        let (mut taken, mut rejected, mut why) = (0_u64, 0_u64, String::new());
        for letter in self.source.to_resend(&self.name)? {
            match self.resend_one(&letter).await? {
                Resent::All(rest) => {
                    self.source.resent(&letter, &rest)?;
                    match rest.last() {
                        None => taken += 1,
                        Some(last) => {
                            rejected += 1;
                            why = format!(", {rejected} rejected again: {}", last.reason);
                        }
                    }
                }
                Resent::Later(after, reason) => {
                    if pause == RETRY.0 {
                        self.tell(&format!("dead letters wait to be sent again: {reason}"));
                    }
                    let next = (pause * 2).min(RETRY.1);
                    self.resend = Some((Instant::now() + asked_for(after, pause), next));
                    break;
                }
                Resent::Closing => break,
            }
        }
        if taken + rejected > 0 {
            self.tell(&format!("dead letters were sent again: {taken} taken{why}"));
        }
        Ok(())
    }

    /// Sends what one dead letter tells, in as many requests as it takes now.
    async fn resend_one(&mut self, letter: &DeadLetter) -> Result<Resent, String> {
        let mut walk = Walk::from(self.signal, Cursor { through: letter.after, from: letter.from });
        let mut rejected = Vec::new();
        while let Some(parcel) = Parcel::gather(
            &mut walk,
            &self.way,
            &mut *self.entries,
            &self.erasures,
            &self.resource,
            self.request_bytes_max,
            letter.through,
        )? {
            if self.is_closing() {
                return Ok(Resent::Closing);
            }
            match self.send(&parcel).await {
                Sent::Taken => (walk.cursor, walk.part) = (parcel.cursor, parcel.part),
                Sent::Rejected(records, reason) => {
                    (walk.cursor, walk.part) = (parcel.cursor, parcel.part);
                    rejected.push(self.letter(&parcel, records, reason));
                }
                Sent::Smaller | Sent::Outdated => walk.go_back(),
                Sent::Later(after, reason) => return Ok(Resent::Later(after, reason)),
            }
        }
        Ok(Resent::All(rejected))
    }

    /// Whether dead letters are to be looked for now, and the pause if they cannot be taken.
    fn is_to_resend(&mut self) -> Option<Duration> {
        if self.hears.resends.has_changed().unwrap_or(false) {
            self.hears.resends.mark_unchanged();
            return Some(RETRY.0);
        }
        self.resend.filter(|(at, _)| *at <= Instant::now()).map(|(_, pause)| pause)
    }

    fn acknowledge(&mut self, cursor: Cursor, part: usize) -> Result<(), String> {
        (self.walk.cursor, self.walk.part) = (cursor, part);
        self.source.move_cursor(&self.name, cursor)
    }

    fn letter(&self, parcel: &Parcel, records: u64, reason: String) -> DeadLetter {
        DeadLetter {
            follower: self.name.clone(),
            after: parcel.before.through,
            from: parcel.before.from,
            through: parcel.through(),
            records,
            reason,
            again: false,
        }
    }

    fn bury(&self, parcel: &Parcel, records: u64, reason: String) {
        let letter = self.letter(parcel, records, reason);
        let DeadLetter { after, through, reason, .. } = &letter;
        let first = after + 1;
        self.tell(&format!(
            "{records} records of entries {first} to {through} were rejected for good: {reason}; \
             `genops telemetry resend` sends them again"
        ));
        if let Err(trouble) = self.source.bury(&letter) {
            self.tell(&trouble);
        }
    }

    fn tell(&self, what: &str) {
        self.source.report(&format!("telemetry to {}: {what}", self.name));
    }

    fn tell_trouble(&mut self, reason: &str) {
        if !self.troubled {
            self.troubled = true;
            let name = &self.name;
            self.source.report(&format!(
                "telemetry to {name} waits in the ledger until it can be delivered: {reason}"
            ));
        }
    }

    fn is_closing(&self) -> bool {
        *self.hears.closes.borrow()
    }

    /// Waits for new entries, for somebody who wants dead letters to be sent again, or for their time.
    async fn wait(&mut self) {
        let position = self.walk.position;
        let resend_at = self.resend.map(|(at, _)| at);
        let resend_time = async {
            match resend_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.hears.durable.wait_for(|durable| *durable > position) => {}
            Ok(()) = self.hears.resends.changed() => {
                self.hears.resends.mark_changed();
                return;
            }
            () = resend_time => return,
            _ = self.hears.closes.wait_for(|closing| *closing) => return,
        }
        self.pause(GATHER).await;
    }

    /// Sleeps, but not over the closing of the outbox.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = self.hears.closes.wait_for(|closing| *closing) => {}
        }
    }
}

/// The pause that the collector asks for, within bounds, or otherwise ours.
fn asked_for(after: Option<Duration>, ours: Duration) -> Duration {
    after.map_or(ours, |after| after.clamp(GATHER, RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use genops_core::awu::{AwuId, Proposal};
    use genops_core::ledger::{self, Admit, Books, Command};
    use genops_core::policy::Policy;
    use genops_core::{Attribution, Digest, Name, Timestamp};

    use super::*;

    type Reads = VecDeque<Result<Vec<Journaled>, String>>;

    /// A journal whose reads come out as they are listed, where a follower stands in it, and what has been archived.
    struct Scripted(Arc<Mutex<Reads>>, Cursor, u64);

    impl Entries for Scripted {
        fn after(&mut self, _: u64) -> Result<Vec<Journaled>, String> {
            self.0.lock().unwrap().pop_front().unwrap_or(Ok(Vec::new()))
        }

        fn person(&mut self, _: &Name) -> Result<Option<Name>, String> {
            Ok(None)
        }
    }

    impl Source for Scripted {
        fn entries(&self) -> Result<Box<dyn Entries>, String> {
            Ok(Box::new(Self(Arc::clone(&self.0), self.1, self.2)))
        }

        fn cursor(&self, _: &str) -> Result<Cursor, String> {
            Ok(self.1)
        }

        fn archived(&self) -> Result<u64, String> {
            Ok(self.2)
        }

        fn move_cursor(&self, _: &str, _: Cursor) -> Result<(), String> {
            Ok(())
        }

        fn bury(&self, _: &DeadLetter) -> Result<(), String> {
            Ok(())
        }

        fn to_resend(&self, _: &str) -> Result<Vec<DeadLetter>, String> {
            Ok(Vec::new())
        }

        fn resent(&self, _: &DeadLetter, _: &[DeadLetter]) -> Result<(), String> {
            Ok(())
        }

        fn erasures(&self) -> watch::Receiver<u64> {
            watch::channel(0).1
        }

        fn report(&self, _: &str) {}
    }

    /// An entry that refuses an AWU: an event to tell, and it is over.
    fn refusal() -> Journaled {
        let name = |text: &str| Name::new(text).unwrap();
        let attribution = Attribution::new(Some("a"), Some("b"), Some("c")).unwrap();
        // Nobody knows what it costs: it is refused.
        let proposal = Proposal::new(attribution, name("o"), name("inference"), name("p"), name("m"));
        let request = Admit::new(AwuId { trace_id: [1; 16], span_id: [1; 8] }, proposal);
        let mut books = Books::default();
        let at = Timestamp::from_nanos(1_795_000_000_000_000_000);
        ledger::apply(&mut books, at, Command::AdoptPolicy(Arc::new(Policy::unrestricted()))).unwrap();
        let entry = ledger::apply(&mut books, at, Command::Admit(Arc::new(request))).unwrap();
        Journaled { entry, chain: Digest::ZERO }
    }

    #[test]
    fn a_read_that_fails_in_the_middle_of_a_request_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let reads = [Ok(vec![refusal()]), Err("the disk is away".to_owned()), Ok(vec![refusal()])];
        let source = Arc::new(Scripted(Arc::new(Mutex::new(reads.into())), Cursor::default(), 0));
        let destination = Destination::Directory { path: directory.path().to_owned() };
        let hears = Hears {
            durable: watch::channel(2).1,
            resends: watch::channel(()).1,
            closes: watch::channel(false).1,
        };
        let resource = Arc::new([]);
        let mut follower = Follower::new(source, &destination, Signal::Logs, resource, hears).unwrap();
        assert_eq!(follower.gather().err().as_deref(), Some("the disk is away"));
        assert_eq!(follower.walk.position, 0, "it is read again");
        let parcel = follower.gather().unwrap().unwrap();
        assert_eq!((parcel.records, parcel.cursor.through), (1, 2));
    }

    #[test]
    fn a_follower_goes_on_after_what_has_been_archived_and_a_new_one_of_alerts_with_what_comes() {
        let at = |through, from| Cursor { through, from };
        let new = Cursor::default();
        // Where it stood, how much has been archived, and where it goes on in a journal of 9 entries: for logs, for alerts.
        for (stood, archived, logs, alerts) in [
            (new, 0, at(0, 1), at(9, 10)),
            (new, 5, at(5, 6), at(9, 10)),
            (at(3, 2), 0, at(3, 2), at(3, 2)),
            (at(3, 2), 5, at(5, 6), at(5, 6)),
            (at(7, 6), 5, at(7, 6), at(7, 6)),
            (at(7, 8), 5, at(7, 8), at(7, 8)),
        ] {
            let source = Scripted(Arc::default(), stood, archived);
            for (signal, goes_on) in [(Signal::Logs, logs), (Signal::Alerts, alerts)] {
                assert_eq!(
                    beginning(&source, "f", signal, 9),
                    Ok(goes_on),
                    "{signal:?} {stood:?} {archived}"
                );
            }
        }
    }
}
