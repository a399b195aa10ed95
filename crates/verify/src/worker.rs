//! A runtime in a child process, for untrusted files: it may abort, run forever or use all memory.
//!
//! The parent starts the worker program (the `netwright` binary itself, with a hidden subcommand), writes a request
//! to its standard input and reads from its standard output a line for each run that starts and one for the answer, each
//! JSON. Both limit the time; the worker limits its own memory if the system supports that.
//!
//! The worker does not outlive its parent, however the parent ends: the parent keeps the worker's standard input open,
//! and the worker ends itself when it is closed; Linux kills the worker as well.

use crate::child::{Dims, Failed, ask, limit, read_dims, receive, write_dims};
use crate::progress::{OnRun, RunStart};
use crate::verify::{Judged, Options, judge_paths, with_fallback};
use crate::{Reason, Runtime, Verdict, VerifyError};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The subcommand that makes the `netwright` binary a worker.
pub const WORKER_SUBCOMMAND: &str = "__verify-worker";

/// A program that calls [`serve`], and its limits.
///
/// ```no_run
/// use netwright_verify::{Options, Worker};
/// let verdict = Worker::new("/usr/bin/netwright").verify("model.onnx", None, &Options::default())?;
/// println!("{verdict}");
/// # Ok::<(), netwright_verify::VerifyError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The limit of its address space in bytes, which macOS and Windows do not enforce. A runtime needs several times
    /// the size of the weights.
    pub memory: u64,
    /// The time limit of one verification.
    pub time: Duration,
}

/// A path in a request, which need not be UTF-8.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum AnyPath {
    Text(String),
    Other(OsString),
}

impl From<&Path> for AnyPath {
    fn from(path: &Path) -> Self {
        path.to_str().map_or_else(|| Self::Other(path.into()), |text| Self::Text(text.to_owned()))
    }
}

impl From<AnyPath> for PathBuf {
    fn from(path: AnyPath) -> Self {
        match path {
            AnyPath::Text(text) => text.into(),
            AnyPath::Other(other) => other.into(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    a: AnyPath,
    b: Option<AnyPath>,
    dims: Dims,
    seed: u64,
    tolerance: Option<f64>,
    min_cosine: Option<f64>,
    #[serde(default)]
    by_layer: bool,
    #[serde(default)]
    ranges_of: Vec<String>,
    data_dir: Option<AnyPath>,
    runtime: Runtime,
    #[serde(default)]
    long: bool,
    inputs: Option<AnyPath>,
    memory: u64,
    time: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Verdict(Judged),
    OnnxRuntimeLibrary { library: PathBuf, cause: String },
    Error(Failed),
}

/// A line that the worker writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Run { run: RunStart },
    Answer(Answer),
}

impl Worker {
    /// Creates a worker from the `netwright` binary, with limits of 8 GiB and two minutes.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec![WORKER_SUBCOMMAND.into()],
            memory: 8 << 30,
            time: Duration::from_mins(2),
        }
    }

    /// Runs [`verify()`](crate::verify()) in the child process. If a runtime crashes it, the model is not verifiable in that runtime.
    ///
    /// # Errors
    /// As [`verify()`](crate::verify()), and if the program cannot be started.
    pub fn verify(&self, a: impl AsRef<Path>, b: Option<&Path>, options: &Options) -> Result<Verdict, VerifyError> {
        let a = a.as_ref();
        with_fallback(options, |options| self.judge(a, b, options))
    }

    fn judge(&self, a: &Path, b: Option<&Path>, options: &Options) -> Result<Judged, VerifyError> {
        let request = Request {
            a: a.into(),
            b: b.map(AnyPath::from),
            dims: write_dims(&options.dims),
            seed: options.seed,
            tolerance: options.tolerance,
            min_cosine: options.min_cosine,
            by_layer: options.by_layer,
            ranges_of: options.ranges_of.clone(),
            data_dir: options.data_dir.as_deref().map(AnyPath::from),
            runtime: options.runtime.clone(),
            long: options.long,
            inputs: options.inputs.as_deref().map(AnyPath::from),
            memory: self.memory,
            time: self.time,
        };
        let request = serde_json::to_vec(&request).map_err(|error| self.failed(&error))?;
        let read = |line: &[u8]| match serde_json::from_slice(line).ok()? {
            Line::Run { run } => {
                if let Some(on_run) = &options.on_run {
                    on_run.call(&run);
                }
                None
            }
            Line::Answer(answer) => Some(answer),
        };
        let answer = ask(&self.program, &self.arguments, &request, self.time, read);
        match answer.map_err(|error| self.failed(&error))? {
            Ok(Answer::Verdict(judged)) => Ok(judged),
            Ok(Answer::OnnxRuntimeLibrary { library, cause }) => {
                Err(VerifyError::OnnxRuntimeLibrary { library, cause })
            }
            Ok(Answer::Error(failed)) => Err(failed.into()),
            Err(how) => Ok(Judged::new(lost(a, b, &options.runtime, &how))),
        }
    }

