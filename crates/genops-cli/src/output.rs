//! The one way in which the program writes to standard output.
//!
//! Whoever closes it early (`| head`) has seen enough: what would follow is dropped, and that is no trouble. Any other fault
//! is kept until the end, since what was asked may have been done all the same.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use crate::Trouble;

/// The first fault.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line, put together as by `format!`.
macro_rules! say {
    () => { $crate::output::line("") };
    ($($text:tt)*) => { $crate::output::line(&format!($($text)*)) };
}

pub(crate) use say;

/// Writes a line.
pub fn line(text: &str) {
    write(&format!("{text}\n"));
}

/// Writes all of an answer.
///
/// # Errors
///
/// Something could not be written.
pub fn print_all(text: &str) -> Result<(), Trouble> {
    write(text);
    finish()
}

/// Writes text as it is.
pub fn write(text: &str) {
    let mut out = io::stdout().lock();
    keep(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// The names of files.
pub fn named(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What was kept, as trouble.
///
/// # Errors
///
/// Something could not be written.
pub fn finish() -> Result<(), Trouble> {
    match FAULT.lock().map(|mut fault| fault.take()) {
        Ok(Some(error)) => Err(Trouble::failed(format!("cannot write to standard output: {error}"))),
        _ => Ok(()),
    }
}

fn keep(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && let Ok(mut fault) = FAULT.lock()
    {
        fault.get_or_insert(error);
    }
}
