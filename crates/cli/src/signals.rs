//! What signals do: a command that is stopped leaves no unfinished file.

use netwright::files;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::Arc;
use std::thread;

/// Removes unfinished files when the command is told to stop, and makes a write beyond the shell's limit of file sizes
/// an error like a full disk, in place of an end without a word.
pub(crate) fn handle() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let ignored = ignored();
    let stops: Vec<i32> =
        [SIGTERM, SIGINT, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect();
    let mut signals = Signals::new(stops)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            files::remove_unfinished();
            // If the default is to go on, so does this.
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}

/// The signals that whoever started the command wants ignored, such as `nohup` and shells in the background, a bit each;
/// none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
