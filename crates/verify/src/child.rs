//! A child process of this program, and what the child does to itself: for files that may make a library abort, run
//! forever or use all memory.

use crate::VerifyError;
use netwright_files::Code;
use netwright_ir::{Dim, Symbol};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Starts a program, sends it a request, which is one line, and calls `read` with each line that it writes until that
/// returns the answer. Without an answer, returns the reason: the time limit, or how the program ended.
///
/// The child does not outlive its parent, however the parent ends, if it calls [`receive`]: its standard input stays open
/// until it has answered.
///
/// # Errors
/// If the program cannot be started.
pub fn ask<T>(
    program: &Path,
    arguments: &[OsString],
    request: &[u8],
    time: Duration,
    mut read: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Result<T, String>> {
    let mut child = start(program, arguments, None)?;
    let stdin = child.stdin.take().map(|mut stdin| {
        // Writing fails if the child has died; its exit status is the better error.
        _ = stdin.write_all(request).and_then(|()| stdin.write_all(b"\n"));
        stdin
    });
    let (output, complaint) = (lines(child.stdout.take()), drain(child.stderr.take()));
    let start = Instant::now();
    let answer = loop {
        match output.recv_timeout(time.saturating_sub(start.elapsed())).map(|line| read(&line)) {
            Ok(None) => {}
            Ok(Some(answer)) => break Ok(answer),
            Err(end) => break Err(end),
        }
    };
    // Closing the pipe ends a child that calls `receive`.
    drop(stdin);
    let ended = match answer {
        // Its output ends when the child does, or shortly before.
        Err(RecvTimeoutError::Disconnected) => ended(&mut child, || time.saturating_sub(start.elapsed()))?,
        _ => None,
    };
    if ended.is_none() {
        _ = child.kill();
        child.wait()?;
    }
    Ok(answer.map_err(|_| match ended {
        None => format!("the time limit of {} seconds was exceeded", time.as_secs()),
        Some(status) => {
            let complaint = complaint.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
            cause_of_death(status, &complaint)
        }
    }))
}

/// Waits until a child ends; returns `None` if it has not ended when no time is left.
fn ended(child: &mut Child, left: impl Fn() -> Duration) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || left().is_zero() {
            return Ok(status);
        }
        thread::sleep(left().min(Duration::from_millis(5)));
    }
}

/// Reads the request, in the child process. The process ends when `input` is closed.
///
/// # Errors
/// If the request cannot be read.
pub fn receive(mut input: impl BufRead + Send + 'static) -> io::Result<Vec<u8>> {
    die_with_parent();
    let mut request = vec![];
    input.read_until(b'\n', &mut request)?;
    thread::spawn(move || {
        // Nothing follows the request.
        _ = io::copy(&mut input, &mut io::sink());
        end(Ended::Orphaned);
    });
    Ok(request)
}

/// Limits the address space of this process in bytes, which macOS and Windows do not support, and the time until it ends
/// itself, in case the parent cannot end it.
pub fn limit(memory: u64, time: Duration) {
    limit_memory(memory);
    thread::spawn(move || {
        thread::sleep(time.saturating_add(GRACE));
        end(Ended::OutOfTime);
    });
}

/// The time that a child adds to its limit, so that the parent, whose message is better, stops it first.
const GRACE: Duration = Duration::from_secs(1);

/// The sizes of symbols as text, in requests.
pub(crate) type Dims = Vec<(String, String)>;

