//! Codes, scales and floats agree, as a whole and in blocks.

use super::*;
use crate::tensor::Distribution;

/// Normally distributed floats (Box and Muller, 1958).
fn normal(seed: u64, dims: &[u64]) -> Tensor {
    let count = dims.iter().product::<u64>();
    let uniform = Tensor::random(seed, Distribution::Uniform { bound: 0.5 }, &[count, 2]).unwrap().all_floats();
    let normal = uniform.chunks(2).flat_map(|pair| {
        let (radius, angle) = ((-2.0 * (pair[0] + 0.5).max(1e-9).ln()).sqrt(), std::f32::consts::TAU * pair[1]);
        (radius * angle.cos()).to_le_bytes()
    });
    Tensor::from_bytes(ElementType::F32, dims, normal.collect::<Vec<_>>()).unwrap()
}

impl Tensor {
    fn all_floats(&self) -> Vec<f32> {
        let bytes = self.cast(ElementType::F32).unwrap().to_bytes().unwrap();
        bytes.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect()
    }
}

fn format(bits: u32, size: u64, symmetric: bool) -> BlockFormat {
    BlockFormat { bits, size, symmetric }
}

/// Every kind of format that tensors are quantized to, in blocks and in whole rows.
fn formats() -> impl Iterator<Item = BlockFormat> {
    let sizes = [16, 64];
    sizes.into_iter().flat_map(|size| {
        [4, 7, 8].into_iter().flat_map(move |bits| [true, false].map(|symmetric| format(bits, size, symmetric)))
    })
}

fn relative_error(exact: &Tensor, quantized: &Quantized) -> f64 {
    let (exact, found) = (exact.all_floats(), quantized.dequantized(ElementType::F32).unwrap().all_floats());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = exact.iter().zip(&found).map(|(a, b)| square(a - b)).sum();
    (error / exact.iter().map(|a| square(*a)).sum::<f64>()).sqrt()
}

#[test]
fn errors_are_at_most_half_a_scale_within_the_range_of_the_codes() {
    for dims in [[3, 37], [2, 64], [5, 1]] {
        let source = normal(1, &dims);
        for (at, format) in formats().enumerate() {
            let elements = [ElementType::F32, ElementType::F16, ElementType::BF16, ElementType::F64];
            let source = source.cast(elements[at % 4]).unwrap();
            let quantized = source.quantized(format, Rounding::Nearest, elements[at % 3]).unwrap();
            let per_block = |of: Vec<f32>| {
                let rows = of.chunks(usize::try_from(format.blocks(dims[1])).unwrap()).map(<[f32]>::to_vec);
                let size = usize::try_from(format.size).unwrap();
                let width = usize::try_from(dims[1]).unwrap();
                rows.flat_map(|row| (0..width).map(|at| row[at / size]).collect::<Vec<_>>()).collect::<Vec<_>>()
            };
            let scales = per_block(quantized.scales().all_floats());
            let zeros = quantized.zeros().map_or(vec![format.middle().into(); scales.len()], |zeros| {
                per_block(
                    zeros.integers().unwrap().into_iter().map(|zero| f32::from(u8::try_from(zero).unwrap())).collect(),
                )
            });
            let decoded = quantized.dequantized(ElementType::F32).unwrap().all_floats();
            for (at, (exact, found)) in source.all_floats().iter().zip(&decoded).enumerate() {
                let (smallest, largest) = (-zeros[at], f32::from(format.largest()) - zeros[at]);
                let error = (exact - found).abs() / scales[at].abs();
                let outside = (exact / scales[at] - largest).max(smallest - exact / scales[at]).max(0.0);
                assert!(error <= outside + 0.501, "{dims:?} {format:?}: {exact} {found}");
            }
        }
    }
}

#[test]
fn blocks_agree_with_the_whole() {
    for dims in [[3, 37], [2, 32]] {
        let source = normal(2, &dims);
        for format in formats() {
            for rounding in [Rounding::Nearest, Rounding::Search] {
                let quantized = source.quantized(format, rounding, ElementType::F16).unwrap();
                let transposed = quantized.transposed().unwrap();
                let nbits = (format.bits != 7).then(|| quantized.nbits().ok()).flatten();
                let floats = [ElementType::F32, ElementType::BF16].map(|to| quantized.dequantized(to).unwrap());
                let parts =
                    [Some(quantized.codes().clone()), Some(quantized.scales().clone()), quantized.zeros().cloned()];
                let others = [Some(transposed.codes), transposed.zeros];
                let nbits = nbits.into_iter().flat_map(|nbits| [Some(nbits.codes), nbits.zeros]);
                for tensor in parts.into_iter().chain(others).chain(nbits).chain(floats.map(Some)).flatten() {
                    let whole = tensor.to_bytes().unwrap();
                    for block in [4, 28] {
                        let mut out = vec![0; whole.len()];
                        for (at, part) in out.chunks_mut(block).enumerate() {
                            tensor.read((at * block * 8) as u64 / u64::from(tensor.element.bits()), part).unwrap();
                        }
                        assert_eq!(out, whole, "{tensor} by {block}");
                    }
                }
            }
        }
    }
}

#[test]
fn search_has_a_smaller_error() {
    let source = normal(3, &[64, 1024]);
    for (format, nearest, search) in [
        (format(4, 32, true), 0.0865, 0.0811),
        (format(4, 32, false), 0.0830, 0.0790),
        (format(8, 32, true), 0.0055, 0.0053),
        (format(4, 128, true), 0.12, 0.105),
    ] {
        let error = |rounding| relative_error(&source, &source.quantized(format, rounding, ElementType::F16).unwrap());
        let errors = [error(Rounding::Nearest), error(Rounding::Search)];
        assert!(errors[0] <= nearest && errors[1] <= search, "{format:?}: {errors:?}");
    }
}
