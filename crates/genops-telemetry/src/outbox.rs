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

mod resend;

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

    /// A follower's dead letters that somebody wants to be sent again, each with the number under which it is kept.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn to_resend(&self, follower: &str) -> Result<Vec<(u64, DeadLetter)>, String>;

    /// Puts what of these dead letters was rejected again in their place, which may be nothing, all at once.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn resent(&self, numbers: &[u64], rejected: &[DeadLetter]) -> Result<(), String>;

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
        Ok(Self { closing, resending, thread: Some(thread) })
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
    /// Whether nothing says where it stands: it is new, and that could not be noted.
    is_unnoted: bool,
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

/// Where a follower goes on. One that has never been there begins with what has not been archived; the others come after that
/// anyhow. One that tells of alerts begins with what comes then: nobody wants to be woken by those of last year. And whether
/// it is new, so that nothing says where it stands.
fn beginning(
    source: &dyn Source,
    name: &str,
    signal: Signal,
    durable: u64,
) -> Result<(Cursor, bool), String> {
    let kept = source.cursor(name)?;
    // Asked of what was kept: what has been archived makes nobody less new.
    let is_new = kept == Cursor::default();
    let told = if is_new && signal == Signal::Alerts { durable } else { source.archived()? };
    let first = told.saturating_add(1);
    Ok((Cursor { through: kept.through.max(told), from: kept.from.max(first) }, is_new))
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
        let (begins, is_unnoted) = beginning(&*source, &name, signal, *hears.durable.borrow())?;
        let walk = Walk::from(signal, begins);
        let (entries, erasures) = (source.entries()?, source.erasures());
        let mut follower = Self {
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
            is_unnoted,
            troubled: false,
            resend: Some((Instant::now(), RETRY.0)),
        };
        if let Err(trouble) = follower.note_place() {
            let name = &follower.name;
            follower.source.report(&format!(
                "where telemetry to {name} stands in the ledger cannot be noted yet, so archiving does not wait for it: \
                 {trouble}"
            ));
        }
        Ok(follower)
    }

    /// Notes where a new one stands, though it has delivered nothing: what it has to deliver must not be archived.
    fn note_place(&mut self) -> Result<(), String> {
        if self.is_unnoted {
            self.source.move_cursor(&self.name, self.walk.cursor)?;
            self.is_unnoted = false;
        }
        Ok(())
    }

    /// Sends what there is, waits for more, until the outbox closes.
    async fn follow(mut self) {
        loop {
            let _ = self.note_place();
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
                    self.bury(&self.letter(&parcel, records, reason)).await;
                    break;
                }
                Sent::Smaller | Sent::Outdated => return self.walk.go_back(),
                Sent::Later(after, reason) => self.put_off(&reason, after, &mut pause).await,
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

    fn acknowledge(&mut self, cursor: Cursor, part: usize) -> Result<(), String> {
        (self.walk.cursor, self.walk.part) = (cursor, part);
        self.source.move_cursor(&self.name, cursor)?;
        self.is_unnoted = false;
        Ok(())
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

    /// Notes what was rejected for good. Before that is done nothing of it is acknowledged, or it would be neither delivered
    /// nor among the dead letters.
    async fn bury(&mut self, letter: &DeadLetter) {
        let mut pause = RETRY.0;
        while let Err(trouble) = self.source.bury(letter) {
            let reason = format!("what was rejected for good cannot be noted: {trouble}");
            self.put_off(&reason, None, &mut pause).await;
        }
        let DeadLetter { after, through, records, reason, .. } = letter;
        let first = after + 1;
        self.tell(&format!(
            "{records} records of entries {first} to {through} were rejected for good: {reason}; \
             `genops telemetry resend` sends them again"
        ));
    }

    /// Waits before something is tried again: for as long as the collector asks, or longer each time.
    async fn put_off(&mut self, reason: &str, after: Option<Duration>, pause: &mut Duration) {
        self.tell_trouble(reason);
        // That it failed has been told.
        let _ = self.note_place();
        if self.is_closing() {
            // Until the outbox is out of time.
            tokio::time::sleep(RETRY.0).await;
        } else {
            self.pause(asked_for(after, *pause)).await;
            *pause = (*pause * 2).min(RETRY.1);
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
mod tests;
