//! What several test files need.

#![allow(dead_code, reason = "each test file uses some of it")]

use insta::{Settings, assert_snapshot};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs the command in a folder, where it also caches what it builds. An ONNX Runtime that the environment names is not
/// found.
pub(crate) fn netwright(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", folder.join("cache")).stdin(Stdio::null());
    for name in ["ORT_DYLIB_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"] {
        command.env_remove(name);
    }
    command.output().expect("netwright runs")
}

/// Runs the command, and returns the call with what it prints.
pub(crate) fn transcript(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = netwright(folder, arguments);
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    format!("$ netwright {}\n{text}\n", arguments.join(" "))
}

/// Returns the path of something in the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().expect("it is in the repository")
}

/// Compares a text with a snapshot of `snapshots/cli`.
pub(crate) fn snapshot(name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../../../../snapshots/cli");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!(name, text));
}

/// Returns the sorted names of the files and folders in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is read");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