/// Starts a program with pipes for its input, its output and its errors. tract attends to rows in as many threads as
/// Rayon has: `threads`, or one a processor.
pub(crate) fn start(program: &Path, arguments: &[OsString], threads: Option<usize>) -> io::Result<Child> {
    let threads = threads.map(|threads| ("RAYON_NUM_THREADS", threads.to_string()));
    Command::new(program)
        .args(arguments)
        .envs(threads)
        // ONNX Runtime by default refuses operators of an opset that was not final when it was built, even those that
        // it implements.
        .env("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Writes sizes for a request.
pub(crate) fn write_dims(dims: &BTreeMap<Symbol, Dim>) -> Dims {
    dims.iter().map(|(symbol, dim)| (symbol.as_str().to_owned(), dim.to_string())).collect()
}

/// Reads the sizes of a request.
pub(crate) fn read_dims(dims: &Dims) -> Result<BTreeMap<Symbol, Dim>, VerifyError> {
    let read = |(symbol, dim): &(String, String)| {
        let dim = dim.parse().map_err(|error: netwright_ir::ParseDimError| VerifyError::Request(error.to_string()))?;
        Ok((Symbol::new(symbol.as_str()), dim))
    };
    dims.iter().map(read).collect()
}

/// An error as a child sends it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    code: u16,
    message: String,
}

impl From<&VerifyError> for Failed {
    fn from(error: &VerifyError) -> Self {
        Self { code: error.code().number(), message: error.to_string() }
    }
}

impl From<Failed> for VerifyError {
    fn from(Failed { code, message }: Failed) -> Self {
        match Code::with_number(code) {
            Some(code) => Self::Answered { code, message },
            None => Self::Request(format!("{code} is not the code of an error: {message}")),
        }
    }
}

/// Makes the system kill this process when its parent ends: on Linux, when the thread ends that started it. A parent that
/// ended earlier has closed the pipe.
#[cfg(target_os = "linux")]
pub(crate) fn die_with_parent() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // A sandbox may refuse this; then the closed pipe ends the process.
    _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// On other systems only the closed pipe ends the process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn die_with_parent() {}

/// The reason why a child ends itself.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    Orphaned,
    OutOfTime,
}

/// Ends this process immediately, without exit handlers, which may not run safely while a runtime is running.
#[cfg(unix)]
pub(crate) fn end(why: Ended) {
    use rustix::process::{Signal, getpid, kill_process};
    let signal = match why {
        Ended::Orphaned => Signal::KILL,
        Ended::OutOfTime => Signal::ALARM,
    };
    _ = kill_process(getpid(), signal);
}

/// Ends this process immediately.
#[cfg(not(unix))]
pub(crate) fn end(_: Ended) {
    std::process::abort()
}

/// Limits the address space of this process, if the system supports that (macOS refuses), and disables core files.
#[cfg(unix)]
pub(crate) fn limit_memory(bytes: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, most) in [(Resource::As, bytes), (Resource::Core, 0)] {
        let maximum = getrlimit(resource).maximum;
        let current = maximum.map_or(most, |maximum| maximum.min(most));
        _ = setrlimit(resource, Rlimit { current: Some(current), maximum });
    }
}

/// On other systems only the time is limited.
#[cfg(not(unix))]
pub(crate) fn limit_memory(_: u64) {}

/// Reads the lines of a pipe on another thread.
fn lines(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // The lines end on an error, or when nobody waits for them.
        let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')).map_while(Result::ok);
        lines.map_while(|line| sender.send(line).ok()).for_each(drop);
    });
    receiver
}

/// Reads a pipe to its end on another thread.
pub(crate) fn drain(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = vec![];
        if let Some(mut pipe) = pipe {
            // On an error, use the bytes read so far.
            _ = pipe.read_to_end(&mut bytes);
        }
        sender.send(bytes)
    });
    receiver
}

/// Says how a child ended, with the first line of what it complained about.
pub(crate) fn cause_of_death(status: ExitStatus, complaint: &[u8]) -> String {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let end = match (signal, status.code()) {
        (Some(6), _) => "signal 6 (abort)".to_owned(),
        (Some(9), _) => "signal 9 (killed, possibly out of memory)".to_owned(),
        (Some(14), _) => "signal 14 (its own time limit)".to_owned(),
        (Some(11), _) => "signal 11 (segmentation fault)".to_owned(),
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("the worker ended with exit code {code} without an answer"),
        (None, None) => "the worker ended without an answer".to_owned(),
    };
    let complaint = String::from_utf8_lossy(complaint);
    match complaint.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(first) => format!("{end}: {first}"),
        None => end,
    }
}
