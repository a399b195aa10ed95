//! The worker process that verifies models ends with the command that started it, or at its time limit.
#![cfg(target_os = "linux")]

use netwright::{ir, ir::Model, onnx};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Writes a model that takes minutes to run.
fn slow(folder: &Path) -> PathBuf {
    let steps: String = (1..99).map(|at| format!("  %v{at} = matmul %v{}, %v0 : f32[4000, 4000]\n", at - 1)).collect();
    let text = format!("slow(%v0: f32[4000, 4000]) {{\n{steps}  return %v98\n}}\n");
    let graph = ir::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let path = folder.join("slow.onnx");
    onnx::write(&Model::new(graph), &path, &onnx::WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    path
}

/// Waits until `is_there` returns something, for at most `seconds`.
fn wait<T>(seconds: u64, mut is_there: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = is_there();
        if found.is_some() || start.elapsed() > Duration::from_secs(seconds) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the state and the parent of a process.
fn stat(process: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Returns whether a process runs and is not a zombie.
fn lives(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|&process| stat(process).is_some_and(|(_, own)| own == parent))
}

fn netwright(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("netwright starts")
}

#[test]
fn the_worker_ends_with_its_parent() {
    let folder = TempDir::new().expect("a folder");
    let model = slow(folder.path());
    for signal in ["KILL", "TERM", "INT", "HUP"] {
        let mut parent = netwright(&["verify", model.to_str().expect("UTF-8"), "--runtime", "tract"]);
        let worker = wait(20, || child_of(parent.id())).expect("a worker starts");
        // Usually long enough for the worker to start running the model; the test must pass either way.
        std::thread::sleep(Duration::from_millis(300));
        assert!(lives(worker), "{signal}");
        let sent = Command::new("kill").args(["-s", signal, &parent.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        if wait(2, || parent.try_wait().expect("it is ours")).is_none() {
            // A background job may ignore INT and HUP, and its children inherit that.
            parent.kill().and_then(|()| parent.wait()).expect("it ends");
        }
        assert!(wait(1, || (!lives(worker)).then_some(())).is_some(), "the worker outlives its parent: {signal}");
    }
}

/// Returns the request that a parent writes to its worker.
fn request(model: &Path, seconds: u64) -> String {
    let request = serde_json::json!({
        "a": model, "b": null, "dims": [], "seed": 0, "tolerance": 1e-4, "data_dir": null, "runtime": "tract",
        "memory": 8_u64 << 30, "time": { "secs": seconds, "nanos": 0 },
    });
    format!("{request}\n")
}

/// The worker also ends without a signal, when its input is closed.
#[test]
fn the_worker_ends_with_its_input() {
    let folder = TempDir::new().expect("a folder");
    let model = slow(folder.path());
    let mut worker = netwright(&["__verify-worker"]);
    let mut input = worker.stdin.take().expect("a pipe");
    input.write_all(request(&model, 600).as_bytes()).expect("it reads");
    std::thread::sleep(Duration::from_millis(300));
    assert!(lives(worker.id()));
    drop(input);
    let ended = wait(1, || worker.try_wait().expect("it is ours"));
    _ = worker.kill();
    assert_eq!(ended.expect("it ends within a second").signal(), Some(9));
}

#[test]
fn the_worker_limits_its_own_time() {
    let folder = TempDir::new().expect("a folder");
    let model = slow(folder.path());
    let mut worker = netwright(&["__verify-worker"]);
    let mut input = worker.stdin.take().expect("a pipe");
    input.write_all(request(&model, 1).as_bytes()).expect("it reads");
    let ended = wait(10, || worker.try_wait().expect("it is ours"));
    _ = worker.kill();
    assert_eq!(ended.expect("it ends").signal(), Some(14));
}
