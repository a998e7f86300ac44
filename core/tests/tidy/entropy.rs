//! Where chance and the world could leak in from below: every crate under the logic that can draw
//! entropy, read a clock or open a socket stands in the ledger, with what controls it.

use crate::edges::metadata;
use cargo_metadata::{DependencyKind, PackageId};
use std::collections::{BTreeMap, BTreeSet};

const LOGIC: &[&str] = &[
    "mooseng-core",
    "mooseng-net",
    "mooseng-storage",
    "mooseng-meta",
    "mooseng-chunk",
    "mooseng-client",
    "mooseng-sim",
];

/// Names of crates that can reach the world on their own.
const SUSPECTS: &[&str] = &[
    "getrandom",
    "rand",
    "tempfile",
    "tokio",
    "mio",
    "socket2",
    "rustix",
    "libc",
    "fastrand",
    "uuid",
    "chrono",
    "time",
    "ahash",
    "instant",
    "quanta",
    "parking_lot",
    "once_cell",
    "crossbeam-channel",
    "rayon",
];

#[test]
fn every_source_of_entropy_under_the_logic_is_in_the_ledger() {
    let ledger =
        std::fs::read_to_string(crate::root().join("docs/determinism.md")).expect("docs/determinism.md");
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, String> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, format!("{} {}", package.name, package.version)))
        .collect();
    let mut open: Vec<&PackageId> = metadata
        .workspace_packages()
        .iter()
        .filter(|package| LOGIC.contains(&package.name.as_str()))
        .map(|package| &package.id)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in &nodes[id].deps {
            let runs = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if runs {
                open.push(&dependency.pkg);
            }
        }
    }
    let mut missing = Vec::new();
    for id in seen {
        let name_and_version = &names[id];
        let name = name_and_version.split(' ').next().unwrap_or_default();
        if SUSPECTS.contains(&name) && !ledger.contains(&format!("| `{name}` |")) {
            missing.push(name_and_version.clone());
        }
    }
    assert!(missing.is_empty(), "not in the table of docs/determinism.md: {missing:?}");
}
