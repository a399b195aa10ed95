//! Shows the progress of long work on a terminal: how much of a model is written, the rate, and the time left; or the
//! run of a verification.

use crate::output::{is_plain, thousands};
use indicatif::{ProgressBar, ProgressStyle};
use netwright::onnx::Progress;
use netwright::verify::OnRun;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time between two updates.
const TICK: Duration = Duration::from_millis(100);

/// The time after which work is shown.
const DELAY: Duration = Duration::from_secs(1);

/// A spinner that is shown until it is dropped.
#[derive(Debug)]
pub(crate) struct Spinner {
    /// Counts the bytes of the model that is being written.
    pub(crate) progress: Progress,
    /// The run that goes on, as text.
    run: Arc<Mutex<String>>,
    /// Closed to end the spinner.
    done: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Starts a spinner, which draws nothing unless `is_shown`.
    pub(crate) fn new(message: &'static str, is_shown: bool) -> Self {
        let (done, waiting) = mpsc::channel::<()>();
        let progress = Progress::default();
        let run = Arc::<Mutex<String>>::default();
        let (counts, current) = (progress.clone(), Arc::clone(&run));
        let thread = is_shown.then(|| thread::spawn(move || spin(message, &counts, &current, &waiting)));
        Self { progress, run, done: Some(done), thread }
    }

    /// Returns what shows the runs of a verification.
    pub(crate) fn on_run(&self) -> OnRun {
        let run = Arc::clone(&self.run);
        OnRun::new(move |start| *run.lock().unwrap_or_else(PoisonError::into_inner) = format!(": {start}"))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.done.take();
        if let Some(thread) = self.thread.take() {
            // The thread only draws: its panic is not a failure of the work.
            let _ = thread.join();
        }
    }
}

/// Draws after the first second, until the channel is closed.
fn spin(message: &'static str, progress: &Progress, run: &Mutex<String>, done: &mpsc::Receiver<()>) {
    let start = Instant::now();
    let mut meter = Meter::default();
    let mut bar = None;
    while done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let written = meter.text(start.elapsed(), progress.written(), progress.total());
        if start.elapsed() >= DELAY {
            let bar = bar.get_or_insert_with(|| spinner(message));
            bar.set_message(written.unwrap_or_else(|| run.lock().unwrap_or_else(PoisonError::into_inner).clone()));
            bar.tick();
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn spinner(message: &'static str) -> ProgressBar {
    let spinner = if is_plain() { "{spinner}" } else { "{spinner:.cyan}" };
    let bar = ProgressBar::new_spinner().with_prefix(message).with_elapsed(DELAY);
    match ProgressStyle::with_template(&format!("{spinner} {{prefix}} {{elapsed}}{{wide_msg}}")) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The rate of writing a file, since its first byte.
#[derive(Debug, Default)]
struct Meter {
    start: Duration,
    written: u64,
    total: u64,
}

impl Meter {
    /// Returns how much is written `now`, the rate and the time left; `None` if no file is being written.
    fn text(&mut self, now: Duration, written: u64, total: u64) -> Option<String> {
        let is_other = total != self.total || written < self.written;
        let start = if is_other { now } else { self.start };
        *self = Self { start, written, total };
        if written >= total {
            return None;
        }
        let megabytes = |bytes: u64| thousands(bytes.div_ceil(1_000_000));
        let of = format!(": {} of {} MB", megabytes(written), megabytes(total));
        let seconds = now.saturating_sub(start).as_secs_f64();
        if seconds == 0.0 || written == 0 {
            return Some(of);
        }
        let rate = written as f64 / seconds;
        let left = Duration::from_secs_f64((total - written) as f64 / rate).as_secs() + 1;
        let left = if left < 60 { format!("{left} s") } else { format!("{} min {} s", left / 60, left % 60) };
        Some(format!("{of}, {:.0} MB/s, {left} left", rate / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;
    use std::time::Duration;

    #[test]
    fn the_rate_is_that_of_the_file() {
        const MB: u64 = 1_000_000;
        let mut meter = Meter::default();
        for (seconds, written, total, expected) in [
            (1.0, 0, 0, None),
            (2.0, 0, 4_900 * MB, Some(": 0 of 4,900 MB")),
            (2.5, 400 * MB, 4_900 * MB, Some(": 400 of 4,900 MB, 800 MB/s, 6 s left")),
            (4.0, 1_600 * MB, 4_900 * MB, Some(": 1,600 of 4,900 MB, 800 MB/s, 5 s left")),
            (8.0, 4_900 * MB, 4_900 * MB, None),
            // A second file of the same size.
            (9.0, 1, 4_900 * MB, Some(": 1 of 4,900 MB")),
            (11.0, 20 * MB, 4_900 * MB, Some(": 20 of 4,900 MB, 10 MB/s, 8 min 9 s left")),
            // One of another size.
            (12.0, 30 * MB, 100 * MB, Some(": 30 of 100 MB")),
        ] {
            let text = meter.text(Duration::from_secs_f64(seconds), written, total);
            assert_eq!(text.as_deref(), expected, "after {seconds} s");
        }
    }
}
