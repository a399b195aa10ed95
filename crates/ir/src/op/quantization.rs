//! Quantization.

macro_rules! quantization {
    ($($before:tt)*) => { unite! { $($before)*
        /// Quantizes: `x / scale + zero_point`, rounded and saturated.
        QuantizeLinear "quantize_linear" [10 13 19 21 23 24 25 28] Maps {
            /// The axis of a scale that is not a scalar.
            axis since 13: i64 = 1,
            /// The number of elements that share a scale; 0 without blocks.
            block_size since 21: i64 = 0,
            /// The element type of the result; the default is that of the zero point, or `u8` without one.
            output_dtype since 21: Option<ElementType> = None,
            /// The element type of the division; the default is that of the scale (ONNX 23).
            precision since 23: Option<ElementType> = None,
            /// Whether values outside the range of an 8-bit float become its largest value.
            saturate since 19: bool = true,
        } => infer::quantization::quantize;
        /// Dequantizes: `(x - zero_point) * scale`.
        DequantizeLinear "dequantize_linear" [10 13 19 21 23 24 25 28] Maps {
            /// The axis of a scale that is not a scalar.
            axis since 13: i64 = 1,
            /// The number of elements that share a scale; 0 without blocks.
            block_size since 21: i64 = 0,
            /// The element type of the result; the default is that of the scale (ONNX 23).
            output_dtype since 23: Option<ElementType> = None,
        } => infer::quantization::dequantize;
        /// Quantizes to `u8` by the range of the data. Results: the quantized tensor, the scale, the zero point.
        DynamicQuantizeLinear "dynamic_quantize_linear" [11] Maps => infer::quantization::dynamic_quantize;
    } };
}

/// Returns whether an operator of ONNX or ONNX Runtime computes with integers for floats: `QLinearMatMul`, `QAttention`,
/// `MatMulIntegerToFloat` and so on.
pub fn computes_with_integers(operator: &str) -> bool {
    let starts = ["DynamicQuantize", "QAttention", "QGemm", "QLinear", "QOrdered"];
    operator.contains("Integer") || starts.iter().any(|start| operator.starts_with(start))
}

/// Returns the operands that are scales, zero points or indices of groups, for an operator of ONNX or ONNX Runtime that
/// reads quantized tensors.
pub fn scales_and_zero_points(operator: &str) -> &'static [usize] {
    match operator {
        "QuantizeLinear" | "DequantizeLinear" => &[1, 2],
        "MatMulNBits" => &[2, 3, 4],
        "GatherBlockQuantized" | "DynamicQuantizeMatMul" => &[2, 3],
        "MatMulBnb4" => &[2],
        "MatMulIntegerToFloat" => &[2, 3, 4, 5],
        "QAttention" => &[3, 4, 6, 7],
        "QGemm" => &[1, 2, 4, 5, 7, 8],
        name if name.starts_with("QLinear") => &[1, 2, 4, 5, 6, 7],
        name if name.ends_with("Integer") => &[2, 3],
        _ => &[],
    }
}
