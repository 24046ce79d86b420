//! Section 6: all four attributes or none, each of its type, and the flag says what the numbers say.

use crate::edit::{POLICY, REASON_CODE, RESULT, boolean, int, text};
use crate::mutant::{BESIDE_DROPPED_ATTRIBUTES, Mutant, mutant};

const TIER: &str = "genops.sla.tier";
const TARGET: &str = "genops.sla.latency_target_ms";
const MEASURED: &str = "genops.sla.actual_latency_ms";
const MET: &str = "genops.sla.met";

pub fn mutants() -> Vec<Mutant> {
    [subsets(), values(), comparison()].into_iter().flatten().collect()
}

fn subsets() -> Vec<Mutant> {
    let violation = [(RESULT, text("BLOCKED")), (REASON_CODE, text("SLA_LATENCY_VIOLATION"))];
    vec![
        mutant("sla_met", "the tier is missing", |c| {
            c.awu().remove(TIER);
        })
        .fails("SLA-6.3-1 OPT-7.3-8"),
        mutant("sla_met", "the target is missing", |c| {
            c.awu().remove(TARGET);
        })
        .fails("SLA-6.3-2 OPT-7.3-8"),
        mutant("sla_met", "the measured latency is missing", |c| {
            c.awu().remove(MEASURED);
        })
        .fails("SLA-6.3-3 OPT-7.3-8"),
        mutant("sla_met", "the flag is missing", |c| {
            c.awu().remove(MET);
        })
        .fails("SLA-6.3-4 OPT-7.3-8"),
        mutant("sla_met", "only the flag is there", |c| {
            c.awu().remove(TIER).remove(TARGET).remove(MEASURED);
        })
        .fails("SLA-6.3-1 SLA-6.3-2 SLA-6.3-3 OPT-7.3-8"),
        mutant("blocked", "a refusal for its latency has no SLA attributes", move |c| {
            c.awu().set_all(&violation).event(POLICY).set_all(&violation);
        })
        .fails("SLA-6.3-1 SLA-6.3-2"),
        mutant("blocked", "a refused AWU has a tier and no target", |c| {
            c.awu().set(TIER, text("premium"));
        })
        .fails("SLA-6.3-2 OPT-7.3-8"),
        mutant("sla_met", "the attributes may be among those that were left out", |c| {
            c.awu().remove(TIER).field("droppedAttributesCount", 1);
        })
        .unclear("SLA-6.3-1 OPT-7.3-8")
        .unclear(BESIDE_DROPPED_ATTRIBUTES),
        mutant("sla_met", "there is another dimension than latency", |c| {
            c.awu().set("genops.sla.throughput_target", int(5));
        })
        .advises("SLA-6.2-1 VER-11-1"),
    ]
}

fn values() -> Vec<Mutant> {
    vec![
        mutant("sla_met", "the tier is an integer", |c| {
            c.awu().set(TIER, int(1));
        })
        .fails("SLA-6.3-1 VER-11-1"),
        mutant("sla_met", "the target is text", |c| {
            c.awu().set(TARGET, text("2000"));
        })
        .fails("SLA-6.3-2 VER-11-1"),
        mutant("sla_met", "the target is not above zero", |c| {
            c.awu().set(TARGET, int(0)).set(MET, boolean(false));
        })
        .fails("SLA-6.3-2"),
        mutant("sla_met", "the measured latency is below zero", |c| {
            c.awu().set(MEASURED, int(-1));
        })
        .fails("SLA-6.3-3"),
        mutant("sla_met", "the measured latency is text", |c| {
            c.awu().set(MEASURED, text("1870"));
        })
        .fails("SLA-6.3-3 VER-11-1"),
        mutant("sla_met", "the measured latency is far from the span's duration", |c| {
            c.awu().set(MEASURED, int(12));
        })
        .advises("SLA-6.3-3"),
        mutant("sla_met", "the flag is text", |c| {
            c.awu().set(MET, text("true"));
        })
        .fails("SLA-6.3-4 VER-11-1"),
    ]
}

fn comparison() -> Vec<Mutant> {
    vec![
        mutant("sla_met", "one millisecond over the target counts as met", |c| {
            c.awu().set(TARGET, int(1_869));
        })
        .fails("SLA-6.3-5"),
        mutant("sla_met", "exactly on the target counts as missed", |c| {
            c.awu().set(TARGET, int(1_870)).set(MET, boolean(false));
        })
        .fails("SLA-6.3-5"),
        mutant("sla_missed", "a missed target counts as met", |c| {
            c.awu().set(MET, boolean(true));
        })
        .fails("SLA-6.3-5")
        .advises("RSN-5.2-1"),
    ]
}
