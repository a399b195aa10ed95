//! The invariants of the code map in README, read off `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The direct dependencies (not the development ones) of each member of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let needs = package["dependencies"].as_array().expect("dependencies").iter();
            let needs = needs.filter(|needed| needed["kind"].is_null()).map(name).collect();
            (name(package), needs)
        })
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let allowed: [(&str, &[&str]); 8] = [
        ("netwright-files", &[]),
        ("netwright-ir", &["files"]),
        ("netwright-nn", &["ir"]),
        ("netwright-passes", &["ir"]),
        ("netwright-onnx", &["files", "ir"]),
        ("netwright-verify", &["files", "ir"]),
        ("netwright", &["files", "ir", "nn", "passes", "onnx", "verify"]),
        ("netwright-cli", &["netwright"]),
    ];
    let found = dependencies();
    for (member, allowed) in allowed {
        let allowed: BTreeSet<String> = allowed
            .iter()
            .map(|name| if *name == "netwright" { (*name).to_owned() } else { format!("netwright-{name}") })
            .collect();
        let ours = found[member].iter().filter(|name| name.starts_with("netwright"));
        for needed in ours {
            assert!(allowed.contains(needed), "{member} must not depend on {needed}");
        }
    }
}

#[test]
fn rooms_keep_their_secrets() {
    let owners = [
        ("petgraph", "netwright-ir"),
        ("prost", "netwright-onnx"),
        ("tract-onnx", "netwright-verify"),
        ("ort", "netwright-verify"),
        ("memmap2", "netwright-files"),
    ];
    for (member, needs) in dependencies() {
        for (secret, owner) in owners {
            assert!(member == owner || !needs.contains(secret), "only {owner} sees {secret}, but {member} does");
        }
    }
}
