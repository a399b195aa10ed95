//! Measures the time and memory of models, each in a child process of its own.
//!
//! A child loads one model, and runs it for each line that it reads: once, or several times if a run is short. So runs of
//! several models can take turns, and the memory of one is not counted with another.

use crate::child::{
    Dims, Ended, Failed, cause_of_death, die_with_parent, drain, end, limit_memory, read_dims, start, write_dims,
};
use crate::runner::Runner;
use crate::runs::first_case;
use crate::worker::AnyPath;
use crate::{ModelFile, Options, Runtime, VerifyError};
use netwright_files::peak_memory;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The subcommand that makes the `netwright` binary a child that is measured.
pub const BENCH_SUBCOMMAND: &str = "__bench-worker";

/// A program that calls [`serve`], and its limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bench {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The limit of its address space in bytes.
    pub memory: u64,
    /// The time limit of loading, and of one run.
    pub time: Duration,
    /// The number of threads of tract; ONNX Runtime has those of its [options](crate::OnnxRuntime::with_threads).
    pub threads: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    model: AnyPath,
    dims: Dims,
    seed: u64,
    runtime: Runtime,
    data_dir: Option<AnyPath>,
    memory: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Loaded(Loaded),
    Ran { seconds: f64, peak: Option<u64> },
    Error(Failed),
}

/// A model that is loaded, before its first measured run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// The time of loading and optimizing the model, in seconds.
    pub seconds: f64,
    /// The size of each symbolic dim.
    pub sizes: BTreeMap<String, i64>,
}

/// A child process that has loaded a model.
#[derive(Debug)]
pub struct Measured {
    /// How the model was loaded.
    pub loaded: Loaded,
    /// The most memory that the process has held, in bytes; `None` if the system does not tell.
    pub peak: Option<u64>,
    program: PathBuf,
    model: String,
    runtime: String,
    time: Duration,
    child: Child,
    requests: ChildStdin,
    answers: mpsc::Receiver<String>,
    complaint: mpsc::Receiver<Vec<u8>>,
}

impl Bench {
    /// Creates a bench from the `netwright` binary, with limits of 32 GiB and two minutes, and one thread.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec![BENCH_SUBCOMMAND.into()],
            memory: 32 << 30,
            time: Duration::from_mins(2),
            threads: 1,
        }
    }

    /// Starts a child that loads a model in `runtime` and runs it once. The inputs are generated from the sizes, the
    /// seed and the data folder of the options.
    ///
    /// # Errors
    /// If the child cannot be started, and if the runtime cannot run the model.
    pub fn load(&self, model: &Path, runtime: &Runtime, options: &Options) -> Result<Measured, VerifyError> {
        let failed = |cause: String| VerifyError::Worker { program: self.program.clone(), cause };
        let mut child =
            start(&self.program, &self.arguments, Some(self.threads)).map_err(|error| failed(error.to_string()))?;
        let (Some(requests), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("it has no pipes".to_owned()));
        };
        let complaint = drain(child.stderr.take());
        let loaded = Loaded { seconds: 0.0, sizes: BTreeMap::new() };
        let (model_name, runtime_name) = (model.display().to_string(), runtime.to_string());
        let (program, time) = (self.program.clone(), self.time);
        let answers = lines(stdout, || ());
        let mut measured = Measured {
            loaded,
            peak: None,
            program,
            model: model_name,
            runtime: runtime_name,
            time,
            child,
            requests,
            answers,
            complaint,
        };
        let request = Request {
            model: model.into(),
            dims: write_dims(&options.dims),
            seed: options.seed,
            runtime: runtime.clone(),
            data_dir: options.data_dir.as_deref().map(AnyPath::from),
            memory: self.memory,
        };
        let request = serde_json::to_string(&request).map_err(|error| failed(error.to_string()))?;
        match measured.ask(&request, "load the model")? {
            Answer::Loaded(loaded) => measured.loaded = loaded,
            Answer::Error(failed) => return Err(failed.into()),
            Answer::Ran { .. } => return Err(failed("it ran a model before it was asked".to_owned())),
        }
        Ok(measured)
    }
}

impl Measured {
    /// Runs the model, several times if a run is short, and returns the mean time of a run in seconds.
    ///
    /// # Errors
    /// If the run fails, or the child ends.
    pub fn run(&mut self) -> Result<f64, VerifyError> {
        match self.ask("run", "run the model")? {
            Answer::Ran { seconds, peak } => {
                self.peak = peak;
                Ok(seconds)
            }
            Answer::Error(failed) => Err(failed.into()),
            Answer::Loaded(_) => Err(self.failed("it loaded a model twice".to_owned())),
        }
    }

