//! The server as a process of its own, and the lines that it prints. What it serves, and who asks it, is not known here.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_genops");

/// How long anything may take that is waited for. Reached only where something is broken.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a server says before the address where it is called.
const LISTENS: &str = " listens on ";

/// A running server. Dropping it is `kill -9`.
pub struct Process {
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grows: Condvar,
}

impl Process {
    /// Starts the process, and waits for nothing.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::<Output>::default();
        output.read(child.stdout.take().unwrap());
        output.read(child.stderr.take().unwrap());
        Self { child, output }
    }

    /// Waits until callers are answered, and says where: `http://127.0.0.1:4100`. Blocks.
    pub fn origin(&self) -> String {
        let lines = self.says(LISTENS, 0);
        lines.last().and_then(|line| line.split_once(LISTENS)).unwrap().1.to_owned()
    }

    /// Waits for a line that holds this, behind the first `after`; gives the lines from there to it. Blocks.
    pub fn says(&self, part: &str, after: usize) -> Vec<String> {
        let until = |lines: &[String]| {
            let found = lines.iter().skip(after).position(|line| line.contains(part))?;
            Some(lines.iter().skip(after).take(found + 1).cloned().collect())
        };
        let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |lines: &mut Vec<String>| until(lines).is_none();
        let waited = self.output.grows.wait_timeout_while(lines, PATIENCE, waits);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(said) = until(&lines) else { panic!("`{part}` was not said:\n{}", lines.join("\n")) };
        said
    }

    /// Sends the process a signal, as `kill` calls it.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Tells the process to stop, and waits until it has: it must end well. Blocks.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not stop:\n{}", self.output.text());
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "the server ended with {status}:\n{}", self.output.text());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// Keeps every line that comes.
    fn read(self: &Arc<Self>, from: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                output.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                output.grows.notify_all();
            }
        });
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
