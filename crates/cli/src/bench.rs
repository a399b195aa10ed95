//! `netwright bench`: the time and memory of one model or two, in the available runtimes.

use crate::args::{Bench as Args, bindings};
use crate::failure::Failure;
use crate::output::{Output, counted, in_line, table, thousands};
use crate::runtimes;
use crate::suggest::expect_model;
use netwright::verify::bench::{self, Bench, Measured};
use netwright::verify::{Options, OrtLevel, VerifyError};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A model in a runtime.
#[derive(Debug, Serialize, JsonSchema)]
struct Timed {
    runtime: String,
    model: PathBuf,
    /// The size of each symbolic dim.
    sizes: BTreeMap<String, i64>,
    /// The time of loading and optimizing the model, in seconds.
    load_seconds: f64,
    /// The time of a run in each round, in seconds: the mean, if a model runs several times a round.
    seconds: Vec<f64>,
    /// Half of the rounds take at most this time a run.
    median: f64,
    /// A quarter of the rounds take at most this time a run.
    lower_quartile: f64,
    /// Three quarters of the rounds take at most this time a run.
    upper_quartile: f64,
    /// The most memory that the process held, in bytes; `null` if the system does not tell.
    peak_bytes: Option<u64>,
}

/// An interval.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Between {
    low: f64,
    high: f64,
}

/// The second model compared with the first in a runtime.
#[derive(Debug, Serialize, JsonSchema)]
struct Compared {
    runtime: String,
    /// The median, over the rounds, of the time of the second model divided by that of the first.
    ratio: f64,
    /// The bounds of an interval in which the true median lies with a probability of 95 %; `null` for fewer than six
    /// rounds.
    between: Option<Between>,
    /// The faster model; `null` if the interval contains 1.
    faster: Option<PathBuf>,
}

/// A model that a runtime cannot run.
#[derive(Debug, Serialize, JsonSchema)]
struct NotRun {
    runtime: String,
    model: PathBuf,
    why: String,
}

impl NotRun {
    fn new(runtime: &str, model: &Path, why: &VerifyError) -> Self {
        Self { runtime: runtime.to_owned(), model: model.to_owned(), why: why.to_string() }
    }
}

/// What was measured.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    rounds: usize,
    timed: Vec<Timed>,
    compared: Vec<Compared>,
    not_run: Vec<NotRun>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let models: Vec<&Path> = std::iter::once(&args.a).chain(&args.b).map(PathBuf::as_path).collect();
    models.iter().try_for_each(|model| expect_model(model))?;
    let mut options = Options::default().with_dims(bindings(&args.dims)?);
    options.data_dir.clone_from(&args.data_dir);
    let threads = args.threads.into();
    let mut bench = Bench::new(std::env::current_exe()?);
    bench.threads = threads;
    let mut report = Report { rounds: args.rounds.into(), timed: vec![], compared: vec![], not_run: vec![] };
    let (first, second) = runtimes::chosen(args.runtime, args.ort_library.as_deref(), false, |ort| {
        ort.with_level(OrtLevel::All).with_threads(threads)
    })?;
    let spinner = output.spinner("measuring");
    for runtime in std::iter::once(first).chain(second) {
        let name = runtime.to_string();
        let mut loaded = vec![];
        for model in &models {
            match bench.load(model, &runtime, &options) {
                Ok(measured) => loaded.push((*model, measured)),
                Err(error) => {
                    let not_run = NotRun::new(&name, model, &error);
                    match runtimes::failed(error) {
                        Failure::NotVerifiable(_) => report.not_run.push(not_run),
                        // No runtime can use what the user named.
                        failure => return Err(failure),
                    }
                }
            }
        }
        let times = measure(&mut loaded, args.rounds.into());
        if let [Ok(first), Ok(second)] = times.as_slice() {
            report.compared.push(compare(&name, [models[0], models[1]], first, second));
        }
        for ((model, measured), times) in loaded.into_iter().zip(times) {
            match times {
                Ok(seconds) => report.timed.push(timed(&name, model, &measured, seconds)),
                Err(error) => report.not_run.push(NotRun::new(&name, model, &error)),
            }
        }
    }
    drop(spinner);
    if report.timed.is_empty()
        && let Some(last) = report.not_run.pop()
    {
        return Err(Failure::not_verifiable(last.why));
    }
    output.data(&report, || text(&report))
}

