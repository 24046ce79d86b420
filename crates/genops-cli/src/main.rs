//! The program `genops`: arguments, environment, signals and exit codes. Everything else is in the crates
//! below.
//!
//! In reading order: [`arguments`], [`serve`], [`watch`], [`config`], [`demo`], [`read`] (budgets, awus, show), [`telemetry`],
//! [`erase`], [`export`], [`archive`], [`verify`], [`receipt`], [`replay`], [`simulate`], [`audit`], [`keys`], [`prices`],
//! [`check`], [`explain`], with [`output`], [`table`] and [`client`] for those that show something.
#![expect(
    clippy::print_stderr,
    reason = "this is the program: standard error is for trouble; standard output is written in `output`"
)]

mod arguments;

mod serve;

mod watch;

mod config;

mod demo;

mod read;

mod telemetry;

mod erase;

mod export;

mod archive;

mod verify;

mod receipt;

mod replay;

mod simulate;

mod audit;

mod keys;

mod prices;

mod check;
mod explain;

mod client;
mod output;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, KeysCommand, TelemetryCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trouble, in words for people, and the exit code that it ends in.
#[derive(Debug)]
pub struct Trouble {
    message: String,
    code: u8,
}

#[expect(clippy::needless_pass_by_value, reason = "both are handed to `map_err`, which gives the error away")]
impl Trouble {
    /// Something went wrong while the program ran: exit code 1.
    pub fn failed(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// The program was asked something that it cannot do: exit code 2.
    pub fn unusable(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: 2 }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(arguments.command));
    match done.and_then(|code| output::finish().map(|()| code)) {
        Ok(code) => code,
        Err(trouble) => {
            complain(&trouble.message);
            ExitCode::from(trouble.code)
        }
    }
}

/// Tells people of trouble. Who has closed standard error does not want to know.
fn complain(message: &str) {
    drop(writeln!(std::io::stderr(), "genops: {message}"));
}

/// On one or two processors a single thread serves more: the ledger and the outbox have threads of their
/// own, and handing calls from thread to thread costs more than it wins there (`docs/performance.md`).
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = match processors {
        1 | 2 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

async fn run(command: Command) -> Result<ExitCode, Trouble> {
    let done = match command {
        // What was judged may end in an exit code without being trouble.
        Command::Check(checking) => return check::run(&checking).await,
        Command::Audit(auditing) => return audit::run(&auditing),
        Command::Config { command } => return config::run(&command),
        Command::Explain(naming) => explain::run(&naming).await,
        Command::Serve(arguments) if arguments.demo => demo::run().await,
        Command::Serve(arguments) => serve::run(&arguments.config).await,
        Command::Estimates(source) => read::estimates(&source).await,
        Command::Budgets(source) => read::budgets(&source).await,
        Command::Awus(listing) => read::awus(&listing).await,
        Command::Show(showing) => read::show(&showing).await,
        Command::Simulate(simulating) => simulate::run(&simulating),
        Command::Export(exporting) => export::run(&exporting),
        Command::Archive(archiving) => archive::run(&archiving).await,
        Command::Verify(verification) => verify::run(&verification),
        Command::Replay(recorded) => replay::run(&recorded),
        Command::Receipt(receipting) => receipt::run(&receipting),
        Command::Erase(erasing) => erase::run(&erasing).await,
        Command::Telemetry { command: TelemetryCommand::Status(source) } => telemetry::status(&source).await,
        Command::Telemetry { command: TelemetryCommand::Resend(resending) } => {
            telemetry::resend(&resending).await
        }
        Command::Telemetry { command: TelemetryCommand::Forget(forgetting) } => {
            telemetry::forget(&forgetting)
        }
        Command::Prices { command } => prices::run(&command),
        Command::Keys { command: KeysCommand::New(new) } => keys::run(&new),
    };
    done.map(|()| ExitCode::SUCCESS)
}
