//! Compares the edges between our crates with the table below, and names every edge that is not drawn.
//!
//! An edge is a normal or a build dependency, optional and platform-specific ones included. A dev-dependency
//! is not an edge: tests may reach further than the product. Outside crates are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// A crate, and the crates of ours it may depend on.
type Row = (&'static str, &'static [&'static str]);

/// Every allowed edge. A row whose crate does not exist yet is fine; a crate without a row is not.
const TABLE: &[Row] = &[
    (
        "genops-cli",
        &[
            "genops-gateway",
            "genops",
            "genops-telemetry",
            "genops-ledger",
            "genops-conformance",
            "genops-core",
            "genops-spec",
        ],
    ),
    ("genops-gateway", &["genops", "genops-core", "genops-spec"]),
    ("genops", &["genops-ledger", "genops-telemetry", "genops-core", "genops-spec"]),
    ("genops-telemetry", &["genops-core", "genops-spec"]),
    ("genops-ledger", &["genops-core", "genops-spec"]),
    ("genops-conformance", &["genops-spec"]),
    ("genops-core", &["genops-spec"]),
    ("genops-spec", &[]),
    ("xtask", &[]),
];

/// Each crate of the workspace, and the crates of the workspace it depends on.
type Edges = BTreeMap<String, BTreeSet<String>>;

pub fn run(root: &Path) -> Result<(), String> {
    let found = violations(&workspace_edges(root)?, TABLE);
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

fn violations(edges: &Edges, table: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    for (from, targets) in edges {
        match table.iter().find(|(name, _)| name == from) {
            None => found.push(missing_row(from)),
            Some((_, drawn)) => {
                let undrawn = targets.iter().filter(|to| !drawn.contains(&to.as_str()));
                found.extend(undrawn.map(|to| undrawn_edge(from, to)));
            }
        }
    }
    found
}

fn missing_row(name: &str) -> String {
    format!(
        "crate `{name}` is in the workspace but not in the table of layers: \
         give it a row in xtask/src/layers.rs and a paragraph in ARCHITECTURE.md"
    )
}

fn undrawn_edge(from: &str, to: &str) -> String {
    format!(
        "edge `{from}` -> `{to}` is not drawn: remove `{to}` from the dependencies of `{from}` \
         (a test may have it as a dev-dependency), or, if the design has changed, \
         draw the edge in ARCHITECTURE.md and in xtask/src/layers.rs"
    )
}

/// Reads the manifests only: no resolution, no network, no lock file.
fn workspace_edges(root: &Path) -> Result<Edges, String> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .map_err(|error| format!("`cargo metadata` cannot read the workspace: {error}"))?;
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    Ok(packages.iter().map(|package| (package.name.to_string(), targets_of(package, &ours))).collect())
}

fn targets_of(package: &Package, ours: &BTreeSet<String>) -> BTreeSet<String> {
    let edges =
        package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    edges.map(|dependency| dependency.name.clone()).filter(|name| ours.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        what: &'static str,
        edges: &'static [Row],
        /// What the findings must name, in order; none means the workspace passes.
        named: &'static [&'static str],
    }

    const DRAWN: &[Row] =
        &[("top", &["middle", "base"]), ("middle", &["base"]), ("base", &[]), ("tool", &[])];

    const CASES: &[Case] = &[
        Case { what: "an empty workspace", edges: &[], named: &[] },
        Case {
            what: "every drawn edge in use",
            edges: &[("top", &["middle", "base"]), ("middle", &["base"]), ("base", &[]), ("tool", &[])],
            named: &[],
        },
        Case {
            what: "a drawn edge unused and a row without a crate",
            edges: &[("top", &["base"])],
            named: &[],
        },
        Case { what: "an edge upwards", edges: &[("base", &["middle"])], named: &["`base` -> `middle`"] },
        Case {
            what: "two wrong edges beside a right one",
            edges: &[("middle", &["base", "tool", "top"])],
            named: &["`middle` -> `tool`", "`middle` -> `top`"],
        },
        Case {
            what: "a tool that uses the product",
            edges: &[("tool", &["base"])],
            named: &["`tool` -> `base`"],
        },
        Case { what: "a crate without a row", edges: &[("stray", &["base"])], named: &["crate `stray`"] },
        Case {
            what: "a row's crate using a crate without a row",
            edges: &[("stray", &[]), ("top", &["stray"])],
            named: &["crate `stray`", "`top` -> `stray`"],
        },
    ];

    #[test]
    fn every_edge_that_is_not_drawn_is_named() {
        for Case { what, edges, named } in CASES {
            let found = violations(&as_edges(edges), DRAWN);
            assert_eq!(found.len(), named.len(), "{what}: {found:?}");
            for (finding, name) in found.iter().zip(*named) {
                assert!(finding.contains(name), "{what}: `{finding}` does not name {name}");
            }
        }
    }

    #[test]
    fn the_table_names_only_crates_that_have_a_row() {
        for (from, targets) in TABLE {
            for to in *targets {
                assert!(TABLE.iter().any(|(name, _)| name == to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn xtask_and_the_product_do_not_touch() {
        for (from, targets) in TABLE {
            assert!(!targets.contains(&"xtask"), "{from}");
            assert!(*from != "xtask" || targets.is_empty());
        }
    }

    #[test]
    fn conformance_shares_only_the_words() {
        let judge = TABLE.iter().find(|(name, _)| *name == "genops-conformance");
        assert_eq!(judge.map(|(_, targets)| *targets), Some(&["genops-spec"][..]));
    }

    fn as_edges(rows: &[Row]) -> Edges {
        rows.iter()
            .map(|(from, targets)| ((*from).to_owned(), targets.iter().map(|to| (*to).to_owned()).collect()))
            .collect()
    }
}
