//! Signal handlers: a command that is stopped leaves no unfinished file.

use netwright::files;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::Arc;
use std::thread;

/// Installs handlers that remove unfinished files when a signal ends the command. A write beyond the shell's limit on
/// file sizes becomes an error, like a full disk, instead of ending the command silently.
pub(crate) fn handle() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let ignored = ignored();
    let stops: Vec<i32> =
        [SIGTERM, SIGINT, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect();
    let mut signals = Signals::new(stops)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            files::remove_unfinished();
            // If the default does not end the process, continue.
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}

/// Returns a bit mask of the signals that the parent process set to be ignored, as `nohup` and background jobs do; 0 if
/// the system does not report them.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
