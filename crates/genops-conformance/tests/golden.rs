//! What the checker says of the golden captures, one for each state that an AWU's life can come to.
//!
//! The captures stand in `captures/`, for people to read. What breaks them stands in `mutants/`.

mod common;
#[path = "common/goldens.rs"]
mod goldens;
#[path = "common/rollups.rs"]
mod rollups;

use std::collections::BTreeSet;

use common::{Capture, How, PARTIAL};
use genops_conformance::awu::State;
use genops_conformance::level::{Claim, Level};
use goldens::FULL;

/// A golden capture, the states of its AWUs, and the level that it reaches.
struct Golden {
    name: &'static str,
    states: &'static [State],
    level: Level,
    /// The statements that it breaks by itself; those that sum up others are derived.
    fails: &'static [&'static str],
}

use State::{ExecutedComplete, RefusedBeforeReservation, StoppedAfterReservation};

const fn full(name: &'static str, states: &'static [State]) -> Golden {
    Golden { name, states, level: Level::Full, fails: &[] }
}

const GOLDENS: &[Golden] = &[
    full("allowed", &[ExecutedComplete]),
    full("warning", &[ExecutedComplete]),
    full("blocked", &[RefusedBeforeReservation]),
    full("rate_limited", &[RefusedBeforeReservation]),
    full("stopped_after_reservation", &[StoppedAfterReservation]),
    full("failed_upstream", &[ExecutedComplete]),
    full("settled_without_measurement", &[ExecutedComplete]),
    full("sla_met", &[ExecutedComplete]),
    full("sla_missed", &[ExecutedComplete]),
    full("retry", &[RefusedBeforeReservation, ExecutedComplete]),
    full("optional_events", &[ExecutedComplete]),
    full("extension_reason_code", &[ExecutedComplete]),
    Golden {
        name: PARTIAL,
        states: &[ExecutedComplete],
        level: Level::Partial,
        // It keeps no reservations and tells no events: sections 2.4, 3.3 and 7.2, which partial compliance leaves out.
        fails: &["AWU-2.4-3", "ACC-3.3-1", "ACC-3.3-2", "ACC-3.3-6", "EVT-7.2-1", "EVT-7.2-2", "EVT-7.2-3"],
    },
];

#[test]
fn every_golden_capture_is_judged_as_declared() {
    for golden in GOLDENS {
        let claim = if golden.level == Level::Full { Claim::Full } else { Claim::Partial };
        let said = How::claiming(claim).judge(&Capture::golden(golden.name).documents);
        let leaves: BTreeSet<&str> = golden.fails.iter().copied().collect();
        assert_eq!(said.fails, rollups::closure(&leaves, Some(claim)), "{}: what fails", golden.name);
        assert_eq!(said.advises, BTreeSet::new(), "{}: what is worth a look", golden.name);
        assert_eq!(rollups::leaves(&said.unclear), BTreeSet::new(), "{}: what is inconclusive", golden.name);
        assert_eq!(said.standing.level, golden.level, "{}", golden.name);
        assert_eq!(said.standing.claim_holds, Some(true), "{}", golden.name);
        let count = |state| golden.states.iter().filter(|other| **other == state).count() as u64;
        assert_eq!(said.states, State::ALL.map(count), "{}: states", golden.name);
    }
}

#[test]
fn every_golden_capture_is_declared_once() {
    let declared: Vec<&str> = GOLDENS.iter().map(|golden| golden.name).collect();
    let known: Vec<&str> = FULL.iter().copied().chain([PARTIAL]).collect();
    assert_eq!(declared, known);
}

#[test]
fn together_they_are_full_verified_and_without_advisory() {
    let said = How::claiming(Claim::Full).judge(&goldens::together(FULL).documents);
    assert_eq!(said.fails, BTreeSet::new());
    assert_eq!(said.advises, BTreeSet::new());
    assert_eq!(said.standing.level, Level::Full);
    let unseen: Vec<&str> = said.standing.unseen.iter().map(|id| id.requirement().id).collect();
    assert_eq!(unseen, Vec::<&str>::new());
    assert!(said.standing.verified);
    assert_eq!(said.standing.claim_holds, Some(true));
}
