//! The invariants of docs/architecture.md, checked with `cargo metadata` and on the text of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
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
    let allowed: [(&str, &[&str]); 9] = [
        ("netwright-files", &[]),
        ("netwright-ir", &["files"]),
        ("netwright-nn", &["ir"]),
        ("netwright-passes", &["ir"]),
        ("netwright-onnx", &["files", "ir"]),
        ("netwright-verify", &["files", "ir"]),
        ("netwright-generate", &["files", "ir", "verify"]),
        ("netwright", &["files", "ir", "nn", "passes", "onnx", "verify", "generate"]),
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

/// The packages that `cargo tree` lists with these arguments, by name and version, with the features that each is built
/// with.
fn resolved(arguments: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix=none", "--format={p}|{f}"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // What is asked is how cargo resolves features by default.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (package, features) in text.lines().filter_map(|line| line.split_once('|')) {
        let name = package.split(" (").next().unwrap_or_default().to_owned();
        packages.entry(name).or_default().insert(features.trim_end_matches(" (*)").to_owned());
    }
    assert!(!packages.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    packages
}

/// tract takes minutes to compile. Where development dependencies ask for other features of what it depends on than the
/// command line does, it is compiled once more for tests and examples.
#[test]
fn tract_is_compiled_once() {
    let features = |arguments: &[&str]| {
        let all = resolved(arguments);
        let tract = resolved(&["-p=tract-onnx", "-e=normal,build"]).into_keys();
        tract.filter_map(|name| Some((name.clone(), all.get(&name)?.clone()))).collect::<BTreeMap<_, _>>()
    };
    let command = features(&["-e=normal,build"]);
    assert!(command.keys().any(|name| name.starts_with("tract-core ")));
    for others in [&["-e=normal,build,dev"][..], &["-e=normal,build,dev", "--workspace"]] {
        let others = features(others);
        let differ: Vec<_> = command.iter().filter(|(name, own)| others.get(*name) != Some(*own)).collect();
        assert!(differ.is_empty(), "tests and examples ask for other features than {differ:#?}");
    }
}

#[test]
fn files_open_with_what_they_are_for() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "the first line is not a sentence that says what the file is for: {silent:#?}");
}

#[test]
fn the_library_does_without_tract() {
    let runtimes = |arguments: &[&str]| -> Vec<String> {
        let packages = resolved(arguments).into_keys();
        packages.filter(|name| name.starts_with("tract-") || name.starts_with("ort ")).collect()
    };
    assert_eq!(runtimes(&["-p=netwright", "-e=normal,build", "--no-default-features"]), Vec::<String>::new());
    assert!(runtimes(&["-p=netwright", "-e=normal,build"]).len() > 1);
}

/// The sources of the members, by their paths in `crates`; tests are left out.
fn sources() -> BTreeMap<String, String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> = entries(&crates).iter().map(|member| member.join("src")).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(entries(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a text");
            let name = path.strip_prefix(&crates).expect("a path below").to_string_lossy().replace('\\', "/");
            found.insert(name, text);
        }
    }
    found
}

/// The table of element types, which a script generates.
const GENERATED: &str = "ir/src/op/types/table.rs";

/// A source without comments and its own tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn files_are_short() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600 || path == GENERATED, "{path} has {lines} lines: split it by meaning");
    }
}

/// What is known of an operator stands in its row. Elsewhere it has a name only where code is about that operator, in the
/// table of targets, which knows what a runtime has kernels for, and in the verifier, which knows of each what tract
/// computes and of some what they mean.
#[test]
fn an_operator_is_named_by_its_row_alone() {
    let kernels = "passes/src/target.rs";
    let tract = "verify/src/gate/operators.rs";
    let meaning = "verify/src/twin/forms.rs";
    let dequantizes = "passes/src/convert/dequantize_weights.rs";
    let quantizes = "passes/src/convert/quantize_weights.rs";
    let caches = "passes/src/add_cache/states.rs";
    let sources: BTreeMap<String, String> = sources().into_iter().map(|(path, text)| (path, code(&text))).collect();
    for (operator, row, others) in [
        ("Acosh", "elementwise", &[tract][..]),
        ("Celu", "activation", &[tract, meaning]),
        ("BitShift", "elementwise", &[tract]),
        ("ReverseSequence", "layout", &[]),
        ("DepthToSpace", "layout", &[tract]),
        ("Unique", "indexing", &[]),
        ("Det", "product", &[]),
        ("CumProd", "reduction", &[]),
        ("LpNormalization", "normalization", &[tract]),
        ("LinearAttention", "attention", &[]),
        ("ConvInteger", "convolution", &[tract]),
        ("GlobalLpPool", "pooling", &[kernels, tract]),
        ("AffineGrid", "image", &[]),
        ("SequenceErase", "sequence", &[]),
        ("GRU", "recurrent", &[]),
        ("Bernoulli", "random", &[kernels]),
        ("DynamicQuantizeLinear", "quantization", &[tract, quantizes, dequantizes, caches]),
        ("NegativeLogLikelihoodLoss", "loss", &[]),
        ("HannWindow", "signal", &[]),
        ("StringSplit", "string", &[]),
    ] {
        let names = |code: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == operator);
        let named = sources.iter().filter(|(path, code)| *path != GENERATED && names(code));
        let named: BTreeSet<&str> = named.map(|(path, _)| path.as_str()).collect();
        let row = format!("ir/src/op/{row}.rs");
        let expected: BTreeSet<&str> = others.iter().copied().chain([row.as_str()]).collect();
        assert_eq!(named, expected, "{operator}: derive lists of operators from the rows, as by `OpKind::class`");
    }
}

