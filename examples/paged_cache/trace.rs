//! Traces of requests: random ones, and those of a file.

use crate::serve::Request;
use std::error::Error;
use std::f64::consts::TAU;

/// The latest arrival, and the longest prompt and output, of a trace in a file.
const LARGEST: u64 = 1_000_000;

/// The distributions of a random trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// The mean number of requests that arrive in a step.
    pub(crate) per_step: f64,
    /// The median length of prompts, in tokens.
    pub(crate) prompt: f64,
    /// The median length of outputs, in tokens.
    pub(crate) output: f64,
}

/// A generator of random numbers (SplitMix64; Steele et al., 2014).
struct Random(u64);

impl Random {
    /// Returns a number in (0, 1].
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number of a normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number is clamped")]
fn rounded(number: f64, most: u64) -> u64 {
    (number as u64).clamp(1, most)
}

/// Returns requests that arrive independently of one another, with lengths of log-normal distributions whose longest
/// tenth is over 2.8 times the median. No output is longer than `limit`, no prompt longer than twice the limit.
pub(crate) fn random(count: usize, seed: u64, lengths: Lengths, limit: u64) -> Vec<Request> {
    let mut random = Random(seed);
    let mut time = 0.0;
    let mut request = || {
        time -= random.uniform().ln() / lengths.per_step;
        let prompt = rounded(lengths.prompt * (0.8 * random.normal()).exp(), 2 * limit);
        let output = rounded(lengths.output * (0.8 * random.normal()).exp(), limit);
        Request { arrival: rounded(time, LARGEST), prompt, output }
    };
    (0..count).map(|_| request()).collect()
}

/// Reads lines `arrival,prompt,output` after the line with these names, in the order of arrival.
///
/// # Errors
/// The line and what is wrong with it.
pub(crate) fn parse(text: &str, limit: u64) -> Result<Vec<Request>, Box<dyn Error>> {
    const NAMES: &str = "arrival,prompt,output";
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    if lines.next().map(|(_, line)| line) != Some(NAMES) {
        return Err(format!("line 1 must be `{NAMES}`").into());
    }
    let mut requests = Vec::<Request>::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let fields: Result<Vec<u64>, _> = line.split(',').map(|field| field.trim().parse()).collect();
        let Ok(&[arrival, prompt, output]) = fields.as_deref() else {
            return Err(format!("line {number} must be three numbers, not `{line}`").into());
        };
        if [arrival, prompt, output].into_iter().any(|field| field > LARGEST) || prompt == 0 || output == 0 {
            return Err(format!("line {number}: a prompt and an output have 1 to {LARGEST} tokens").into());
        }
        if output > limit {
            return Err(format!("line {number} writes {output} tokens, but the limit is {limit}: raise --limit").into());
        }
        if requests.last().is_some_and(|last| last.arrival > arrival) {
            return Err(format!("line {number} arrives before the line above: sort the lines by arrival").into());
        }
        requests.push(Request { arrival, prompt, output });
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_trace_has_the_requested_medians() {
        let requests = random(4000, 1, Lengths { per_step: 0.5, prompt: 100.0, output: 50.0 }, 1000);
        let median = |length: fn(&Request) -> u64| {
            let mut all: Vec<u64> = requests.iter().map(length).collect();
            all.sort_unstable();
            all[2000]
        };
        assert!(median(|request| request.prompt).abs_diff(100) < 5);
        assert!(median(|request| request.output).abs_diff(50) < 3);
        assert!(requests[3999].arrival.abs_diff(8000) < 400, "one request in two steps");
        assert!(requests.is_sorted_by_key(|request| request.arrival));
    }

    #[test]
    fn bad_lines_are_named() {
        let read =
            |lines: &str| parse(&format!("arrival,prompt,output\n{lines}"), 100).map_err(|error| error.to_string());
        assert_eq!(
            read("0,3,4\n\n2, 5,100"),
            Ok(vec![Request { arrival: 0, prompt: 3, output: 4 }, Request { arrival: 2, prompt: 5, output: 100 },])
        );
        for (lines, expected) in [
            ("0,3", "line 2 must be three numbers, not `0,3`"),
            ("0,3,-1", "line 2 must be three numbers, not `0,3,-1`"),
            ("0,0,4", "line 2: a prompt and an output have 1 to 1000000 tokens"),
            ("0,3,101", "line 2 writes 101 tokens, but the limit is 100: raise --limit"),
            ("5,3,4\n4,3,4", "line 3 arrives before the line above: sort the lines by arrival"),
        ] {
            assert_eq!(read(lines), Err(expected.to_owned()));
        }
        assert!(parse("0,3,4", 100).is_err());
    }
}