    fn ask(&mut self, line: &str, action: &'static str) -> Result<Answer, VerifyError> {
        // Writing fails if the child has died; how it ended is the better error.
        _ = writeln!(self.requests, "{line}").and_then(|()| self.requests.flush());
        let cause = match self.answers.recv_timeout(self.time) {
            Ok(answer) => return serde_json::from_str(&answer).map_err(|error| self.failed(error.to_string())),
            Err(RecvTimeoutError::Timeout) => format!("the time limit of {} seconds was exceeded", self.time.as_secs()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map_err(|error| self.failed(error.to_string()))?;
                let complaint = self.complaint.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                cause_of_death(status, &complaint)
            }
        };
        Err(VerifyError::Runtime { file: self.model.clone(), runtime: self.runtime.clone(), action, cause })
    }

    fn failed(&self, cause: String) -> VerifyError {
        VerifyError::Worker { program: self.program.clone(), cause }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // A child that has ended already is only collected.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The shortest time of a turn, unless it would take more than 1000 runs.
const TURN: Duration = Duration::from_millis(10);

/// Returns how often a model runs when it is asked to run. The first run after a pause wakes the threads of the runtime, which
/// may take longer than a short run: a program that runs the model again and again does not wait for that.
fn repeats(run: Duration) -> u32 {
    let repeats = TURN.as_nanos().div_ceil(run.as_nanos().max(1));
    u32::try_from(repeats).unwrap_or(u32::MAX).clamp(1, 1000)
}

/// Reads lines on another thread, which calls `closed` after the last.
fn lines(pipe: impl Read + Send + 'static, closed: impl FnOnce() + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let sent = |line: String| sender.send(line).is_ok();
        _ = BufReader::new(pipe).lines().map_while(Result::ok).all(sent);
        closed();
    });
    receiver
}

/// Serves one model, in the child process: loads it, and runs it for each further line of `input`. Every answer is a
/// line of `output`. The process ends when `input` is closed.
///
/// # Errors
/// If the request cannot be read, or an answer cannot be written.
pub fn serve(input: impl Read + Send + 'static, mut output: impl Write) -> Result<(), VerifyError> {
    die_with_parent();
    let cannot = |cause: &dyn std::fmt::Display| VerifyError::Request(cause.to_string());
    let lines = lines(input, || end(Ended::Orphaned));
    let request = lines.recv().unwrap_or_default();
    let request: Request = serde_json::from_str(&request).map_err(|error| cannot(&error))?;
    let mut answer = |answer: &Answer| {
        let text = serde_json::to_string(answer).map_err(|error| cannot(&error))?;
        writeln!(output, "{text}").and_then(|()| output.flush()).map_err(|error| cannot(&error))
    };
    let failed = |error: &VerifyError| Answer::Error(Failed::from(error));
    limit_memory(request.memory);
    let run = |answer: &mut dyn FnMut(&Answer) -> Result<(), VerifyError>| -> Result<(), VerifyError> {
        let mut options = Options::default().with_dims(read_dims(&request.dims)?);
        options.seed = request.seed;
        let file = ModelFile::open_with(PathBuf::from(request.model), request.data_dir.map(PathBuf::from).as_deref())?;
        let start = Instant::now();
        let runner = Runner::new(&file, &request.runtime)?;
        let seconds = start.elapsed().as_secs_f64();
        let case = first_case(&file, None, &runner, &options, &mut vec![])?;
        let session = runner.into_session(&case.bindings)?;
        let inputs = case.borrowed();
        session.time(&inputs)?;
        let repeats = repeats(session.time(&inputs)?);
        let sizes = case.bindings.iter().map(|(symbol, size)| (symbol.as_str().to_owned(), *size)).collect();
        answer(&Answer::Loaded(Loaded { seconds, sizes }))?;
        for _ in &lines {
            let mut total = Duration::ZERO;
            for _ in 0..repeats {
                total += session.time(&inputs)?;
            }
            let seconds = total.as_secs_f64() / f64::from(repeats);
            answer(&Answer::Ran { seconds, peak: peak_memory() })?;
        }
        Ok(())
    };
    match run(&mut answer) {
        Ok(()) => Ok(()),
        Err(error) => answer(&failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_long_enough() {
        for (micros, expected) in [(0, 1000), (1, 1000), (10, 1000), (3000, 4), (5100, 2), (9999, 2), (10_000, 1)] {
            assert_eq!(repeats(Duration::from_micros(micros)), expected, "{micros} µs");
        }
    }
}
