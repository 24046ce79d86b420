//! The faults, each with the line that it changes and the test that has to notice.
//!
//! Each is a mistake that a person could make in one line, and breaks one promise of the design.

/// One fault.
#[derive(Debug)]
pub struct Fault {
    pub name: &'static str,
    /// What is wrong with it, for people.
    pub what: &'static str,
    pub file: &'static str,
    /// Stands exactly once in the file.
    pub find: &'static str,
    pub put: &'static str,
    /// Arguments of `cargo test`.
    pub test: &'static [&'static str],
}

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "skip-the-sync",
        what: "commits do not reach the disk before they are acknowledged",
        file: "crates/genops-ledger/src/sqlite.rs",
        find: r#"connection.pragma_update(None, "synchronous", "FULL")?;"#,
        put: r#"connection.pragma_update(None, "synchronous", "OFF")?;"#,
        test: &["-p", "genops-cli", "--test", "power_loss"],
    },
    Fault {
        name: "settle-zero",
        what: "a settlement charges nothing",
        file: "crates/genops-core/src/ledger.rs",
        find: "actual.push(amount);",
        put: "actual.push(Amount::ZERO);",
        test: &["-p", "genops-core", "--test", "books"],
    },
    Fault {
        name: "check-without-reserving",
        what: "an admission checks the budget and reserves nothing",
        file: "crates/genops-core/src/ledger/books.rs",
        find: "cell.standing.out = cell.standing.out.checked_add(step.amount)?;",
        put: "",
        test: &["-p", "genops-core", "--test", "books"],
    },
    Fault {
        name: "drop-an-event",
        what: "the reconciliation is not told",
        file: "crates/genops-core/src/event.rs",
        find: "events.push(Event { name: event::BUDGET_RECONCILIATION.name, at: ending.at, facts });",
        put: "drop(facts);",
        test: &["-p", "genops-telemetry", "--test", "encoding"],
    },
    Fault {
        name: "acknowledge-early",
        what: "an entry is acknowledged when it is applied, not when it is durable",
        file: "crates/genops-ledger/src/ledger.rs",
        find: "if sequence <= state.durable {",
        put: "if sequence <= state.books.sequence() {",
        test: &["-p", "genops-ledger", "--test", "ledger"],
    },
    Fault {
        name: "forget-the-orphans",
        what: "recovery counts what a dead process left open, and resolves none of it",
        file: "crates/genops-ledger/src/recover.rs",
        find: "last = Some(ledger.submit(wall, Command::Orphan { awu })?);",
        put: "if recovered.entries == 0 { last = Some(ledger.submit(wall, Command::Orphan { awu })?); }",
        test: &["-p", "genops-ledger"],
    },
    Fault {
        name: "refund-in-doubt",
        what: "an AWU in doubt gets its reservation back",
        file: "crates/genops-core/src/ledger/books.rs",
        find: "cell.standing.used = cell.standing.used.checked_add(*reserved)?;",
        put: "",
        test: &["-p", "genops-core", "--test", "books"],
    },
    Fault {
        name: "break-the-chain",
        what: "a frame's hash is not compared with its content",
        file: "crates/genops-ledger/src/frame.rs",
        find: "} else if self.hash != self.expected_hash() {",
        put: "} else if self.hash == Digest::ZERO {",
        test: &["-p", "genops-ledger"],
    },
    Fault {
        name: "limit-not-written",
        what: "the provider is not told the output limit that was reserved for",
        file: "crates/genops-gateway/src/call.rs",
        find: "        write_limit(&mut edits, &fields, route.limit_field, limit);\n",
        put: "        let _ = (&write_limit, limit);\n",
        test: &["-p", "genops-gateway", "--lib"],
    },
    Fault {
        name: "hang-up-is-free",
        what: "a stream whose caller hangs up is settled as if it had used nothing",
        file: "crates/genops-gateway/src/stream.rs",
        find: "                None => Used::Unknown,",
        put: "                None => Used::Nothing,",
        test: &["-p", "genops-gateway", "--test", "governed", "streams"],
    },
    Fault {
        name: "first-usage-wins",
        what: "a stream that reports usage as it goes is charged by its first report",
        file: "crates/genops-gateway/src/meter.rs",
        find: "self.seen.usage = Some(tokens);",
        put: "self.seen.usage = self.seen.usage.or(Some(tokens));",
        test: &["-p", "genops-gateway", "--test", "governed", "streams"],
    },
    Fault {
        name: "unknown-fields-pass",
        what: "a field that nobody knows is taken to cost nothing",
        file: "crates/genops-gateway/src/call/fields.rs",
        find: "            self.unknown.push(key);",
        put: "            drop(key);",
        test: &["-p", "genops-gateway", "--lib"],
    },
    Fault {
        name: "cursor-runs-ahead",
        what: "telemetry that a collector could not take now counts as delivered",
        file: "crates/genops-telemetry/src/outbox.rs",
        find: "Delivery::Taken => break,",
        put: "Delivery::Taken | Delivery::Later { .. } => break,",
        test: &["-p", "genops", "--test", "telemetry"],
    },
    Fault {
        name: "price-rounded-down",
        what: "a cost is rounded in the caller's favour",
        file: "crates/genops-core/src/price.rs",
        find: "Some(Amount::from_atoms(millionths.checked_add(PER - 1)?.div_euclid(PER)))",
        put: "Some(Amount::from_atoms(millionths.div_euclid(PER)))",
        test: &["-p", "genops-core", "--lib"],
    },
    Fault {
        name: "bound-below-the-tier",
        what: "a call that ends in a dearer tier is reserved at the price below it",
        file: "crates/genops-core/src/price.rs",
        find: "filter(|tier| most.input > tier.above)",
        put: "filter(|tier| most.input > tier.above.saturating_mul(2))",
        test: &["-p", "genops-core", "--lib"],
    },
    Fault {
        name: "placeholder-accepted",
        what: "work may belong to a team called `unknown`",
        file: "crates/genops-core/src/attribution.rs",
        find: "PLACEHOLDERS.iter().any(|word| word.eq_ignore_ascii_case(text))",
        put: "PLACEHOLDERS.iter().all(|word| word.eq_ignore_ascii_case(text))",
        test: &["-p", "genops-core", "--lib"],
    },
    Fault {
        name: "guard-forgets",
        what: "an AWU that nobody ended stays open",
        file: "crates/genops/src/awu.rs",
        find: "let _ = self.submit(command);",
        put: "drop(command);",
        test: &["-p", "genops", "--test", "governor"],
    },
];
