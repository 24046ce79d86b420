//! `genops config`: looking at configurations before they are used. What they mean is worked out elsewhere.

use std::path::Path;
use std::process::ExitCode;

use genops_gateway::config::{Change, SAMPLE, diff, schema};
use serde::Serialize;

use crate::arguments::{ConfigCommand, Format};
use crate::output::print_all;
use crate::{Trouble, read, serve};

/// Runs one of the commands.
pub fn run(command: &ConfigCommand) -> Result<ExitCode, Trouble> {
    match command {
        ConfigCommand::Check { config } => serve::check(config)?,
        ConfigCommand::Diff { old, new, format } => return compare(old, new, *format),
        ConfigCommand::Sample => print_all(SAMPLE)?,
        ConfigCommand::Schema => read::print_json(&schema())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What programs are told of a change.
#[derive(Serialize)]
struct Difference {
    /// Whether both mean the same.
    same: bool,
    /// Otherwise what is different, in the order of the file.
    changes: Vec<Change>,
}

/// Says what it means to change from one configuration to another; the exit code says whether it means anything.
fn compare(old: &Path, new: &Path, format: Format) -> Result<ExitCode, Trouble> {
    let changes = diff(&serve::read(old)?, &serve::read(new)?);
    let same = changes.is_empty();
    if format == Format::Json {
        read::print_json(&Difference { same, changes })?;
    } else if same {
        print_all("both mean the same\n")?;
    } else {
        print_all(&changes.iter().map(|change| format!("{change}\n")).collect::<String>())?;
    }
    Ok(ExitCode::from(u8::from(!same)))
}
