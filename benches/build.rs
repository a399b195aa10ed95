//! Whole-process time and peak memory of `netwright build`, beside writing as many random bytes:
//! `cargo bench --bench build`.
//!
//! Runs are interleaved, so that what else the machine does meets both alike; medians are printed. Nothing is synced
//! to disk. The random bytes are drawn by Xoshiro256++, one after the other, and written by 1 MiB.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, path, bytes] = arguments.as_slice()
        && mode == "write-random"
    {
        return write_random(Path::new(path), bytes.parse()?);
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "netwright-cli"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    assert!(built.success(), "netwright does not build");
    let netwright = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/netwright");
    let folder = tempfile::tempdir()?;
    println!("{:18} {:>12} {:>9} {:>9} {:>7} {:>9}", "", "bytes", "build", "random", "ratio", "peak");
    for preset in ["transformer-base", "transformer-big"] {
        let (model, random) = (folder.path().join("model.onnx"), folder.path().join("random"));
        let mut build = Command::new(&netwright);
        build.args(["-q", "build", preset, "-o"]).arg(&model);
        run(&mut build)?;
        let bytes = std::fs::metadata(&model)?.len();
        let mut write = Command::new(std::env::current_exe()?);
        write.arg("write-random").arg(&random).arg(bytes.to_string());
        let (mut builds, mut writes, mut peak) = (vec![], vec![], 0);
        for _ in 0..ROUNDS {
            std::fs::remove_file(&model)?;
            let (time, memory) = run(&mut build)?;
            builds.push(time);
            peak = peak.max(memory);
            writes.push(run(&mut write)?.0);
            std::fs::remove_file(&random)?;
        }
        let (build, write) = (median(&mut builds), median(&mut writes));
        let ratio = build.as_secs_f64() / write.as_secs_f64();
        println!(
            "{preset:18} {bytes:>12} {:>6} ms {:>6} ms {ratio:>7.2} {:>6} MB",
            build.as_millis(),
            write.as_millis(),
            peak / 1000
        );
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Runs a program; its wall time, and the most memory that it had resident, in kB.
fn run(command: &mut Command) -> Result<(Duration, u64), Box<dyn Error>> {
    let start = Instant::now();
    let mut child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            assert!(status.success(), "{command:?} failed");
            return Ok((start.elapsed(), peak));
        }
        // The high-water mark only grows, so the last look is the one that counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn write_random(path: &Path, bytes: u64) -> Result<(), Box<dyn Error>> {
    let mut random = SmallRng::seed_from_u64(0);
    let mut file = File::create(path)?;
    let mut block = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let size = block.len().min(usize::try_from(left)?);
        random.fill_bytes(&mut block[..size]);
        file.write_all(&block[..size])?;
        left -= size as u64;
    }
    Ok(())
}