    fn failed(&self, error: &dyn std::error::Error) -> VerifyError {
        VerifyError::Worker { program: self.program.clone(), cause: error.to_string() }
    }
}

/// Serves one request, in the child process: reads the request from `input`, limits its own memory and time, verifies,
/// and writes the runs that start and the answer to `output`. The process ends when `input` is closed: keep it open while
/// waiting for the answer.
///
/// # Errors
/// If the request cannot be read, or the answer cannot be written.
pub fn serve(input: impl BufRead + Send + 'static, output: impl Write + Send + 'static) -> Result<(), VerifyError> {
    let request = receive(input).map_err(|error| cannot_serve(&error))?;
    serve_request(&request, output)
}

fn cannot_serve(cause: &dyn std::fmt::Display) -> VerifyError {
    VerifyError::Request(cause.to_string())
}

fn serve_request(request: &[u8], output: impl Write + Send + 'static) -> Result<(), VerifyError> {
    let output = Arc::new(Mutex::new(output));
    let runs = Arc::clone(&output);
    // Without a reader, the answer is not written either.
    let on_run = OnRun::new(move |start| _ = send(&runs, &Line::Run { run: start.clone() }));
    let judged = serde_json::from_slice(request).map_err(|error| cannot_serve(&error));
    let answer = match judged.and_then(|request| answer(request, on_run)) {
        Ok(judged) => Answer::Verdict(judged),
        Err(VerifyError::OnnxRuntimeLibrary { library, cause }) => Answer::OnnxRuntimeLibrary { library, cause },
        Err(error) => Answer::Error(Failed::from(&error)),
    };
    send(&output, &Line::Answer(answer))
}

/// Writes a line.
fn send(output: &Mutex<impl Write>, line: &Line) -> Result<(), VerifyError> {
    let mut line = serde_json::to_vec(line).map_err(|error| cannot_serve(&error))?;
    line.push(b'\n');
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(&line).and_then(|()| output.flush()).map_err(|error| cannot_serve(&error))
}

fn answer(request: Request, on_run: OnRun) -> Result<Judged, VerifyError> {
    limit(request.memory, request.time);
    let options = Options {
        dims: read_dims(&request.dims)?,
        seed: request.seed,
        tolerance: request.tolerance,
        min_cosine: request.min_cosine,
        by_layer: request.by_layer,
        ranges_of: request.ranges_of,
        data_dir: request.data_dir.map(PathBuf::from),
        runtime: request.runtime,
        fallback: None,
        long: request.long,
        inputs: request.inputs.map(PathBuf::from),
        on_run: Some(on_run),
    };
    judge_paths(&PathBuf::from(request.a), request.b.map(PathBuf::from).as_deref(), &options)
}

fn lost(a: &Path, b: Option<&Path>, runtime: &Runtime, how: &str) -> Verdict {
    let file = match b {
        None => a.display().to_string(),
        Some(b) => format!("{} or {}", a.display(), b.display()),
    };
    let why = format!("it failed on this model: {how}");
    let runtime = runtime.to_string();
    Verdict::NotVerifiable { file, runtime: runtime.clone(), reasons: vec![Reason { place: runtime, why }] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_served() {
        let request = |a: &Path| Request {
            a: a.into(),
            b: None,
            dims: vec![("past seq".to_owned(), "2*'past seq' + 1".to_owned())],
            seed: 0,
            tolerance: Some(1e-5),
            min_cosine: None,
            by_layer: false,
            ranges_of: vec![],
            data_dir: None,
            runtime: Runtime::Tract,
            long: false,
            inputs: None,
            memory: u64::MAX,
            time: Duration::from_hours(1),
        };
        let serve = |request: &[u8]| {
            let (answer, output) = std::io::pipe().unwrap();
            serve_request(request, output).unwrap();
            match serde_json::from_reader(answer).unwrap() {
                Answer::Verdict(judged) => judged.verdict.to_string(),
                Answer::OnnxRuntimeLibrary { cause, .. } => cause,
                Answer::Error(failed) => VerifyError::from(failed).to_string(),
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "a.onnx".into(),
            #[cfg(target_os = "linux")]
            std::os::unix::ffi::OsStringExt::from_vec(b"a\xff\n.onnx".to_vec()),
        ];
        for name in names {
            let name: OsString = name;
            let model = dir.path().join(name);
            std::fs::write(&model, "no model").unwrap();
            let text = serve(&serde_json::to_vec(&request(&model)).unwrap());
            assert!(text.contains(".onnx fails: it is not an ONNX model: "), "{text}");
        }
        let text = serve(&serde_json::to_vec(&request("/nowhere.onnx".as_ref())).unwrap());
        assert_eq!(text, "\"/nowhere.onnx\" does not exist");
        assert!(serve(b"{").starts_with("the worker process cannot serve: "));
    }
}
