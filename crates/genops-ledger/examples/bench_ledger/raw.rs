//! Raw appends: the same bytes as the ledger's entries, made durable in the same way, and nothing decided.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::Trouble;
use super::closed_loop::{Subject, Written};
use super::house::Sizes;

/// The preallocated file is written from its beginning again when it is full.
const RAW_FILE_BYTES: usize = 64 << 20;

/// Group commit and nothing else: one file, one writer, bytes without meaning.
pub struct RawAppends {
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
    pub fn open(path: &Path, sizes: &Sizes) -> Result<Self, Trouble> {
        let file = preallocated(path)?;
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

/// A file of zeros that are written, not only promised, so that a later write changes no metadata.
fn preallocated(path: &Path) -> Result<File, Trouble> {
    let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() < RAW_FILE_BYTES as u64 {
        let zeros = vec![0; 1 << 20];
        for _ in 0..RAW_FILE_BYTES / zeros.len() {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
    }
    Ok(file)
}
