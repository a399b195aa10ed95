//! Workers that fail in every way.
#![cfg(unix)]

use netwright_verify::{OnRun, Options, Verdict, VerifyError, Worker};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Returns a shell script as a worker.
fn worker(script: &str) -> Worker {
    let mut worker = Worker::new("/bin/sh");
    worker.arguments = vec!["-c".into(), script.into()];
    worker.time = Duration::from_secs(1);
    worker
}

/// Returns the verdict of a shell script.
fn with(script: &str) -> Result<Verdict, VerifyError> {
    worker(script).verify("a.onnx", None, &Options::default())
}

#[test]
fn a_worker_that_dies_gives_a_verdict() {
    for (script, expected) in [
        (
            "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$",
            "signal 6 (abort): memory allocation of 9 bytes failed",
        ),
        ("kill -SEGV $$", "signal 11 (segmentation fault)"),
        ("exec sleep 60", "the time limit of 1 seconds was exceeded"),
        ("exec sleep 60 >&-", "the time limit of 1 seconds was exceeded"),
        ("echo '{'; exit 3", "the worker ended with exit code 3 without an answer"),
    ] {
        let started = Instant::now();
        let verdict = with(script).expect("a verdict").to_string();
        let expected = format!("a.onnx is not verifiable in tract\n  tract: it failed on this model: {expected}");
        assert_eq!(verdict, expected, "{script}");
        assert!(started.elapsed() < Duration::from_secs(10), "{script}");
    }
}

#[test]
fn answers_are_passed_on() {
    let fails = r#"read -r _; echo '{"verdict": {"verdict": "fails", "file": "a.onnx", "why": "it lies"}}'"#;
    assert_eq!(with(fails).expect("a verdict").to_string(), "a.onnx fails: it lies");
    let error = with(r#"echo '{"error": {"code": 601, "message": "no symbol `s`"}}'"#).expect_err("no verdict");
    assert_eq!((error.code().to_string(), error.to_string()), ("NW0601".to_owned(), "no symbol `s`".to_owned()));
}

#[test]
fn a_worker_that_has_answered_need_not_end() {
    let started = Instant::now();
    let script = r#"echo '{"verdict": {"verdict": "fails", "file": "a.onnx", "why": "it lies"}}'; exec sleep 60"#;
    assert_eq!(with(script).expect("a verdict").to_string(), "a.onnx fails: it lies");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_missing_worker_is_an_error() {
    let error = Worker::new("/nowhere/netwright").verify("a.onnx", None, &Options::default()).expect_err("none");
    assert!(error.to_string().starts_with("the worker process \"/nowhere/netwright\" failed: "), "{error}");
}

/// A worker reports each run that starts before its answer.
#[test]
fn runs_are_passed_on() {
    let started = Arc::<Mutex<Vec<String>>>::default();
    let runs = Arc::clone(&started);
    let on_run = OnRun::new(move |start| runs.lock().expect("no panic").push(start.to_string()));
    let run = |number| {
        format!(r#"echo '{{"run": {{"runtime": "tract", "number": {number}, "planned": 2, "sizes": "seq = 7"}}}}'; "#)
    };
    let fails = r#"echo '{"verdict": {"verdict": "fails", "file": "a.onnx", "why": "it lies"}}'"#;
    let script = format!("read -r _; {}{}{fails}", run(1), run(2));
    let verdict = worker(&script).verify("a.onnx", None, &Options::default().with_on_run(on_run)).expect("a verdict");
    assert_eq!(verdict.to_string(), "a.onnx fails: it lies");
    assert_eq!(*started.lock().expect("no panic"), ["run 1 of 2 in tract, seq = 7", "run 2 of 2 in tract, seq = 7"]);
}
