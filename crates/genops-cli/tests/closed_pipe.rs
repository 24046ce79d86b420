//! Whoever closes standard output early, as `| head` does, has read enough: no command takes that for trouble.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::io;
use std::process::{Command, Output};

use genops::core::awu::Proposal;
use genops::core::budget::Budget;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Attribution, Name, Unit};
use genops::{Admission, Governor, Settings};
use tempfile::TempDir;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A folder with a ledger in which one call was admitted, and its identity.
async fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let budget = Budget::new(name("all"), Unit::Usd, "1".parse().unwrap());
    let policy = Policy { budgets: vec![budget], ..Policy::unrestricted() };
    let settings = Settings::in_file(folder.path().join("genops.db"), policy);
    let (governor, _) = Governor::open(settings).await.unwrap();
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
    let proposal = Proposal {
        bound: Tokens::new(1_000, 1_000),
        price: Some(Price::flat(name("r"), "0.15".parse().unwrap(), "0.6".parse().unwrap())),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("model"))
    };
    let Admission::Admitted(awu) = governor.admit(proposal).await.unwrap() else { panic!("refused") };
    let id = awu.id().to_string();
    awu.release().unwrap();
    governor.close().await.unwrap();
    (folder, id)
}

/// Runs the program with a standard output that nobody reads.
fn unread(folder: &TempDir, arguments: &str) -> Output {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    command.current_dir(folder.path()).args(arguments.split(' ')).stdout(writer);
    command.output().unwrap()
}

#[tokio::test]
async fn no_command_minds_that_nobody_reads_what_it_says() {
    let (folder, awu) = folder().await;
    std::fs::write(folder.path().join("genops.yaml"), "listen: 127.0.0.1:0\n").unwrap();
    let mut commands: Vec<String> = [
        "config sample",
        "config schema",
        "config check genops.yaml",
        "config diff genops.yaml genops.yaml",
        "keys new",
        "prices list",
        "prices search gpt",
        "verify --ledger genops.db",
        "replay --ledger genops.db",
        "export --ledger genops.db",
        "awus --ledger genops.db",
        "budgets --ledger genops.db",
        "estimates --ledger genops.db",
        "telemetry status --ledger genops.db",
    ]
    .map(ToOwned::to_owned)
    .into();
    commands.extend(["show", "explain"].map(|command| format!("{command} {awu} --ledger genops.db")));
    let listings = ["verify", "replay", "awus", "budgets", "estimates"];
    commands.extend(listings.map(|command| format!("{command} --ledger genops.db --format json")));
    for arguments in commands {
        let Output { status, stderr, .. } = unread(&folder, &arguments);
        let told = String::from_utf8_lossy(&stderr);
        assert!(status.success() && told.is_empty(), "{arguments}: {status}: {told}");
        let read = Command::new(env!("CARGO_BIN_EXE_genops"))
            .current_dir(folder.path())
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(!read.stdout.is_empty(), "{arguments} says nothing, so it shows nothing here");
    }
}

/// A full disk is trouble, and is told at the end.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_for_another_reason_is_trouble() {
    for arguments in ["keys new", "config sample", "prices list"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
        let output = command.args(arguments.split(' ')).stdout(full).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {told}");
        assert!(told.starts_with("genops: cannot write to standard output"), "{told}");
    }
}
