//! Records the commit and the version of tract for `--version`, where they can be found.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = manifest.join("../..");
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(commit) = commit(&root) {
        println!("cargo::rustc-env=NETWRIGHT_COMMIT={commit}");
    }
    // A published package has its own lock file.
    let locks = [root.join("Cargo.lock"), manifest.join("Cargo.lock")];
    for lock in locks.iter().filter(|lock| lock.exists()) {
        println!("cargo::rerun-if-changed={}", lock.display());
    }
    if let Some(version) = locks.iter().find_map(|lock| locked(lock, "tract-core")) {
        println!("cargo::rustc-env=NETWRIGHT_TRACT={version}");
    }
}

/// Returns the commit of the checkout at `root`; `None` without Git, or if the folder is in another repository.
fn commit(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    // A new commit changes the log of HEAD, or HEAD itself.
    for file in ["HEAD", "logs/HEAD"] {
        let path = root.join(git(&["rev-parse", "--git-path", file])?);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&["rev-parse", "--short=10", "HEAD"])
}

/// Returns the version of a package in a lock file.
fn locked(lock: &Path, package: &str) -> Option<String> {
    let text = std::fs::read_to_string(lock).ok()?;
    let mut lines = text.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    Some(lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned())
}
