//! Whole-process time and peak memory of `netwright build`: of presets beside writing as many random bytes, and of a
//! Llama of 1.2 billion parameters beside copying its weights with `cp`: `cargo bench --bench build`.
//!
//! Runs are interleaved, so that other load affects both alike; medians are printed. Nothing is synced to disk. A
//! virtual machine returns freed memory to its host for several seconds, on the measured cores, and touching it again
//! is slow. So a run starts after that has ended, and each program follows itself as often as the other, because the
//! memory that one of them leaves is slower to reuse. Xoshiro256++ generates the random bytes one by one; they are
//! written in blocks of 1 MiB.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 10;

/// The time between removing files and the next run.
const PAUSE: Duration = Duration::from_secs(4);

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
    let at = |name: &str| folder.path().join(name);
    let (model, other) = (at("model.onnx"), at("other"));
    println!("{:18} {:>12} {:>9} {:>9} {:>7} {:>9}", "", "bytes", "build", "random", "ratio", "peak");
    for preset in ["transformer-base", "transformer-big"] {
        let mut build = Command::new(&netwright);
        build.args(["-q", "build", preset, "-o"]).arg(&model);
        run(&mut build)?;
        let bytes = std::fs::metadata(&model)?.len();
        let mut write = Command::new(std::env::current_exe()?);
        write.arg("write-random").arg(&other).arg(bytes.to_string());
        compare(preset, bytes, (&mut build, &[&model]), (&mut write, &other))?;
    }
    println!("{:18} {:>12} {:>9} {:>9} {:>7} {:>9}", "", "bytes", "build", "cp", "ratio", "peak");
    for (dtype, name, size) in [("f32", "F32", 4), ("bf16", "BF16", 2)] {
        let llama = at(dtype);
        let bytes = make_llama(&llama, name, size)?;
        let mut build = Command::new(&netwright);
        build.args(["-q", "build", "--dtype", dtype, "-o"]).arg(&model).arg(&llama);
        let mut copy = Command::new("cp");
        copy.arg(llama.join("model.safetensors")).arg(&other);
        let data = at("model.onnx.data");
        compare(&format!("llama-1b {dtype}"), bytes, (&mut build, &[&model, &data]), (&mut copy, &other))?;
        std::fs::remove_dir_all(llama)?;
    }
    Ok(())
}

/// Runs both in turn, each without its earlier outputs, and prints a row.
fn compare(
    name: &str,
    bytes: u64,
    (build, built): (&mut Command, &[&Path]),
    (other, written): (&mut Command, &Path),
) -> Result<(), Box<dyn Error>> {
    let (mut builds, mut others, mut peak) = (vec![], vec![], 0);
    for round in 0..ROUNDS {
        for own in if round % 2 == 0 { [true, false] } else { [false, true] } {
            let (times, (time, memory), files) =
                if own { (&mut builds, run(build)?, built) } else { (&mut others, run(other)?, &[written][..]) };
            times.push(time);
            peak = peak.max(if own { memory } else { 0 });
            files.iter().try_for_each(std::fs::remove_file)?;
            std::thread::sleep(PAUSE);
        }
    }
    let (build, other) = (median(&mut builds), median(&mut others));
    let ratio = build.as_secs_f64() / other.as_secs_f64();
    let (build, other, peak) = (build.as_millis(), other.as_millis(), peak / 1000);
    println!("{name:18} {bytes:>12} {build:>6} ms {other:>6} ms {ratio:>7.2} {peak:>6} MB");
    Ok(())
}

/// Creates a folder with the sizes of Llama 3.2 1B and random weights; returns the number of bytes.
fn make_llama(folder: &Path, dtype: &str, size: u64) -> Result<u64, Box<dyn Error>> {
    const LAYERS: u64 = 16;
    std::fs::create_dir(folder)?;
    let (vocab, d_model, kv, d_ff) = (128_256_u64, 2048_u64, 512_u64, 8192_u64);
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": d_model,
        "intermediate_size": d_ff, "num_hidden_layers": LAYERS, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 64, "max_position_embeddings": 131_072, "rope_theta": 500_000.0, "tie_word_embeddings": true,
    });
    std::fs::write(folder.join("config.json"), config.to_string())?;
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, d_model])];
    tensors.push(("model.norm.weight".to_owned(), vec![d_model]));
    for layer in 0..LAYERS {
        let mut tensor =
            |name: &str, dims: &[u64]| tensors.push((format!("model.layers.{layer}.{name}.weight"), dims.to_vec()));
        tensor("input_layernorm", &[d_model]);
        tensor("post_attention_layernorm", &[d_model]);
        tensor("self_attn.q_proj", &[d_model, d_model]);
        tensor("self_attn.k_proj", &[kv, d_model]);
        tensor("self_attn.v_proj", &[kv, d_model]);
        tensor("self_attn.o_proj", &[d_model, d_model]);
        tensor("mlp.gate_proj", &[d_ff, d_model]);
        tensor("mlp.up_proj", &[d_ff, d_model]);
        tensor("mlp.down_proj", &[d_model, d_ff]);
    }
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, dims) in tensors {
        let start = end;
        end += dims.iter().product::<u64>() * size;
        header.insert(name, serde_json::json!({"dtype": dtype, "shape": dims, "data_offsets": [start, end]}));
    }
    let header = serde_json::Value::from(header).to_string();
    let path = folder.join("model.safetensors");
    let mut file = File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    random_bytes(&mut file, end)?;
    // Otherwise the first rounds would wait for pending writes.
    file.sync_all()?;
    Ok(end)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Runs a program; returns its wall time, and its peak resident memory in kB.
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
        // The high-water mark only grows, so the last reading counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn write_random(path: &Path, bytes: u64) -> Result<(), Box<dyn Error>> {
    random_bytes(&mut File::create(path)?, bytes)
}

fn random_bytes(file: &mut File, bytes: u64) -> Result<(), Box<dyn Error>> {
    let mut random = SmallRng::seed_from_u64(0);
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
