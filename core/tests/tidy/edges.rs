//! The directions of imports. The table is the architecture; it changes there first.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// Package, and the packages of ours that it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("mooseng-core", &[]),
    ("mooseng-net", &["mooseng-core"]),
    ("mooseng-storage", &["mooseng-core"]),
    ("mooseng-meta", &["mooseng-core", "mooseng-net", "mooseng-storage"]),
    ("mooseng-chunk", &["mooseng-core", "mooseng-net", "mooseng-storage"]),
    ("mooseng-client", &["mooseng-core", "mooseng-net"]),
    (
        "mooseng-sim",
        &[
            "mooseng-core",
            "mooseng-net",
            "mooseng-storage",
            "mooseng-meta",
            "mooseng-chunk",
            "mooseng-client",
        ],
    ),
    ("mooseng-scenarios", &["mooseng-sim", "mooseng-core"]),
    (
        "mooseng",
        &[
            "mooseng-core",
            "mooseng-net",
            "mooseng-storage",
            "mooseng-meta",
            "mooseng-chunk",
            "mooseng-client",
        ],
    ),
];

/// The crates that are the world, or lead straight to it. Only the daemons and the benches may
/// name them; to everybody else the world is `core::env`.
const WORLD: &[&str] = &[
    "async-std",
    "fuser",
    "getrandom",
    "libc",
    "memmap2",
    "mio",
    "nix",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tonic",
];

pub(crate) fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(crate::root().join("Cargo.toml"))
        // What only other systems need was never fetched here.
        .other_options([
            "--filter-platform".to_owned(),
            format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .exec()
        .expect("cargo metadata answers")
}

#[test]
fn crates_import_in_one_direction() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.iter().map(|(package, others)| (*package, others.iter().copied().collect())).collect();
    let metadata = metadata();
    let ours: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.to_string();
        let Some(allowed) = allowed.get(name.as_str()) else {
            if name != "mooseng-benches" {
                faults.push(format!(
                    "{name} is in no row of the table of edges: add it to ARCHITECTURE.md and here"
                ));
            }
            continue;
        };
        for dependency in &package.dependencies {
            let ordinary = dependency.kind != DependencyKind::Development;
            if ordinary && ours.contains(&dependency.name) && !allowed.contains(dependency.name.as_str()) {
                faults.push(format!("{name} imports {}: the rings allow {allowed:?}", dependency.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_daemons_name_the_world() {
    let mut faults = Vec::new();
    for package in metadata().workspace_packages() {
        if matches!(package.name.as_str(), "mooseng" | "mooseng-benches") {
            continue;
        }
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Normal && WORLD.contains(&dependency.name.as_str()) {
                faults.push(format!("{} names {}: use core::env instead", package.name, dependency.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A version stands once, in the workspace; `name.workspace = true` everywhere else.
#[test]
fn versions_stand_in_the_workspace() {
    let mut faults = Vec::new();
    for package in metadata().workspace_packages() {
        let text = std::fs::read_to_string(&package.manifest_path).expect("the manifest is readable");
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                faults.push(format!("{}: {line}", package.manifest_path));
            }
        }
    }
    assert!(faults.is_empty(), "dependencies with a version of their own:\n{}", faults.join("\n"));
}
