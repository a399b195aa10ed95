//! Compares layouts of the KV cache: serves one trace of requests with each, and reports what happened to the memory.
//! `cargo run --release --example paged_cache -- --svg target/kv-cache.svg`; docs/kv-cache.md explains the layouts.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

mod plot;
mod serve;
mod trace;

use serve::{Layout, Outcome, Server, serve};
use std::error::Error;
use trace::Lengths;

const USAGE: &str = "usage: paged_cache [--trace FILE | --requests N --seed N] [--slots N] [--limit N] [--length N] \
                     [--window N] [--block N] [--svg FILE]";

const COLUMNS: [&str; 12] = [
    "layout", "served", "refused", "steps", "running", "reserved", "waste", "evicted", "again", "dropped", "blocked",
    "wait",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Server { slots: 16_384, limit: 512, length: 1536, window: 256, block: 16 };
    let (mut count, mut seed, mut file, mut svg) = (400, 0, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        let number = |most: u64| match value.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(format!("{flag} must be a number from 1 to {most}, not `{value}`")),
        };
        match flag.as_str() {
            "--trace" => file = Some(value),
            "--svg" => svg = Some(value),
            "--requests" => count = number(100_000)?,
            "--seed" => seed = value.parse()?,
            "--slots" => server.slots = number(100_000_000)?,
            "--limit" => server.limit = number(1_000_000)?,
            "--length" => server.length = number(1_000_000)?,
            "--window" => server.window = number(1_000_000)?,
            "--block" => server.block = number(1_000_000)?,
            _ => return Err(USAGE.into()),
        }
    }
    let requests = if let Some(file) = &file {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        trace::parse(&text, server.limit).map_err(|error| format!("{file}: {error}"))?
    } else {
        let lengths = Lengths { per_step: 0.35, prompt: 160.0, output: 100.0 };
        trace::random(usize::try_from(count)?, seed, lengths, server.limit)
    };
    let outcomes = Layout::ALL.map(|layout| (layout, serve(&requests, server, layout)));
    let (read, written) =
        requests.iter().fold((0, 0), |(read, written), one| (read + one.prompt, written + one.output));
    println!("{} requests read {read} tokens and write {written}, with {} slots", requests.len(), server.slots);
    let rows = outcomes.iter().map(|(layout, outcome)| row(*layout, outcome, server));
    for [name, numbers @ ..] in std::iter::once(COLUMNS.map(ToOwned::to_owned)).chain(rows) {
        println!("{name:<10}{}", numbers.iter().map(|number| format!(" {number:>8}")).collect::<String>());
    }
    if let Some((_, paged)) = outcomes.last() {
        let blocks = |slots: f64| slots / server.block as f64;
        let peak = paged.steps.iter().map(|step| step.reserved).max().unwrap_or(0) as f64;
        println!(
            "paged: {:.0} of {} blocks in use on average, {:.0} at most",
            blocks(mean(paged, |step| step.reserved)),
            server.slots / server.block,
            blocks(peak)
        );
    }
    if let Some(path) = svg {
        std::fs::write(&path, plot::svg(&outcomes, server)).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// Returns a mean over all steps.
fn mean(outcome: &Outcome, of: impl Fn(&serve::Step) -> u64) -> f64 {
    outcome.steps.iter().map(of).sum::<u64>() as f64 / outcome.steps.len().max(1) as f64
}

/// Returns the cells of a layout, one for each of [`COLUMNS`].
fn row(layout: Layout, outcome: &Outcome, server: Server) -> [String; 12] {
    let (reserved, used) = (mean(outcome, |step| step.reserved), mean(outcome, |step| step.used));
    let percent = |part: f64, of: f64| format!("{:.0} %", if of > 0.0 { 100.0 * part / of } else { 0.0 });
    let wait = outcome.waited as f64 / outcome.served.max(1) as f64;
    [
        layout.name().to_owned(),
        outcome.served.to_string(),
        outcome.refused.to_string(),
        outcome.steps.len().to_string(),
        format!("{:.1}", mean(outcome, |step| step.running)),
        percent(reserved, server.slots as f64),
        percent(reserved - used, reserved),
        outcome.evictions.to_string(),
        outcome.recomputed.to_string(),
        outcome.dropped.to_string(),
        outcome.fragmented.to_string(),
        format!("{wait:.0}"),
    ]
}
