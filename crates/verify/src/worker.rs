//! tract in a child process, for files from elsewhere: it may abort, run without end or take all memory.
//!
//! The parent starts the worker program (the `netwright` binary itself, with a hidden subcommand), writes a request
//! to its standard input and reads the answer from its standard output, each one JSON value. The worker limits its
//! own memory, the parent its time.

use crate::verify::{Options, verify};
use crate::{Error, Reason, Verdict};
use netwright_ir::Symbol;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The subcommand that makes the `netwright` binary a worker.
pub const WORKER_SUBCOMMAND: &str = "__verify-worker";

/// A program that calls [`serve`], and the limits within which it verifies.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Bytes of address space that it may take. tract needs several times the size of the weights.
    pub memory: u64,
    /// How long it may take.
    pub time: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    a: PathBuf,
    b: Option<PathBuf>,
    dims: Vec<(String, String)>,
    seed: u64,
    tolerance: f64,
    data_dir: Option<PathBuf>,
    memory: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Verdict(Verdict),
    Error(String),
}

impl Worker {
    /// The `netwright` binary at that path, with 8 GiB and two minutes.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec![WORKER_SUBCOMMAND.into()],
            memory: 8 << 30,
            time: Duration::from_mins(2),
        }
    }

    /// [`verify()`], in the child process. If tract brings it down, the model is not verifiable.
    pub fn verify(&self, a: &Path, b: Option<&Path>, options: &Options) -> Result<Verdict, Error> {
        let request = Request {
            a: a.to_owned(),
            b: b.map(Path::to_owned),
            dims: options.dims.iter().map(|(symbol, dim)| (symbol.as_str().to_owned(), dim.to_string())).collect(),
            seed: options.seed,
            tolerance: options.tolerance,
            data_dir: options.data_dir.clone(),
            memory: self.memory,
        };
        let request = serde_json::to_vec(&request).map_err(|error| self.failed(&error))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.failed(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that died has closed the pipe; how it died says more.
            _ = stdin.write_all(&request);
        }
        let (answer, complaint) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let answer = answer.recv_timeout(self.time);
        if answer.is_err() {
            _ = child.kill();
        }
        let status = child.wait().map_err(|error| self.failed(&error))?;
        let Ok(answer) = answer else {
            return Ok(lost(a, b, &format!("it was stopped after {} seconds", self.time.as_secs())));
        };
        match serde_json::from_slice(&answer) {
            Ok(Answer::Verdict(verdict)) => Ok(verdict),
            Ok(Answer::Error(cause)) => Err(Error::Answered(cause)),
            Err(_) => {
                let complaint = complaint.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                Ok(lost(a, b, &cause_of_death(status, &complaint)))
            }
        }
    }

    fn failed(&self, error: &dyn std::error::Error) -> Error {
        Error::Worker { program: self.program.clone(), cause: error.to_string() }
    }
}

/// Serves one request, in the child process: limits its own memory, reads the request from `input`, verifies, writes
/// the answer to `output`.
pub fn serve(mut input: impl Read, mut output: impl Write) -> Result<(), Error> {
    let failed = |cause: String| Error::Answered(format!("the verify worker cannot serve: {cause}"));
    let mut request = vec![];
    input.read_to_end(&mut request).map_err(|error| failed(error.to_string()))?;
    let answer = match serde_json::from_slice(&request).map_err(|error| failed(error.to_string())).and_then(answer) {
        Ok(verdict) => Answer::Verdict(verdict),
        Err(error) => Answer::Error(error.to_string()),
    };
    let answer = serde_json::to_vec(&answer).map_err(|error| failed(error.to_string()))?;
    output.write_all(&answer).map_err(|error| failed(error.to_string()))
}

fn answer(request: Request) -> Result<Verdict, Error> {
    limit_memory(request.memory)?;
    let dims = request.dims.into_iter().map(|(symbol, dim)| {
        let dim = dim.parse().map_err(|error: netwright_ir::ParseDimError| Error::Answered(error.to_string()))?;
        Ok((Symbol::new(symbol), dim))
    });
    let options = Options {
        dims: dims.collect::<Result<_, Error>>()?,
        seed: request.seed,
        tolerance: request.tolerance,
        data_dir: request.data_dir,
    };
    verify(&request.a, request.b.as_deref(), &options)
}

/// Bounds this process's address space; and an abort is to leave no core file.
#[cfg(unix)]
fn limit_memory(bytes: u64) -> Result<(), Error> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, most) in [(Resource::As, bytes), (Resource::Core, 0)] {
        let maximum = getrlimit(resource).maximum;
        let current = maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(current), maximum })
            .map_err(|error| Error::Answered(format!("the verify worker's limits cannot be set: {error}")))?;
    }
    Ok(())
}

/// Elsewhere only the time is bounded.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
fn limit_memory(_: u64) -> Result<(), Error> {
    Ok(())
}

/// Reads a pipe to its end on a thread of its own.
fn drain(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = vec![];
        if let Some(mut pipe) = pipe {
            // What came before an error is what there is.
            _ = pipe.read_to_end(&mut bytes);
        }
        sender.send(bytes)
    });
    receiver
}

fn lost(a: &Path, b: Option<&Path>, how: &str) -> Verdict {
    let file = match b {
        None => a.display().to_string(),
        Some(b) => format!("{} or {}", a.display(), b.display()),
    };
    let why = format!("it did not survive this model: {how}");
    Verdict::NotVerifiable { file, reasons: vec![Reason { place: "tract".to_owned(), why }] }
}

fn cause_of_death(status: ExitStatus, complaint: &[u8]) -> String {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let end = match (signal, status.code()) {
        (Some(6), _) => "signal 6 (abort)".to_owned(),
        (Some(9), _) => "signal 9 (killed, as when memory runs out)".to_owned(),
        (Some(11), _) => "signal 11 (segmentation fault)".to_owned(),
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("the worker ended with code {code} and no answer"),
        (None, None) => "the worker ended without an answer".to_owned(),
    };
    let complaint = String::from_utf8_lossy(complaint);
    match complaint.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(first) => format!("{end}: {first}"),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_served() {
        let request = |a: &str| Request {
            a: a.into(),
            b: None,
            dims: vec![("past seq".to_owned(), "2*'past seq' + 1".to_owned())],
            seed: 0,
            tolerance: 1e-5,
            data_dir: None,
            memory: u64::MAX,
        };
        let serve = |request: &[u8]| {
            let mut answer = vec![];
            serve(request, &mut answer).unwrap();
            match serde_json::from_slice(&answer).unwrap() {
                Answer::Verdict(verdict) => verdict.to_string(),
                Answer::Error(error) => error,
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("a.onnx");
        std::fs::write(&model, "no model").unwrap();
        let text = serve(&serde_json::to_vec(&request(model.to_str().unwrap())).unwrap());
        assert!(text.contains("a.onnx fails: it is not an ONNX model: "), "{text}");
        let text = serve(&serde_json::to_vec(&request("/nowhere.onnx")).unwrap());
        assert_eq!(text, "\"/nowhere.onnx\" does not exist");
        assert!(serve(b"{").starts_with("the verify worker cannot serve: "));
    }
}
