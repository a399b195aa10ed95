//! Tests that codes, scales and floats agree, as a whole and in blocks.

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
fn blocks_across_rows_are_those_of_the_transpose() {
    for dims in [[37, 5], [64, 33], [300, 9]] {
        let source = normal(5, &dims);
        let transposed = source.transposed().unwrap();
        let copy = Tensor::from_bytes(source.element, transposed.dims(), transposed.to_bytes().unwrap()).unwrap();
        for format in formats().chain([format(8, 300, true)]) {
            for rounding in [Rounding::Nearest, Rounding::Search] {
                let [across, along] = [&transposed, &copy].map(|of| {
                    let quantized = of.quantized(format, rounding, ElementType::F16).unwrap();
                    let layout = quantized.transposed().unwrap();
                    [Some(layout.codes), Some(layout.scales), layout.zeros]
                });
                assert!(across[0].as_ref().is_some_and(|codes| codes.to_string().contains("across")));
                for (across, along) in across.into_iter().flatten().zip(along.into_iter().flatten()) {
                    let whole = along.to_bytes().unwrap();
                    assert_eq!(across.to_bytes().unwrap(), whole, "{format:?} {across}");
                    let mut out = vec![0; whole.len()];
                    for (at, part) in out.chunks_mut(12).enumerate() {
                        across.read(at as u64 * 96 / u64::from(across.element.bits()), part).unwrap();
                    }
                    assert_eq!(out, whole, "{format:?} {across}");
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
        (format(4, 32, false), 0.0810, 0.0770),
        (format(8, 32, true), 0.0054, 0.0050),
        (format(4, 128, true), 0.1030, 0.0970),
        (format(4, 1024, false), 0.1340, 0.1165),
    ] {
        let error = |rounding| relative_error(&source, &source.quantized(format, rounding, ElementType::F16).unwrap());
        let errors = [error(Rounding::Nearest), error(Rounding::Search)];
        assert!(errors[0] <= nearest && errors[1] <= search, "{format:?}: {errors:?}");
    }
}

#[test]
fn search_makes_no_block_worse() {
    let mut blocks = vec![vec![0.0; 32], vec![1.0; 32], vec![-1e-38; 32], vec![1e38; 32]];
    blocks.push((0..32_u8).map(|at| f32::from(at % 16) - 8.0).collect());
    blocks.push((0..32_u8).map(|at| if at == 7 { 100.0 } else { f32::from(at) / 100.0 }).collect());
    blocks.extend(normal(4, &[64, 32]).all_floats().chunks(32).map(<[f32]>::to_vec));
    for block in blocks {
        let bytes: Vec<u8> = block.iter().flat_map(|x| x.to_le_bytes()).collect();
        let source = Tensor::from_bytes(ElementType::F32, &[1, 32], bytes).unwrap();
        for format in formats() {
            let error = |rounding| {
                let quantized = source.quantized(format, rounding, ElementType::F32).unwrap();
                let found = quantized.dequantized(ElementType::F64).unwrap().to_bytes().unwrap();
                let found = found.as_chunks().0.iter().map(|raw| f64::from_le_bytes(*raw));
                block.iter().zip(found).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>()
            };
            let [nearest, search] = [Rounding::Nearest, Rounding::Search].map(error);
            // The scale itself is rounded.
            let rounded = block.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() * 1e-12;
            assert!(search <= nearest * 1.000_01 + rounded, "{format:?} of {block:?}: {nearest} {search}");
        }
    }
}

#[test]
fn recipes_are_printed_and_parsed() {
    let source = Tensor::random(1, Distribution::Uniform { bound: 0.5 }, &[2, 32]).unwrap();
    let asymmetric = source.quantized(format(4, 32, false), Rounding::Search, ElementType::F16).unwrap();
    let symmetric = source.quantized(format(4, 32, true), Rounding::Nearest, ElementType::F32).unwrap();
    let codes = "u4[2, 32] quantize(codes, search, bits = 4, size = 32, asymmetric, scale = f16, \
                 f32[2, 32] uniform(seed = 1, bound = 0.5))";
    assert_eq!(asymmetric.codes().to_string(), codes);
    let tensors = [
        asymmetric.zeros().unwrap().clone(),
        asymmetric.dequantized(ElementType::BF16).unwrap(),
        symmetric.scales().clone(),
        symmetric.dequantized(ElementType::F32).unwrap(),
        symmetric.nbits().unwrap().codes,
        symmetric.transposed().unwrap().codes,
        source
            .transposed()
            .unwrap()
            .quantized(format(8, 2, true), Rounding::Search, ElementType::F32)
            .unwrap()
            .transposed()
            .unwrap()
            .codes,
        Tensor::from_bytes(ElementType::I4, &[3], vec![0xf7, 0x08]).unwrap(),
    ];
    assert_eq!(tensors[7].to_string(), "i4[3] [7, -1, -8]");
    let too_large = crate::parse("g() {\n  %w = parameter [1, 8] : i4[2]\n  return %w\n}").map(|_| ());
    assert_eq!(too_large.unwrap_err().to_string(), "line 2: a number does not fit in i4");
    for tensor in tensors {
        let text = format!("g() {{\n  %w = parameter {tensor} : {}\n  return %w\n}}\n", tensor.ty());
        let text = text.replace(&format!("parameter {} ", tensor.ty()), "parameter ");
        let graph = crate::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(graph.to_text(crate::Detail::Full), text);
    }
}

#[test]
fn what_cannot_be_quantized_is_an_error() {
    let float = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor::from_bytes(ElementType::F32, &[values.len() as u64], bytes).unwrap()
    };
    let block = format(4, 32, true);
    let quantized = |of: Tensor, format, scale| of.quantized(format, Rounding::Search, scale).map(|_| ());
    let (f32, f16) = (ElementType::F32, ElementType::F16);
    let scales = float(&[1.0]);
    let codes = Tensor::from_bytes(ElementType::I4, &[32], vec![0; 16]).unwrap();
    for (found, expected) in [
        (quantized(Tensor::indices(&[1]), block, f32), "i64[1]: its elements are not f32, f16, bf16 or f64"),
        (quantized(Tensor::scalar(1.0), block, f32), "f32[]: it has no axis or no elements"),
        (quantized(float(&[]), block, f32), "f32[0]: it has no axis or no elements"),
        (quantized(float(&[1.0]), format(2, 32, true), f32), "f32[1]: codes have 4, 7 or 8 bits"),
        (quantized(float(&[1.0]), format(5, 32, true), f32), "f32[1]: codes have 4, 7 or 8 bits"),
        (quantized(float(&[1.0]), format(4, 0, true), f32), "f32[1]: a block has no elements or more than 2^20"),
        (quantized(float(&[1.0]), block, ElementType::F64), "f32[1]: the scales must be f32, f16 or bf16"),
        (float(&[1.0, f32::NAN]).quantizable(block, f32), "f32[2]: an element is infinite, NaN or too large"),
        (float(&[3e38, -3e38]).quantizable(block, f32), "f32[2]: an element is infinite, NaN or too large"),
        (float(&[1.7e38, -1.7e38]).quantizable(format(4, 32, false), f32), ""),
        (float(&[1e-5]).quantizable(block, f16), "f32[1]: its elements are too small for scales of the type"),
        (float(&[0.0]).quantizable(block, f16), ""),
        (float(&[1e6]).quantizable(block, f16), "f32[1]: a scale may overflow its type"),
        (float(&[1e5]).quantizable(block, f16), ""),
        (
            Quantized::from_parts(codes.clone(), float(&[1.0, 2.0]), None, block).map(|_| ()),
            "f32[2]: the scales must be one f32, f16 or bf16 for each block",
        ),
        (
            Quantized::from_parts(codes.clone(), scales.clone(), Some(codes.clone()), block).map(|_| ()),
            "i4[32]: symmetric codes have no zero points",
        ),
        (
            Quantized::from_parts(codes.clone(), scales.clone(), None, format(4, 32, false)).map(|_| ()),
            "i4[32]: its elements are not the codes of the format",
        ),
        (
            Quantized::from_parts(codes, scales, None, block).unwrap().nbits().map(|_| ()),
            "i4[32]: it does not have two axes",
        ),
    ] {
        let found = found.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(found.ends_with(expected) && found.is_empty() == expected.is_empty(), "{found}, not {expected}");
    }
    for values in [[1.0, f32::NAN], [f32::NEG_INFINITY, 1.0], [1e30, 1.0]] {
        for rounding in [Rounding::Nearest, Rounding::Search] {
            assert!(float(&values).quantized(block, rounding, f16).unwrap().codes().to_bytes().is_err());
        }
    }
}
