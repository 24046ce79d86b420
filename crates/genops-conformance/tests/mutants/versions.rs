//! Section 11: the version that is declared, and names that keep their meaning.

use serde_json::json;

use crate::edit::{RESULT, double, int, text};
use crate::mutant::{BESIDE_DROPPED_ATTRIBUTES, Mutant, mutant};

const VERSION: &str = "genops.spec.version";

pub fn mutants() -> Vec<Mutant> {
    [declaration(), one_version(), meaning(), clashes()].into_iter().flatten().collect()
}

/// Sections 11.1 and 11.3.
fn declaration() -> Vec<Mutant> {
    let absent = "ATT-7.1-11 VER-11.1-2 VER-11.3-2";
    let mut mutants = vec![
        mutant("allowed", "no version is declared", |c| {
            c.awu().remove(VERSION);
        })
        .fails(absent),
        mutant("blocked", "a refused AWU declares no version", |c| {
            c.awu().remove(VERSION);
        })
        .fails(absent),
        mutant("allowed", "the version stands on the resource only", |c| {
            c.awu().remove(VERSION);
            c.resource().set(VERSION, text("0.1.0"));
        })
        .fails(absent),
        mutant("allowed", "the version may be among the attributes that were left out", |c| {
            c.awu().remove(VERSION).field("droppedAttributesCount", 3);
        })
        .unclear(absent)
        .unclear(BESIDE_DROPPED_ATTRIBUTES),
        mutant("allowed", "the version is one that the catalogue does not know", |c| {
            c.awu().set(VERSION, text("0.2.0"));
        })
        .fails("VER-11.4-8")
        .unclear("VER-11.1-2"),
    ];
    for version in
        ["0.1", "v0.1.0", "00.1.0", "0.01.0", "0.1.0 ", "0.1.0-rc.1", "0.1.0+build.7", "0.1.0.0", "latest"]
    {
        mutants.push(
            mutant("allowed", format!("the version is {version:?}"), move |c| {
                c.awu().set(VERSION, text(version));
            })
            .fails("ATT-7.1-11 VER-11.1-2 VER-11.3-1"),
        );
    }
    mutants
}

/// Section 11.3: one runtime, one version.
fn one_version() -> Vec<Mutant> {
    let other = |c: &mut crate::common::Capture| {
        c.awu_at(0).set(VERSION, text("0.2.0"));
    };
    vec![
        mutant("retry", "one process declares two versions", other)
            .fails("VER-11.4-8")
            .advises("VER-11.3-5")
            .unclear("VER-11.1-2"),
        mutant("retry", "one process declares two versions, strictly", other)
            .strict()
            .fails("VER-11.4-8 VER-11.3-5")
            .unclear("VER-11.1-2"),
    ]
}

/// Section 11: nothing else under these names.
fn meaning() -> Vec<Mutant> {
    vec![
        mutant("allowed", "an attribute of `genops.` is not the specification's", |c| {
            c.awu().set("genops.carbon.grams", double(0.4));
        })
        .advises("VER-11-1"),
        mutant("allowed", "an event of `genops.` is not the specification's", |c| {
            c.awu().add_event("genops.budget.topped_up", 4, &[]);
        })
        .advises("VER-11-1"),
        mutant("optional_events", "a defined attribute has another type on an event", |c| {
            c.awu().event("genops.budget.alert").set("genops.tokens.total", double(3.5));
        })
        .fails("OPT-7.3-6 VER-11-1"),
    ]
}

/// Section 11.4: other telemetry does not clash.
fn clashes() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the resource says another team", |c| {
            c.resource().set("genops.team", text("search"));
        })
        .fails("VER-11.4-5"),
        mutant("allowed", "the scope says a result that there is not", |c| {
            c.scope().set(RESULT, text("deny"));
        })
        .fails("VER-11.4-5"),
        mutant("allowed", "a metric says a result that there is not", |c| {
            c.documents.push(json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{
                "name": "acme.decisions",
                "sum": {
                    "aggregationTemporality": 2,
                    "isMonotonic": true,
                    "dataPoints": [{
                        "timeUnixNano": "1772442845120000000",
                        "asInt": "12",
                        "attributes": [{ "key": RESULT, "value": { "stringValue": "deny" } }]
                    }]
                }
            }] }] }] }));
        })
        .fails("VER-11.4-5"),
        mutant("allowed", "another log record uses an attribute with another type", |c| {
            c.add_log(json!({
                "timeUnixNano": "1772442845120000000",
                "body": { "stringValue": "spent" },
                "attributes": [{ "key": "genops.accounting.actual", "value": { "stringValue": "a lot" } }]
            }));
        })
        .fails("VER-11.4-5"),
        mutant("allowed", "a scope uses an attribute with another type", |c| {
            c.scope().set("genops.team", int(4));
        })
        .fails("VER-11.4-5"),
    ]
}
