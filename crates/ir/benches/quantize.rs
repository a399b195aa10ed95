//! How fast weights are quantized and dequantized on one core, in GB/s of floats.
//!
//!     cargo bench -p netwright-ir

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use netwright_ir::tensor::{BlockFormat, Distribution, Rounding};
use netwright_ir::{ElementType, Tensor, TensorError};
use std::time::Instant;

const ROWS: u64 = 512;
const WIDTH: u64 = 4096;

/// Reads a tensor in pieces, and returns the seconds: the best time of each piece, so that other programs disturb less.
/// The tensor is made anew each time, so that nothing is known of it.
fn seconds(make: impl Fn() -> Result<Tensor, TensorError>) -> Result<f64, TensorError> {
    let tensor = make()?;
    let bits = u64::from(tensor.element().bits());
    let (mut done, mut total) = (0, 0.0);
    while done < tensor.len() {
        let mut buffer = vec![0; usize::try_from((1 << 16).min(tensor.len() - done)).unwrap_or(0)];
        let mut best = f64::MAX;
        for _ in 0..8 {
            let tensor = make()?;
            let start = Instant::now();
            tensor.read(done * 8 / bits, &mut buffer)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        total += best;
        done += buffer.len() as u64;
    }
    Ok(total)
}

fn main() -> Result<(), TensorError> {
    let weights = Tensor::random(1, Distribution::Uniform { bound: 1.0 }, &[ROWS, WIDTH])?;
    for element in [ElementType::F32, ElementType::BF16, ElementType::F16] {
        let weights = weights.cast(element)?;
        let weights = Tensor::from_bytes(element, weights.dims(), weights.to_bytes()?)?;
        let speed = |seconds: f64| weights.len() as f64 / seconds / 1e9;
        let start = Instant::now();
        weights.magnitude()?;
        println!("{element} magnitude: {:.2} GB/s", speed(start.elapsed().as_secs_f64()));
        for (bits, size) in [(4, 32), (4, 128), (8, 32), (8, WIDTH)] {
            for symmetric in [true, false] {
                let format = BlockFormat { bits, size, symmetric };
                for rounding in [Rounding::Nearest, Rounding::Search] {
                    let quantize = || weights.quantized(format, rounding, ElementType::F16);
                    let codes = speed(seconds(|| Ok(quantize()?.codes().clone()))?);
                    let scales = speed(seconds(|| Ok(quantize()?.scales().clone()))?);
                    println!("{element} {format:?} {rounding:?}: codes {codes:.2}, scales {scales:.2} GB/s");
                }
            }
        }
        let format = BlockFormat { bits: 4, size: 32, symmetric: true };
        let quantized = weights.quantized(format, Rounding::Nearest, ElementType::F16)?;
        let in_memory = |of: &Tensor| Tensor::from_bytes(of.element(), of.dims(), of.to_bytes()?);
        let codes = in_memory(quantized.codes())?;
        let held = netwright_ir::tensor::Quantized::from_parts(codes, in_memory(quantized.scales())?, None, format)?;
        println!("{element} dequantize: {:.2} GB/s", speed(seconds(|| held.dequantized(element))?));
        println!("{element} transpose codes: {:.2} GB/s of floats", speed(seconds(|| Ok(held.transposed()?.codes))?));
    }
    Ok(())
}
