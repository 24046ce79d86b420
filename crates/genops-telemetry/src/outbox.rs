//! The outbox: one follower for each destination and signal walks the journal behind the writer, encodes,
//! sends, and moves its cursor over what was acknowledged.
//!
//! A collector that is down delays and loses nothing: the records wait in the journal. After a restart a
//! follower goes on from its cursor. What a destination rejects for good is noted as a dead letter.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use genops_core::AwuId;
use genops_core::cursor::{Cursor, DeadLetter};
use genops_core::record::{AwuRecord, Journaled};
use tokio::sync::watch;

use crate::destination::{Batch, Delivery, Destination, Way};
use crate::signal::{Signal, admission_logs, ending_logs, spans};

/// What the outbox needs of whoever keeps the journal. Calls may block for as long as a disk does.
pub trait Source: Send + Sync + 'static {
    /// Opens a reader of the journal.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn entries(&self) -> Result<Box<dyn Entries>, String>;

    /// Where a follower stands.
    ///
    /// # Errors
    ///
    /// In words for people.
    fn cursor(&self, follower: &str) -> Result<Cursor, String>;

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
}

/// The followers, at work on a thread of their own. Dropping it stops them where they stand.
#[derive(Debug)]
pub struct Outbox {
    closing: watch::Sender<bool>,
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
    /// Starts a follower for each destination and signal. `durable` is the last durable entry; `on_thread` is
    /// called on the followers' thread before they begin.
    ///
    /// # Errors
    ///
    /// A destination cannot be opened, the journal cannot be read, or no thread can be had.
    pub fn start(
        source: &Arc<dyn Source>,
        destinations: &[Destination],
        resource: Vec<(&'static str, String)>,
        durable: &watch::Receiver<u64>,
        on_thread: fn(),
    ) -> Result<Self, String> {
        let (closing, closes) = watch::channel(false);
        let resource: Arc<[_]> = resource.into();
        let mut followers = Vec::new();
        for (destination, signal) in destinations.iter().flat_map(|to| Signal::ALL.map(|signal| (to, signal)))
        {
            let source = Arc::clone(source);
            let resource = Arc::clone(&resource);
            followers.push(Follower::new(
                source,
                destination,
                signal,
                resource,
                durable.clone(),
                closes.clone(),
            )?);
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
        Ok(Self { closing, thread: Some(thread) })
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

struct Follower {
    source: Arc<dyn Source>,
    entries: Box<dyn Entries>,
    name: String,
    way: Way,
    walk: Walk,
    resource: Arc<[(&'static str, String)]>,
    request_bytes_max: usize,
    durable: watch::Receiver<u64>,
    closes: watch::Receiver<bool>,
    troubled: bool,
}

/// A request that is ready to be sent.
struct Parcel {
    payload: Bytes,
    records: u64,
    after: u64,
    cursor: Cursor,
}

impl Follower {
    fn new(
        source: Arc<dyn Source>,
        destination: &Destination,
        signal: Signal,
        resource: Arc<[(&'static str, String)]>,
        durable: watch::Receiver<u64>,
        closes: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let name = destination.follower(signal);
        let way = destination.open(signal).map_err(|error| format!("{name}: {error}"))?;
        let walk = Walk::from(signal, source.cursor(&name)?);
        let entries = source.entries()?;
        let request_bytes_max = REQUEST_BYTES_MAX;
        let troubled = false;
        Ok(Self { source, entries, name, way, walk, resource, request_bytes_max, durable, closes, troubled })
    }

    /// Sends what there is, waits for more, until the outbox closes.
    async fn follow(mut self) {
        loop {
            match self.gather() {
                Ok(Some(parcel)) => {
                    let small = parcel.payload.len() < self.request_bytes_max / 2;
                    self.deliver(parcel).await;
                    if small {
                        self.pause(GATHER).await;
                    }
                }
                Ok(None) if *self.closes.borrow() => return,
                Ok(None) => self.wait_for_entries().await,
                Err(trouble) => {
                    self.source.report(&format!("telemetry to {}: {trouble}", self.name));
                    if *self.closes.borrow() {
                        return;
                    }
                    self.pause(RETRY.1).await;
                }
            }
        }
    }

    /// Fills a request from the journal; `None` where there is nothing to tell.
    fn gather(&mut self) -> Result<Option<Parcel>, String> {
        let after = self.walk.cursor.through;
        let mut batch = self.way.batch(self.walk.signal, self.request_bytes_max);
        loop {
            let entries = self.entries.after(self.walk.position)?;
            let is_end = entries.is_empty();
            for journaled in entries {
                self.walk.take(journaled, &mut batch);
                // One frame may hold more than a request: what is left of it is read again.
                if batch.len() >= self.request_bytes_max {
                    break;
                }
            }
            if is_end || batch.len() >= self.request_bytes_max {
                break;
            }
        }
        let cursor = self.walk.standing();
        if batch.is_empty() {
            if cursor.through > self.walk.cursor.through {
                self.acknowledge(cursor)?;
            }
            return Ok(None);
        }
        let records = batch.count();
        Ok(Some(Parcel { payload: batch.into_payload(&self.resource), records, after, cursor }))
    }

    /// Sends a request until it is taken or rejected for good.
    async fn deliver(&mut self, parcel: Parcel) {
        let mut pause = RETRY.0;
        loop {
            match self.way.deliver(&parcel.payload).await {
                Delivery::Taken => break,
                Delivery::TakenInPart { rejected, reason } => {
                    self.bury(&parcel, rejected, reason);
                    break;
                }
                Delivery::Never { reason } => {
                    self.bury(&parcel, parcel.records, reason);
                    break;
                }
                Delivery::TooLarge if self.request_bytes_max > REQUEST_BYTES_MIN && parcel.records > 1 => {
                    self.request_bytes_max /= 2;
                    self.walk = Walk::from(self.walk.signal, self.walk.cursor);
                    return;
                }
                Delivery::TooLarge => {
                    self.bury(&parcel, parcel.records, "the collector says it is too large".to_owned());
                    break;
                }
                Delivery::Later { after, reason } => {
                    self.tell_trouble(&reason);
                    if *self.closes.borrow() {
                        // Until the outbox is out of time.
                        tokio::time::sleep(RETRY.0).await;
                    } else {
                        self.pause(after.unwrap_or(pause).min(RETRY_AFTER_MAX)).await;
                        pause = (pause * 2).min(RETRY.1);
                    }
                }
            }
        }
        if self.troubled {
            self.troubled = false;
            self.source.report(&format!("telemetry to {} is taken again", self.name));
        }
        if let Err(trouble) = self.acknowledge(parcel.cursor) {
            self.source.report(&format!("telemetry to {}: {trouble}", self.name));
        }
    }

    fn acknowledge(&mut self, cursor: Cursor) -> Result<(), String> {
        self.walk.cursor = cursor;
        self.source.move_cursor(&self.name, cursor)
    }

    fn bury(&self, parcel: &Parcel, records: u64, reason: String) {
        let Parcel { after, cursor: Cursor { through, .. }, .. } = *parcel;
        let notice = format!(
            "telemetry to {}: {records} records of entries {} to {through} were rejected for good: {reason}",
            self.name,
            after + 1
        );
        self.source.report(&notice);
        let letter = DeadLetter { follower: self.name.clone(), after, through, records, reason };
        if let Err(trouble) = self.source.bury(&letter) {
            self.source.report(&format!("telemetry to {}: {trouble}", self.name));
        }
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

    async fn wait_for_entries(&mut self) {
        let position = self.walk.position;
        tokio::select! {
            _ = self.durable.wait_for(|durable| *durable > position) => {}
            _ = self.closes.wait_for(|closing| *closing) => return,
        }
        self.pause(GATHER).await;
    }

    /// Sleeps, but not over the closing of the outbox.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = self.closes.wait_for(|closing| *closing) => {}
        }
    }
}

/// Folds entries into records, and records into what a signal tells.
struct Walk {
    signal: Signal,
    /// What has been acknowledged. Entries up to there are read only to know what is open.
    cursor: Cursor,
    /// The last entry taken in.
    position: u64,
    open: HashMap<AwuId, AwuRecord>,
}

impl Walk {
    fn from(signal: Signal, cursor: Cursor) -> Self {
        Self { signal, cursor, position: cursor.from.saturating_sub(1), open: HashMap::new() }
    }

    fn take(&mut self, journaled: Journaled, batch: &mut Batch) {
        let Some(awu) = AwuRecord::subject(&journaled.entry.command) else {
            self.position = journaled.entry.sequence;
            return;
        };
        self.position = journaled.entry.sequence;
        let is_new = self.position > self.cursor.through;
        let record = match self.open.remove(&awu) {
            Some(mut record) => {
                record.follow(journaled.entry);
                if is_new && self.signal == Signal::Logs {
                    batch.logs(&ending_logs(&record));
                }
                record
            }
            None => {
                let Some(record) = AwuRecord::begin(journaled) else { return };
                if is_new && self.signal == Signal::Logs {
                    batch.logs(&admission_logs(&record));
                }
                record
            }
        };
        if !record.is_complete() {
            self.open.insert(awu, record);
        } else if is_new && self.signal == Signal::Traces {
            batch.spans(&spans(&record));
        }
    }

    /// The cursor, once everything taken in so far has been acknowledged.
    fn standing(&self) -> Cursor {
        let oldest = self.open.values().map(|record| record.sequence).min();
        Cursor { through: self.position.max(self.cursor.through), from: oldest.unwrap_or(self.position + 1) }
    }
}