/// Serves one model for a parent process.
pub(crate) fn serve() -> Result<(), Failure> {
    bench::serve(io::stdin(), io::stdout().lock()).map_err(Failure::usage)
}

/// Runs the models in turns, in another order in every second round; returns the times of each, or why a run failed.
fn measure(loaded: &mut [(&Path, Measured)], rounds: usize) -> Vec<Result<Vec<f64>, VerifyError>> {
    let mut times: Vec<_> = loaded.iter().map(|_| Ok(Vec::with_capacity(rounds))).collect();
    for round in 0..rounds {
        for at in 0..loaded.len() {
            let at = if round % 2 == 0 { at } else { loaded.len() - 1 - at };
            let Ok(own) = &mut times[at] else { continue };
            match loaded[at].1.run() {
                Ok(seconds) => own.push(seconds),
                Err(error) => times[at] = Err(error),
            }
        }
    }
    times
}

fn timed(runtime: &str, model: &Path, measured: &Measured, seconds: Vec<f64>) -> Timed {
    let sorted = sorted(seconds.iter().copied());
    Timed {
        runtime: runtime.to_owned(),
        model: model.to_owned(),
        sizes: measured.loaded.sizes.clone(),
        load_seconds: measured.loaded.seconds,
        median: quantile(&sorted, 0.5),
        lower_quartile: quantile(&sorted, 0.25),
        upper_quartile: quantile(&sorted, 0.75),
        peak_bytes: measured.peak,
        seconds,
    }
}