/// Passes that are named beside their own file, their room and the order, and why.
const MENTIONS: [(&str, &str); 5] = [
    // Heads that are merged still are the reason why scores are not recognized.
    ("split-merged-heads", "passes/src/fuse/fuse_attention/scores.rs"),
    // A rule for a scale of 1 writes it out as the pass does.
    ("lower-scaled-softmax", "passes/src/cleanup/canonicalize.rs"),
    // Both are written out with the same statistics.
    ("decompose-rms-normalization", "passes/src/lower/decompose_layer_normalization.rs"),
    // `--explain` counts what it merges, in place of a line for each.
    ("eliminate-common-subexpressions", "cli/src/optimize.rs"),
    // If no weight is quantized, the reasons are counted.
    ("quantize-weights", "cli/src/quantize.rs"),
];

/// A pass is added by a file, a declaration in its room and a line in the order. Nothing else knows it by name, but for
/// passes that say which others they come after.
#[test]
fn a_pass_is_named_by_its_card_alone() {
    let sources: BTreeMap<String, String> = sources().into_iter().map(|(path, text)| (path, code(&text))).collect();
    let names =
        |line: &str, pass: &str| line.contains(&format!("\"{pass}\"")) || is_used(line, &pass.replace('-', "_"));
    for (pass, path) in MENTIONS {
        assert!(sources[path].lines().any(|line| names(line, pass)), "{path} does not name {pass} any more");
    }
    for pass in netwright::passes::passes() {
        let module = pass.name.replace('-', "_");
        let own = format!("/{module}.rs");
        let own = sources.keys().find(|path| path.starts_with("passes/src/") && path.ends_with(&own));
        let own = own.unwrap_or_else(|| panic!("{} has no file", pass.name));
        let (room, _) = own.rsplit_once('/').expect("it is in a room");
        let places = [own.clone(), format!("{room}.rs"), "passes/src/order.rs".to_owned()];
        let others = sources.iter().filter(|(path, _)| {
            let is_part = path.starts_with(&format!("{room}/{module}/"));
            !is_part && !places.contains(path) && !MENTIONS.contains(&(pass.name, path))
        });
        for (path, code) in others {
            let named = code.lines().find(|line| {
                let is_order = line.contains(".after(&[") && path.starts_with("passes/src/");
                !is_order && names(line, pass.name)
            });
            assert_eq!(named, None, "{path} names {}: let its card say what is known of it", pass.name);
        }
    }
}

/// Whether a line has a name that is no method's.
fn is_used(line: &str, name: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(|char| is_part(char) || char == '.');
        !before && !line[at + name.len()..].starts_with(is_part)
    })
}

/// The modules of the IR, each after those that it needs. Those in one line need one another: a graph holds operators,
/// and an operator holds graphs, which run as a part of its node.
const LAYERS: [&[&str]; 14] = [
    &["hash"],
    &["nearest"],
    &["element"],
    &["dim"],
    &["types"],
    &["tensor"],
    &["notes"],
    &["attribute", "graph", "infer", "op"],
    &["nonzero"],
    &["cost"],
    &["model"],
    &["fingerprint"],
    &["text"],
    &["check"],
];

/// The first names of the paths into the crate, such as `Dim` and `Fact` of `use crate::{Dim, Fact};`.
fn names_of_crate(code: &str) -> BTreeSet<&str> {
    let first_word = |path: &str| path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    let lists = code.split("crate::").skip(1).map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split("};").next().unwrap_or_default(),
        None => &rest[..first_word(rest)],
    });
    let paths = lists.flat_map(|list| list.split(',')).map(str::trim);
    paths.map(|path| &path[..first_word(path)]).collect()
}

#[test]
fn modules_of_the_ir_have_an_order() {
    let rank = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let sources = sources();
    let root = code(&sources["ir/src/lib.rs"]);
    // What the crate gives out is named without its module.
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for line in root.split(';').filter_map(|line| line.trim().strip_prefix("pub use ")) {
        let (module, names) = line.split_once("::").unwrap_or((line, ""));
        homes.extend(names.split(|c: char| !c.is_alphanumeric() && c != '_').map(|name| (name, module)));
    }
    for (path, text) in &sources {
        let Some(inner) = path.strip_prefix("ir/src/").filter(|inner| *inner != "lib.rs") else { continue };
        let module = inner.split(['/', '.']).next().unwrap_or_default();
        let own = rank(module).unwrap_or_else(|| panic!("give the module {module} a place in the order"));
        for name in names_of_crate(&code(text)) {
            let needed = homes.get(name).copied().filter(|_| rank(name).is_none()).unwrap_or(name);
            let Some(needed) = rank(needed) else { continue };
            assert!(needed <= own, "{path} needs `crate::{name}`, which comes after it");
        }
    }
}
