//! Conversions of element types, which happen only on request: quantized weights, narrow floats.

mod check;
mod convert_precision;
mod dequantize_weights;
mod precision;
mod quantization;
mod quantize_weights;
mod readers;
mod roles;
mod use_block_operators;

pub use check::{BLOCKS_SINCE, KeptQuantized, quantized_weights};
pub(crate) use check::{already_quantized, check_patterns, check_quantization, weight_names};
pub(crate) use convert_precision::{convert_precision, is_elementwise, is_structural, remove_narrowing};
pub(crate) use dequantize_weights::{blocks_table, dequantize_weights, nbits_weight, why_not_dequantized};
pub use precision::{Precision, PrecisionError};
pub use quantization::{Quantization, QuantizationError, QuantizedWeight, Scheme, UnknownScheme, WeightRole};
pub(crate) use quantize_weights::{Request, declined_in_functions, quantize_weights};
pub(crate) use use_block_operators::use_block_operators;