fn compare(runtime: &str, models: [&Path; 2], first: &[f64], second: &[f64]) -> Compared {
    let ratios = sorted(first.iter().zip(second).map(|(first, second)| second / first));
    let between = interval(&ratios);
    let faster = match &between {
        Some(Between { high, .. }) if *high < 1.0 => Some(models[1]),
        Some(Between { low, .. }) if *low > 1.0 => Some(models[0]),
        _ => None,
    };
    let runtime = runtime.to_owned();
    Compared { runtime, ratio: quantile(&ratios, 0.5), between, faster: faster.map(Path::to_owned) }
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// Returns a quantile of sorted numbers, between the two nearest; 0 without numbers.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few rounds")]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = part * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Returns an interval in which the median of what sorted numbers are drawn from lies with a probability of 95 %: from
/// the number at rank k to the one at rank n + 1 - k, for the largest k such that fewer than k of n fair coins fall on
/// one side with a probability of at most 2.5 %. Too few numbers have no such interval.
fn interval(sorted: &[f64]) -> Option<Between> {
    let rounds = i32::try_from(sorted.len()).unwrap_or(i32::MAX);
    // The probability of each number of coins, from that of none; it underflows to 0 only for over a thousand rounds.
    let (mut probability, mut sum, mut rank) = (0.5_f64.powi(rounds), 0.0, 0);
    for coins in 0..rounds {
        sum += probability;
        if sum > 0.025 {
            break;
        }
        rank = coins + 1;
        probability *= f64::from(rounds - coins) / f64::from(coins + 1);
    }
    let rank = usize::try_from(rank).unwrap_or(0);
    Some(Between { low: *sorted.get(rank.checked_sub(1)?)?, high: *sorted.get(sorted.len() - rank)? })
}

fn text(report: &Report) -> String {
    let mut rows = vec![["model", "runtime", "median", "quartiles", "load", "peak memory"].map(str::to_owned).to_vec()];
    rows.extend(report.timed.iter().map(|timed| {
        let peak = timed
            .peak_bytes
            .map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MB", thousands(bytes / 1_000_000)));
        vec![
            in_line(&timed.model),
            timed.runtime.clone(),
            milliseconds(timed.median),
            format!("{} to {}", milliseconds(timed.lower_quartile), milliseconds(timed.upper_quartile)),
            format!("{:.2} s", timed.load_seconds),
            peak,
        ]
    }));
    let mut text = table(&rows);
    let sizes = report.timed.first().map(|timed| timed.sizes.iter()).into_iter().flatten();
    let sizes: Vec<String> = sizes.map(|(symbol, size)| format!("{symbol} = {size}")).collect();
    let with = if sizes.is_empty() { String::new() } else { format!(" with {}", sizes.join(", ")) };
    let mut lines = vec![counted(report.rounds, "round") + &with];
    lines.extend(report.compared.iter().map(|compared| {
        let Compared { runtime, ratio, between, faster } = compared;
        let what = match faster {
            Some(model) => format!("{} is faster", in_line(model)),
            None if between.is_none() => "too few rounds to tell which is faster; use --rounds 6 or more".to_owned(),
            None => "the spread does not tell which is faster".to_owned(),
        };
        let spread =
            between.as_ref().map_or_else(String::new, |Between { low, high }| format!(" ({low:.3} to {high:.3})"));
        format!("{runtime}: the second model takes {}{spread}: {what}", share(*ratio))
    }));
    lines.extend(other_sizes(&report.timed));
    lines.extend(
        report
            .not_run
            .iter()
            .map(|NotRun { runtime, model, why }| format!("{runtime} does not run {}: {why}", in_line(model))),
    );
    text.push_str(&(lines.join("\n") + "\n"));
    text
}

/// Returns what to do about a symbol that has another size in the second of two models.
fn other_sizes(timed: &[Timed]) -> Option<String> {
    let (first, second) = (timed.first()?, timed.iter().find(|other| other.model != timed[0].model)?);
    let (symbol, size) =
        first.sizes.iter().find(|(symbol, size)| second.sizes.get(*symbol).is_some_and(|own| own != *size))?;
    let other = second.sizes[symbol];
    let [first, second] = [first, second].map(|timed| in_line(&timed.model));
    Some(format!(
        "{symbol} is {size} for {first} and {other} for {second}, so that the times cannot be compared; add --dim \
         {symbol}={other}"
    ))
}

/// Returns the time of one model as a multiple of that of another.
fn share(ratio: f64) -> String {
    format!("{ratio:.3} {}", if ratio < 1.0 { "of the time" } else { "times as long" })
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{Between, Report, compare, interval, quantile, share, text};
    use std::path::Path;

    #[test]
    fn quantiles_are_between_the_nearest_numbers() {
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|part| quantile(&[1.0, 2.0, 3.0, 4.0], part)), [1.0, 1.75, 2.5, 4.0]);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
    }

    /// The ranks are those of tables of the sign test.
    #[test]
    fn intervals_have_the_ranks_of_the_sign_test() {
        let numbers = |count: i32| (1..=count).map(f64::from).collect::<Vec<_>>();
        for (count, between) in [(5, None), (6, Some((1.0, 6.0))), (20, Some((6.0, 15.0))), (30, Some((10.0, 21.0)))] {
            let between = between.map(|(low, high)| Between { low, high });
            assert_eq!(interval(&numbers(count)), between, "{count}");
        }
    }

    #[test]
    fn a_slower_model_takes_a_multiple_of_the_time() {
        assert_eq!([0.912, 46.025].map(share), ["0.912 of the time", "46.025 times as long"]);
    }

    #[test]
    fn a_model_is_faster_only_if_the_spread_allows_it() {
        let (a, b) = (Path::new("a"), Path::new("b"));
        let first = [1.0; 10];
        let faster = |second: &[f64]| compare("tract", [a, b], &first, second).faster;
        assert_eq!(faster(&[0.9; 10]).as_deref(), Some(b));
        assert_eq!(faster(&[1.1; 10]).as_deref(), Some(a));
        assert_eq!(faster(&[0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 0.9, 0.9, 0.9, 0.9]), None);
        assert_eq!(compare("tract", [a, b], &first[..3], &[0.5; 3]).faster, None);
        let lines = |rounds: usize| {
            let compared = vec![compare("tract", [a, b], &first[..rounds], &vec![0.5; rounds])];
            text(&Report { rounds, timed: vec![], compared, not_run: vec![] })
        };
        assert!(lines(5).contains(": too few rounds to tell which is faster; use --rounds 6 or more\n"));
        assert!(lines(6).contains(": b is faster\n"));
    }
}
