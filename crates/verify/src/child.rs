//! A child process of this program, and what the child does to itself.

use crate::VerifyError;
use netwright_ir::{Dim, Symbol};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

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
