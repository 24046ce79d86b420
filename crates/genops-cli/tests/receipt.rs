//! `genops keys new --signing`, `genops receipt` and `genops receipt verify`, from a ledger file to an exit code.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use genops::core::awu::Proposal;
use genops::core::budget::Budget;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Attribution, Name, Unit};
use genops::{Admission, Governor, Settings};

fn genops(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    command.args(arguments).current_dir(place).output().unwrap()
}

/// What it said, and that it ended in this exit code.
#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// A ledger with an admission and a refusal, and their identities.
async fn ledger(path: &Path) -> [String; 2] {
    let name = |text: &str| Name::new(text).unwrap();
    let budget = Budget::new(name("all"), Unit::Usd, "0.001".parse().unwrap());
    let policy = Policy { budgets: vec![budget], ..Policy::unrestricted() };
    let (governor, _) = Governor::open(Settings::in_file(path, policy)).await.unwrap();
    let attribution = Attribution::new(Some("Zürich"), Some("ranking"), Some("test")).unwrap();
    let price = Price::flat(name("list"), "0.15".parse().unwrap(), "0.6".parse().unwrap());
    let proposal = Proposal {
        bound: Tokens::new(1_000, 1_000),
        price: Some(price),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("model"))
    };
    let mut awus = Vec::new();
    for fits in [true, false] {
        let (id, admitted) = match governor.admit(proposal.clone()).await.unwrap() {
            Admission::Admitted(awu) => (awu.id(), Some(awu)),
            Admission::Refused(refusal) => (refusal.id(), None),
        };
        assert_eq!(admitted.is_some(), fits);
        awus.push((id.to_string(), admitted));
    }
    let awus = awus.into_iter().map(|(id, _)| id).collect::<Vec<_>>().try_into().unwrap();
    governor.close().await.unwrap();
    awus
}

#[tokio::test]
async fn a_receipt_goes_from_the_ledger_to_whoever_has_the_public_key() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let [admitted, refused] = ledger(&place.join("genops.db")).await;

    let made = said(&genops(place, &["keys", "new", "--signing"]), 0);
    let public = made.lines().find_map(|line| line.strip_prefix("public key: ")).unwrap();
    let file = place.join("genops-signing.key");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(secret.starts_with("gsk-") && !made.contains(secret.trim()), "the secret is not shown");
    assert!(said(&genops(place, &["keys", "new", "--signing"]), 2).contains("exists already"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret, "and not written over");

    for (awu, result) in [(&admitted, "ALLOWED"), (&refused, "BLOCKED, BUDGET_RESERVATION_FAILED, by all")] {
        let receipt = said(&genops(place, &["receipt", awu, "--signing-key", "genops-signing.key"]), 0);
        std::fs::write(place.join("receipt.json"), &receipt).unwrap();
        let verify = |key: &str| genops(place, &["receipt", "verify", "receipt.json", "--public-key", key]);
        let holds = said(&verify(public), 0);
        for text in ["The receipt holds.", awu, result, "Zürich/ranking/test", "0.00075 USD"] {
            assert!(holds.contains(text), "{text}: {holds}");
        }
        std::fs::write(place.join("public.key"), format!("{public}\n")).unwrap();
        assert_eq!(said(&verify("public.key"), 0), holds);
        assert!(said(&verify(&"0".repeat(64)), 1).contains("it names the key"));

        std::fs::write(place.join("receipt.json"), receipt.replace("Zürich", "Basel")).unwrap();
        let changed = said(&verify(public), 1);
        assert!(changed.contains("`facts.team` says \"Basel\", and the entry says \"Zürich\""), "{changed}");
    }
}

#[tokio::test]
async fn what_cannot_be_given_or_read_is_said_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let [admitted, _] = ledger(&place.join("genops.db")).await;
    said(&genops(place, &["keys", "new", "--signing", "--out", "key"]), 0);
    std::fs::write(place.join("no.json"), "{}").unwrap();
    let (unknown, public) = (format!("{}-{}", "1".repeat(32), "2".repeat(16)), "0".repeat(64));
    let cases: [(&[&str], i32, &str); 9] = [
        (&["receipt", &unknown, "--signing-key", "key"], 1, "no AWU 1111"),
        (&["receipt", "mine", "--signing-key", "key"], 2, "`mine` is not an AWU"),
        (&["receipt", &admitted], 2, "--signing-key"),
        (&["receipt", &admitted, "--signing-key", "missing"], 2, "cannot be read"),
        (&["receipt", &admitted, "--signing-key", "env:GENOPS_NO_SUCH_KEY"], 2, "does not have"),
        (&["receipt", &admitted, "--signing-key", "no.json"], 2, "is not a signing key"),
        (&["receipt", &admitted, "--signing-key", "key", "--ledger", "no.db"], 1, "there is no ledger"),
        (&["receipt", "verify", "no.json", "--public-key", &public], 2, "it is not a receipt"),
        (&["receipt", "verify", "no.json", "--public-key", "ab"], 2, "neither 64 hexadecimal digits"),
    ];
    for (arguments, code, text) in cases {
        let told = said(&genops(place, arguments), code);
        assert!(told.contains(text), "{arguments:?}: {told}");
    }
}
