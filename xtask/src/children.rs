//! Child processes: started with a guard that stops them, waited for, and asked over HTTP.
//!
//! Whatever is started as [`Running`] is stopped when its guard goes away, on failure too. What is started,
//! and what for, is known to the tasks alone.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process;

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a child may take to end after SIGTERM before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// As much of a log as an error shows.
const SHOWN_LOG_LINES: usize = 20;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

// === Children that run until they are stopped ===

/// A child that runs until this is dropped. Its output goes to a log file, and its standard input is an
/// open pipe that ends with it.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, String> {
        let cannot_log = |error| format!("cannot write `{}`: {error}", log.display());
        let output = File::create(log).map_err(cannot_log)?;
        let errors = output.try_clone().map_err(cannot_log)?;
        let spawned = command.stdin(Stdio::piped()).stdout(output).stderr(errors).spawn();
        let child = spawned.map_err(|error| cannot_start(command, &error))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the child answers `path` on `port` with 200.
    pub fn wait_until_it_answers(&mut self, port: u16, path: &str, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            if get(port, path).is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                return Err(self.explained(&format!("ended with {status} before it answered")));
            }
            if Instant::now() > deadline {
                let what = format!("did not answer `{path}` within {} s", within.as_secs());
                return Err(self.explained(&what));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the child ends by itself; `None` if it does not, and then it runs on.
    pub fn wait_until_it_ends(&mut self, within: Duration) -> Result<Option<ExitStatus>, String> {
        let deadline = Instant::now() + within;
        loop {
            let ended = self.ended()?;
            if ended.is_some() || Instant::now() > deadline {
                return Ok(ended);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks the child to end, and waits for that.
    pub fn stop(mut self) -> Result<ExitStatus, String> {
        if let Some(status) = self.ended()? {
            return Err(self.explained(&format!("had ended with {status} before it was stopped")));
        }
        terminate(&[self.id()]);
        match self.wait_until_it_ends(STOP_WITHIN)? {
            Some(status) => Ok(status),
            None => Err(self.explained(&format!("did not end within {} s", STOP_WITHIN.as_secs()))),
        }
    }

    /// Stops what runs below the child, such as a test below cargo; the child then ends by itself.
    pub fn stop_descendants(&self) {
        terminate(&process::descendants(self.id()));
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| format!("cannot wait for {}: {error}", self.name))
    }

    /// What happened to the child, with the end of its log.
    fn explained(&self, what: &str) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(SHOWN_LOG_LINES)..).unwrap_or_default();
        format!("{} {what}; the end of `{}`:\n{}", self.name, self.log.display(), end.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(Some(_))) {
            return;
        }
        terminate(&[self.id()]);
        if !matches!(self.wait_until_it_ends(STOP_WITHIN), Ok(Some(_))) {
            // Whatever is wrong with it, nothing more can be done from here.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Sends SIGTERM. The shell does it, since the standard library cannot; a process that is gone is no error.
fn terminate(ids: &[u32]) {
    if ids.is_empty() {
        return;
    }
    let ids = ids.iter().map(u32::to_string);
    let mut command = Command::new("sh");
    command.args(["-c", "kill -TERM \"$@\"", "sh"]).args(ids);
    drop(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
}

// === Children that end by themselves ===

/// Whether a program can be started; it has to know `--version`.
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command whose output people see.
pub fn run(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` ended with {status}", program(command))),
        Err(error) => Err(cannot_start(command, &error)),
    }
}

/// Runs a command, and gives what it printed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` ended with {}: {}", program(command), output.status, errors.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{}` prints bytes, not text", program(command)))
}

/// Cargo in the repository, without what describes xtask itself.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in env::vars_os() {
        if is_about_xtask(&name.to_string_lossy()) {
            command.env_remove(&name);
        }
    }
    command
}

/// Variables `cargo run` sets to describe xtask itself. Handed on, they make the build script of `ring`
/// believe its package changed, and everything above it builds again (rust-lang/cargo#16134).
fn is_about_xtask(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", program(command))
}

// === Ports and answers ===

/// Ports on which nothing listens, all different. Somebody else may take one before it is used; then the
/// child that should have had it says so.
pub fn free_ports<const N: usize>() -> Result<[u16; N], String> {
    let cannot = |error: &std::io::Error| format!("cannot find a free port: {error}");
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        let listener = listener.as_ref().map_err(cannot)?;
        *port = listener.local_addr().map_err(|error| cannot(&error))?.port();
    }
    Ok(ports)
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Asks a server on loopback. By HTTP/1.0, so that the body ends with the connection.
pub fn get(port: u16, path: &str) -> Result<Answer, String> {
    let cannot = |error| format!("`{path}` on port {port}: {error}");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).map_err(cannot)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(cannot)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(cannot)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(cannot)?;
    parse_answer(&answer).ok_or_else(|| format!("`{path}` on port {port}: the answer is not HTTP"))
}

fn parse_answer(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

// === Folders ===

/// The folder that cargo builds into.
pub fn target_folder(root: &Path) -> Result<PathBuf, String> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .map_err(|error| format!("`cargo metadata` cannot read the workspace: {error}"))?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Makes a folder that is empty.
pub fn make_empty(folder: &Path) -> Result<(), String> {
    let cannot = |error| format!("cannot make the folder `{}` empty: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(cannot)?;
    }
    fs::create_dir_all(folder).map_err(cannot)
}

pub fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        env::temp_dir().join(format!("xtask-children-{}-{name}.log", std::process::id()))
    }

    #[test]
    fn only_what_describes_xtask_is_kept_from_cargo() {
        for (variable, kept_back) in [
            ("CARGO_PKG_NAME", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_HOME", false),
            ("CARGO_TARGET_DIR", false),
            ("CARGO", false),
            ("PATH", false),
        ] {
            assert_eq!(is_about_xtask(variable), kept_back, "{variable}");
        }
    }

    #[test]
    fn a_child_is_stopped_with_its_guard() {
        let log = log("stopped");
        let child = Running::start("sleep", Command::new("sleep").arg("600"), &log).unwrap();
        let id = child.id();
        assert!(Path::new(&format!("/proc/{id}")).exists());
        drop(child);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_child_that_ends_too_early_shows_its_log() {
        let log = log("early");
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let mut child = Running::start("the server", &mut command, &log).unwrap();
        let [port] = free_ports().unwrap();
        let trouble = child.wait_until_it_answers(port, "/", Duration::from_secs(10)).unwrap_err();
        assert!(trouble.starts_with("the server ended with exit status: 3"), "{trouble}");
        assert!(trouble.ends_with("the reason"), "{trouble}");
        assert!(child.stop().is_err());
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn answers_are_read() {
        let answer = parse_answer("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbytes 7\n");
        assert_eq!(answer, Some(Answer { status: 200, body: "bytes 7\n".to_owned() }));
        assert_eq!(parse_answer("HTTP/1.0 503 Busy\r\n\r\n").map(|answer| answer.status), Some(503));
        for bad in ["", "HTTP/1.1 200 OK", "SMTP ready\r\n\r\n"] {
            assert_eq!(parse_answer(bad), None, "{bad}");
        }
    }

    #[test]
    fn free_ports_differ() {
        let [one, two, three] = free_ports().unwrap();
        assert!(one != two && two != three && one != three && one > 0);
    }
}
